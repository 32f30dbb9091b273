"""The protocol of published super-resolution, classical methods, and the table; expected values by scikit-image."""

import numpy as np
import pytest
from PIL import Image
from skimage import color, data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from jaxgen.tasks.super_resolution import classical, protocol, table

PHOTO = data.astronaut()[:101, 160:263]
"""uint8 (101, 103, 3)."""
GREY = data.camera()[100:150, 200:260, None]


def published(enlarged, original, scale):
    """PSNR and SSIM of two RGB images by scikit-image: of Y in 16 to 235, without borders of `scale` pixels."""
    a, b = (color.rgb2ycbcr(x)[scale:-scale, scale:-scale, 0] for x in (enlarged, original))
    similarity = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    _, whole = structural_similarity(a, b, full=True, win_size=11, **similarity)
    return peak_signal_noise_ratio(b, a, data_range=255), whole[5:-5, 5:-5].mean()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_scores_are_those_of_the_luma_without_borders(scale):
    original = protocol.cut_to_multiple(PHOTO, scale)
    assert original.shape == (101 // scale * scale, 103 // scale * scale, 3)
    enlarged = classical.bicubic(protocol.reduced(original, scale)[0], scale)
    spoilt = enlarged.copy()
    spoilt[:scale], spoilt[:, -scale:] = 0, 255  # the borders do not count
    assert protocol.compare(spoilt, original, scale) == protocol.compare(enlarged, original, scale)
    assert protocol.compare(enlarged, original, scale) == pytest.approx(published(enlarged, original, scale), abs=1e-4)
    assert protocol.compare(original, original, scale) == (100.0, 1.0)


def test_luma_is_not_rounded_and_grey_is_left_as_it_is():
    colours = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 100, 0]]], np.uint8)
    expected = [235.0, 16.0, 16 + 65.481, 16 + 128.553 * 100 / 255]
    np.testing.assert_allclose(protocol.luma(colours)[0, :, 0], expected, atol=1e-3)
    np.testing.assert_array_equal(protocol.luma(GREY), GREY)
    brighter = np.clip(GREY.astype(int) + 10, 0, 255).astype(np.uint8)
    inner = (slice(2, -2),) * 2
    expected = peak_signal_noise_ratio(GREY[inner], brighter[inner], data_range=255)
    assert protocol.compare(brighter, GREY, 2).psnr == pytest.approx(expected)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_the_least_size_is_just_enough(scale):
    least = protocol.least_size(scale)
    enough = np.zeros((least, least, 3), np.uint8)
    assert protocol.compare(enough, enough, scale).ssim == 1.0
    fewer = protocol.cut_to_multiple(enough[1:], scale)
    assert min(fewer.shape[:2]) - 2 * scale * (1 + 2) < 11  # two small pixels are cut off each side of a photograph


def test_small_images_are_of_8_bits_and_of_the_right_place():
    """A linear ramp stays one; a small pixel is the mean of those that it covers."""
    ramp = np.tile(np.arange(0, 240, 2, dtype=np.uint8)[None, :, None], (60, 1, 3))
    small, _ = protocol.reduced(ramp, 4)
    assert (small.dtype, small.shape) == (np.uint8, (15, 30, 3))
    np.testing.assert_array_equal(small[:, 2:-2], ramp.reshape(15, 4, 30, 4, 3).mean(axis=(1, 3))[:, 2:-2].astype(int))


@pytest.mark.parametrize("pixels", [PHOTO, GREY], ids=["colour", "grey"])
def test_classical_methods(pixels):
    original = protocol.cut_to_multiple(pixels, 3)
    small, _ = protocol.reduced(original, 3)
    results = {name: run(small, 3) for name, run in classical.CLASSICAL.items()}
    assert {(x.shape, x.dtype) for x in results.values()} == {(original.shape, np.dtype(np.uint8))}
    image = Image.fromarray(small[..., 0] if small.shape[-1] == 1 else small)
    for name, kernel in (("bicubic", Image.Resampling.BICUBIC), ("Lanczos", Image.Resampling.LANCZOS)):
        by_pillow = np.asarray(image.resize(original.shape[1::-1], kernel)).reshape(original.shape).astype(int)
        # Pillow rounds to 8 bits in between too, and treats borders otherwise
        assert np.abs(results[name][9:-9, 9:-9] - by_pillow[9:-9, 9:-9]).max() <= 2

    def back(x):
        return np.abs(protocol.reduced(x, 3)[0].astype(int) - small).mean()

    assert back(results["back-projection"]) < 0.2 * back(results["bicubic"])
    scores = {name: protocol.compare(x, original, 3).psnr for name, x in results.items()}
    assert scores["back-projection"] > scores["Lanczos"] > scores["bicubic"]


def perfect(original, scale):
    """A network that knows the answer."""
    return lambda small: protocol.cut_to_multiple(original, scale)


@pytest.mark.slow
def test_the_table_has_the_means_of_each_factor_and_examples_of_the_largest():
    seen = []
    pictures = [("a", PHOTO), ("b", GREY)]
    enlarge = {3: lambda small: classical.lanczos(small, 3), 2: lambda small: classical.bicubic(small, 2)}
    networks = {"mine": enlarge, "other": {2: lambda small: classical.lanczos(small, 2), 3: enlarge[3]}}
    found, examples = table.evaluate_upscaler("x", networks, iter(pictures), lambda *what: seen.append(what))
    kinds = [(kind, scale) for kind in ("bicubic", "photo") for scale in (2, 3)]
    assert seen == [(name, f"{kind} x{scale}") for name in "ab" for kind, scale in kinds]
    assert (found.name, found.num_images, [(row.kind, row.scale) for row in found.rows]) == ("x", 2, kinds)
    for row in found.rows:
        assert row.scores["mine"] == row.scores["bicubic" if row.scale == 2 else "Lanczos"]
        assert row.scores["other"] == row.scores["Lanczos"]
    original = protocol.cut_to_multiple(PHOTO, 2)
    expected = published(classical.bicubic(protocol.reduced(original, 2)[0], 2), original, 2)
    alone, _ = table.evaluate_upscaler("x", networks, pictures[:1])
    assert alone.rows[0].scores["bicubic"] == pytest.approx(expected, abs=1e-4)
    other, _ = table.evaluate_upscaler("x", networks, pictures[1:])
    means = np.mean([t.rows[0].scores["back-projection"] for t in (alone, other)], axis=0)
    np.testing.assert_allclose(found.rows[0].scores["back-projection"], means)
    assert [each.picture for each in examples] == ["a, bicubic", "a, photo", "b, bicubic", "b, photo"]
    shown = examples[0].shown
    assert list(shown) == ["small", "bicubic", "mine", "other", "original"]
    np.testing.assert_array_equal(shown["original"], protocol.cut_to_multiple(PHOTO, 3))
    np.testing.assert_array_equal(shown["small"][::3, ::3], protocol.reduced(shown["original"], 3)[0])
    assert len({pixels.shape for pixels in shown.values()}) == 1


def test_a_small_image_of_a_photograph_is_damaged_in_the_same_way_each_time():
    original = protocol.cut_to_multiple(data.astronaut()[:, :300], 4)
    small, shown = protocol.reduced_as_photo(original, 4, 1)
    assert (small.shape, shown.shape, small.dtype) == ((50, 50, 3), (200, 200, 3), np.uint8)
    np.testing.assert_array_equal(protocol.reduced_as_photo(original, 4, 1)[0], small)
    assert (protocol.reduced_as_photo(original, 4, 2)[0] != small).any()
    # it shows the same part: the means of blocks are near, whatever the noise
    means = shown.reshape(5, 40, 5, 40, 3).mean(axis=(1, 3)), small.reshape(5, 10, 5, 10, 3).mean(axis=(1, 3))
    assert np.abs(means[0] - means[1]).mean() < 8


def test_the_table_in_words_and_as_json():
    scores = {"bicubic": protocol.Score(33.684, 0.93052), "network": protocol.Score(37.5, 0.9587)}
    made = table.Table("mine", 5, (table.Row("photo", 2, scores),))
    lines = table.format_table(made).splitlines()
    assert lines[0].startswith("mine on 5 images")
    assert lines[1].split() == ["bicubic", "network"]
    assert lines[2].split() == ["photo", "x2", "33.68", "/", "0.9305", "37.50", "/", "0.9587"]
    record = table.to_record(made)
    assert record["rows"][0]["level"] == "x2"
    assert record["rows"][0]["scores"]["network"] == {"psnr": 37.5, "ssim": 0.9587}


def test_the_sheet_shows_where_bicubic_errs_the_most():
    original = np.zeros((40, 60, 1), np.uint8)
    bicubic, network = original.copy(), original.copy()
    bicubic[22:26, 41:45], network[:] = 90, 50
    shown = {"small": original + 7, "bicubic": bicubic, "network": network, "original": original}
    sheet = table.sheet_of_examples([table.Example("a", shown)], 16)
    grid = sheet[-(16 + 4) :, -(4 * 18 + 2) :]
    cells = [grid[2:18, 2 + 18 * i : 18 + 18 * i] for i in range(4)]
    assert (cells[0] == 7).all()
    assert (cells[1] == 90).sum() == 4 * 4 * 3
    assert (cells[2] == 50).all()
    assert (cells[3] == 0).all()
