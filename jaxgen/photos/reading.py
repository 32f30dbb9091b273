"""Reading of photo files: pixels, and all that is needed to write the photo again."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image

from jaxgen.errors import InputError
from jaxgen.files import printable
from jaxgen.photos.header import FORMATS, ORIENTATION, Header, channel_bits, read_headers, without_pillow_limit
from jaxgen.photos.notes import Notes

LOGGER = logging.getLogger("jaxgen")
Pixels = UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"]
MAX_PIXELS = 16_384 * 12_288
"""201 megapixels, the largest single shot of today's cameras and phones. A small file can claim more pixels than fit
into memory, so a photo above this limit is decoded only if the user allows it."""


class Photo(NamedTuple):
    """An upright photo with its metadata.

    Attributes:
      pixels: uint8 or uint16 (h, w, 1 or 3), grey or RGB, not multiplied by alpha; may be read-only.
      alpha: (h, w) of the same type, 0 is transparent; or None.
      icc_profile: colour profile of the file, or None; one that does not fit `pixels` is not written.
      exif: EXIF with the prefix `Exif\\0\\0` and the orientation set to 1, or None.
      format: format of the file: PNG, JPEG, WEBP, TIFF or BMP.
      notes: what else the file notes.
      lossless: whether WebP is to be written without loss.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc_profile: bytes | None = None
    exif: bytes | None = None
    format: str = "PNG"
    notes: Notes = Notes()
    lossless: bool = False


def read_photo(path: Path, allow_large: bool = False) -> Photo:
    """Returns the photo of a file as `read_pages` does.

    Raises:
      InputError: likewise, and if the file has several pages.
    """
    pages = read_pages(path, allow_large)
    if len(pages) > 1:
        raise InputError(f"{path}: has {len(pages)} pages; accepted: one picture")
    return pages[0]


def read_pages(path: Path, allow_large: bool = False) -> list[Photo]:
    """Returns the photos of a PNG, JPEG, WebP, TIFF or BMP file of 1 to 8 or of 16 bits a channel: one, or all pages.

    The orientation in EXIF is applied. Palettes become RGB, transparent colours become alpha, CMYK becomes RGB
    with a warning. Of a JPEG file of several pictures the first is taken.

    Args:
      path: path of the file.
      allow_large: whether to read a file of more than `MAX_PIXELS` pixels.

    Raises:
      InputError: there is no such file, or it is damaged, of an unknown kind, an animation, or too large; one line
        that names it.
    """
    with _in_one_line(path):
        headers = read_headers(path)
        if headers[0].frames > 1:
            raise InputError(f"{path}: is an animation of {headers[0].frames} frames; accepted: still pictures")
        _refuse_large(path, headers, allow_large)
        return [_read_page(path, header) for header in headers]


def photo_size(path: Path) -> tuple[int, int]:
    """Returns height and width of the upright photo, the first page, from its header.

    Raises:
      InputError: see `read_pages`.
    """
    return page_sizes(path)[0]


def page_sizes(path: Path) -> list[tuple[int, int]]:
    """Returns height and width of each upright page from its header; raises `InputError` like `read_pages`."""
    with _in_one_line(path):
        headers = read_headers(path)
    return [(h.width, h.height) if h.orientation >= 5 else (h.height, h.width) for h in headers]


def _read_page(path: Path, header: Header) -> Photo:
    """Returns the photo with this header."""
    _require_whole_numbers(header)
    pixels, orientation = _decode_deep(path, header) if header.deep else _decode(path, header)
    pixels = _upright(pixels, orientation)
    channels = 1 if pixels.shape[-1] < 3 else 3
    alpha = pixels[..., channels] if pixels.shape[-1] > channels else None
    photo = Photo(pixels[..., :channels], alpha, header.icc_profile, header.exif, header.format)
    return photo._replace(notes=header.notes, lossless=header.lossless)


def pixels_of(image: Image.Image) -> np.ndarray:
    """Returns an image of 8 bits a channel or less as uint8 (h, w, 1 to 4): grey or RGB, with or without alpha."""
    grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        converted = image.convert("RGBA").convert("LA") if grey else image.convert("RGBA")
    else:
        converted = image.convert("L" if grey else "RGB")
    pixels = np.asarray(converted)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _require_whole_numbers(header: Header) -> None:
    """Raises an error for a TIFF page of floats, of numbers with signs, or of other depths than 1 to 8 and 16 bits."""
    bits, kinds = channel_bits(header.tags), header.tags.get(0x0153, 1)
    kinds = set(kinds if isinstance(kinds, tuple) else (kinds,))
    if not (kinds <= {1, 4} and (header.deep or max(bits) <= 8)):
        names = {2: "signed numbers", 3: "floats", 5: "complex numbers", 6: "complex numbers"}
        what = names.get(max(kinds), "whole numbers")
        raise ValueError(f"pixels are {what} of {max(bits)} bits; accepted: whole numbers of 1 to 8 or 16 bits")


def _refuse_large(path: Path, headers: list[Header], allow_large: bool) -> None:
    num_pixels = sum(header.height * header.width for header in headers)
    if num_pixels > MAX_PIXELS and not allow_large:
        raise InputError(
            f"{path}: has {num_pixels / 1e6:,.0f} megapixels by its header, more than {MAX_PIXELS / 1e6:.0f}; "
            "it is decoded only with --allow-large"
        )


@contextlib.contextmanager
def _in_one_line(path: Path) -> Iterator[None]:
    """Raises one `InputError` of one line for any exception of a decoder; damaged files raise almost any."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of metadata that it cannot read
            yield
    except (InputError, MemoryError):
        raise
    except Image.UnidentifiedImageError:
        raise InputError(f"{path}: is not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except Exception as error:
        raise InputError(f"{path}: cannot be read ({error or type(error).__name__})") from None


def _decode(path: Path, header: Header) -> tuple[np.ndarray, int]:
    """Returns uint8 (h, w, 1 to 4) as stored, and its orientation; Pillow decodes."""
    try:
        with without_pillow_limit(), Image.open(path, formats=FORMATS) as image:
            if header.format == "TIFF":
                image.seek(header.page)
            image.load()
            # Pillow turns TIFF files itself and removes the tag then.
            if image.mode == "CMYK":
                LOGGER.warning("%s: CMYK becomes RGB", printable(path))
            turned = image.getexif().get(ORIENTATION, 1) if header.format == "TIFF" else header.orientation
            return pixels_of(image), turned
    except Image.UnidentifiedImageError:
        if header.format != "TIFF":
            raise
        named = {"channels": 0x0115, "colour space": 0x0106, "compression": 0x0103}
        kind = ", ".join(f"{name} {header.tags.get(tag, 1)}" for name, tag in named.items())
        raise ValueError(f"a kind of TIFF that is not known: {kind}") from None


def _decode_deep(path: Path, header: Header) -> tuple[np.ndarray, int]:
    """Returns the same as `_decode` with 16 bits a channel, of which Pillow would keep 8 in colour."""
    import imagecodecs

    data = path.read_bytes()
    if header.format == "PNG":
        pixels = imagecodecs.png_decode(data)
    else:
        pixels = _decode_deep_tiff(data, header)
    if pixels.dtype != np.uint16 or pixels.ndim not in (2, 3):
        raise ValueError(f"pixels of type {pixels.dtype}; accepted are whole numbers of 16 bits")
    return pixels if pixels.ndim == 3 else pixels[..., None], header.orientation


def _decode_deep_tiff(data: bytes, header: Header) -> np.ndarray:
    """Returns grey or RGB with or without alpha; other channels are left out."""
    import imagecodecs

    photometric = header.tags.get(0x0106)
    if photometric not in (0, 1, 2):
        raise ValueError(f"16 bits in the colour space {photometric}; accepted are grey and RGB")
    pixels = imagecodecs.tiff_decode(data, header.page)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    elif header.tags.get(0x011C) == 2:  # one plane a channel
        pixels = np.moveaxis(pixels, 0, -1)
    colours = 3 if photometric == 2 else 1
    extra = header.tags.get(0x0152, ())
    kind = extra[0] if isinstance(extra, tuple) and extra else extra
    pixels = pixels[..., : colours + (kind in (1, 2))]
    if photometric == 0:  # white is zero
        pixels = np.concatenate([65535 - pixels[..., :1], pixels[..., 1:]], axis=-1)
    return _unpremultiplied(pixels) if kind == 1 else pixels


def _unpremultiplied(pixels: np.ndarray) -> np.ndarray:
    """Returns pixels with their colours divided by alpha / 65535, by which they were multiplied."""
    alpha = pixels[..., -1:]
    factor = 65535 / np.maximum(alpha, 1).astype(np.float32)
    colour = np.minimum(np.rint(pixels[..., :-1] * factor), 65535).astype(np.uint16)
    return np.concatenate([colour, alpha], axis=-1)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Returns an upright view: EXIF 2 to 4 mean mirrored or turned by 180 degrees; 5 to 8 also exchange both axes."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
