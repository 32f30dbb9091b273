"""Trained restorers on photographs of any size: one network for grey and one for colour, applied tile by tile."""

import contextlib
import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.bundles.holes import fade, guess_holes
from jaxgen.bundles.tiling import Known, Pixels, choose_window, in_windows, restore_tiled
from jaxgen.degradations.resampling import LUMA
from jaxgen.errors import require
from jaxgen.networks.extent import ends_at
from jaxgen.tasks.base import Trained
from jaxgen.tasks.load import load, require_use
from jaxgen.tasks.table import pretrained
from jaxgen.training.step import Algorithm, TrainState
from jaxgen.types import Observation


def photo_models(model: str | Path | None = None, checkpoint: str = "latest") -> dict[int, Trained]:
    """Returns the restorers of photos by number of channels, 1 or 3.

    Args:
      model: see `load`; used for both. None for the two of the package.
      checkpoint: checkpoint of a run.

    Raises:
      InputError: there is no such restorer, or it does not take photos of any size.
    """
    if model is None:
        return {1: require_any_size(_shipped("photos-grey")), 3: require_any_size(_shipped("photos"))}
    opened = _shipped(model) if model in pretrained() else load(model, checkpoint, "model")
    found = require_use(opened, "restore", "model", model)
    return dict.fromkeys((1, 3), require_any_size(found))


@functools.cache
def _shipped(name: str) -> Trained:
    """Returns a restorer of the package, loaded once in a process."""
    return load(name)


def require_any_size(restorer: Trained) -> Trained:
    """Returns the restorer; raises `InputError` if it takes only one size, or volumes."""
    name, shape = restorer.facts.name, restorer.facts.shape
    require(restorer.algorithm.sizes is not None, "model", name, "a network for any size: inverse or recurrent")
    require(len(shape) == 3, "model", name, "a network for images (2 spatial axes), as photographs are")
    require(shape[-1] in (1, 3), "model", f"{name}, {shape[-1]} channels", "a network for 1 or 3 channels")
    return restorer


def make_restore(
    models: Mapping[int, Trained], strength: float | int, masked: bool, tile: int
) -> Callable[..., np.ndarray]:
    """Returns a function restore(pixels, known, watch) that restores pixels of any size; see `restore_tiled`.

    A colour photo whose channels are equal is restored as a grey one. Large holes are guessed from the whole photo
    before a network sees it in tiles.

    Args:
      models: restorers for 1 and 3 channels.
      strength: see `adapt`.
      masked: see `adapt`.
      tile: approximate edge of a tile in pixels.
    """
    apply_fns = {channels: adapt(model, channels, strength, masked) for channels, model in models.items()}

    def restore(pixels: Pixels, known: Known | None, watch: Callable[[int, int], None] = lambda *_: None) -> Pixels:
        grey = all(np.array_equal(pixels[..., 0], pixels[..., i]) for i in range(1, pixels.shape[-1]))
        planes = pixels[..., :1] if grey else pixels
        channels = planes.shape[-1]
        sizes, apply_fn, window = models[channels].algorithm.sizes, apply_fns[channels], None
        layout = {"tile": tile, "halo": sizes.halo, "multiple": sizes.multiple}
        if sizes.heeds_extent:
            window = choose_window(planes.shape[:2], **layout)
            apply_fn = in_windows(apply_fn, window)
        given, kept = (planes, None) if known is None else guess_holes(planes, known)
        restored = restore_tiled(apply_fn, given, kept, watch=watch, window=window, **layout)
        if given is not planes:
            restored = _blended(fade(restored, given, kept), given, planes, strength)
        return restored if restored.shape == pixels.shape else np.repeat(restored, pixels.shape[-1], axis=-1)

    return restore


def _blended(restored: Pixels, given: Pixels, original: Pixels, strength: float) -> Pixels:
    """Returns restored pixels that were blended with the given ones, as if they were blended with the original."""
    if strength == 1:
        return restored
    blend = restored + (1 - strength) * (original - given.astype(np.float32))
    return np.rint(blend).clip(0, np.iinfo(restored.dtype).max).astype(restored.dtype)


def adapt(restorer: Trained, channels: int, strength: float | int, masked: bool) -> Callable[..., jax.Array]:
    """Returns the restorer as a function (images, known, extent) of photos with this number of channels.

    A colour network gets a grey photo in all three channels, and the result is the luma of its output. A grey network
    gets the channels of a colour photo one by one. The programs, one for each size of the arrays, are kept for the
    process. With an extent, (2,), the photo is only the first so many rows and columns of the arrays.

    Args:
      restorer: a restorer of 1 or 3 channels.
      channels: channels of the photos, 1 or 3.
      strength: weight of the restored image; the weight of the input is 1 - strength.
      masked: whether known pixels stay as they are.
    """
    program = _program(restorer.algorithm, restorer.facts.shape[-1], channels)
    state = jax.device_put(restorer.state, jax.local_devices()[0])
    numbers = (np.float32(strength), np.bool_(masked))
    return lambda images, known, extent=None: program(state, images, known, *numbers, extent)


@functools.lru_cache(maxsize=32)
def _program(algorithm: Algorithm, own: int, channels: int) -> Callable[..., jax.Array]:
    """Returns the compiled function of `adapt`, for a network of `own` channels; it holds no weights."""

    def restored(
        state: TrainState,
        images: jax.Array,
        known: jax.Array,
        strength: jax.Array,
        masked: jax.Array,
        extent: jax.Array | None,
    ) -> jax.Array:
        def predict(images: jax.Array) -> jax.Array:
            # missing pixels are middle grey (0), as in training, or guessed
            seen = jnp.where(known > 0.0, images, 0.0)
            return algorithm.predict(state, Observation(seen, known), jax.random.key(0)).images

        with contextlib.nullcontext() if extent is None else ends_at(images.shape[1:3], extent):
            clean = jnp.clip(_by_channels(predict, images, own), -1.0, 1.0)
        blended = images + strength * (clean - images)
        return jnp.where(masked & (known > 0.5), images, blended)

    return jax.jit(restored)


def _by_channels(predict: Callable[[jax.Array], jax.Array], images: jax.Array, own: int) -> jax.Array:
    """Returns images restored by a network of `own` channels, which may be another number than theirs."""
    channels = images.shape[-1]
    if own == channels:
        return predict(images)
    if channels == 1:
        colour = predict(jnp.repeat(images, 3, axis=-1))
        return jnp.sum(colour * jnp.asarray(LUMA).reshape(1, 1, 1, 3), axis=-1, keepdims=True)
    planes = jnp.moveaxis(images, -1, 0)[..., None]
    return jnp.moveaxis(jax.lax.map(predict, planes)[..., 0], 0, -1)
