"""Writing of photo files, with depth, alpha, colour profile and EXIF if the format can hold them."""

import io
import logging
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from jaxgen.errors import InputError, reject
from jaxgen.files import printable, write_bytes
from jaxgen.photos.header import EXIF_PREFIX, ICC_PROFILE, ORIENTATION, descriptive_exif
from jaxgen.photos.reading import Photo

LOGGER = logging.getLogger("jaxgen")
QUALITY = 95
"""Quality of JPEG and WebP."""
MAX_JPEG_EXIF = 65_533
"""Largest EXIF in bytes that fits into one JPEG segment."""
STRIP_BYTES = 2**20
"""Bytes of a TIFF strip before compression."""


def write_photo(path: Path, photo: Photo) -> None:
    """Writes a photo in the format of the suffix of `path`, whole or not at all.

    PNG and TIFF (deflate) keep everything. WebP (quality 95, alpha lossless) has 8 bits; JPEG (quality 95, 4:4:4) has
    8 bits without alpha; BMP has 8 bits without alpha, colour profile and EXIF. A warning names what is lost. Alpha is
    then composited over white, and 16 bits are rounded to 8.

    Args:
      path: ends in .png, .jpg, .jpeg, .webp, .tif, .tiff or .bmp, in upper or lower case.
      photo: `pixels` uint8 or uint16 (h, w, 1 or 3), `alpha` (h, w) of the same type.

    Raises:
      InputError: the suffix is another one, or the format cannot hold the photo.
      OSError: the file cannot be written.
    """
    encode = encoder(path)
    try:
        data = encode(path, photo)
    except (MemoryError, InputError):
        raise
    except Exception as error:  # for instance more pixels in a row than the format allows
        raise InputError(f"{path}: cannot be written ({error})") from None
    write_bytes(path, data)


def encoder(path: Path) -> Callable[[Path, Photo], bytes]:
    """Returns the function (path, photo) -> bytes for the suffix of a path; the path is for its warnings.

    Raises:
      InputError: there is no format of this suffix.
    """
    suffix = path.suffix.lower()
    if suffix not in ENCODERS:
        reject("photo", str(path), f"a name that ends in {', '.join(ENCODERS)}")
    return ENCODERS[suffix]


def to_8_bits(pixels: np.ndarray) -> np.ndarray:
    """Returns uint8 of any shape: uint16 is divided by 257 and rounded to the nearest; uint8 is unchanged."""
    if pixels.dtype == np.uint8:
        return pixels
    # floor((x + 128) / 257) in 16 bits, which saves memory; the minimum changes no result.
    return ((np.minimum(pixels, 65_535 - 128) + np.uint16(128)) // np.uint16(257)).astype(np.uint8)


def _png(path: Path, photo: Photo) -> bytes:
    import imagecodecs

    del path
    channels = _with_alpha(photo)
    channels = channels[..., 0] if channels.shape[-1] == 1 else channels
    # This strategy suits the differences of neighbours that PNG stores: files are a tenth smaller.
    data = imagecodecs.png_encode(channels, strategy=imagecodecs.PNG.STRATEGY.FILTERED)
    extra = b""
    if photo.icc_profile:
        extra += _chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(photo.icc_profile))
    if photo.exif:
        extra += _chunk(b"eXIf", photo.exif.removeprefix(EXIF_PREFIX))
    end = 8 + 25  # signature and first chunk, whose lengths are fixed
    return b"".join([data[:end], extra, data[end:]])


def _chunk(name: bytes, content: bytes) -> bytes:
    """Returns a PNG chunk: length, name, content, checksum."""
    return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")


def _tiff(path: Path, photo: Photo) -> bytes:
    """Returns a baseline TIFF file: header and tags, made by Pillow, then deflated strips of differences."""
    del path
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
    tags[ORIENTATION] = 1
    tags[0x0100], tags[0x0101] = width, height
    tags[0x0102] = (8 * channels.itemsize,) * num_channels
    tags[0x0103], tags[0x013D] = 8, 2  # deflate of differences along rows
    tags[0x0106] = 1 if photo.pixels.shape[-1] == 1 else 2  # grey or RGB
    tags[0x0111], tags[0x0117], tags[0x0116] = tuple(offsets), tuple(sizes), rows
    tags[0x0115], tags[0x011C] = num_channels, 1
    if photo.alpha is not None:
        tags[0x0152] = 2  # not premultiplied
    if photo.icc_profile:
        tags[ICC_PROFILE] = photo.icc_profile
    return b"".join([tags.tobytes().removeprefix(EXIF_PREFIX), *strips])


def _strip(rows: np.ndarray) -> bytes:
    differences = rows.copy()
    differences[:, 1:] -= rows[:, :-1]
    return zlib.compress(differences.astype(rows.dtype.newbyteorder("<")).tobytes())


def _jpeg(path: Path, photo: Photo) -> bytes:
    photo = _over_white(path, _shallow(path, photo))
    if photo.exif and len(photo.exif) > MAX_JPEG_EXIF:
        LOGGER.warning(
            "%s: the EXIF of %d bytes does not fit into a JPEG file and is left out", printable(path), len(photo.exif)
        )
        photo = photo._replace(exif=None)
    return _by_pillow(photo, "JPEG", quality=QUALITY, subsampling="4:4:4")


def _webp(path: Path, photo: Photo) -> bytes:
    photo = _shallow(path, photo)
    if photo.pixels.shape[-1] == 1:
        if photo.icc_profile and photo.icc_profile[16:20] == b"GRAY":
            LOGGER.warning("%s: WebP stores grey as RGB; the colour profile for grey is left out", printable(path))
            photo = photo._replace(icc_profile=None)
        photo = photo._replace(pixels=np.repeat(photo.pixels, 3, axis=-1))
    # exact: colours under transparent pixels are kept
    return _by_pillow(photo, "WEBP", quality=QUALITY, exact=True)


def _bmp(path: Path, photo: Photo) -> bytes:
    photo = _over_white(path, _shallow(path, photo))
    if photo.icc_profile or photo.exif:
        LOGGER.warning("%s: BMP holds neither a colour profile nor EXIF; they are left out", printable(path))
    return _by_pillow(photo._replace(icc_profile=None, exif=None), "BMP")


def _by_pillow(photo: Photo, kind: str, **options: object) -> bytes:
    channels = _with_alpha(photo)
    image = Image.fromarray(channels[..., 0] if channels.shape[-1] == 1 else channels)
    metadata = {"icc_profile": photo.icc_profile, "exif": photo.exif}
    buffer = io.BytesIO()
    image.save(buffer, kind, **options, **{name: value for name, value in metadata.items() if value})
    return buffer.getvalue()


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


ENCODERS = {
    ".png": _png,
    ".jpg": _jpeg,
    ".jpeg": _jpeg,
    ".webp": _webp,
    ".tif": _tiff,
    ".tiff": _tiff,
    ".bmp": _bmp,
}
