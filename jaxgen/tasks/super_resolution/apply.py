"""One trained network, or several of its heads in a row, as a compiled function of pictures in grey or colour."""

import functools
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.degradations.resampling import LUMA
from jaxgen.networks.extent import ends_at
from jaxgen.tasks.base import Trained
from jaxgen.tasks.super_resolution.algorithm import make_super_resolution
from jaxgen.tasks.super_resolution.config import SuperResolutionConfig
from jaxgen.training.step import TrainState
from jaxgen.types import Grid, Observation


class Enlarger(NamedTuple):
    """A network that enlarges images by a whole factor.

    Attributes:
      scale: the factor.
      halo: the farthest distance, in pixels of the image, at which one of them influences the result.
      apply: (images (1, h, w, 1 or 3) in [-1, 1], extent int32 (2,)) -> (1, scale h, scale w, 1 or 3) in [-1, 1]. The
        image is the first `extent` rows and columns.
    """

    scale: int
    halo: int
    apply: Callable[[np.ndarray, np.ndarray], jax.Array]


def heads_for(scales: tuple[int, ...], factor: float | int) -> tuple[int, ...]:
    """Returns the heads to apply in a row for a factor: as few as reach it, and of these the smallest product.

    The smaller head comes first, as the network computes fewer pixels then.

    Args:
      scales: the heads that there are, each 2 or more.
      factor: 1 to 8.
    """
    for num in (1, 2, 3):
        reaching = [c for c in itertools.combinations_with_replacement(sorted(scales), num) if math.prod(c) >= factor]
        if reaching:
            return min(reaching, key=math.prod)
    raise AssertionError("three heads reach 8")


def make_enlarger(model: Trained, factor: float | int) -> Enlarger:
    """Returns the network that enlarges by the factor, or by the next larger one that its heads reach.

    A grey image is given in all three channels, and the result is the luma. The programs, one for each size of the
    arrays, are kept for the process.

    Args:
      model: a network that enlarges images.
      factor: 1 to 8.
    """
    config, shape = model.config.super_resolution, model.facts.shape
    scales = heads_for(config.scale, factor)
    halo, reached = 0, 1
    for scale in scales:
        sizes = make_super_resolution(config, shape, 1, scale).sizes
        halo, reached = halo + math.ceil(sizes.halo / reached), reached * scale
    program, state = _program(config, shape, scales), jax.device_put(model.state, jax.local_devices()[0])
    return Enlarger(reached, halo, functools.partial(program, state))


@functools.lru_cache(maxsize=32)
def _program(config: SuperResolutionConfig, shape: Grid, scales: tuple[int, ...]) -> Callable[..., jax.Array]:
    """Returns the compiled function of `make_enlarger`; it holds no weights."""
    heads = [make_super_resolution(config, shape, 1, scale) for scale in scales]

    def enlarged(state: TrainState, images: jax.Array, extent: jax.Array) -> jax.Array:
        grey = images.shape[-1] == 1
        images = jnp.repeat(images, 3, axis=-1) if grey else images
        for head, scale in zip(heads, scales, strict=True):
            with ends_at(images.shape[1:3], extent):
                images = head.predict(state, Observation(images), jax.random.key(0)).images
            images, extent = jnp.clip(images, -1.0, 1.0), scale * extent
        return jnp.sum(images * jnp.asarray(LUMA).reshape(1, 1, 1, 3), -1, keepdims=True) if grey else images

    return jax.jit(enlarged)
