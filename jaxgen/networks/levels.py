"""What a restorer is told about the damage, as features; and the estimate of it from the image.

References: Zhang, Zuo, Zhang, "FFDNet: Toward a Fast and Flexible Solution for CNN-Based Image Denoising", 2018 (a
network that is told the noise level); Guo et al., "Toward Convolutional Blind Denoising of Real Photographs", 2019 (a
small network that estimates it).
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxgen.networks.layers import Conv, space_to_depth
from jaxgen.types import Images

ESTIMATOR_WIDTHS = (32, 48, 64)


def level_features(levels: Float[Array, "b k"]) -> Float[Array, "b f"]:
    """Returns for each level whether it is above 0 or unknown, whether it is unknown, the level and its square root."""
    known = jnp.maximum(levels, 0.0)
    asked, unknown = (levels != 0.0), (levels < 0.0)
    return jnp.concatenate([asked.astype(jnp.float32), unknown.astype(jnp.float32), known, jnp.sqrt(known)], axis=-1)


class LevelEstimator(nn.Module):
    """A small network that estimates the level of each damage in images: three grids, and the mean over the last.

    Attributes:
      num: number of levels k.
      dtype: compute dtype; the result is float32.
    """

    num: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Images) -> Float[Array, "b k"]:
        """Returns the square roots of the levels, near 0 or above; on this scale errors of all levels weigh alike.

        Args:
          images: (b, *spatial, c) in [-1, 1], sizes multiples of 8.
        """
        x = images
        for width in ESTIMATOR_WIDTHS:
            x = nn.relu(Conv(width, dtype=self.dtype)(space_to_depth(x)))
            x = nn.relu(Conv(width, dtype=self.dtype)(x))
        mean = jnp.mean(x, axis=tuple(range(1, x.ndim - 1))).astype(jnp.float32)
        return nn.Dense(self.num)(nn.relu(nn.Dense(ESTIMATOR_WIDTHS[-1])(mean)))
