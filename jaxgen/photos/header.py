"""The header of a photo file: format, size, depth, colour profile and EXIF, read without decoding pixels."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from PIL import Image

from jaxgen.files import printable

LOGGER = logging.getLogger("jaxgen")
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
EXIF_PREFIX = b"Exif\0\0"
ORIENTATION, EXIF_IFD, GPS_IFD, INTEROP_IFD, ICC_PROFILE = 0x0112, 0x8769, 0x8825, 0xA005, 0x8773
DESCRIPTIVE = (0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298)
"""TIFF tags that describe the photo, not its storage: description, make, model, resolution, software, date, artist,
host and copyright."""


class Header(NamedTuple):
    """The header of a photo file.

    Attributes:
      format: one of `FORMATS`.
      height: height of the stored pixels, before `orientation` is applied.
      width: width of the stored pixels, likewise.
      orientation: 1 to 8 as in EXIF; 1 is upright.
      deep: whether a channel has 16 bits.
      icc_profile: colour profile as stored, or None.
      exif: EXIF with the prefix `Exif\\0\\0` and the orientation set to 1, or None.
      tags: tags of a TIFF file by number; empty for other formats.
    """

    format: str
    height: int
    width: int
    orientation: int
    deep: bool
    icc_profile: bytes | None
    exif: bytes | None
    tags: dict[int, Any]


def read_header(path: Path) -> Header:
    """Returns the header of a PNG, JPEG, WebP, TIFF or BMP file.

    Raises:
      Exception: any exception of Pillow, if the file is damaged or no image.
    """
    with open(path, "rb") as file:
        start = file.read(26)
        file.seek(0)
        return _tiff_header(file) if start[:4] in TIFF_SIGNATURES else _pillow_header(path, file, start)


def upright_exif(exif: bytes) -> tuple[int, bytes]:
    """Returns the orientation of an EXIF block, and the block with orientation 1 and without its thumbnail's link.

    All other bytes are kept, since maker notes hold offsets into the block. The thumbnail would show the photo before
    the restoration.

    Args:
      exif: TIFF structure after the prefix `Exif\\0\\0`.

    Raises:
      ValueError: the block is damaged.
    """
    data, start = bytearray(exif), len(EXIF_PREFIX)
    if data[start : start + 4] not in TIFF_SIGNATURES[:2]:
        raise ValueError("no TIFF structure")
    order = "little" if data[start : start + 2] == b"II" else "big"

    def number(place: int, size: int) -> int:
        if place + size > len(data):
            raise ValueError("it ends too early")
        return int.from_bytes(data[place : place + size], order)

    first = start + number(start + 4, 4) + 2
    end, orientation = first + 12 * number(first - 2, 2), 1
    for entry in range(first, end, 12):
        size = {3: 2, 4: 4}.get(number(entry + 2, 2), 0)  # SHORT, the type of the standard, or LONG
        if number(entry, 2) == ORIENTATION and size:
            orientation = number(entry + 8, size)
            data[entry + 8 : entry + 8 + size] = (1).to_bytes(size, order)
    data[end : end + 4] = bytes(4)
    return orientation if 1 <= orientation <= 8 else 1, bytes(data)


def descriptive_exif(tags: Image.Exif) -> Image.Exif:
    """Returns a new, little-endian EXIF with those tags of another one that describe the photo, not its storage."""
    exif = Image.Exif()
    exif.endian = "<"
    for tag in DESCRIPTIVE:
        if tag in tags:
            exif[tag] = tags[tag]
    for tag in (EXIF_IFD, GPS_IFD):
        values = {key: value for key, value in tags.get_ifd(tag).items() if key != INTEROP_IFD}
        if values:
            exif[tag] = values
    return exif


@contextlib.contextmanager
def without_pillow_limit() -> Iterator[None]:
    """Lifts Pillow's limit on the number of pixels while it is active; `jaxgen.photos.reading` has its own limit."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _pillow_header(path: Path, file: BinaryIO, start: bytes) -> Header:
    """Returns the header of a file of any format but TIFF."""
    with without_pillow_limit(), Image.open(file, formats=FORMATS) as image:
        # MPO is Pillow's name for JPEG files of several frames, which phones write.
        kind = "JPEG" if image.format == "MPO" else str(image.format)
        exif = _png_exif(path) if kind == "PNG" else image.info.get("exif")
        orientation, exif = _read_exif(path, exif)
        deep = kind == "PNG" and start[24] == 16
        icc_profile = image.info.get("icc_profile") or None
        return Header(kind, image.height, image.width, orientation, deep, icc_profile, exif, {})


def _tiff_header(file: BinaryIO) -> Header:
    """Returns the header of a TIFF file from its tags; Pillow cannot open all kinds that can be decoded."""
    start = file.read(16)
    tags = Image.Exif()
    tags.endian, tags.bigtiff = "<" if start[:2] == b"II" else ">", 43 in start[2:4]
    offset = start[8:16] if tags.bigtiff else start[4:8]
    tags.load_from_fp(file, int.from_bytes(offset, "little" if tags.endian == "<" else "big"))
    values = dict(tags)
    for tag in (0x0100, 0x0101):
        if not isinstance(values.get(tag), int):
            raise ValueError("it has no width or height")
    bits = values.get(0x0102, 1)
    deep = set(bits if isinstance(bits, tuple) else (bits,)) == {16}
    kept = descriptive_exif(tags)
    exif = kept.tobytes() if len(kept) else None
    orientation = values.get(ORIENTATION, 1)
    orientation = orientation if orientation in range(1, 9) else 1
    return Header("TIFF", values[0x0101], values[0x0100], orientation, deep, values.get(ICC_PROFILE), exif, values)


def _read_exif(path: Path, exif: bytes | None) -> tuple[int, bytes | None]:
    """Returns the orientation and the EXIF to keep; damaged EXIF is left out with a warning."""
    if not exif:
        return 1, None
    try:
        return upright_exif(EXIF_PREFIX + exif.removeprefix(EXIF_PREFIX))
    except ValueError as error:
        LOGGER.warning("%s: its EXIF is damaged (%s) and left out", printable(path), error)
        return 1, None


def _png_exif(path: Path) -> bytes | None:
    """Returns the eXIf chunk of a PNG file or None; to find one behind the pixels, Pillow would decode them."""
    with open(path, "rb") as file:
        file.seek(len(PNG_SIGNATURE))
        while len(head := file.read(8)) == 8:
            size = int.from_bytes(head[:4], "big")
            if head[4:] == b"eXIf":
                return file.read(size)
            file.seek(size + 4, 1)
    return None
