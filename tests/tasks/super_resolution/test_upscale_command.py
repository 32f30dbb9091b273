"""`jaxgen upscale`: what becomes of files and their metadata, and what is refused."""

import numpy as np
import pytest
from PIL import Image, ImageCms

from jaxgen.photos.reading import read_pages, read_photo
from jaxgen.photos.writing import write_pages
from jaxgen.tasks.load import load, save_weights
from jaxgen.tasks.super_resolution import upscale
from jaxgen.tasks.super_resolution.enlarge import make_enlarge
from tests.command_line import call
from tests.upscalers import upscaler_of

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a exif:PixelXDimension="12" tiff:ImageLength="10"/>'
    b"<exif:PixelYDimension>10</exif:PixelYDimension></x:xmpmeta>"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "upscaler.safetensors"
    save_weights(path, upscaler_of())
    return path


@pytest.fixture(scope="module")
def trained(model):
    return load(model)


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def save(path, pixels, **extra):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path, **extra)
    return path


def test_files_of_a_folder_are_enlarged_and_named(model, trained, monkeypatch, tmp_path, capsys) -> None:
    colour, grey = noise(10, 12, 3), noise(7, 9, 1)
    save(tmp_path / "in/a.png", colour)
    save(tmp_path / "in/sub/b.png", grey)
    args = ("upscale", tmp_path / "in", "--scale", 2.5, "--out", tmp_path / "out", "--model", model, "--compare")
    assert call(monkeypatch, *args) == 0
    for place, pixels in (("a.png", colour), ("sub/b.png", grey)):
        np.testing.assert_array_equal(read_photo(tmp_path / "out" / place).pixels, make_enlarge(trained, 2.5)(pixels))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{tmp_path}/in/a.png -> {tmp_path}/out/a.png (12 x 10 to 30 x 25, ")
    beside = read_photo(tmp_path / "out/a-compare.png").pixels[-25:]
    np.testing.assert_array_equal(beside[:, :30], make_enlarge(None, 2.5)(colour))
    places = [beside[:, start : start + 30] for start in range(30, beside.shape[1] - 29)]
    assert any(np.array_equal(place, make_enlarge(trained, 2.5)(colour)) for place in places)
    assert call(monkeypatch, *args) == 2
    assert "--force" in capsys.readouterr().err


def exif_of(orientation: int, width: int, height: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Maker"
    exif[0x8769] = {0xA002: width, 0xA003: height, 0x9003: "2020:01:01 00:00:00"}
    return exif


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_metadata_is_kept_and_names_the_new_size(suffix, model, monkeypatch, tmp_path) -> None:
    """The camera was turned: 12 x 10 pixels are stored, and 10 x 12 seen."""
    extra = {"icc_profile": PROFILE, "exif": exif_of(6, 12, 10).tobytes(), "dpi": (300, 300)}
    extra |= {} if suffix in ("tif", "png") else {"xmp": XMP}
    path = save(tmp_path / f"a.{suffix}", noise(10, 12, 3), **extra)
    assert call(monkeypatch, "upscale", path, "--scale", 4, "--out", tmp_path / "out", "--model", model) == 0
    with Image.open(tmp_path / f"out/a.{suffix}") as found:
        assert found.size == (40, 48)
        assert found.info["icc_profile"] == PROFILE
        exif = found.getexif()
        inner = exif.get_ifd(0x8769)
        assert (exif.get(0x0112, 1), exif[0x010F]) == (1, "Maker")
        assert (inner[0xA002], inner[0xA003], inner[0x9003]) == (40, 48, "2020:01:01 00:00:00")
        if suffix != "webp":
            assert found.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        if "xmp" in extra:
            named = (b'PixelXDimension="40"', b'ImageLength="48"', b"<exif:PixelYDimension>48<")
            assert all(part in found.info["xmp"] for part in named)


def test_a_thumbnail_is_not_left_behind(model, monkeypatch, tmp_path) -> None:
    data = bytearray(exif_of(1, 12, 10).tobytes())
    order = "little" if data[6:8] == b"II" else "big"
    first = 6 + int.from_bytes(data[10:14], order)
    end = first + 2 + 12 * int.from_bytes(data[first : first + 2], order)
    data[end : end + 4] = (len(data) - 6).to_bytes(4, order)  # the link to the directory of the thumbnail
    data += bytes(6)  # it has no entries
    path = save(tmp_path / "a.jpg", noise(10, 12, 3), exif=bytes(data))
    assert call(monkeypatch, "upscale", path, "--scale", 2, "--out", tmp_path / "out", "--model", model) == 0
    with Image.open(tmp_path / "out/a.jpg") as found:
        block = found.info["exif"]
    assert block[end : end + 4] == bytes(4)


def test_depth_alpha_and_pages_are_kept(model, trained, monkeypatch, tmp_path) -> None:
    alpha = np.full((9, 8), 65535, np.uint16)
    alpha[:, 4:] = 0
    photo = read_photo(save(tmp_path / "x.png", noise(4, 4, 3)))
    deep = photo._replace(pixels=noise(9, 8, 3, dtype=np.uint16), alpha=alpha)
    opaque = photo._replace(pixels=noise(5, 6, 1), alpha=np.full((5, 6), 255, np.uint8))
    write_pages(tmp_path / "in/a.tif", [deep, opaque])
    assert call(monkeypatch, "upscale", tmp_path / "in", "--scale", 3, "--out", tmp_path / "out", "--model", model) == 0
    first, second = read_pages(tmp_path / "out/a.tif")
    np.testing.assert_array_equal(first.pixels, make_enlarge(trained, 3)(deep.pixels))
    np.testing.assert_array_equal(second.pixels, make_enlarge(trained, 3)(opaque.pixels))
    assert (second.alpha == 255).all()
    assert first.alpha.dtype == np.uint16
    assert (first.alpha[:, :6] == 65535).all()  # clipped, not overflown, beside the edge
    assert (first.alpha[:, 18:] == 0).all()


def test_a_factor_of_one_copies_the_bytes(model, monkeypatch, tmp_path) -> None:
    path = save(tmp_path / "a.jpg", noise(10, 12, 3))
    assert call(monkeypatch, "upscale", path, "--scale", "1.0", "--out", tmp_path / "out", "--model", model) == 0
    assert (tmp_path / "out/a.jpg").read_bytes() == path.read_bytes()


def test_strength_zero_is_plain_bicubic(model, monkeypatch, tmp_path) -> None:
    pixels = noise(10, 12, 3)
    path = save(tmp_path / "a.png", pixels)
    args = ("--scale", 2, "--strength", 0, "--out", tmp_path / "out", "--model", model)
    assert call(monkeypatch, "upscale", path, *args) == 0
    np.testing.assert_array_equal(read_photo(tmp_path / "out/a.png").pixels, make_enlarge(None, 2)(pixels))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--scale", "0"], "scale: got 0.0; accepted: a number from 1 to 8"),
        (["--scale", "-2"], "scale: got -2.0"),
        (["--scale", "nan"], "scale: got nan"),
        (["--scale", "8.5"], "scale: got 8.5"),
        (["--scale", "abc"], "--scale: got 'abc'; accepted: a number"),
        (["--strength", "2"], "strength: got 2.0"),
        (["--mask", "m.png"], "--mask: is for restore"),
        (["--kind", "photo"], "kind: got 'photo'; accepted: none with a model"),
        (["--kind", "drawing"], "kind: got 'drawing'; accepted: photo, bicubic"),
        (["EMPTY"], "photos: got"),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2(flags, words, model, monkeypatch, capsys, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    path = save(tmp_path / "a.png", noise(10, 12, 3))
    path, flags = (tmp_path / "empty", []) if flags == ["EMPTY"] else (path, flags)
    assert call(monkeypatch, "upscale", path, "--model", model, *flags, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_large_results_need_leave(model, monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setattr(upscale, "MAX_RESULT", 40 * 48 - 1)
    path = save(tmp_path / "a.png", noise(12, 10, 3))
    args = ("upscale", path, "--scale", 4, "--out", tmp_path / "out", "--model", model)
    assert call(monkeypatch, *args) == 2
    error = capsys.readouterr().err
    assert "a.png would have 40 x 48 pixels" in error
    assert "--allow-large" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert call(monkeypatch, *args, "--allow-large") == 0


def test_a_format_that_cannot_hold_the_result_is_named_before_the_work(model, monkeypatch, capsys, tmp_path) -> None:
    save(tmp_path / "in/a.webp", noise(1, 4096, 3))
    save(tmp_path / "in/b.png", noise(5, 4, 3))
    args = ("upscale", tmp_path / "in", "--scale", 4, "--out", tmp_path / "out", "--model", model)
    assert call(monkeypatch, *args) == 1
    lines = capsys.readouterr().err.splitlines()
    assert "a.webp: would have 16384 x 4 pixels; accepted: at most 16383 along an edge in WEBP" in lines[0]
    assert lines[1] == "1 of 2 photos could not be upscaled"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.png"]
