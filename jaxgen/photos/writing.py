"""Photos back to files, with depth, alpha, colour profile and EXIF where the format has room for them."""

import io
import logging
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from jaxgen.errors import InputError, reject
from jaxgen.files import printable, write_bytes
from jaxgen.photos.header import EXIF_PREFIX, ICC_PROFILE, ORIENTATION, descriptive_exif
from jaxgen.photos.reading import Photo

LOGGER = logging.getLogger("jaxgen")
QUALITY = 95
"""Of JPEG and WebP."""
MAX_JPEG_EXIF = 65_533
"""Bytes that fit into one JPEG segment."""
STRIP_BYTES = 2**20
"""Of a TIFF strip before compression."""


def write_photo(path: Path, photo: Photo) -> None:
    """Writes a photo in the format that the suffix of `path` says, whole or not at all.

    PNG and TIFF (deflate) keep everything. WebP (quality 95, alpha lossless) has 8 bits, JPEG (quality 95, 4:4:4)
    8 bits without alpha, BMP 8 bits without alpha, colour profile and EXIF; what a format cannot hold is named in a
    warning. Alpha is then composited over white, 16 bits are rounded to 8.

    Args:
      path: ends in .png, .jpg, .jpeg, .webp, .tif, .tiff or .bmp, of either case.
      photo: `pixels` uint8 or uint16 (h, w, 1 or 3), `alpha` (h, w) of the same type.

    Raises:
      InputError: another suffix, or a photo that the format cannot hold.
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
    """Function (path, photo) -> bytes for the suffix of a path; the path is for its warnings.

    Raises:
      InputError: a suffix that is not written.
    """
    suffix = path.suffix.lower()
    if suffix not in ENCODERS:
        reject("photo", str(path), f"a name that ends in {', '.join(ENCODERS)}")
    return ENCODERS[suffix]


def to_8_bits(pixels: np.ndarray) -> np.ndarray:
    """uint16 to uint8, x / 257 rounded to the nearest; uint8 passes through. Any shape."""
    if pixels.dtype == np.uint8:
        return pixels
    # floor((x + 128) / 257) within 16 bits, as photos are large; the cap changes no result.
    return ((np.minimum(pixels, 65_535 - 128) + np.uint16(128)) // np.uint16(257)).astype(np.uint8)


def _png(path: Path, photo: Photo) -> bytes:
    del path
    channels = _with_alpha(photo)
    channels = channels[..., 0] if channels.shape[-1] == 1 else channels
    # This strategy is made for the differences of neighbours that PNG stores: a tenth smaller than the default.
    data = imagecodecs.png_encode(channels, strategy=imagecodecs.PNG.STRATEGY.FILTERED)
    extra = b""
    if photo.icc_profile:
        extra += _chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(photo.icc_profile))
    if photo.exif:
        extra += _chunk(b"eXIf", photo.exif.removeprefix(EXIF_PREFIX))
    end = 8 + 25  # of the signature and the first chunk, which is always the same one
    return b"".join([data[:end], extra, data[end:]])


def _chunk(name: bytes, content: bytes) -> bytes:
    """A PNG chunk: length, name, content, checksum."""
    return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")


def _tiff(path: Path, photo: Photo) -> bytes:
    """Baseline TIFF in one file part: header and tags, made by Pillow, then deflated strips with predictor."""
    del path
    channels = _with_alpha(photo)
    height, width, num_channels = channels.shape
    rows = max(1, STRIP_BYTES // (width * num_channels * channels.itemsize))
    strips = [_strip(channels[top : top + rows]) for top in range(0, height, rows)]
    sizes = [len(strip) for strip in strips]
    offsets = np.cumsum([0, *sizes[:-1]]).tolist()  # Pillow adds where the first begins
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
    """Contiguous (h, w, 1 to 4): pixels with alpha behind them."""
    if photo.alpha is None:
        return np.ascontiguousarray(photo.pixels)
    return np.concatenate([photo.pixels, photo.alpha[..., None]], axis=-1)


def _shallow(path: Path, photo: Photo) -> Photo:
    """8 bits a channel, with a warning where there were 16."""
    if photo.pixels.dtype == np.uint8:
        return photo
    LOGGER.warning("%s: this format has 8 bits a channel; the 16 of the photo are rounded", printable(path))
    alpha = None if photo.alpha is None else to_8_bits(photo.alpha)
    return photo._replace(pixels=to_8_bits(photo.pixels), alpha=alpha)


def _over_white(path: Path, photo: Photo) -> Photo:
    """8 bits without alpha: alpha * colour + (1 - alpha) * white, rounded, with a warning."""
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
