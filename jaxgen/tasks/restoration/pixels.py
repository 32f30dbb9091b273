"""Trained restorers on photographs or volumes of any size: which repairs what, one after another, tile by tile."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxgen.bundles.holes import fill_large_holes
from jaxgen.bundles.tiling import AnyPixels, Known, choose_window, in_windows, restore_tiled
from jaxgen.bundles.volume_tiles import layout_of_volume
from jaxgen.errors import require
from jaxgen.repairs import DEFAULT, REPAIRS, parse_repairs, told_level
from jaxgen.tasks.base import NOTHING, Trained
from jaxgen.tasks.load import load, require_use
from jaxgen.tasks.restoration.apply import adapt, can_fill
from jaxgen.tasks.restoration.damage_seen import UNMISTAKABLE, Seen, describe, has_estimator, see_damage
from jaxgen.tasks.table import pretrained
from jaxgen.types import Observation

TILE = 512
"""Approximate edge of the tiles of photographs in pixels; larger ones take more memory and up to a point less time."""
NOTHING_SEEN = Seen({}, 0.0)
OF_AXES = {
    2: "a network for images (2 spatial axes), as photographs are",
    3: "a network for volumes (3 spatial axes)",
}
"""The models for files of so many spatial axes, in words."""


class Models(NamedTuple):
    """Restorers of photographs by number of channels, 1 or 3.

    Attributes:
      main: those of noise, JPEG and blur, or of all that a user's own network repairs. That of colour estimates the
        levels of all pictures, or the pretrained one where it has no estimator.
      marks: those of scratches, dust, salt and pepper, and holes, which are applied first; may be empty.
    """

    main: Mapping[int, Trained]
    marks: Mapping[int, Trained] = NOTHING


class Stage(NamedTuple):
    """An application of one restorer.

    Attributes:
      model: the restorer.
      levels: what it is told to repair, (k,), see `Observation`; None for a blind network.
      masked: whether known pixels stay as they are.
    """

    model: Trained
    levels: np.ndarray | None
    masked: bool


class Restored(NamedTuple):
    """A restored picture.

    Attributes:
      pixels: of the shape and type of the picture; the very same array if there was nothing to do.
      words: what was seen, "" if nothing was, or if the network does not tell.
    """

    pixels: np.ndarray
    words: str


ApplyStage = Callable[[Stage, Any, Any], Any]
"""(stage, pixels, known or None) -> restored pixels."""
Restore = Callable[..., Restored]
"""(pixels, known or None, watch) -> the restored pixels."""


def photo_models(model: str | Path | None = None, checkpoint: str = "latest") -> Models:
    """Returns the restorers of photos.

    Args:
      model: see `load`; used for all. None for the pretrained weights.
      checkpoint: checkpoint of a run.

    Raises:
      InputError: there is no such restorer, or it does not take photos of any size.
    """
    if model is None:
        main = {1: _pretrained("photos-grey"), 3: _pretrained("photos")}
        return Models(main, dict.fromkeys((1, 3), _pretrained("photos-marks")))
    return one_model(open_restorer(model, checkpoint))


def open_restorer(model: str | Path, checkpoint: str = "latest") -> Trained:
    """Returns a restorer of photos or volumes; raises `InputError` if there is none. See `load`."""
    opened = _pretrained(str(model)) if model in pretrained() else load(model, checkpoint, "model")
    return require_use(opened, "restore", "model", model)


def takes_volumes(restorer: Trained) -> bool:
    """Returns whether a restorer was trained on volumes."""
    return len(restorer.facts.shape) == 4


def one_model(restorer: Trained, axes: int = 2) -> Models:
    """Returns a restorer for all photos, or volumes; raises `InputError` if it does not take any size of these."""
    return Models(dict.fromkeys((1, 3), require_any_size(restorer, axes)))


def require_fills(models: Models) -> None:
    """Raises `InputError` if the restorers were not trained to fill in missing pixels."""
    fills = all(map(can_fill, (models.marks or models.main).values()))
    require(fills, "mask", "a mask", "no mask, as this model was not trained to fill in missing pixels")


def accepted_repairs(models: Models) -> tuple[str, ...]:
    """Returns what the restorers can be told to repair; nothing for a blind network, which repairs what it knows."""
    found = {name for group in models for model in group.values() for name in model.config.restoration.repairs}
    return tuple(name for name in REPAIRS if name in found)


def require_repairs(models: Models, repair: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Returns the repairs asked for, see `parse_repairs`; raises `InputError` if the restorers do not know them."""
    accepted = accepted_repairs(models)
    require(
        repair is None or bool(accepted), "repair", repair, "none, as this model repairs all that it was trained on"
    )
    return parse_repairs(repair, accepted)


@functools.cache
def _pretrained(name: str) -> Trained:
    """Returns a pretrained restorer, loaded once in a process."""
    return load(name)


def require_any_size(restorer: Trained, axes: int = 2) -> Trained:
    """Returns the restorer; raises `InputError` if it takes one size alone, or another number of spatial axes."""
    name, shape = restorer.facts.name, restorer.facts.shape
    require(restorer.algorithm.sizes is not None, "model", name, "a network for any size: inverse or recurrent")
    require(len(shape) == axes + 1, "model", name, OF_AXES[axes])
    require(shape[-1] in (1, 3), "model", f"{name}, {shape[-1]} channels", "a network for 1 or 3 channels")
    return restorer


def make_restore(
    models: Models, strength: float | int, tile: int | None = None, repair: tuple[str, ...] | None = None
) -> Restore:
    """Returns a function restore(pixels, known or None, watch) for pixels of any size; see `restore_tiled`.

    Pixels are those of a photo (h, w, c) or a volume (d, h, w, c), whole numbers or floats in [-1, 1]. A colour photo
    whose channels are equal is restored as a grey one. With known pixels the others are filled in, and
    nothing else is done unless `repair` asks for it.

    Args:
      models: the restorers.
      strength: see `adapt`.
      tile: approximate edge of a tile in pixels; None for `TILE`, of volumes see `layout_of_volume`.
      repair: result of `require_repairs`; None for what does no harm.
    """

    def restore(
        pixels: AnyPixels, known: Known | None = None, watch: Callable[[int, int], None] = lambda *_: None
    ) -> Restored:
        grey = all(np.array_equal(pixels[..., 0], pixels[..., i]) for i in range(1, pixels.shape[-1]))
        planes = pixels[..., :1] if grey else pixels

        def apply(stage: Stage, planes: AnyPixels, known: Known | None) -> AnyPixels:
            share = 1.0 if stage.masked else strength
            apply_fn = adapt(stage.model, planes.shape[-1], share, stage.masked, stage.levels)
            layout = _layout(stage.model, planes.shape[:-1], tile)
            if layout.get("window") is not None:
                apply_fn = in_windows(apply_fn, layout["window"])
            return restore_tiled(apply_fn, planes, known, watch=watch, **layout)

        restored, words = restore_in_stages(models, planes, known, repair, apply)
        if restored is planes:
            return Restored(pixels, words)
        if known is not None and strength != 1:
            restored = _blended(restored, planes, ~known, strength)
        same = restored.shape == pixels.shape
        return Restored(restored if same else np.repeat(restored, pixels.shape[-1], axis=-1), words)

    return restore


def _layout(model: Trained, sizes: tuple[int, ...], tile: int | None) -> dict[str, int]:
    """Returns tile, halo, multiple, and window or grain, for pictures or a volume of these sizes; see `spans`."""
    own = model.algorithm.sizes
    if len(sizes) == 3:
        return layout_of_volume(sizes, halo=own.halo, multiple=own.multiple, tile=tile)
    layout = {"halo": own.halo, "multiple": own.multiple, "tile": tile or TILE}
    return {**layout, "window": choose_window(sizes, **layout)} if own.heeds_extent else layout


def _blended(restored: AnyPixels, original: AnyPixels, missing: Known, strength: float | int) -> AnyPixels:
    """Returns the restored pixels, of which the missing ones are blended with what the original holds there."""
    before, blended = original[missing].astype(np.float32), restored.copy()
    mixed = before + np.float32(strength) * (restored[missing] - before)
    blended[missing] = np.rint(mixed) if np.issubdtype(restored.dtype, np.integer) else mixed
    return blended


def restore_floats(models: Models, degraded: Observation, repair: tuple[str, ...] | None = None) -> np.ndarray:
    """Returns restored images that are not rounded to whole numbers, for measures.

    Args:
      models: the restorers.
      degraded: images (b, h, w, c) in [-1, 1] or beyond, with masks; an image with missing pixels is filled.
      repair: see `make_restore`.
    """

    def apply(stage: Stage, pixels: np.ndarray, known: np.ndarray | None) -> np.ndarray:
        kept = np.ones(pixels.shape[:2]) if known is None else known
        apply_fn = adapt(stage.model, pixels.shape[-1], 1.0, stage.masked, stage.levels)
        return np.asarray(apply_fn(pixels[None], kept[None, ..., None].astype(np.float32)))[0]

    images, masks = np.asarray(degraded.images), np.asarray(degraded.masks)[..., 0] > 0.5
    both = zip(images, masks, strict=True)
    return np.stack([restore_in_stages(models, x, None if m.all() else m, repair, apply)[0] for x, m in both])


def restore_in_stages(
    models: Models, pixels: Any, known: Any, repair: tuple[str, ...] | None, apply: ApplyStage
) -> tuple[Any, str]:
    """Returns the pixels after all stages that are needed, the same array after none; and what was seen in words.

    Missing pixels are filled first, then marks are removed, and then noise, JPEG and blur.

    Args:
      models: the restorers.
      pixels: (h, w, c) or (d, h, w, c), uint8, uint16, or float32 in [-1, 1].
      known: (h, w) or (d, h, w), true where a pixel is known, or None if all are.
      repair: see `make_restore`.
      apply: applies a stage.
    """
    own, marks = models.main[pixels.shape[-1]], models.marks.get(pixels.shape[-1])
    if not own.config.restoration.repairs:
        given = (pixels, None) if known is None else fill_large_holes(pixels, known)
        return apply(Stage(own, None, known is not None), *given), ""
    if known is not None:
        pixels = apply(Stage(marks or own, _levels(marks or own, (), {}), True), *fill_large_holes(pixels, known))
        if repair is None:
            return pixels, ""
    if takes_volumes(own):  # there is no estimator of volumes: the network finds the levels itself
        return apply(Stage(own, _levels(own, _asked(models, repair, NOTHING_SEEN), {}), False), pixels, None), ""
    estimator = models.main[3] if has_estimator(models.main[3]) else _pretrained("photos")
    seen = see_damage(estimator, pixels)
    impulses, asked = seen.impulses, _asked(models, repair, seen)
    if marks is not None and (levels := _levels(marks, asked, {})).any():
        pixels = apply(Stage(marks, levels, False), pixels, None)
        if "salt_and_pepper" in asked:  # it hides the noise, which other marks do not
            seen = see_damage(estimator, pixels)
    levels = _levels(own, asked, seen.levels)
    if levels.any():
        pixels = apply(Stage(own, levels, False), pixels, None)
    return pixels, describe(Seen(seen.levels, impulses), asked)


def _asked(models: Models, repair: tuple[str, ...] | None, seen: Seen) -> tuple[str, ...]:
    """Returns what is to be repaired: what is asked for, or else what does no harm, and unmistakable impulses."""
    if repair is not None:
        return repair
    accepted = accepted_repairs(models)
    usual = tuple(name for name in DEFAULT if name in accepted) or accepted
    return (*usual, "salt_and_pepper") if seen.impulses >= UNMISTAKABLE else usual


def _levels(model: Trained, asked: tuple[str, ...], seen: Mapping[str, float]) -> np.ndarray:
    """Returns the level of each repair of a model: 0 if it is not asked for, else what was seen, `USUAL` at least."""
    repairs = model.config.restoration.repairs
    return np.array([told_level(name, seen) if name in asked else 0.0 for name in repairs], np.float32)
