"""The table of a restorer: who is compared with whom, on what, and what the numbers are."""

import json
import math

import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from jaxgen.degradations.kinds import unmasked
from jaxgen.tasks.restoration.evaluation.suites import Case, Suite, clean_pixels, digit_suite, photo_suite, suite_for
from jaxgen.tasks.restoration.evaluation.table import evaluate_restoration, format_table, save_table

RNG = np.random.default_rng(0)
IMAGES = [RNG.integers(0, 256, (16, 20, 1), np.uint8) for _ in range(3)] + [RNG.integers(0, 256, (24, 16, 1), np.uint8)]


def darker(key, images):
    return unmasked(images - 0.2)


def half_missing(key, images):
    masks = jnp.zeros((*images.shape[:3], 1)).at[:, ::2].set(1.0)
    return unmasked(images * masks)._replace(masks=masks)


def suite(**cases):
    return Suite("test", 10, tuple(Case(name, "1", apply, baselines) for name, (apply, baselines) in cases.items()))


def test_scores_are_those_of_scikit_image_averaged_over_images_of_all_sizes():
    table, _ = evaluate_restoration(
        "paler", lambda seen, _: np.asarray(seen.images) * 0.47, IMAGES, suite(darker=(darker, {}))
    )
    (row,) = table.rows
    inputs = [image / 127.5 - 1 - 0.2 for image in IMAGES]
    restored = [np.clip(np.rint((0.47 * x + 1) * 127.5), 0, 255).astype(np.uint8) for x in inputs]
    ratios = [peak_signal_noise_ratio(a, b, data_range=255) for a, b in zip(IMAGES, restored, strict=True)]
    likeness = [
        structural_similarity(
            a[..., 0], b[..., 0], data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for a, b in zip(IMAGES, restored, strict=True)
    ]
    assert row.scores["restored"].psnr == pytest.approx(np.mean(ratios), abs=1e-3)
    assert row.scores["restored"].ssim == pytest.approx(np.mean(likeness), abs=1e-4)
    assert table.num_images == 4


def test_the_input_is_scored_as_it_is_without_clipping():
    table, _ = evaluate_restoration("none", lambda i, _: i.images, IMAGES, suite(darker=(darker, {})))
    assert table.rows[0].scores["input"].psnr == pytest.approx(-10 * math.log10(0.1**2), abs=1e-3)  # 0.2 of 2 is 0.1


def test_masks_reach_restorer_and_baselines():
    seen = []

    def baseline(image, mask):
        assert image.min() >= 0
        seen.append(mask)
        return image

    def apply(inputs, repair):
        assert set(np.unique(inputs.masks)) == {0.0, 1.0}
        return inputs.images

    table, examples = evaluate_restoration("none", apply, IMAGES, suite(gone=(half_missing, {"f": baseline})))
    assert set(table.rows[0].scores) == {"input", "f", "restored"}
    assert len(seen) == len(IMAGES)
    assert all(mask.dtype == bool and mask[::2].all() and not mask[1::2].any() for mask in seen)
    np.testing.assert_array_equal(examples[0].clean, IMAGES[0])
    assert np.all(examples[0].degraded[1::2] == 128)


def test_damage_of_an_image_does_not_depend_on_the_others():
    cases = Suite("noise", 10, digit_suite().cases[:1])
    seen = {}

    def watching(name):
        def apply(inputs, repair):
            seen.setdefault(name, []).extend(np.asarray(inputs.images))
            return inputs.images

        return name, apply

    evaluate_restoration(*watching("both"), IMAGES[:2], cases)
    evaluate_restoration(*watching("first"), IMAGES[:1], cases)
    evaluate_restoration(*watching("other seed"), IMAGES[:1], cases, seed=1)
    np.testing.assert_array_equal(seen["both"][0], seen["first"][0])
    assert not np.array_equal(seen["both"][0], seen["both"][1])
    assert not np.array_equal(seen["first"][0], seen["other seed"][0])


def test_equal_images_count_as_a_hundred_decibels():
    clean = {image.shape: image for image in IMAGES[2:]}

    def apply(inputs, repair):
        return clean[inputs.images.shape[1:]][None] / np.float32(127.5) - 1

    table, _ = evaluate_restoration("perfect", apply, IMAGES[2:], suite(darker=(darker, {})))
    assert table.rows[0].scores["restored"] == pytest.approx((100.0, 1.0))


def test_table_as_text_and_as_file(tmp_path):
    table, _ = evaluate_restoration(
        "none", lambda i, _: i.images, IMAGES, suite(gone=(half_missing, {"zero": lambda x, m: 0 * x}))
    )
    save_table(tmp_path / "t.json", table)
    record = json.loads((tmp_path / "t.json").read_text())
    (row,) = record["rows"]
    assert row["damage"] == "gone"
    assert row["scores"]["zero"]["psnr"] == table.rows[0].scores["zero"].psnr
    text = format_table(table)
    assert "gone" in text
    assert f"zero {table.rows[0].scores['zero'].psnr:.2f}" in text
    assert len(text.splitlines()) == 3


def test_suites():
    assert suite_for((28, 28, 1), photos=False).name == "digits-1"
    assert suite_for((128, 128, 3), photos=False).name == suite_for((32, 32, 3), photos=True).name == "photos-1"
    sigmas = [case.level for case in photo_suite().cases if case.damage == "gaussian"]
    assert sigmas == ["15/255", "25/255", "50/255"]


def test_holes_of_a_suite_are_smaller_than_the_images():
    for shape, widths in (((28, 28, 1), [6, 10, 14]), ((12, 28, 1), [6, 10]), ((6, 6, 1), [])):
        cases = suite_for(shape, photos=False).cases
        assert [case.level for case in cases if case.damage == "centre_hole"] == [f"{width} px" for width in widths]


def test_images_so_small_that_damage_may_hide_them_whole_have_a_psnr_under_every_case():
    images = [RNG.integers(0, 256, (3, 3, 1), np.uint8) for _ in range(20)]
    table, _ = evaluate_restoration("none", lambda i, _: i.images, images, suite_for((3, 3, 1), photos=False))
    assert len(table.rows) == 9
    for score in (score for row in table.rows for score in row.scores.values()):
        assert math.isfinite(score.psnr)
        assert score.ssim is None


def test_a_table_without_ssim_has_psnr_alone(tmp_path):
    small = [image[:10] for image in IMAGES]
    table, _ = evaluate_restoration("none", lambda i, _: i.images, small, suite(gone=(half_missing, {})))
    psnr = table.rows[0].scores["restored"].psnr
    head, titles, row = format_table(table).splitlines()
    assert "SSIM" not in head
    assert row.split() == ["gone", "1", f"{table.rows[0].scores['input'].psnr:.2f}", f"{psnr:.2f}"]
    assert titles.split() == ["damage", "level", "input", "restored", "baselines"]
    save_table(tmp_path / "table.json", table)
    assert json.loads((tmp_path / "table.json").read_text())["rows"][0]["scores"]["restored"] == {"psnr": psnr}


def test_the_protocol_gives_the_known_psnr_of_noise_and_the_baselines_help():
    flat = [np.full((64, 64, 1), 128, np.uint8)]
    by_name = {(case.damage, case.level): case for case in photo_suite().cases}
    cases = tuple(by_name[name] for name in (("gaussian", "25/255"), ("salt_and_pepper", "50%"), ("pixels", "50%")))
    table, _ = evaluate_restoration("none", lambda i, _: i.images, flat, Suite("s", 1, cases))
    noise, salt, pixels = (row.scores for row in table.rows)
    assert noise["input"].psnr == pytest.approx(20.17, abs=0.2)
    assert noise["non-local means"].psnr > 30
    assert salt["input"].psnr == pytest.approx(-10 * math.log10(0.5 * 0.25), abs=0.3)
    assert min(salt["adaptive median"].psnr, salt["normalised mean"].psnr) > 60
    assert min(pixels["normalised mean"].psnr, pixels["Delaunay"].psnr) > 60


def test_baselines_of_blur_know_the_kernel():
    y, x = np.mgrid[:48, :48]
    image = [np.uint8(127.5 + 100 * np.sin(x / 2.0) * np.sin(y / 3.0))[..., None]]
    blur = next(case for case in photo_suite().cases if case.damage == "gaussian_blur")
    table, _ = evaluate_restoration("none", lambda i, _: i.images, image, Suite("s", 1, (blur,)))
    scores = table.rows[0].scores
    assert min(scores["Wiener"].psnr, scores["Richardson-Lucy"].psnr) > scores["input"].psnr + 3


def test_clean_pixels_are_those_neither_black_nor_white():
    image = np.array([[[0.0], [0.5], [1.0], [1.2]]])
    assert clean_pixels(image)[0, :, 0].tolist() == [False, True, False, False]
    colour = np.array([[[0.0, 1.0, 0.5], [1.0, 1.0, 1.0]]])
    assert clean_pixels(colour)[0, :, 0].tolist() == [True, False]


def test_known_pixels_count_as_they_came_where_some_are_missing_and_not_under_noise():
    worse = "worse", lambda seen, _: np.asarray(seen.images) + 0.5
    cases = suite(gone=(half_missing, {}), darker=(darker, {}))
    _, (gone, noisy) = evaluate_restoration(*worse, IMAGES, cases)
    np.testing.assert_array_equal(gone.restored[::2], IMAGES[0][::2])
    assert np.all(gone.restored[1::2] == 191)  # a missing pixel is 0, and (0 + 0.5 + 1) * 127.5 is 191.25
    assert not np.array_equal(noisy.restored[::2], noisy.degraded[::2])


def test_volumes_are_scored_over_all_voxels_and_three_axes():
    volumes = [RNG.integers(0, 256, (12, 13, 11, 1), np.uint8) for _ in range(2)]
    fade = "paler", lambda seen, _: np.asarray(seen.images) * 0.4712389
    table, (example,) = evaluate_restoration(*fade, volumes, suite(darker=(darker, {})))
    restored = [np.clip(np.rint((0.4712389 * (x / 127.5 - 1.2) + 1) * 127.5), 0, 255).astype(np.uint8) for x in volumes]
    ratios = [peak_signal_noise_ratio(a, b, data_range=255) for a, b in zip(volumes, restored, strict=True)]
    likeness = [
        structural_similarity(
            a[..., 0], b[..., 0], data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for a, b in zip(volumes, restored, strict=True)
    ]
    assert table.rows[0].scores["restored"].psnr == pytest.approx(np.mean(ratios), abs=1e-3)
    assert table.rows[0].scores["restored"].ssim == pytest.approx(np.mean(likeness), abs=1e-4)
    assert example.clean.shape == (12, 13, 11, 1)


def test_every_damage_of_volumes_has_baselines_that_help():
    """On a smooth ball; all but the boxes, whose baseline is that of the hole."""
    axes = np.meshgrid(*[np.linspace(-1, 1, 12)] * 3, indexing="ij")
    ball = np.uint8(255 / (1 + np.exp(12 * (sum(x * x for x in axes) - 0.5))))[..., None]
    chosen = suite_for((12, 12, 12, 1), photos=False)
    assert chosen.name == "volumes-1"
    assert [c.level for c in chosen.cases if c.damage == "centre_hole"] == ["6 voxels", "10 voxels"]
    first = {case.damage: case for case in reversed(chosen.cases) if case.damage != "boxes"}
    table, _ = evaluate_restoration("none", lambda i, _: i.images, [ball], Suite("s", 1, tuple(first.values())))
    assert {row.damage for row in table.rows} == {"gaussian", "rician", "missing_slices", "thick_slices", "centre_hole"}
    for row in table.rows:
        others = [score.psnr for name, score in row.scores.items() if name not in ("input", "restored")]
        assert others
        assert row.damage == "thick_slices" or max(others) > row.scores["input"].psnr + 1, row
