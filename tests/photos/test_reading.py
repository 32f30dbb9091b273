"""Photo files: what goes in comes out, compared with Pillow, tifffile and imagecodecs."""

import io
import logging
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxgen.errors import InputError
from jaxgen.photos import reading
from jaxgen.photos.header import read_headers
from jaxgen.photos.reading import read_photo
from jaxgen.photos.writing import to_8_bits, write_photo
from tests.photos.photo_samples import (
    ICC,
    LOSSLESS,
    MODES,
    assert_exif,
    exif_of,
    joined,
    noise,
    photo_of,
    profile_of,
    smooth,
    squeezed,
)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_reads_what_pillow_writes(tmp_path: Path, suffix: str, channels: int) -> None:
    array = noise(5, 7, channels)
    path = tmp_path / f"a.{suffix}"
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    Image.fromarray(squeezed(array), MODES[channels]).save(path, **options)
    photo = read_photo(path)
    if suffix == "webp" and channels < 3:  # which knows no grey
        array = np.concatenate([np.repeat(array[..., :1], 3, axis=-1), array[..., 1:]], axis=-1)
    np.testing.assert_array_equal(joined(photo), array)
    assert photo.format == {"png": "PNG", "tif": "TIFF", "webp": "WEBP"}[suffix]
    assert (photo.icc_profile, photo.exif) == (None, None)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", ["jpg", "bmp"])
def test_reads_what_pillow_reads(tmp_path: Path, suffix: str, channels: int) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(squeezed(noise(9, 11, channels))).save(path)
    photo = read_photo(path)
    np.testing.assert_array_equal(squeezed(photo.pixels), np.asarray(Image.open(path)))
    assert (photo.alpha, photo.format) == (None, {"jpg": "JPEG", "bmp": "BMP"}[suffix])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_reads_16_bit_png(tmp_path: Path, channels: int) -> None:
    array = noise(5, 7, channels, dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(squeezed(array)))
    np.testing.assert_array_equal(joined(read_photo(tmp_path / "a.png")), array)


TIFF_KINDS = {
    "plain": {},
    "big-endian": {"byteorder": ">"},
    "tiles": {"tile": (16, 16)},
    "lzw": {"compression": "lzw", "predictor": True},
    "deflate": {"compression": "deflate"},
    "bigtiff": {"bigtiff": True},
}


@pytest.mark.parametrize("kind", TIFF_KINDS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_reads_16_bit_tiff(tmp_path: Path, channels: int, kind: str) -> None:
    array = noise(35, 37, channels, dtype=np.uint16)
    extra = {"extrasamples": ["unassalpha"]} if channels in (2, 4) else {}
    photometric = "rgb" if channels > 2 else "minisblack"
    planar = {"planarconfig": "contig"} if channels > 1 else {}
    tifffile.imwrite(
        tmp_path / "a.tif", squeezed(array), photometric=photometric, **planar, **extra, **TIFF_KINDS[kind]
    )
    np.testing.assert_array_equal(joined(read_photo(tmp_path / "a.tif")), array)


def test_reads_16_bit_tiff_in_planes(tmp_path: Path) -> None:
    array = noise(5, 7, 3, dtype=np.uint16)
    planes = np.ascontiguousarray(np.moveaxis(array, -1, 0))
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").pixels, array)


def test_reads_16_bit_tiff_where_white_is_zero(tmp_path: Path) -> None:
    array = noise(5, 7, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="miniswhite")
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").pixels[..., 0], 65535 - array)


def test_premultiplied_16_bits_are_divided(tmp_path: Path) -> None:
    stored = np.array([[[100, 30000, 0, 30000], [500, 1000, 2000, 4000], [0, 0, 0, 0]]], np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    photo = read_photo(tmp_path / "a.tif")
    factors = [65535 / 30000, 65535 / 4000, 0]
    np.testing.assert_array_equal(photo.pixels[0], [np.rint(stored[0, i, :3] * f) for i, f in enumerate(factors)])
    np.testing.assert_array_equal(photo.alpha, stored[..., 3])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_png_and_tiff_keep_everything(tmp_path: Path, suffix: str, channels: int, dtype: type) -> None:
    """Read back by programs that share no code with what wrote them, and by ourselves."""
    array = noise(700, 601, channels, dtype=dtype)  # more than one TIFF strip where it matters
    path, icc_profile = tmp_path / f"a.{suffix}", profile_of(b"GRAY" if channels < 3 else b"RGB ")
    write_photo(path, photo_of(array, icc_profile=icc_profile, exif=exif_of().tobytes()))
    if suffix == "tif":
        page = tifffile.TiffFile(path).pages[0]
        np.testing.assert_array_equal(page.asarray(), squeezed(array))
        assert page.photometric == (1 if channels < 3 else 2)
        assert page.extrasamples == ((2,) if channels in (2, 4) else ())
        assert page.iccprofile == icc_profile
        assert dtype == np.uint8 or channels == 1 or len(page.dataoffsets) > 1
    else:
        np.testing.assert_array_equal(imagecodecs.png_decode(path.read_bytes()), squeezed(array))
    if dtype == np.uint8:
        with Image.open(path) as image:
            assert image.mode == MODES[channels]
            np.testing.assert_array_equal(np.asarray(image), squeezed(array))
            assert image.info["icc_profile"] == icc_profile
            assert_exif(image.getexif())
    photo = read_photo(path)
    np.testing.assert_array_equal(joined(photo), array)
    assert photo.pixels.dtype == dtype
    assert photo.icc_profile == icc_profile
    exif = Image.Exif()
    exif.load(photo.exif)
    assert_exif(exif)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg(tmp_path: Path, channels: int) -> None:
    array, icc_profile = smooth(channels), profile_of(b"GRAY" if channels == 1 else b"RGB ")
    write_photo(tmp_path / "a.jpg", photo_of(array, icc_profile=icc_profile, exif=exif_of().tobytes()))
    with Image.open(tmp_path / "a.jpg") as image:
        assert (image.format, image.mode) == ("JPEG", MODES[channels])
        assert image.info["icc_profile"] == icc_profile
        assert_exif(image.getexif())
        assert np.abs(np.asarray(image).astype(int) - squeezed(array)).max() <= 6
        reference = io.BytesIO()
        Image.fromarray(squeezed(array)).save(reference, "JPEG", quality=95, subsampling=0)
        assert image.quantization == Image.open(reference).quantization
        assert channels == 1 or {layer[1:3] for layer in image.layer} == {(1, 1)}


def test_webp_drops_a_profile_for_grey(tmp_path: Path, caplog) -> None:
    """As it stores RGB."""
    write_photo(tmp_path / "a.webp", photo_of(smooth(1), icc_profile=profile_of(b"GRAY")))
    assert "a.webp: the colour profile is for GRAY" in caplog.text
    assert "icc_profile" not in Image.open(tmp_path / "a.webp").info


def test_webp_keeps_colours_under_transparent_pixels(tmp_path: Path) -> None:
    array = smooth(4)
    array[..., 3] = 0
    write_photo(tmp_path / "a.webp", photo_of(array))
    assert np.abs(read_photo(tmp_path / "a.webp").pixels.astype(int) - array[..., :3]).mean() <= 3


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_webp(tmp_path: Path, channels: int) -> None:
    array = smooth(channels)
    write_photo(tmp_path / "a.webp", photo_of(array, icc_profile=ICC, exif=exif_of().tobytes()))
    with Image.open(tmp_path / "a.webp") as image:
        assert (image.format, image.mode) == ("WEBP", "RGBA" if channels == 4 else "RGB")
        assert image.info["icc_profile"] == ICC
        assert_exif(image.getexif())
        decoded = np.asarray(image).astype(int)
    assert np.abs(decoded[..., :3] - array[..., :3]).mean() <= 3
    assert channels < 4 or (decoded[..., 3] == array[..., 3]).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_bmp_is_exact_and_warns_of_what_it_drops(tmp_path: Path, channels: int, caplog) -> None:
    array = noise(5, 7, channels)
    write_photo(tmp_path / "a.bmp", photo_of(array))
    assert not caplog.records
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.bmp")), squeezed(array))
    write_photo(tmp_path / "b.bmp", photo_of(array, icc_profile=ICC))
    assert "b.bmp: BMP holds neither a colour profile nor EXIF" in caplog.text


@pytest.mark.parametrize("suffix", ["jpg", "bmp"])
def test_alpha_goes_over_white_where_there_is_none(tmp_path: Path, suffix: str, caplog) -> None:
    array = np.zeros((16, 16, 4), np.uint8) + np.array([100, 0, 40, 51], np.uint8)
    write_photo(tmp_path / f"a.{suffix}", photo_of(array))
    assert "composited over white" in caplog.text
    result = np.asarray(Image.open(tmp_path / f"a.{suffix}")).astype(int)
    assert np.abs(result - [224, 204, 212]).max() <= (2 if suffix == "jpg" else 0)  # 0.2 colour + 0.8 white


@pytest.mark.parametrize("suffix", ["jpg", "webp", "bmp"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_become_8_with_a_warning(tmp_path: Path, suffix: str, channels: int, caplog) -> None:
    array = smooth(channels).astype(int)
    array[..., 3:] = 255
    write_photo(tmp_path / f"a.{suffix}", photo_of(np.minimum(array * 257 + 100, 65_535).astype(np.uint16)))
    assert f"a.{suffix}: this format has 8 bits" in caplog.text
    result = np.asarray(Image.open(tmp_path / f"a.{suffix}").convert("RGB" if channels > 1 else "L")).astype(int)
    assert np.abs(result - squeezed(array[..., :3])).mean() <= (0 if suffix == "bmp" else 3)


def test_all_of_16_bits_are_rounded_to_the_nearest_of_8() -> None:
    every = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(to_8_bits(every), np.rint(every / 257))
    assert to_8_bits(every).dtype == np.uint8
    np.testing.assert_array_equal(to_8_bits(np.arange(256, dtype=np.uint8)), np.arange(256))


def test_palettes(tmp_path: Path) -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.putdata([2, 0, 1])
    colours = [[70, 80, 90], [10, 20, 30], [40, 50, 60]]
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(joined(read_photo(tmp_path / "a.png")), [colours])
    image.save(tmp_path / "a.bmp")
    np.testing.assert_array_equal(joined(read_photo(tmp_path / "a.bmp")), [colours])
    image.save(tmp_path / "b.png", transparency=bytes([255, 0, 128]))
    expected = [[[*colour, alpha] for colour, alpha in zip(colours, [128, 255, 0], strict=True)]]
    np.testing.assert_array_equal(joined(read_photo(tmp_path / "b.png")), expected)


@pytest.mark.parametrize(("mode", "transparent"), [("L", 7), ("RGB", (7, 8, 9))])
def test_a_transparent_colour_becomes_alpha(tmp_path: Path, mode: str, transparent: int | tuple[int, ...]) -> None:
    image = Image.new(mode, (2, 1), transparent)
    image.putpixel((0, 0), 100 if mode == "L" else (7, 8, 10))
    image.save(tmp_path / "a.png", transparency=transparent)
    photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.alpha, [[255, 0]])
    np.testing.assert_array_equal(squeezed(photo.pixels), np.asarray(image))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_of_grey_fill_the_range(tmp_path: Path, bits: int) -> None:
    rows = b"\0" + bytes([0b11100100 if bits == 2 else 0b11110000])

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", 8 // bits, 1, bits, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    expected = {1: [255] * 4 + [0] * 4, 2: [255, 170, 85, 0], 4: [255, 0]}[bits]
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png").pixels[0, :, 0], expected)


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_becomes_rgb_and_loses_its_profile(tmp_path: Path, suffix: str, caplog) -> None:
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    image.save(tmp_path / f"a.{suffix}", icc_profile=profile_of(b"CMYK"), quality=100)
    photo = read_photo(tmp_path / f"a.{suffix}")
    assert np.abs(photo.pixels.astype(int) - [255, 0, 0]).max() <= 2
    assert f"a.{suffix}: CMYK becomes RGB" in caplog.text
    write_photo(tmp_path / f"b.{suffix}", photo)
    assert "icc_profile" not in Image.open(tmp_path / f"b.{suffix}").info
    assert f"b.{suffix}: the colour profile is for CMYK, the pixels are RGB" in caplog.text


def test_phones_jpeg_with_two_frames_is_a_jpeg(tmp_path: Path) -> None:
    frames = [Image.fromarray(smooth(3)), Image.fromarray(smooth(3)[::-1])]
    frames[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=frames[1:])
    assert Image.open(tmp_path / "a.jpg").format == "MPO"
    photo = read_photo(tmp_path / "a.jpg")
    assert photo.format == "JPEG"
    assert np.abs(photo.pixels.astype(int) - smooth(3)).mean() < 6


def bomb(path: Path, width: int, height: int) -> None:
    """A small PNG file that says it is large; its pixels are not there."""
    Image.new("L", (1, 1)).save(path)
    data = path.read_bytes()
    head = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    path.write_bytes(data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:])


def test_a_large_photo_is_refused_by_its_header(tmp_path: Path) -> None:
    bomb(tmp_path / "bomb.png", 40_000, 30_000)
    with pytest.raises(InputError, match=r"bomb\.png: has 1,200 megapixels .* more than 201; .*--allow-large"):
        read_photo(tmp_path / "bomb.png")


def test_a_large_photo_is_read_if_allowed(tmp_path: Path, monkeypatch) -> None:
    for name, array in [("a.png", noise(10, 10, 3)), ("a.tif", noise(10, 10, 3, dtype=np.uint16))]:
        write_photo(tmp_path / name, photo_of(array))
        monkeypatch.setattr(reading, "MAX_PIXELS", 100)
        np.testing.assert_array_equal(read_photo(tmp_path / name).pixels, array)
        monkeypatch.setattr(reading, "MAX_PIXELS", 99)
        with pytest.raises(InputError, match="allow-large"):
            read_photo(tmp_path / name)
        np.testing.assert_array_equal(read_photo(tmp_path / name, allow_large=True).pixels, array)


def test_pillows_own_limit_is_lifted_and_put_back(tmp_path: Path, monkeypatch) -> None:
    array = noise(20, 20, 3)
    write_photo(tmp_path / "a.png", photo_of(array))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png").pixels, array)
    assert Image.MAX_IMAGE_PIXELS == 10


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp", "png16", "tif16"])
@pytest.mark.parametrize("damage", ["garbage", "half", "empty", "head"])
def test_damaged_files_give_one_line(tmp_path: Path, suffix: str, damage: str) -> None:
    path = tmp_path / f"a.{suffix.removesuffix('16')}"
    write_photo(path, photo_of(noise(64, 64, 3, dtype=np.uint16 if suffix.endswith("16") else np.uint8)))
    data = path.read_bytes()
    path.write_bytes({"garbage": b"no image", "half": data[: len(data) // 2], "empty": b"", "head": data[:30]}[damage])
    with pytest.raises(InputError, match=rf"a\.{path.suffix[1:]}: (cannot be read|is not a)") as caught:
        read_photo(path)
    assert "\n" not in str(caught.value)


def test_decoders_do_not_talk(tmp_path: Path, capfd) -> None:
    for name in ("a.tif", "a.png"):
        write_photo(tmp_path / name, photo_of(noise(64, 64, 3, dtype=np.uint16)))
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:5000])
        with pytest.raises(InputError):
            read_photo(tmp_path / name)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.int32, np.uint32])
def test_other_numbers_are_refused(tmp_path: Path, dtype: type) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 4), dtype))
    with pytest.raises(InputError, match=r"a\.tif: cannot be read \(.*16"):
        read_photo(tmp_path / "a.tif")


def test_a_missing_file_a_folder_and_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.png: cannot be read \(No such file"):
        read_photo(tmp_path / "gone.png")
    with pytest.raises(InputError, match="cannot be read"):
        read_photo(tmp_path)
    Image.new("L", (2, 2)).save(tmp_path / "a.gif")
    with pytest.raises(InputError, match=r"a\.gif: is not a PNG, JPEG, WEBP, TIFF or BMP image"):
        read_photo(tmp_path / "a.gif")


def test_unknown_suffixes_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"photo: got .*a\.heic.*accepted: .*\.png, \.jpg"):
        write_photo(tmp_path / "a.heic", photo_of(noise(2, 2, 3)))


def test_what_a_format_cannot_hold_is_refused_and_nothing_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.webp: cannot be written"):
        write_photo(tmp_path / "a.webp", photo_of(np.zeros((1, 16_384, 3), np.uint8)))
    assert not list(tmp_path.iterdir())


def test_writing_is_whole_or_not_at_all(tmp_path: Path, monkeypatch) -> None:
    write_photo(tmp_path / "a.png", photo_of(noise(2, 2, 3)))
    before = (tmp_path / "a.png").read_bytes()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("jaxgen.files.os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_photo(tmp_path / "a.png", photo_of(noise(9, 9, 3)))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == before


def test_suffixes_of_either_case(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.JPEG", photo_of(smooth(3)))
    assert Image.open(tmp_path / "a.JPEG").format == "JPEG"
    assert read_headers(tmp_path / "a.JPEG")[0].format == "JPEG"


def test_nothing_is_said_about_ordinary_photos(tmp_path: Path, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        for suffix in LOSSLESS:
            write_photo(tmp_path / f"a.{suffix}", photo_of(noise(4, 4, 3)))
            read_photo(tmp_path / f"a.{suffix}")
    assert not caplog.records
