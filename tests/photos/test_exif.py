"""What cameras say about a photo: which way is up, and the rest of EXIF."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from jaxgen.photos.reading import photo_size, read_photo
from jaxgen.photos.writing import encoder, to_8_bits, write_photo
from tests.photos.photo_samples import assert_exif, exif_of, joined, noise, photo_of, smooth


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "png16", "tif", "tif16", "jpg", "webp"])
def test_orientation_is_applied_and_reset(tmp_path: Path, kind: str, orientation: int) -> None:
    array = noise(17, 33, 3)
    path = tmp_path / f"a.{kind.removesuffix('16')}"
    if kind.endswith("16"):
        path.write_bytes(encoder(path)(path, photo_of(array.astype(np.uint16) * 257, exif=exif_of().tobytes())))
        _set_orientation(path, orientation)
    else:
        Image.fromarray(array).save(
            path, exif=exif_of(orientation).tobytes(), **({"lossless": True} if kind == "webp" else {})
        )
    stored = np.asarray(Image.open(path)) if kind == "jpg" else array
    carrier = Image.fromarray(stored)
    carrier.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(carrier))
    photo = read_photo(path)
    np.testing.assert_array_equal(to_8_bits(photo.pixels), expected)
    assert photo_size(path) == expected.shape[:2]
    kept = Image.Exif()
    kept.load(photo.exif)
    assert_exif(kept)
    write_photo(tmp_path / f"b{path.suffix}", photo)
    with Image.open(tmp_path / f"b{path.suffix}") as image:
        assert image.size == expected.shape[1::-1]
        assert_exif(image.getexif())


def _set_orientation(path: Path, orientation: int) -> None:
    """In a file that says 1, or nothing."""
    data = path.read_bytes()
    if path.suffix == ".tif":
        entry = struct.pack("<HHI", 0x0112, 3, 1)
        assert data.count(entry) == 1
        path.write_bytes(data.replace(entry + b"\1\0", entry + bytes([orientation, 0])))
    else:
        block = exif_of(orientation).tobytes()[6:]
        chunk = struct.pack(">I", len(block)) + b"eXIf" + block + struct.pack(">I", zlib.crc32(b"eXIf" + block))
        path.write_bytes(data[:33] + data[33 + int.from_bytes(data[33:37], "big") + 12 : -12] + chunk + data[-12:])


def test_photos_turned_by_the_camera_come_out_upright_in_every_way(tmp_path: Path) -> None:
    """Orientation 6 with alpha: both are turned clockwise."""
    array = noise(4, 6, 4)
    Image.fromarray(array).save(tmp_path / "a.png", exif=exif_of(6))
    np.testing.assert_array_equal(joined(read_photo(tmp_path / "a.png")), np.rot90(array, -1))


def test_jpeg_exif_is_kept_byte_for_byte_but_for_orientation_and_thumbnail(tmp_path: Path) -> None:
    """Two tags, big-endian, a link to a thumbnail: the orientation's value and the link change."""
    entries = struct.pack(">HHI4s", 0x010F, 2, 3, b"ab\0\0") + struct.pack(">HHIHH", 0x0112, 3, 1, 8, 0)
    block = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + entries + struct.pack(">I", 40) + b"odd notes"
    Image.fromarray(noise(8, 8, 3)).save(tmp_path / "a.jpg", exif=block)
    expected = block.replace(struct.pack(">HHIHH", 0x0112, 3, 1, 8, 0), struct.pack(">HHIHH", 0x0112, 3, 1, 1, 0))
    expected = expected.replace(struct.pack(">I", 40) + b"odd", bytes(4) + b"odd")
    assert read_photo(tmp_path / "a.jpg").exif == expected


@pytest.mark.parametrize(
    "block", [b"Exif\0\0junk", b"Exif\0\0II*\0\xff\xff\0\0", b"Exif\0\0II*\0\x08\0\0\0\xff\0short"]
)
def test_damaged_exif_is_left_out_with_a_warning(tmp_path: Path, block: bytes, caplog) -> None:
    Image.fromarray(noise(8, 8, 3)).save(tmp_path / "a.jpg", exif=block)
    photo = read_photo(tmp_path / "a.jpg")
    assert (photo.exif, photo.pixels.shape) == (None, (8, 8, 3))
    assert "a.jpg: its EXIF is damaged" in caplog.text


def test_links_into_a_tiff_file_are_not_carried_over(tmp_path: Path) -> None:
    """The interoperability tags are reached by an offset that means nothing in another file; nor does storage."""
    block = struct.pack("<4sIHHHIIHHIII", b"II*\0", 8, 2, 0x0100, 4, 1, 1, 0x8769, 4, 1, 38, 0)
    block += struct.pack("<HHHIIHHI4sI", 2, 0xA005, 4, 1, 68, 0x9000, 7, 4, b"0232", 0)
    block += struct.pack("<HHHI4sI", 1, 1, 2, 4, b"R98\0", 0)
    assert len(block) == 68 + 18
    source = Image.Exif()
    source.load(block)
    assert source.get_ifd(0xA005) == {1: "R98"}
    write_photo(tmp_path / "a.tif", photo_of(noise(4, 4, 3), exif=b"Exif\0\0" + block))
    with Image.open(tmp_path / "a.tif") as image:
        assert image.size == (4, 4)
        assert image.getexif().get_ifd(0x8769) == {0x9000: b"0232"}
    exif = Image.Exif()
    exif.load(read_photo(tmp_path / "a.tif").exif)
    assert set(exif) == {0x8769}
    assert exif.get_ifd(0x8769) == {0x9000: b"0232"}


def test_exif_too_long_for_jpeg_is_left_out_with_a_warning(tmp_path: Path, caplog) -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 70_000
    write_photo(tmp_path / "a.jpg", photo_of(smooth(3), exif=exif.tobytes()))
    assert "does not fit" in caplog.text
    assert "exif" not in Image.open(tmp_path / "a.jpg").info
