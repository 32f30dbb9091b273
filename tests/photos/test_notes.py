"""XMP, IPTC, comments and resolution, written and read by Pillow and tifffile."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, IptcImagePlugin
from PIL.PngImagePlugin import PngInfo

from jaxgen.errors import InputError
from jaxgen.photos.header import read_headers
from jaxgen.photos.notes import Notes, png_chunk
from jaxgen.photos.reading import read_photo
from jaxgen.photos.writing import write_photo
from tests.photos.photo_samples import exif_of, noise, photo_of, profile_of, smooth

XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="1" dc:title="caption"/></x:xmpmeta>'
IPTC = b"\x1c\x02\x78\x00\x07caption"
"""One record: 2:120, the caption, of 7 bytes."""


def again(path: Path) -> Path:
    """A photo read and written, as restoring does."""
    write_photo(path.with_stem("again"), read_photo(path))
    return path.with_stem("again")


def segment(marker: bytes, content: bytes) -> bytes:
    return marker + (len(content) + 2).to_bytes(2, "big") + content


def test_jpeg_keeps_xmp_iptc_comments_and_resolution(tmp_path: Path, caplog) -> None:
    iptc = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + len(IPTC).to_bytes(4, "big") + IPTC
    extra = segment(b"\xff\xed", iptc) + segment(b"\xff\xfe", b"first") + segment(b"\xff\xfe", b"second \xff")
    Image.fromarray(smooth(3)).save(tmp_path / "a.jpg", xmp=XMP, dpi=(300, 150), extra=extra)
    with Image.open(again(tmp_path / "a.jpg")) as image:
        assert (image.info["xmp"], image.info["dpi"]) == (XMP, (300, 150))
        assert IptcImagePlugin.getiptcinfo(image) == {(2, 120): b"caption"}
        assert [content for name, content in image.applist if name == "COM"] == [b"first", b"second \xff"]
    assert not caplog.records


def test_a_resolution_that_exif_alone_holds_is_not_made_up_elsewhere(tmp_path: Path) -> None:
    Image.fromarray(smooth(3)).save(tmp_path / "a.jpg", exif=exif_of().tobytes())
    assert Image.open(again(tmp_path / "a.jpg")).info["jfif_unit"] == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_keeps_texts_xmp_resolution_and_colours(tmp_path: Path, dtype: type, caplog) -> None:
    write_photo(tmp_path / "plain.png", photo_of(noise(4, 4, 3, dtype=dtype)))
    texts = PngInfo()
    texts.add_text("Title", "caf\xe9")
    texts.add_text("Comment", "long " * 99, zip=True)
    texts.add_itxt("Author", "\u540d", "ja", "\u8457\u8005")
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=True)
    chunks = [*[(name, content) for name, content, *_ in texts.chunks], (b"gAMA", (45455).to_bytes(4, "big"))]
    chunks.append((b"pHYs", (11811).to_bytes(4, "big") + (5906).to_bytes(4, "big") + b"\1"))
    data = (tmp_path / "plain.png").read_bytes()
    early, late = (b"".join(png_chunk(*chunk) for chunk in part) for part in (chunks[3:], chunks[:3]))
    (tmp_path / "a.png").write_bytes(data[:33] + early + data[33:-12] + late + data[-12:])
    with Image.open(again(tmp_path / "a.png")) as image:
        image.load()
        assert (image.text["Title"], image.text["Comment"]) == ("caf\xe9", "long " * 99)
        assert (image.text["Author"], image.text["Author"].lang) == ("\u540d", "ja")
        assert image.info["xmp"] == XMP
        assert image.info["gamma"] == 0.45455
        assert image.info["dpi"] == (11811 * 0.0254, 5906 * 0.0254)
    assert not caplog.records


def test_exif_in_a_text_of_png_becomes_exif(tmp_path: Path) -> None:
    """Left as text it would turn the picture a second time."""
    block = exif_of(6).tobytes()
    text = PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(block):8}\n{block.hex()}\n", zip=True)
    array = noise(4, 6, 3)
    Image.fromarray(array).save(tmp_path / "a.png", pnginfo=text)
    photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.pixels, np.rot90(array, -1))
    with Image.open(again(tmp_path / "a.png")) as image:
        assert (image.getexif()[0x0112], image.getexif()[0x010F], image.text) == (1, "Maker", {})


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("form", ["bytes", "longs"])
def test_tiff_keeps_xmp_iptc_and_resolution(tmp_path: Path, form: str, dtype: type, caplog) -> None:
    """IPTC as many programs store it: as numbers of four bytes."""
    padded = IPTC + bytes(-len(IPTC) % 4)
    iptc = (33723, "I", len(padded) // 4, np.frombuffer(padded, "<u4").tolist(), True)
    iptc = iptc if form == "longs" else (33723, "B", len(padded), padded, True)
    tags = [(700, "B", len(XMP), XMP, True), iptc]
    options = {"photometric": "rgb", "resolution": (300, 150), "resolutionunit": 2, "software": False}
    tifffile.imwrite(tmp_path / "a.tif", noise(4, 4, 3, dtype=dtype), extratags=tags, **options)
    with tifffile.TiffFile(again(tmp_path / "a.tif")) as file:
        tags = file.pages[0].tags
        assert (bytes(tags[700].value), bytes(tags[33723].value)) == (XMP, padded)
        assert [tags[tag].value for tag in (282, 283, 296)] == [(300, 1), (150, 1), 2]
    assert not caplog.records


def test_webp_keeps_xmp_and_bmp_its_resolution(tmp_path: Path) -> None:
    Image.fromarray(smooth(3)).save(tmp_path / "a.webp", xmp=XMP)
    assert Image.open(again(tmp_path / "a.webp")).info["xmp"] == XMP
    Image.fromarray(smooth(3)).save(tmp_path / "a.bmp", dpi=(300, 300))
    assert Image.open(again(tmp_path / "a.bmp")).info["dpi"] == pytest.approx((300, 300), abs=0.01)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_an_orientation_in_xmp_is_applied_once(tmp_path: Path, suffix: str) -> None:
    turned = XMP.replace(b'Orientation="1"', b'Orientation="6"')
    array = smooth(3, 16, 32)
    if suffix == "tif":
        tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", extratags=[(700, "B", len(XMP), turned, True)])
    elif suffix == "png":
        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", turned.decode())
        Image.fromarray(array).save(tmp_path / "a.png", pnginfo=text)
    else:
        Image.fromarray(array).save(tmp_path / f"a.{suffix}", xmp=turned, quality=100)
    photo = read_photo(tmp_path / f"a.{suffix}")
    assert np.abs(photo.pixels.astype(int) - np.rot90(array, -1)).mean() < 4
    assert photo.notes.xmp == XMP
    assert Image.open(again(tmp_path / f"a.{suffix}")).getexif().get(0x0112, 1) == 1


def test_what_a_format_cannot_hold_is_named(tmp_path: Path, caplog) -> None:
    notes = Notes(XMP, IPTC, (b"comment",), (300.0, 300.0), ((b"tEXt", b"Title\0x"),))
    lost = {
        "jpg": "PNG texts and colours",
        "png": "IPTC, comments",
        "tif": "comments, PNG texts and colours",
        "webp": "IPTC, comments, resolution, PNG texts and colours",
        "bmp": "XMP, IPTC, comments, PNG texts and colours",
    }
    for suffix, names in lost.items():
        write_photo(tmp_path / f"a.{suffix}", photo_of(smooth(3), notes=notes))
        assert f"a.{suffix}: this format cannot store {names}: left out" in caplog.text
    with Image.open(tmp_path / "a.png") as image:
        assert [round(dpi) for dpi in image.info["dpi"]] == [300, 300]
    write_photo(tmp_path / "b.jpg", photo_of(smooth(3), notes=Notes(bytes(70_000))))
    assert "b.jpg: the XMP of 70000 bytes does not fit" in caplog.text


def test_what_a_phone_appends_is_left_out_with_the_xmp_that_describes_it(tmp_path: Path, caplog) -> None:
    Image.fromarray(smooth(3)).save(tmp_path / "a.jpg", xmp=b'<x hdrgm:Version="1.0"><Container:Directory/></x>')
    assert read_photo(tmp_path / "a.jpg").notes.xmp is None
    assert "a.jpg: gain map, depth or video behind the picture" in caplog.text


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("extra", [{}, {"xmp": XMP}])
def test_webp_without_loss_stays_so(tmp_path: Path, channels: int, extra: dict) -> None:
    array = noise(9, 11, channels)
    Image.fromarray(array).save(tmp_path / "a.webp", lossless=True, exact=True, **extra)
    np.testing.assert_array_equal(np.asarray(Image.open(again(tmp_path / "a.webp"))), array)


@pytest.mark.parametrize("channels", [3, 4])
def test_webp_with_loss_stays_so(tmp_path: Path, channels: int) -> None:
    Image.fromarray(noise(9, 11, channels)).save(tmp_path / "a.webp", quality=80)
    assert not read_headers(tmp_path / "a.webp")[0].lossless
    assert b"VP8L" not in again(tmp_path / "a.webp").read_bytes()


@pytest.mark.parametrize(("channels", "space"), [(1, b"RGB "), (3, b"GRAY"), (3, b"CMYK"), (2, b"RGB ")])
@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
def test_a_profile_for_other_pixels_is_not_written(tmp_path: Path, suffix, channels, space, caplog) -> None:
    write_photo(tmp_path / f"a.{suffix}", photo_of(smooth(channels), icc_profile=profile_of(space)))
    assert f"a.{suffix}: the colour profile is for {space.decode().strip()}" in caplog.text
    assert "icc_profile" not in Image.open(tmp_path / f"a.{suffix}").info


def test_a_palette_with_a_profile_for_grey_loses_it(tmp_path: Path, caplog) -> None:
    image = Image.fromarray(smooth(3)).quantize(16)
    image.save(tmp_path / "a.png", icc_profile=profile_of(b"GRAY"))
    assert "icc_profile" not in Image.open(again(tmp_path / "a.png")).info
    assert "the colour profile is for GRAY, the pixels are RGB" in caplog.text


KINDS = {
    "floats of 32 bits": (np.float32, {}),
    "floats of 16 bits": (np.float16, {}),
    "floats of 64 bits": (np.float64, {}),
    "whole numbers of 32 bits": (np.uint32, {}),
    "signed numbers of 32 bits": (np.int32, {}),
    "signed numbers of 16 bits": (np.int16, {}),
    "signed numbers of 8 bits": (np.int8, {}),
    "complex numbers of 64 bits": (np.complex64, {}),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_other_numbers_are_refused_by_what_they_are(tmp_path: Path, kind: str, channels: int) -> None:
    array = np.ones((4, 5, channels) if channels == 3 else (4, 5), KINDS[kind][0])
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb" if channels == 3 else "minisblack")
    with pytest.raises(InputError, match=rf"a\.tif: .*pixels are {kind}; accepted: whole numbers of 1 to 8 or 16 bits"):
        read_photo(tmp_path / "a.tif")


def test_12_bits_in_16_keep_their_numbers(tmp_path: Path) -> None:
    array = noise(5, 7, dtype=np.uint16) >> 4
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack")
    np.testing.assert_array_equal(tifffile.imread(again(tmp_path / "a.tif")), array)


def test_a_tiff_of_an_unknown_kind_is_called_so(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(4, 5, 7), photometric="minisblack", planarconfig="contig")
    with pytest.raises(InputError, match=r"a\.tif: .*a kind of TIFF that is not known: channels 7"):
        read_photo(tmp_path / "a.tif")


def test_a_damaged_text_is_no_crash(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.png", photo_of(noise(4, 4, 3)))
    data = (tmp_path / "a.png").read_bytes()
    for content in (
        b"XML:com.adobe.xmp\0",
        b"XML:com.adobe.xmp\0\0\0\0",
        b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b""),
    ):
        (tmp_path / "b.png").write_bytes(data[:33] + png_chunk(b"iTXt", content) + data[33:])
        assert not read_photo(tmp_path / "b.png").notes.xmp
