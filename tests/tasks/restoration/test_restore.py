"""Photos through a tiny model into a folder: pixels, what is kept, and what is said."""

import subprocess
import sys
from pathlib import Path

import imagecodecs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgen.errors import InputError
from jaxgen.photos import reading, work
from jaxgen.photos.reading import Photo, read_pages, read_photo
from jaxgen.photos.writing import write_pages, write_photo
from jaxgen.tasks.base import Trained
from jaxgen.tasks.restoration.pixels import Models, adapt, make_restore
from jaxgen.tasks.restoration.restore import RestoreOptions, restore_photos
from tests.stand_ins import restorer_of


def negative(images: jax.Array, known: jax.Array) -> jax.Array:
    """White becomes black: 255 - x, or 65535 - x."""
    return -images


def only_first(images: jax.Array, known: jax.Array) -> jax.Array:
    """Keeps the first channel, the others become black."""
    return jnp.concatenate([images[..., :1], -jnp.ones_like(images[..., 1:])], axis=-1)


def shows_mask(images: jax.Array, known: jax.Array) -> jax.Array:
    """White where a pixel is missing, black elsewhere."""
    return jnp.broadcast_to(1.0 - 2.0 * known, images.shape)


def model_of(apply=negative, channels: int = 3) -> Trained:
    return restorer_of(apply, channels)


def noise(*shape: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def save(path: Path, pixels: np.ndarray, **extra) -> np.ndarray:
    write_photo(path, Photo(pixels, **extra))
    return pixels


def run(tmp_path: Path, model: Trained | None = None, *names: str, **options) -> int:
    arguments = [str(tmp_path / name) for name in names or ["in"]]
    models = Models(dict.fromkeys((1, 3), model or model_of()))
    return restore_photos(arguments, tmp_path / "out", models, RestoreOptions(**options))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("photo_channels", [1, 3])
@pytest.mark.parametrize("model_channels", [1, 3])
def test_every_model_restores_every_photo(
    tmp_path: Path, model_channels: int, photo_channels: int, dtype: type
) -> None:
    pixels = save(tmp_path / "in/a.png", noise(150, 131, photo_channels, dtype=dtype))
    assert run(tmp_path, model_of(channels=model_channels), tile=64) == 0
    np.testing.assert_array_equal(read_photo(tmp_path / "out/a.png").pixels, np.iinfo(dtype).max - pixels)


@pytest.mark.parametrize("masked", [False, True])
def test_a_photo_whose_channels_are_alike_is_restored_as_the_grey_one_that_it_is(masked: bool) -> None:
    models = Models({1: model_of(channels=1), 3: model_of(lambda images, known: images)})
    restore = make_restore(models, 1.0, 64)
    grey, colour = np.repeat(noise(9, 70, 1), 3, axis=-1), noise(9, 70, 3)
    known = np.zeros((9, 70), bool) if masked else None  # what is not known comes in as the middle grey
    np.testing.assert_array_equal(restore(grey, known).pixels, np.full_like(grey, 128) if masked else 255 - grey)
    np.testing.assert_array_equal(restore(colour, known).pixels, np.full_like(colour, 128) if masked else colour)


def test_grey_takes_the_luma_of_a_colour_model(tmp_path: Path) -> None:
    pixels = save(tmp_path / "in/a.png", noise(9, 7, 1))
    assert run(tmp_path, model_of(only_first)) == 0
    restored = read_photo(tmp_path / "out/a.png").pixels
    np.testing.assert_allclose(restored, 0.299 * pixels.astype(float), atol=0.51)


def test_a_grey_model_sees_each_channel_alone(tmp_path: Path) -> None:
    """It moves everything by one column; channels must not mix."""
    pixels = save(tmp_path / "in/a.png", noise(8, 8, 3))
    assert run(tmp_path, model_of(lambda images, known: jnp.roll(images, 1, axis=2), channels=1)) == 0
    np.testing.assert_array_equal(read_photo(tmp_path / "out/a.png").pixels, np.roll(pixels, 1, axis=1))


def test_what_belongs_to_a_photo_is_kept(tmp_path: Path) -> None:
    alpha = noise(9, 7, dtype=np.uint16, seed=1)
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", 6
    pixels = save(tmp_path / "in/a.png", noise(9, 7, 3, dtype=np.uint16), alpha=alpha, exif=exif.tobytes())
    icc_profile = b"profile" * 30
    save(tmp_path / "in/b.jpg", noise(9, 7, 3), icc_profile=icc_profile)
    assert run(tmp_path) == 0
    decoded = imagecodecs.png_decode((tmp_path / "out/a.png").read_bytes())
    np.testing.assert_array_equal(decoded[..., :3], np.rot90(65535 - pixels, -1))
    np.testing.assert_array_equal(decoded[..., 3], np.rot90(alpha, -1))
    kept = Image.open(tmp_path / "out/a.png").getexif()
    assert (kept[0x010F], kept[0x0112]) == ("Maker", 1)
    assert Image.open(tmp_path / "out/b.jpg").info["icc_profile"] == icc_profile


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_strength_blends(tmp_path: Path, strength: float, dtype: type) -> None:
    pixels = save(tmp_path / "in/a.png", noise(16, 16, 3, dtype=dtype))
    assert run(tmp_path, strength=strength) == 0
    restored = read_photo(tmp_path / "out/a.png").pixels
    exact = pixels + strength * (np.iinfo(dtype).max - 2.0 * pixels)
    np.testing.assert_allclose(restored, exact, atol=0 if strength == 0 else 0.51)


def test_strength_is_the_same_for_values_beyond_the_range() -> None:
    """The network's output is clipped before it is blended: 1.8 counts as white."""
    apply_fn = adapt(model_of(lambda images, known: images * 0.0 + 1.8), 3, 0.5, masked=False)
    black = np.full((1, 2, 2, 3), -1.0, np.float32)
    np.testing.assert_allclose(apply_fn(black, black[..., :1]), 0.0, atol=1e-7)


def test_no_strength_does_not_ask_the_model(tmp_path: Path) -> None:
    def fail(images: jax.Array, known: jax.Array) -> jax.Array:
        raise AssertionError

    save(tmp_path / "in/a.png", noise(8, 8, 3))
    assert run(tmp_path, model_of(fail), strength=0.0) == 0


def save_mask(path: Path, mask: np.ndarray) -> Path:
    Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0))).save(path)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_known_pixels_stay_exactly(tmp_path: Path, dtype: type) -> None:
    pixels = save(tmp_path / "in/a.png", noise(150, 131, 3, dtype=dtype))
    mask = noise(150, 131) < 100
    assert (
        run(tmp_path, model_of(lambda images, known: images * 0 - 1), mask=save_mask(tmp_path / "m.png", mask), tile=64)
        == 0
    )
    expected = np.where(mask[..., None], 0, pixels)
    np.testing.assert_array_equal(read_photo(tmp_path / "out/a.png").pixels, expected)


def test_the_model_sees_what_is_missing(tmp_path: Path) -> None:
    save(tmp_path / "in/a.png", np.full((6, 8, 3), 77, np.uint8))
    mask = noise(6, 8) < 128
    assert run(tmp_path, model_of(shows_mask), mask=save_mask(tmp_path / "m.png", mask)) == 0
    expected = np.where(mask[..., None], 255, 77) + np.zeros((6, 8, 3), int)
    np.testing.assert_array_equal(read_photo(tmp_path / "out/a.png").pixels, expected)


@pytest.mark.parametrize("size", [(8, 6), (6, 7), (5, 8)])
def test_a_mask_of_another_size_is_refused_before_any_work(tmp_path: Path, size: tuple[int, int]) -> None:
    save(tmp_path / "in/a.png", noise(6, 8, 3))
    save(tmp_path / "in/b.png", noise(*size, 3))
    mask = save_mask(tmp_path / "m.png", np.ones((6, 8), bool))
    accepted = f"{size[1]} x {size[0]}"
    with pytest.raises(InputError, match=rf"mask: .*m\.png has 8 x 6 pixels; accepted: {accepted}, as .*b\.png has"):
        run(tmp_path, mask=mask)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("channels", [1, 3])
def test_compare_shows_the_photo_left_and_the_restored_one_right(tmp_path: Path, channels: int) -> None:
    """Below labels, with white between them; the photo is as wide as its label or wider."""
    deep = save(tmp_path / "in/a.tif", noise(40, 100, channels, dtype=np.uint16))
    alpha = noise(40, 100, seed=2)
    save(tmp_path / "in/b.png", noise(40, 100, channels), alpha=alpha)
    assert run(tmp_path, compare=True) == 0
    sides = np.asarray(Image.open(tmp_path / "out/a-compare.png")).reshape(-1, 208, channels)
    np.testing.assert_array_equal(sides[-40:, :100], np.rint(deep / 257))
    np.testing.assert_array_equal(sides[-40:, 108:], np.rint((65535 - deep.astype(int)) / 257))
    assert (sides[:, 100:108] == 255).all()
    left, right = (sides[:-40, columns] for columns in (slice(100), slice(108, None)))
    assert all(label.min() < 64 and label.mean() > 200 for label in (left, right))
    assert not np.array_equal(left, right)
    both = np.asarray(Image.open(tmp_path / "out/b-compare.png"))
    np.testing.assert_array_equal(both[-40:, :100, -1], alpha)
    np.testing.assert_array_equal(both[-40:, 108:, -1], alpha)
    assert (both[:-40, :, -1] == 255).all()


def test_compare_has_room_for_the_labels_of_a_small_photo(tmp_path: Path) -> None:
    pixels = save(tmp_path / "in/a.png", noise(5, 7, 3))
    assert run(tmp_path, compare=True) == 0
    sides = np.asarray(Image.open(tmp_path / "out/a-compare.png"))
    assert sides.shape[1] > 60
    np.testing.assert_array_equal(sides[-5:, :7], pixels)
    assert (sides[-5:, 7:40] == 255).all()


def test_all_pages_of_a_tiff_are_restored_and_compared(tmp_path: Path, capsys) -> None:
    pages = [noise(40, 100, 3), noise(30, 110, 1, dtype=np.uint16)]
    write_pages(tmp_path / "in/a.tif", [Photo(page) for page in pages])
    assert run(tmp_path, compare=True) == 0
    for restored, page in zip(read_pages(tmp_path / "out/a.tif"), pages, strict=True):
        np.testing.assert_array_equal(restored.pixels, np.iinfo(page.dtype).max - page)
    assert "(2 pages, 100 x 40, " in capsys.readouterr().out
    sides = np.asarray(Image.open(tmp_path / "out/a-compare.png"))
    np.testing.assert_array_equal(sides[-30:, 118:, 0], np.rint((65535 - pages[1][..., 0].astype(int)) / 257))


def test_a_mask_is_one_for_each_page(tmp_path: Path, capsys) -> None:
    write_pages(tmp_path / "in/a.tif", [Photo(noise(6, 8, 3)), Photo(noise(6, 9, 3))])
    assert run(tmp_path, mask=save_mask(tmp_path / "m.png", np.eye(6, 8) > 0)) == 1
    assert "mask: got" in capsys.readouterr().err


def test_an_animation_is_refused_by_name(tmp_path: Path, capsys) -> None:
    frames = [Image.fromarray(noise(8, 9, 3, seed=seed)) for seed in range(3)]
    (tmp_path / "in").mkdir()
    frames[0].save(tmp_path / "in/a.webp", save_all=True, append_images=frames[1:])
    assert run(tmp_path) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path}/in/a.webp: is an animation of 3 frames; accepted: still pictures",
        "1 of 1 photos could not be restored",
    ]


def test_the_result_has_the_format_of_the_content(tmp_path: Path) -> None:
    save(tmp_path / "in/a.jpg", noise(8, 8, 3))
    (tmp_path / "in/a.jpg").rename(tmp_path / "in/a")
    save(tmp_path / "in/b.jpg", noise(8, 8, 3))
    (tmp_path / "in/b.jpg").rename(tmp_path / "in/b.png")
    assert run(tmp_path) == 0
    assert [Image.open(tmp_path / f"out/{name}.jpg").format for name in "ab"] == ["JPEG", "JPEG"]
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_what_a_photo_notes_is_kept(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(noise(8, 8, 3)).save(tmp_path / f"in/a.{suffix}", dpi=(300, 300), comment=b"a word")
    assert run(tmp_path) == 0
    with Image.open(tmp_path / f"out/a.{suffix}") as image:
        assert [round(dpi) for dpi in image.info["dpi"]] == [300, 300]
        assert suffix == "png" or image.info["comment"] == b"a word"


def test_the_command_says_how_much_a_mask_marks(tmp_path: Path, capsys) -> None:
    save(tmp_path / "in/a.png", noise(20, 50, 3))
    mask = np.zeros((20, 50), bool)
    mask[2:12, 3:8] = mask[15, 20:45] = True
    assert run(tmp_path, mask=save_mask(tmp_path / "m.png", mask)) == 0
    assert capsys.readouterr().out.splitlines()[0] == "mask: 7.5% of the picture, 2 regions, to be filled in"


def test_an_empty_mask_leaves_the_picture_as_it_was(tmp_path: Path, caplog) -> None:
    def fail(images: jax.Array, known: jax.Array) -> jax.Array:
        raise AssertionError

    pixels = save(tmp_path / "in/a.png", noise(6, 8, 3))
    assert run(tmp_path, model_of(fail), mask=save_mask(tmp_path / "m.png", np.zeros((6, 8), bool))) == 0
    np.testing.assert_array_equal(read_photo(tmp_path / "out/a.png").pixels, pixels)
    assert [record.getMessage() for record in caplog.records] == [
        "mask: nothing is marked in it; the picture stays as it was"
    ]


def test_a_mask_over_all_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "in/a.png", noise(6, 8, 3))
    with pytest.raises(InputError, match="mask: covers the whole picture"):
        run(tmp_path, mask=save_mask(tmp_path / "m.png", np.ones((6, 8), bool)))
    assert not (tmp_path / "out").exists()


def test_existing_results_are_refused_before_any_work(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / f"in/{name}.png", noise(4, 4, 3))
    save(tmp_path / "out/b.png", noise(2, 2, 3))
    with pytest.raises(InputError, match=r"out: .*out/b\.png exist.*--force"):
        run(tmp_path)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.png"]
    assert run(tmp_path, force=True) == 0
    assert read_photo(tmp_path / "out/b.png").pixels.shape == (4, 4, 3)
    with pytest.raises(InputError, match=r"out/a\.png and 1 more exist"):
        run(tmp_path)


def test_unreadable_photos_are_named_and_left_out(tmp_path: Path, capsys) -> None:
    save(tmp_path / "in/a.png", noise(4, 4, 3))
    (tmp_path / "in/bad.jpg").write_bytes(b"no image")
    save(tmp_path / "in/sub/z.png", noise(4, 4, 3))
    assert run(tmp_path) == 1
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{tmp_path}/in/bad.jpg: is not a")
    assert lines[1] == "1 of 3 photos could not be restored"
    assert [line.split(" (")[0] for line in said.out.splitlines()] == [
        f"{tmp_path}/in/{name} -> {tmp_path}/out/{name}" for name in ("a.png", "sub/z.png")
    ]
    assert "\x1b" not in said.out
    assert sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*")) == [
        "a.png",
        "sub/z.png",
    ]


def test_files_that_cannot_be_written_are_named_before_the_work(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(work, "read_pages", pytest.fail)
    path = tmp_path / "a.heic"
    path.write_bytes(b"....ftypheic")
    assert run(tmp_path, None, "a.heic") == 1
    assert "a.heic" in capsys.readouterr().err


def test_large_photos_need_leave(tmp_path: Path, monkeypatch, capsys) -> None:
    save(tmp_path / "in/a.png", noise(10, 10, 3))
    monkeypatch.setattr(reading, "MAX_PIXELS", 99)
    assert run(tmp_path) == 1
    assert "--allow-large" in capsys.readouterr().err
    assert run(tmp_path, allow_large=True) == 0


def test_a_model_that_gives_no_numbers_is_an_error(tmp_path: Path, capsys) -> None:
    save(tmp_path / "in/a.png", noise(10, 10, 3))
    assert run(tmp_path, model_of(lambda images, known: images / 0.0 * 0.0)) == 1
    assert f"{tmp_path}/in/a.png: the model returned values that are not finite" in capsys.readouterr().err
    assert not (tmp_path / "out/a.png").exists()


@pytest.mark.parametrize(
    ("options", "message"), [({"strength": 1.5}, "strength"), ({"strength": -0.1}, "strength"), ({"tile": 0}, "tile")]
)
def test_refusals(tmp_path: Path, options: dict[str, float], message: str) -> None:
    save(tmp_path / "in/a.png", noise(4, 4, 3))
    with pytest.raises(InputError, match=f"{message}: got"):
        run(tmp_path, **options)


def test_an_interruption_leaves_whole_files_alone(tmp_path: Path, monkeypatch) -> None:
    for name in ("a", "b", "c"):
        save(tmp_path / f"in/{name}.png", noise(6, 6, 3))
    calls = []

    def interrupt_second(path: Path, photos: list[Photo]) -> None:
        calls.append(path)
        if len(calls) == 2:
            monkeypatch.setattr("jaxgen.files.os.replace", _interrupt)
        write_pages(path, photos)

    monkeypatch.setattr(work, "write_pages", interrupt_second)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_photos_of_one_size_compile_once(tmp_path: Path) -> None:
    traced = []

    def count(images: jax.Array, known: jax.Array) -> jax.Array:
        traced.append(images.shape)
        return images

    for i in range(3):
        save(tmp_path / f"in/{i}.png", noise(70 + i, 150 + i, 3))
    assert run(tmp_path, model_of(count), tile=64) == 0
    assert len(traced) == len(set(traced)) <= 3


def test_the_bar_on_a_terminal_counts_all_photos(tmp_path: Path, monkeypatch, capsys) -> None:
    for name in ("a", "b"):
        save(tmp_path / f"in/{name}.png", noise(6, 6, 3))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert run(tmp_path) == 0
    said = capsys.readouterr().out
    assert "2/2 photos" in said
    assert "out/b.png" in said.replace("\n", "")


@pytest.mark.slow
def test_no_tensorflow_is_imported() -> None:
    code = "import sys, jaxgen.tasks.restoration.restore; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
