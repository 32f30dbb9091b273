"""Enlargement of photographs of any size by any factor from 1 to 8, tile by tile."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from jaxgen.bundles.tiling import (
    AnyPixels,
    Pixels,
    Place,
    Result,
    assemble,
    choose_window,
    computed_windows,
    in_windows,
    to_float,
    windows,
)
from jaxgen.errors import require
from jaxgen.photos.header import resized_exif
from jaxgen.photos.notes import resized_notes
from jaxgen.photos.reading import Photo
from jaxgen.tasks.base import Trained
from jaxgen.tasks.load import load, require_use
from jaxgen.tasks.super_resolution.apply import Enlarger, make_enlarger
from jaxgen.tasks.super_resolution.bicubic import Taps, bicubic_taps, resize_by_taps

KINDS = {"photo": "upscale", "bicubic": "upscale-bicubic"}
"""Names of the pretrained weights by the kind of the pictures."""
LARGEST_FACTOR = 8
TILE, TILE_OF_RESULT = 512, 1536
"""Approximate edge of a tile in pixels at most, before and after the enlargement."""
REACH = 4
"""Pixels on which one that is resized may depend beyond those of its own place, in either size of the picture."""
PLAIN = Enlarger(1, 0, lambda images, extent: images)
"""What leaves all to the bicubic resizing."""

Watch = Callable[[int, int], None]
Enlarge = Callable[..., Result]
"""(pixels, watch) -> enlarged pixels, or the very same if no size changes."""


def require_factor(scale: float | int) -> float | int:
    """Returns a factor; raises `InputError` unless it is a number from 1 to 8."""
    require(1 <= scale <= LARGEST_FACTOR, "scale", scale, f"a number from 1 to {LARGEST_FACTOR}, such as 4 or 2.5")
    return scale


def enlarging_model(model: str | Path | None = None, kind: str | None = None, checkpoint: str = "latest") -> Trained:
    """Returns a network that enlarges photographs.

    Args:
      model: see `load`; None for the pretrained weights.
      kind: of the pretrained weights, one of `KINDS`; None for photo.
      checkpoint: checkpoint of a run.

    Raises:
      InputError: there is no such network, or a kind is asked for of a model that has but one.
    """
    require(kind is None or kind in KINDS, "kind", kind, ", ".join(KINDS))
    require(model is None or kind is None, "kind", kind, "none with a model, which has its own")
    opened = load(KINDS[kind or "photo"] if model is None else model, checkpoint, "model")
    return require_use(opened, "upscale", "model", model)


def enlarged_sizes(sizes: tuple[int, int], scale: float | int) -> tuple[int, int]:
    """Returns the height and width of a picture that is enlarged: each times the factor, rounded."""
    return round(sizes[0] * scale), round(sizes[1] * scale)


def make_enlarge(model: Trained | None, scale: float | int, strength: float | int = 1.0) -> Enlarge:
    """Returns a function enlarge(pixels, watch) for pixels of any size; a factor that changes no size returns them.

    A colour photo whose channels are equal is enlarged as a grey one.

    Args:
      model: a network that enlarges images; None enlarges by bicubic interpolation alone.
      scale: the factor, 1 to 8.
      strength: weight of what the network makes, 0 to 1; that of the bicubic enlargement is 1 - strength.
    """
    if model is None or strength == 0:
        enlarger, strength = PLAIN, 1.0
    else:
        enlarger = make_enlarger(model, scale)

    def enlarge(pixels: Pixels, watch: Watch = lambda *_: None) -> Result:
        sizes = enlarged_sizes(pixels.shape[:2], scale)
        if sizes == pixels.shape[:2]:
            return pixels
        grey = all(np.array_equal(pixels[..., 0], pixels[..., i]) for i in range(1, pixels.shape[-1]))
        planes = pixels[..., :1] if grey else pixels
        layout = layout_for(enlarger, pixels.shape[:2])
        tiles = enlarged_tiles(enlarger, planes, sizes, strength, layout)
        total = len(windows(pixels.shape[:2], **layout))
        result = assemble(tiles, (*sizes, planes.shape[-1]), pixels.dtype, total, watch)
        return result if planes is pixels else np.repeat(result, pixels.shape[-1], axis=-1)

    return enlarge


def layout_for(enlarger: Enlarger, sizes: tuple[int, int]) -> dict[str, int | None]:
    """Returns tile, halo, multiple and window for a picture of this height and width; see `spans`."""
    tile = min(TILE, TILE_OF_RESULT // enlarger.scale)
    layout = {"tile": tile, "halo": enlarger.halo + REACH, "multiple": 1}
    return {**layout, "window": None if enlarger is PLAIN else choose_window(sizes, **layout)}


def enlarged_tiles(
    enlarger: Enlarger, pixels: AnyPixels, sizes: tuple[int, int], strength: float | int, layout: dict[str, int | None]
) -> Iterator[tuple[Place, Float32[np.ndarray, "y x c"]]]:
    """Yields place and floats of tiles that cover the enlarged picture once.

    Args:
      enlarger: the network; where it enlarges more than is asked for, its result is reduced by bicubic resizing.
      pixels: (h, w, c), uint8, uint16, or float32 in [-1, 1].
      sizes: height and width of the enlarged picture.
      strength: see `make_enlarge`.
      layout: result of `layout_for`.
    """
    own, scale, edge = pixels.shape[:2], enlarger.scale, layout["window"]

    def taps_from(factor: int) -> tuple[Taps, ...]:
        return tuple(bicubic_taps(factor * old, new) for old, new in zip(own, sizes, strict=True))

    def apply(images: np.ndarray, _: np.ndarray, extent: np.ndarray | None = None) -> np.ndarray:
        return np.asarray(enlarger.apply(images, extent))

    reducing = None if sizes == (scale * own[0], scale * own[1]) else taps_from(scale)
    plain = taps_from(1) if strength < 1 else None
    for (y, x), values in computed_windows(apply if edge is None else in_windows(apply, edge, scale), pixels, **layout):
        # a pixel belongs to the tile in which it begins
        ends = ((s.first * n // o, s.last * n // o) for s, n, o in zip((y, x), sizes, own, strict=True))
        places, starts = tuple(slice(*pair) for pair in ends), (y.start, x.start)
        tile = _resized(values, reducing, places, tuple(scale * start for start in starts))
        if plain is not None:
            bicubic = _resized(to_float(pixels[y.start : y.stop, x.start : x.stop]), plain, places, starts)
            tile = bicubic + np.float32(strength) * (tile - bicubic)
        yield places, tile


def _resized(
    part: Float32[np.ndarray, "h w c"],
    taps: tuple[Taps, ...] | None,
    places: tuple[slice, ...],
    starts: tuple[int, ...],
) -> Float32[np.ndarray, "y x c"]:
    """Returns the pixels at these places of a picture of another size.

    Args:
      part: the part of the picture that they depend on.
      taps: those of the whole picture, for rows and columns; None where its size stays.
      places: rows and columns of the result.
      starts: row and column of the picture at which the part begins.
    """
    if taps is None:
        rows, columns = (slice(p.start - start, p.stop - start) for p, start in zip(places, starts, strict=True))
        return part[rows, columns]
    cut = (Taps(index[p] - start, weights[p]) for (index, weights), p, start in zip(taps, places, starts, strict=True))
    return resize_by_taps(part, tuple(cut))


def enlarge_photo(photo: Photo, enlarge: Enlarge, scale: float | int, watch: Watch) -> Photo:
    """Returns an enlarged photo whose metadata names its new size, or the very same one if no size changes.

    Alpha is enlarged by bicubic interpolation.

    Args:
      photo: the photo.
      enlarge: result of `make_enlarge` for the factor.
      scale: the factor.
      watch: called with the number of finished tiles and the total.
    """
    pixels = enlarge(photo.pixels, watch)
    if pixels is photo.pixels:
        return photo
    sizes, alpha = pixels.shape[:2], photo.alpha
    if alpha is not None:
        alpha = make_enlarge(None, scale)(alpha[..., None])[..., 0]
    exif = None if photo.exif is None else resized_exif(photo.exif, sizes)
    return photo._replace(pixels=pixels, alpha=alpha, exif=exif, notes=resized_notes(photo.notes, sizes))
