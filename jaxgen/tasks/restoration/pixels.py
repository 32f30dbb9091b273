"""Trained restorers on photographs of any size: one network for grey and one for colour, applied tile by tile."""

from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.bundles.tiling import ApplyFn, Known, Pixels, restore_tiled
from jaxgen.degradations.resampling import LUMA
from jaxgen.errors import require
from jaxgen.tasks.base import Trained
from jaxgen.tasks.load import load, require_use
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
        return {1: require_any_size(load("photos-grey")), 3: require_any_size(load("photos"))}
    found = require_use(load(model, checkpoint, "model"), "restore", "model", model)
    return dict.fromkeys((1, 3), require_any_size(found))


def require_any_size(restorer: Trained) -> Trained:
    """Returns the restorer; raises `InputError` if it takes only one size, or volumes."""
    name, shape = restorer.facts.name, restorer.facts.shape
    require(restorer.algorithm.sizes is not None, "model", name, "a network for any size: inverse or recurrent")
    require(len(shape) == 3, "model", name, "a network for images (2 spatial axes), as photographs are")
    require(shape[-1] in (1, 3), "model", f"{name}, {shape[-1]} channels", "a network for 1 or 3 channels")
    return restorer


def make_restore(models: Mapping[int, Trained], strength: float, masked: bool, tile: int) -> Callable[..., np.ndarray]:
    """Returns a function restore(pixels, known, watch) that restores pixels of any size; see `restore_tiled`.

    A colour photo whose channels are equal is restored as a grey one.

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
        layout = {"tile": tile, **models[channels].algorithm.sizes._asdict()}
        restored = restore_tiled(apply_fns[channels], planes, known, watch=watch, **layout)
        return restored if restored.shape == pixels.shape else np.repeat(restored, pixels.shape[-1], axis=-1)

    return restore


def adapt(restorer: Trained, channels: int, strength: float, masked: bool) -> ApplyFn:
    """Returns the restorer as a compiled function of photos with this number of channels.

    A colour network gets a grey photo in all three channels, and the result is the luma of its output. A grey network
    gets the channels of a colour photo one by one.

    Args:
      restorer: a restorer of 1 or 3 channels.
      channels: channels of the photos, 1 or 3.
      strength: weight of the restored image; the weight of the input is 1 - strength.
      masked: whether known pixels stay as they are.
    """
    own, key = restorer.facts.shape[-1], jax.random.key(0)

    def predict(images: jax.Array, known: jax.Array) -> jax.Array:
        # missing pixels are middle grey (0), as in training
        return restorer.algorithm.predict(restorer.state, Observation(images * known, known), key).images

    def restored(images: jax.Array, known: jax.Array) -> jax.Array:
        clean = jnp.clip(by_channels(images, known), -1.0, 1.0)
        blended = images + strength * (clean - images)
        return jnp.where(known > 0.5, images, blended) if masked else blended

    def by_channels(images: jax.Array, known: jax.Array) -> jax.Array:
        if own == channels:
            return predict(images, known)
        if channels == 1:
            colour = predict(jnp.repeat(images, 3, axis=-1), known)
            return jnp.sum(colour * jnp.asarray(LUMA).reshape(1, 1, 1, 3), axis=-1, keepdims=True)
        planes = jnp.moveaxis(images, -1, 0)[..., None]
        return jnp.moveaxis(jax.lax.map(lambda plane: predict(plane, known), planes)[..., 0], 0, -1)

    return jax.jit(restored)
