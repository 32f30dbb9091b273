"""Conversion of images between uint8 and [-1, 1], grids of images, and PNG and GIF files."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from jaxgen.errors import InputError, reject, require
from jaxgen.files import write_bytes

BACKGROUND = 232
"""Grey level of grid lines and of empty cells; it differs from black images and from a white page."""
INK = 40
"""Grey level of the names beside a grid."""
MAX_LETTERS = 12
"""Letters of a name beside a grid."""
SLICES = 4
"""Slices that a grid shows of a volume."""
RANKS = {1: "signals", 2: "images", 3: "volumes"}
"""Names of arrays by their number of spatial axes."""


def require_rank(field: str, x: Any, ranks: tuple[int, ...]) -> None:
    """Raises `InputError` unless the number of spatial axes of x (b, *spatial, c) is one of `ranks`."""
    num = x.ndim - 2
    if num not in ranks:
        accepted = " or ".join(f"{RANKS[rank]} ({rank})" for rank in ranks)
        raise InputError(f"{field}: got {RANKS.get(num, 'an array')} ({num} spatial axes); accepted: {accepted}")


def to_float(images: jax.Array) -> jax.Array:
    """Converts uint8 [0, 255] of any shape to float32 [-1, 1], x / 127.5 - 1; returns floats unchanged."""
    if images.dtype == jnp.uint8:
        return images.astype(jnp.float32) / 127.5 - 1.0
    return images


def to_uint8(images: Any) -> np.ndarray:
    """Converts floats [-1, 1] of any shape to uint8 [0, 255], rounded to the nearest and clipped."""
    return np.clip(np.rint((np.asarray(images, np.float32) + 1.0) * 127.5), 0, 255).astype(np.uint8)


def make_grid(images: Any, columns: int | None = None, padding: int = 2) -> UInt8[np.ndarray, "H W C"]:
    """Arranges images row by row in a grid, with lines of light grey, `BACKGROUND`, between and around them.

    Args:
      images: [n, h, w, c], float in [-1, 1] or uint8; c is 1, 3 or 4; NumPy or JAX. Volumes [n, d, h, w, c] are shown
        by `middle_slices`.
      columns: images in a row; None makes as many columns as rows or one more. Empty cells are light grey.
      padding: width of the lines in pixels, 0 or more.

    Returns:
      uint8 [rows * (h + padding) + padding, columns * (w + padding) + padding, c].

    Raises:
      InputError: a shape, type, `columns` or `padding` that is not accepted.
    """
    images = np.asarray(images)
    images = middle_slices(images) if images.ndim == 5 else images
    _require_images("images", images, 4, (1, 3, 4))
    require(columns is None or columns >= 1, "columns", columns, "1 or more, or None")
    require(padding >= 0, "padding", padding, "0 or more")
    cells = images if images.dtype == np.uint8 else to_uint8(images)
    n, h, w, c = cells.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    grid = np.full((rows * (h + padding) + padding, columns * (w + padding) + padding, c), BACKGROUND, np.uint8)
    if c == 4:
        grid[..., 3] = 255  # the background of a grid with alpha is opaque
    for index, cell in enumerate(cells):
        top, left = (
            place * (size + padding) + padding for place, size in zip(divmod(index, columns), (h, w), strict=True)
        )
        grid[top : top + h, left : left + w] = cell
    return grid


def middle_slices(volumes: np.ndarray, num: int = SLICES) -> np.ndarray:
    """Returns `num` slices of each volume [n, d, h, w, c] side by side, [n, h, num * w, c].

    They are in the middle of `num` equal parts of the middle half of the depth, from a quarter to three quarters.
    """
    n, depth, height, width, channels = volumes.shape
    places = [depth * (num + 2 * i + 1) // (4 * num) for i in range(num)]
    return np.moveaxis(volumes[:, places], 1, 2).reshape(n, height, num * width, channels)


def add_headings(
    grid: np.ndarray, rows: Sequence[str] = (), columns: Sequence[str] = (), scale: int = 1
) -> UInt8[np.ndarray, "H W C"]:
    """Returns a grid with names beside its rows and above its columns, which are upright where they do not fit.

    Args:
      grid: uint8 [h, w, c], as `make_grid` returns it.
      rows: a name for each row, from the top; of a long one the beginning is shown. Empty for none.
      columns: a name for each column, from the left.
      scale: the grid is enlarged by this factor, the names are not.

    Returns:
      uint8 [scale h + margin, scale w + margin, c]; the grid itself without names.
    """
    grid = grid.repeat(scale, axis=0).repeat(scale, axis=1)
    height, width, channels = grid.shape
    beside, above = [_draw_text(name) for name in rows], [_draw_text(name) for name in columns]
    if any(text.shape[1] > width // len(columns) for text in above):
        above = [np.rot90(text) for text in above]
    left = max((text.shape[1] + 4 for text in beside), default=0)
    top = max((text.shape[0] + 4 for text in above), default=0)
    page = np.full((top + height, left + width, channels), BACKGROUND, np.uint8)
    page[..., 3:] = 255
    page[top:, left:] = grid
    places = [(text, top + (2 * i + 1) * height // (2 * len(beside)), left // 2) for i, text in enumerate(beside)]
    places += [(text, top // 2, left + (2 * i + 1) * width // (2 * len(above))) for i, text in enumerate(above)]
    for text, y, x in places:
        place = page[max(y - text.shape[0] // 2, 0) :, max(x - text.shape[1] // 2, 0) :, :3]
        part = place[: text.shape[0], : text.shape[1]]
        part[text[: part.shape[0], : part.shape[1]]] = INK
    return page


def _draw_text(text: str) -> np.ndarray:
    """Returns a short text in Pillow's own bitmap font as bool [11, w], true where there is ink."""
    shown = text if len(text) <= MAX_LETTERS else f"{text[: MAX_LETTERS - 1]}."
    shown = shown.encode("latin-1", "replace").decode("latin-1")  # the letters of this font
    font = ImageFont.load_default_imagefont()
    image = Image.new("1", (max(int(font.getlength(shown)), 1), 11))
    ImageDraw.Draw(image).text((0, 0), shown, fill=1, font=font)
    return np.asarray(image)


def readable_scale(height: int) -> int:
    """Returns the enlargement that makes small images readable: 28 px twice, 64 px and more not at all."""
    return max(1, 64 // height)


def save_png(path: Path, image: np.ndarray, scale: int = 1) -> None:
    """Writes one image as PNG, completely or not at all; creates the folder if needed.

    Args:
      path: file to write.
      image: uint8 [H, W, C]; C is 1 (stored as grey), 3 or 4.
      scale: each pixel becomes a square of `scale` x `scale` pixels, so that small digits are readable.

    Raises:
      InputError: an image of another type or shape, or a scale below 1.
    """
    _require_uint8("image", image, 3, (1, 3, 4))
    buffer = io.BytesIO()
    _to_pillow(image, scale).save(buffer, "PNG", optimize=True)
    write_bytes(path, buffer.getvalue())


def save_gif(path: Path, frames: np.ndarray, duration_ms: int = 60, scale: int = 1) -> None:
    """Writes frames as a GIF that repeats without end, completely or not at all.

    Args:
      path: file to write.
      frames: uint8 [t, H, W, C], t 1 or more; C is 1 (all 256 greys kept) or 3 (256 colours a frame).
      duration_ms: duration of a frame in milliseconds; GIF rounds to 10, and browsers slow down below 20.
      scale: nearest-neighbour enlargement, as in `save_png`.

    Raises:
      InputError: frames of another type or shape, a scale below 1 or a duration below 20.
    """
    _require_uint8("frames", frames, 4, (1, 3))
    require(duration_ms >= 20, "duration_ms", duration_ms, "20 or more")
    first, *rest = (_to_pillow(frame, scale) for frame in frames)
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=duration_ms, loop=0)
    write_bytes(path, buffer.getvalue())


def _to_pillow(image: np.ndarray, scale: int) -> Image.Image:
    """Converts uint8 [H, W, C] to a Pillow image, enlarged by `scale`; one channel becomes mode L."""
    require(scale >= 1, "scale", scale, "1 or more")
    image = image.repeat(scale, axis=0).repeat(scale, axis=1)
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def _require_uint8(field: str, images: np.ndarray, rank: int, channels: tuple[int, ...]) -> None:
    """Raises `InputError` unless `images` is a uint8 array that `_require_images` accepts."""
    require(images.dtype == np.uint8, field, _describe(images), "uint8; make_grid and to_uint8 give that")
    _require_images(field, images, rank, channels)


def _require_images(field: str, images: np.ndarray, rank: int, channels: tuple[int, ...]) -> None:
    """Raises `InputError` unless `images` is uint8 or float, of that rank, not empty, with allowed channels."""
    number = images.dtype == np.uint8 or jnp.issubdtype(images.dtype, jnp.floating)
    if not number or images.ndim != rank or images.size == 0 or images.shape[-1] not in channels:
        axes = "[n, height, width, channels]" if rank == 4 else "[height, width, channels]"
        reject(field, _describe(images), f"uint8 or float {axes}, none of them 0, channels {channels}")


def _describe(images: np.ndarray) -> str:
    """Returns type and shape for a message."""
    return f"{images.dtype} {list(images.shape)}"
