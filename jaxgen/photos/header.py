"""The header of a photo file: format, size, depth, frames, colour profile, EXIF and notes, without decoding pixels."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from jaxgen.files import printable
from jaxgen.photos.kinds import SUFFIXES_OF, TIFF_SIGNATURES
from jaxgen.photos.notes import IPTC_TAG, XMP_TAG, Notes, pillow_notes, png_notes, tiff_notes, upright_notes

LOGGER = logging.getLogger("jaxgen")
FORMATS = tuple(SUFFIXES_OF)
EXIF_PREFIX = b"Exif\0\0"
ORIENTATION, EXIF_IFD, GPS_IFD, INTEROP_IFD, ICC_PROFILE = 0x0112, 0x8769, 0x8825, 0xA005, 0x8773
DESCRIPTIVE = (0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298)
"""TIFF tags that describe the photo, not its storage: description, make, model, resolution, software, date, artist,
host and copyright."""
SIZE_TAGS = {0xA002: True, 0xA003: False, 0x0100: True, 0x0101: False}
"""Tags of EXIF that hold the size of the picture, and whether it is the width."""
PHOTOSHOP = (0x8649, 0x935C)
"""TIFF tags that Photoshop alone reads."""


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
      notes: what else the file notes.
      frames: number of frames of an animation; 1 for all else.
      lossless: whether it is a WebP file without loss.
      page: number of the page in a TIFF file, from 0.
    """

    format: str
    height: int
    width: int
    orientation: int
    deep: bool
    icc_profile: bytes | None
    exif: bytes | None
    tags: dict[int, Any]
    notes: Notes = Notes()
    frames: int = 1
    lossless: bool = False
    page: int = 0


def read_headers(path: Path) -> list[Header]:
    """Returns the headers of the pages of a TIFF file, or the one header of a PNG, JPEG, WebP or BMP file.

    Pages of a TIFF file that are smaller copies or masks of others are left out with a warning.

    Raises:
      Exception: any exception of Pillow, if the file is damaged or no image.
    """
    with open(path, "rb") as file:
        start = file.read(26)
        file.seek(0)
        return _tiff_headers(path, file) if start[:4] in TIFF_SIGNATURES else [_pillow_header(path, file, start)]


def upright_exif(exif: bytes) -> tuple[int | None, bytes]:
    """Returns the orientation of an EXIF block, and the block with orientation 1 and without its thumbnail's link.

    All other bytes are kept, since maker notes hold offsets into the block. The thumbnail would show the photo before
    the restoration.

    Args:
      exif: TIFF structure after the prefix `Exif\\0\\0`.

    Returns:
      The orientation, 1 to 8, or None if it is not named; and the block.

    Raises:
      ValueError: the block is damaged.
    """
    data, start = bytearray(exif), len(EXIF_PREFIX)
    if data[start : start + 4] not in TIFF_SIGNATURES[:2]:
        raise ValueError("no TIFF structure")
    order, (entries, end), orientation = _byte_order(data), _entries(data, 4), None
    for tag, entry, kind in entries:
        size = {3: 2, 4: 4}.get(kind, 0)  # SHORT, the type of the standard, or LONG
        if tag == ORIENTATION and size:
            orientation = int.from_bytes(data[entry + 8 : entry + 8 + size], order)
            data[entry + 8 : entry + 8 + size] = (1).to_bytes(size, order)
    data[end : end + 4] = bytes(4)
    return orientation if orientation in range(1, 9) else None, bytes(data)


def resized_exif(exif: bytes, sizes: tuple[int, int]) -> bytes:
    """Returns an EXIF block of `upright_exif` with this height and width, where it names them; other bytes are kept."""
    data, (height, width) = bytearray(exif), sizes
    order, entries = _byte_order(data), _entries(data, 4)[0]
    for tag, entry, _ in entries:
        if tag == EXIF_IFD:
            with contextlib.suppress(ValueError):  # it lies beyond the block, and names nothing
                entries = [*entries, *_entries(data, entry + 8 - len(EXIF_PREFIX))[0]]
    for tag, entry, kind in entries:
        if tag in SIZE_TAGS and kind in (3, 4):
            number = (4).to_bytes(2, order) + (1).to_bytes(4, order)  # one LONG, as a SHORT may be too small
            data[entry + 2 : entry + 12] = number + (width if SIZE_TAGS[tag] else height).to_bytes(4, order)
    return bytes(data)


def _byte_order(data: bytes | bytearray) -> Literal["little", "big"]:
    return "little" if data[len(EXIF_PREFIX) :].startswith(b"II") else "big"


def _entries(data: bytes | bytearray, link: int) -> tuple[list[tuple[int, int, int]], int]:
    """Returns tag, place and type of each entry of a directory of an EXIF block, and the place of its end.

    Args:
      data: the block, with its prefix.
      link: place of the number, after the prefix, that says where the directory begins.

    Raises:
      ValueError: the block ends too early.
    """
    order, start = _byte_order(data), len(EXIF_PREFIX)

    def number(place: int, size: int) -> int:
        if place + size > len(data):
            raise ValueError("it ends too early")
        return int.from_bytes(data[place : place + size], order)

    first = start + number(start + link, 4) + 2
    end = first + 12 * number(first - 2, 2)
    number(end - 2, 2)
    return [(number(place, 2), place, number(place + 2, 2)) for place in range(first, end, 12)], end


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
        # MPO is Pillow's name for JPEG files of several pictures, which phones write.
        kind = "JPEG" if image.format == "MPO" else str(image.format)
        frames = getattr(image, "n_frames", 1)
        if image.format == "MPO":
            LOGGER.warning(
                "%s: of its %d pictures the first is the photo; others are left out", printable(path), frames
            )
            frames = 1
        if kind == "PNG":
            notes, exif = png_notes(path)
        else:
            notes, exif = pillow_notes(path, image), image.info.get("exif")
        orientation, exif = _read_exif(path, exif)
        turned, notes = upright_notes(notes)
        deep = kind == "PNG" and start[24] == 16
        profile, lossless = image.info.get("icc_profile") or None, kind == "WEBP" and _is_lossless(file)
        tags: dict[int, Any] = {}
        return Header(
            kind, image.height, image.width, orientation or turned, deep, profile, exif, tags, notes, frames, lossless
        )


def _is_lossless(file: BinaryIO) -> bool:
    """Returns whether the chunk of pixels of a WebP file is one without loss."""
    file.seek(12)
    while len(head := file.read(8)) == 8 and head[:4] not in (b"VP8 ", b"VP8L"):
        size = int.from_bytes(head[4:], "little")
        file.seek(size + size % 2, 1)
    return head[:4] == b"VP8L"


def _tiff_headers(path: Path, file: BinaryIO) -> list[Header]:
    """Returns the headers of the pages of a TIFF file."""
    start = file.read(16)
    # The group has no names for these tags; by their names Pillow would take one number of IPTC alone.
    directory = ImageFileDirectory_v2(start if 43 in start[2:4] else start[:8], group=EXIF_IFD)
    iptc_at: dict[int, Any] = {}
    while directory.next and directory.next not in iptc_at:
        place = directory.next
        file.seek(place)
        directory.load(file)
        iptc_at[place] = directory.get(IPTC_TAG)
    headers = [
        _tiff_header(file, start, place, iptc)._replace(page=page) for page, (place, iptc) in enumerate(iptc_at.items())
    ]
    pages = [header for header in headers if not _is_copy(header)] or headers[:1]
    if len(pages) < len(headers):
        num = len(headers) - len(pages)
        LOGGER.warning("%s: %d smaller copies or masks among its pages are left out", printable(path), num)
    if any(tag in header.tags for header in pages for tag in PHOTOSHOP):
        LOGGER.warning("%s: layers and settings of Photoshop are left out", printable(path))
    return pages


def _is_copy(header: Header) -> bool:
    """Returns whether a page is called a smaller copy or a mask of another one, in the new way or the old one."""
    return bool(header.tags.get(0x00FE, 0) & 5) or header.tags.get(0x00FF) == 2


def _tiff_header(file: BinaryIO, start: bytes, offset: int, iptc: Any) -> Header:
    """Returns the header of a TIFF page from its tags; Pillow cannot open all kinds that can be decoded."""
    tags = Image.Exif()
    tags.endian, tags.bigtiff = "<" if start[:2] == b"II" else ">", 43 in start[2:4]
    tags.load_from_fp(file, offset)
    values = dict(tags)
    for tag in (0x0100, 0x0101):
        if not isinstance(values.get(tag), int):
            raise ValueError("it has no width or height")
    deep = set(channel_bits(values)) == {16}
    kept = descriptive_exif(tags)
    exif = kept.tobytes() if len(kept) else None
    turned, notes = upright_notes(tiff_notes(values.get(XMP_TAG), iptc, "little" if tags.endian == "<" else "big"))
    orientation = values.get(ORIENTATION, turned)
    orientation = orientation if orientation in range(1, 9) else 1
    return Header(
        "TIFF", values[0x0101], values[0x0100], orientation, deep, values.get(ICC_PROFILE), exif, values, notes
    )


def channel_bits(tags: dict[int, Any]) -> tuple[int, ...]:
    """Returns the bits of the channels of a TIFF page."""
    bits = tags.get(0x0102, 1)
    return bits if isinstance(bits, tuple) else (bits,)


def _read_exif(path: Path, exif: bytes | None) -> tuple[int | None, bytes | None]:
    """Returns the orientation and the EXIF to keep; damaged EXIF is left out with a warning."""
    if not exif:
        return None, None
    try:
        return upright_exif(EXIF_PREFIX + exif.removeprefix(EXIF_PREFIX))
    except ValueError as error:
        LOGGER.warning("%s: its EXIF is damaged (%s) and left out", printable(path), error)
        return None, None
