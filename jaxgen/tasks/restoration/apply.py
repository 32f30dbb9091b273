"""One trained restorer as a compiled function of photographs of any number of channels."""

import contextlib
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.degradations.compose import has_missing, parse_mixture
from jaxgen.degradations.resampling import LUMA
from jaxgen.networks.extent import ends_at
from jaxgen.tasks.base import Trained
from jaxgen.training.step import Algorithm, TrainState
from jaxgen.types import Observation


def can_fill(restorer: Trained) -> bool:
    """Returns whether a restorer fills in missing pixels: one that is told what to repair may not have learned it."""
    config = restorer.config.restoration
    return has_missing(parse_mixture(config.damage)) or not config.repairs


def adapt(
    restorer: Trained, channels: int, strength: float | int, masked: bool, levels: np.ndarray | None = None
) -> Callable[..., jax.Array]:
    """Returns the restorer as a function (images, known, extent) of photos with this number of channels.

    A colour network gets a grey photo in all three channels, and the result is the luma of its output. A grey network
    gets the channels of a colour photo one by one. The programs, one for each size of the arrays, are kept for the
    process. With an extent, (2,), the photo is only the first so many rows and columns of the arrays.
    Volumes are taken as photos are, with three spatial axes.

    Args:
      restorer: a restorer of 1 or 3 channels.
      channels: channels of the photos, 1 or 3.
      strength: weight of the restored image; the weight of the input is 1 - strength.
      masked: whether known pixels stay as they are.
      levels: what the restorer is told to repair, (k,); None tells it nothing.
    """
    program = _program(restorer.algorithm, restorer.facts.shape[-1], channels, can_fill(restorer))
    state = jax.device_put(restorer.state, jax.local_devices()[0])
    numbers = (np.float32(strength), np.bool_(masked), None if levels is None else levels[None])
    return lambda images, known, extent=None: program(state, images, known, *numbers, extent)


@functools.lru_cache(maxsize=32)
def _program(algorithm: Algorithm, own: int, channels: int, fills: bool) -> Callable[..., jax.Array]:
    """Returns the compiled function of `adapt`, for a network of `own` channels; it holds no weights."""

    def restored(
        state: TrainState,
        images: jax.Array,
        known: jax.Array,
        strength: jax.Array,
        masked: jax.Array,
        levels: jax.Array | None,
        extent: jax.Array | None,
    ) -> jax.Array:
        told = None if levels is None else jnp.broadcast_to(levels, (len(images), levels.shape[1]))

        def predict(images: jax.Array) -> jax.Array:
            # missing pixels are middle grey (0), as in training
            seen = Observation(images * known, known, told) if fills else Observation(images, None, told)
            return algorithm.predict(state, seen, jax.random.key(0)).images

        with contextlib.nullcontext() if extent is None else ends_at(images.shape[1:-1], extent):
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
