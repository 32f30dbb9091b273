"""Writing of photo files, with depth, alpha, colour profile, EXIF and notes if the format can hold them."""

import io
import logging
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from jaxgen.errors import InputError, reject
from jaxgen.files import printable, write_bytes
from jaxgen.photos.header import EXIF_PREFIX, ICC_PROFILE, ORIENTATION, descriptive_exif
from jaxgen.photos.kinds import SUFFIXES_OF
from jaxgen.photos.notes import IPTC_TAG, XMP_TAG, Notes, holding, jpeg_segments, png_bytes, png_chunk
from jaxgen.photos.reading import Photo

LOGGER = logging.getLogger("jaxgen")
QUALITY = 95
"""Quality of JPEG and WebP."""
MAX_SEGMENT = 65_533
"""Bytes that fit into one JPEG segment."""
PROFILE_SPACES = (b"GRAY", b"RGB ", b"CMYK", b"Lab ", b"XYZ ")
"""Kinds of pixels, as colour profiles name them; other names are left alone."""
LARGEST = {"JPEG": 65_500, "WEBP": 16_383}
"""Pixels along an edge that a format, or its usual library, can hold."""
STRIP_BYTES = 2**20
"""Bytes of a TIFF strip before compression."""


def write_photo(path: Path, photo: Photo) -> None:
    """Writes one photo as `write_pages` does."""
    write_pages(path, [photo])


def write_pages(path: Path, photos: Sequence[Photo]) -> None:
    """Writes a photo, or the pages of a TIFF file, in the format of the suffix of `path`, whole or not at all.

    PNG and TIFF (deflate) keep everything. WebP (quality 95 with alpha lossless, or all lossless) has 8 bits; JPEG
    (quality 95, 4:4:4) has 8 bits without alpha; BMP has 8 bits without alpha, colour profile and EXIF. A warning names
    what is lost. Alpha is then composited over white, and 16 bits are rounded to 8.

    Args:
      path: ends in one of `ENCODERS`, in upper or lower case.
      photos: `pixels` uint8 or uint16 (h, w, 1 or 3), `alpha` (h, w) of the same type; several for TIFF alone.

    Raises:
      InputError: the suffix is another one, or the format cannot hold the photo.
      OSError: the file cannot be written.
    """
    encode = encoder(path)
    try:
        data = encode(path, *photos)
    except (MemoryError, InputError):
        raise
    except Exception as error:  # for instance more pixels in a row than the format allows
        raise InputError(f"{path}: cannot be written ({error})") from None
    write_bytes(path, data)


def encoder(path: Path) -> Callable[..., bytes]:
    """Returns the function (path, photo) -> bytes for the suffix of a path; the path is for its warnings.

    That of TIFF takes further photos as further pages.

    Raises:
      InputError: there is no format of this suffix.
    """
    suffix = path.suffix.lower()
    if suffix not in ENCODERS:
        reject("photo", str(path), f"a name that ends in {', '.join(ENCODERS)}")
    return ENCODERS[suffix]


def require_fits(path: Path, sizes: tuple[int, int]) -> None:
    """Raises `InputError` if the format of the suffix of `path` cannot hold a photo of this height and width."""
    kind = next(kind for kind, suffixes in SUFFIXES_OF.items() if path.suffix.lower() in suffixes)
    if max(sizes) > LARGEST.get(kind, max(sizes)):
        size, most = f"{sizes[1]} x {sizes[0]}", LARGEST[kind]
        raise InputError(f"{path}: would have {size} pixels; accepted: at most {most} along an edge in {kind}")


def to_8_bits(pixels: np.ndarray) -> np.ndarray:
    """Returns uint8 of any shape: uint16 is divided by 257 and rounded to the nearest; uint8 is unchanged."""
    if pixels.dtype == np.uint8:
        return pixels
    # floor((x + 128) / 257) in 16 bits, which saves memory; the minimum changes no result.
    return ((np.minimum(pixels, 65_535 - 128) + np.uint16(128)) // np.uint16(257)).astype(np.uint8)


def _png(path: Path, photo: Photo) -> bytes:
    import imagecodecs

    photo = _with_fitting_profile(path, photo)
    channels = _with_alpha(photo)
    channels = channels[..., 0] if channels.shape[-1] == 1 else channels
    # This strategy suits the differences of neighbours that PNG stores: files are a tenth smaller.
    data = imagecodecs.png_encode(channels, strategy=imagecodecs.PNG.STRATEGY.FILTERED)
    extra = png_bytes(holding(path, photo.notes, "xmp", "dpi", "chunks"))
    if photo.icc_profile:
        extra += png_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(photo.icc_profile))
    if photo.exif:
        extra += png_chunk(b"eXIf", photo.exif.removeprefix(EXIF_PREFIX))
    end = 8 + 25  # signature and first chunk, whose lengths are fixed
    return b"".join([data[:end], extra, data[end:]])


def _tiff(path: Path, *photos: Photo) -> bytes:
    """Returns a baseline TIFF file: the signature, and the pages one after another, each linked to the next."""
    data, link = bytearray(b"II*\0" + bytes(4)), 4
    for photo in photos:
        tags, strips = _tiff_page(path, photo)
        place = len(data)
        data[link : link + 4] = place.to_bytes(4, "little")
        data += tags.tobytes(place).removeprefix(EXIF_PREFIX)[8:]
        link = place + 2 + 12 * int.from_bytes(data[place : place + 2], "little")
        data += b"".join(strips)
        data += bytes(len(data) % 2)  # a directory begins at an even place
    return bytes(data)


def _tiff_page(path: Path, photo: Photo) -> tuple[Image.Exif, list[bytes]]:
    """Returns the tags of a page, for Pillow to write, and its deflated strips of differences."""
    photo = _with_fitting_profile(path, photo)
    channels = _with_alpha(photo)
    height, width, num_channels = channels.shape
    rows = max(1, STRIP_BYTES // (width * num_channels * channels.itemsize))
    strips = [_strip(channels[top : top + rows]) for top in range(0, height, rows)]
    sizes = [len(strip) for strip in strips]
    offsets = np.cumsum([0, *sizes[:-1]]).tolist()  # Pillow adds the place of the first one
    stored = Image.Exif()
    if photo.exif:
        stored.load(photo.exif)
    tags = descriptive_exif(stored)
    notes = holding(path, photo.notes, "xmp", "iptc", "dpi")
    if notes.dpi:
        tags[0x011A], tags[0x011B], tags[0x0128] = *notes.dpi, 2  # pixels per inch
    for tag, value in ((XMP_TAG, notes.xmp), (IPTC_TAG, notes.iptc), (ICC_PROFILE, photo.icc_profile)):
        if value:
            tags[tag] = value
    tags[ORIENTATION] = 1
    tags[0x0100], tags[0x0101] = width, height
    tags[0x0102] = (8 * channels.itemsize,) * num_channels
    tags[0x0103], tags[0x013D] = 8, 2  # deflate of differences along rows
    tags[0x0106] = 1 if photo.pixels.shape[-1] == 1 else 2  # grey or RGB
    tags[0x0111], tags[0x0117], tags[0x0116] = tuple(offsets), tuple(sizes), rows
    tags[0x0115], tags[0x011C] = num_channels, 1
    if photo.alpha is not None:
        tags[0x0152] = 2  # not premultiplied
    return tags, strips


def _strip(rows: np.ndarray) -> bytes:
    differences = rows.copy()
    differences[:, 1:] -= rows[:, :-1]
    return zlib.compress(differences.astype(rows.dtype.newbyteorder("<")).tobytes())


def _jpeg(path: Path, photo: Photo) -> bytes:
    photo = _over_white(path, _shallow(path, _with_fitting_profile(path, photo)))
    notes = holding(path, photo.notes, "xmp", "iptc", "comments", "dpi")
    if len(notes.xmp or b"") > MAX_SEGMENT - 29:  # the name of its kind
        LOGGER.warning("%s: the XMP of %d bytes does not fit into a JPEG file", printable(path), len(notes.xmp or b""))
        notes = notes._replace(xmp=None)
    if photo.exif and len(photo.exif) > MAX_SEGMENT:
        LOGGER.warning(
            "%s: the EXIF of %d bytes does not fit into a JPEG file and is left out", printable(path), len(photo.exif)
        )
        photo = photo._replace(exif=None)
    extra = jpeg_segments(notes)
    return _by_pillow(photo, notes, "JPEG", quality=QUALITY, subsampling="4:4:4", extra=extra)


def _webp(path: Path, photo: Photo) -> bytes:
    photo = _shallow(path, photo)
    if photo.pixels.shape[-1] == 1:  # WebP stores grey as RGB
        photo = photo._replace(pixels=np.repeat(photo.pixels, 3, axis=-1))
    photo = _with_fitting_profile(path, photo)
    # exact: colours under transparent pixels are kept
    options = {"lossless": True} if photo.lossless else {"quality": QUALITY}
    return _by_pillow(photo, holding(path, photo.notes, "xmp"), "WEBP", exact=True, **options)


def _bmp(path: Path, photo: Photo) -> bytes:
    photo = _over_white(path, _shallow(path, photo))
    if photo.icc_profile or photo.exif:
        LOGGER.warning("%s: BMP holds neither a colour profile nor EXIF; they are left out", printable(path))
    return _by_pillow(photo._replace(icc_profile=None, exif=None), holding(path, photo.notes, "dpi"), "BMP")


def _by_pillow(photo: Photo, notes: Notes, kind: str, **options: object) -> bytes:
    channels = _with_alpha(photo)
    image = Image.fromarray(channels[..., 0] if channels.shape[-1] == 1 else channels)
    metadata = {"icc_profile": photo.icc_profile, "exif": photo.exif, "xmp": notes.xmp, "dpi": notes.dpi}
    buffer = io.BytesIO()
    image.save(buffer, kind, **options, **{name: value for name, value in metadata.items() if value})
    return buffer.getvalue()


def _with_fitting_profile(path: Path, photo: Photo) -> Photo:
    """Returns the photo without a colour profile that is for pixels of another kind; warns of that."""
    space = (photo.icc_profile or b"")[16:20]
    colours = "RGB" if photo.pixels.shape[-1] == 3 else "GRAY"
    if space not in PROFILE_SPACES or space.strip() == colours.encode():
        return photo
    named = (printable(path), space.decode().strip(), colours)
    LOGGER.warning("%s: the colour profile is for %s, the pixels are %s; it is left out", *named)
    return photo._replace(icc_profile=None)


def _with_alpha(photo: Photo) -> np.ndarray:
    """Returns contiguous (h, w, 1 to 4): the pixels, and alpha as the last channel."""
    if photo.alpha is None:
        return np.ascontiguousarray(photo.pixels)
    return np.concatenate([photo.pixels, photo.alpha[..., None]], axis=-1)


def _shallow(path: Path, photo: Photo) -> Photo:
    """Returns the photo with 8 bits a channel; warns if it had 16."""
    if photo.pixels.dtype == np.uint8:
        return photo
    LOGGER.warning("%s: this format has 8 bits a channel; the 16 of the photo are rounded", printable(path))
    alpha = None if photo.alpha is None else to_8_bits(photo.alpha)
    return photo._replace(pixels=to_8_bits(photo.pixels), alpha=alpha)


def _over_white(path: Path, photo: Photo) -> Photo:
    """Returns the 8-bit photo without alpha: alpha * colour + (1 - alpha) * white, rounded; warns if it had alpha."""
    if photo.alpha is None:
        return photo
    LOGGER.warning("%s: this format has no alpha; the photo is composited over white", printable(path))
    alpha = photo.alpha[..., None].astype(np.uint16)  # no sum exceeds 255 * 255 + 127
    white = np.uint16(255) * (np.uint16(255) - alpha) + np.uint16(127)
    pixels = (photo.pixels * alpha + white) // np.uint16(255)
    return photo._replace(pixels=pixels.astype(np.uint8), alpha=None)


BY_FORMAT = {"PNG": _png, "JPEG": _jpeg, "WEBP": _webp, "TIFF": _tiff, "BMP": _bmp}
ENCODERS = {suffix: encode for kind, encode in BY_FORMAT.items() for suffix in SUFFIXES_OF[kind]}
