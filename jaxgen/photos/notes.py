"""What a photo file notes beside pixels, colour profile and EXIF: XMP, IPTC, comments, resolution."""

import logging
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from PIL import Image

from jaxgen.files import printable
from jaxgen.photos.kinds import PNG_SIGNATURE

LOGGER = logging.getLogger("jaxgen")
TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
KEPT_CHUNKS = (*TEXT_CHUNKS, b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"cICP")
XMP_KEYWORD = b"XML:com.adobe.xmp\0"
RAW_EXIF = (b"Raw profile type exif\0", b"Raw profile type APP1\0")
"""Keywords under which some programs put EXIF into a text chunk of PNG, in hexadecimal digits."""
XMP_TAG, IPTC_TAG, IPTC_RESOURCE = 0x02BC, 0x83BB, 0x0404
MAX_XMP = 2**26
"""Bytes of XMP after decompression; it is text, and a small file can claim any size."""
ORIENTATION_IN_XMP = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>))([1-8])")
SIZE_IN_XMP = re.compile(
    rb"((?:exif:Pixel([XY])Dimension|tiff:Image(?:(Width)|Length))(?:\s*=\s*[\"']|>))\d+(?=[\"'<])"
)
APPENDED = (b"Container:Directory", b"hdrgm:Version", b"GCamera:MicroVideo")
"""Words of XMP that describe what phones append to a JPEG: a gain map, depth or a video."""
NAMES = {"xmp": "XMP", "iptc": "IPTC", "comments": "comments", "dpi": "resolution", "chunks": "PNG texts and colours"}


class Notes(NamedTuple):
    """What a photo file notes.

    Attributes:
      xmp: XMP packet.
      iptc: IPTC records.
      comments: comments of a JPEG file.
      dpi: pixels per inch along x and y; that of a TIFF file is in its EXIF.
      chunks: names and contents of the PNG chunks with other texts, the size of pixels and colours.
    """

    xmp: bytes | None = None
    iptc: bytes | None = None
    comments: tuple[bytes, ...] = ()
    dpi: tuple[float, float] | None = None
    chunks: tuple[tuple[bytes, bytes], ...] = ()


def pillow_notes(path: Path, image: Image.Image) -> Notes:
    """Returns the notes of a JPEG, WebP or BMP file that Pillow has opened."""
    info = image.info
    metric = image.format == "BMP" or info.get("jfif_unit") in (1, 2)
    dpi = info.get("dpi") if metric and all(info.get("dpi", (0, 0))) else None
    segments = getattr(image, "applist", ())
    if any(content.startswith(b"http://ns.adobe.com/xmp/extension/") for _, content in segments):
        LOGGER.warning("%s: the extended part of its XMP is left out", printable(path))
    xmp = info.get("xmp")
    if xmp and any(word in xmp for word in APPENDED):
        LOGGER.warning("%s: gain map, depth or video behind the picture and its XMP are left out", printable(path))
        xmp = None
    iptc = info.get("photoshop", {}).get(IPTC_RESOURCE)
    return Notes(xmp, iptc, tuple(content for name, content in segments if name == "COM"), dpi)


def tiff_notes(xmp: Any, iptc: Any, order: Literal["little", "big"]) -> Notes:
    """Returns XMP and IPTC of a TIFF file.

    Args:
      xmp: value of the tag.
      iptc: likewise; many programs store the bytes as whole numbers of four.
      order: byte order of the file.
    """
    if isinstance(iptc, int | tuple):
        numbers = iptc if isinstance(iptc, tuple) else (iptc,)
        iptc = b"".join(number.to_bytes(4, order) for number in numbers)
    return Notes(xmp if isinstance(xmp, bytes) else None, iptc if isinstance(iptc, bytes) else None)


def png_notes(path: Path) -> tuple[Notes, bytes | None]:
    """Returns the notes and the EXIF of a PNG file; Pillow would decode the pixels to find those behind them."""
    xmp, exif, dpi, kept = None, None, None, []
    for name, content in _png_chunks(path):
        if name == b"eXIf":
            exif = content
        elif name in TEXT_CHUNKS and content.startswith(RAW_EXIF):
            exif = exif or _from_digits(name, content)
        elif name == b"iTXt" and content.startswith(XMP_KEYWORD):
            xmp = _international_text(content)
        else:
            kept.append((name, content))
        if name == b"pHYs" and len(content) == 9 and content[8] == 1:  # pixels per metre
            dpi = tuple(0.0254 * int.from_bytes(content[start : start + 4], "big") for start in (0, 4))
    return Notes(xmp, dpi=dpi, chunks=tuple(kept)), exif


def upright_notes(notes: Notes) -> tuple[int, Notes]:
    """Returns the orientation, 1 to 8, that XMP names (1 without), and the notes with orientation 1 in XMP."""
    found = ORIENTATION_IN_XMP.search(notes.xmp or b"")
    if not (found and notes.xmp):
        return 1, notes
    return int(found[2]), notes._replace(xmp=ORIENTATION_IN_XMP.sub(rb"\g<1>1", notes.xmp))


def resized_notes(notes: Notes, sizes: tuple[int, int]) -> Notes:
    """Returns the notes with this height and width in XMP, where it names them."""
    height, width = (str(size).encode() for size in sizes)
    if not notes.xmp:
        return notes
    return notes._replace(xmp=SIZE_IN_XMP.sub(lambda m: m[1] + (width if m[2] == b"X" or m[3] else height), notes.xmp))


def png_chunk(name: bytes, content: bytes) -> bytes:
    """Returns a PNG chunk: length, name, content, checksum."""
    return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")


def png_bytes(notes: Notes) -> bytes:
    """Returns the PNG chunks of XMP, resolution and those of another PNG file."""
    chunks = list(notes.chunks)
    if notes.dpi and b"pHYs" not in dict(chunks):
        sizes = (round(dpi / 0.0254).to_bytes(4, "big") for dpi in notes.dpi)
        chunks.append((b"pHYs", b"".join([*sizes, b"\1"])))
    if notes.xmp:
        chunks.append((b"iTXt", XMP_KEYWORD + b"\0\0\0\0" + notes.xmp))
    return b"".join(png_chunk(*chunk) for chunk in chunks)


def jpeg_segments(notes: Notes) -> bytes:
    """Returns the JPEG segments of IPTC and comments."""
    segments = [b"\xff\xfe" + _sized(comment) for comment in notes.comments]
    if notes.iptc:
        resource = b"8BIM" + IPTC_RESOURCE.to_bytes(2, "big") + bytes(2) + len(notes.iptc).to_bytes(4, "big")
        segments.append(b"\xff\xed" + _sized(b"Photoshop 3.0\0" + resource + notes.iptc + bytes(len(notes.iptc) % 2)))
    return b"".join(segments)


def holding(path: Path, notes: Notes, *fields: str) -> Notes:
    """Returns only these fields of the notes; warns of what else there is."""
    lost = [name for field, name in NAMES.items() if getattr(notes, field) and field not in fields]
    if lost:
        LOGGER.warning("%s: this format cannot store %s: left out", printable(path), ", ".join(lost))
    return Notes(**{field: getattr(notes, field) for field in fields})


def _sized(content: bytes) -> bytes:
    return (len(content) + 2).to_bytes(2, "big") + content


def _png_chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yields name and content of those chunks that are kept."""
    with open(path, "rb") as file:
        file.seek(len(PNG_SIGNATURE))
        while len(head := file.read(8)) == 8:
            size, name = int.from_bytes(head[:4], "big"), head[4:]
            if name in (b"eXIf", *KEPT_CHUNKS):
                yield name, file.read(size)
                file.seek(4, 1)
            else:
                file.seek(size + 4, 1)


def _international_text(content: bytes) -> bytes | None:
    """Returns the text of an iTXt chunk of XMP: it follows keyword, two flags, language and translated keyword."""
    compressed, texts = content[len(XMP_KEYWORD) :][:1] == b"\1", content[len(XMP_KEYWORD) + 2 :].split(b"\0", 2)
    if len(texts) < 3:
        return None
    return zlib.decompressobj().decompress(texts[2], MAX_XMP) if compressed else texts[2]


def _from_digits(name: bytes, content: bytes) -> bytes | None:
    """Returns bytes that a text chunk holds as hexadecimal digits, after its kind and their number."""
    text = content.partition(b"\0")[2]
    if name == b"zTXt":
        text = zlib.decompressobj().decompress(text[1:], MAX_XMP)
    try:
        return bytes.fromhex("".join(text.decode("ascii").split("\n")[3:]))
    except ValueError:
        return None
