"""The network that enlarges images: a residual trunk in low resolution, and a head for each factor.

References: Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional
Neural Network", 2016, section 3.2 (heads); Lim et al., "Enhanced Deep Residual Networks for Single Image
Super-Resolution", 2017, section 3.3 (one trunk for several factors).
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxgen.networks.inverse import SMALL, Block
from jaxgen.networks.layers import Conv, depth_to_space
from jaxgen.types import Images, Observation


class Upscaler(nn.Module):
    """A fully convolutional network that enlarges images of any size by each of its factors.

    It predicts a correction of the nearest-neighbour enlargement.

    Attributes:
      width: channels of the trunk.
      blocks: number of its residual blocks.
      scales: the factors, each with a head.
      scale: the factor of `__call__`, one of `scales`.
      dtype: compute dtype; the result is float32.
    """

    width: int = 48
    blocks: int = 8
    scales: tuple[int, ...] = (2, 3, 4)
    scale: int = 4
    dtype: Any = jnp.float32

    heeds_extent = True  # it computes with the layers that do, and so knows `ends_at`

    multiple = 1
    """Sizes need no padding."""

    @property
    def halo(self) -> int:
        """Returns the radius of the receptive field, in pixels of the small image."""
        return 2 * self.blocks + 2

    def setup(self) -> None:
        """Makes the layers."""
        self.first = Conv(self.width, dtype=self.dtype)
        self.trunk = [Block(self.dtype) for _ in range(self.blocks)]
        self.heads = {str(s): Conv(3 * s * s, dtype=self.dtype, kernel_init=SMALL) for s in self.scales}

    def __call__(self, observation: Observation) -> Float[Array, "b *t c"]:
        """Returns the images enlarged by `scale`.

        Args:
          observation: of images (b, h, w, 3) in [-1, 1]; it has no masks.

        Returns:
          (b, scale h, scale w, 3), near [-1, 1] and not clipped.
        """
        features = self.features(observation.images)
        enlarged = {s: self.enlarge(observation.images, features, s) for s in self._needed()}
        return enlarged[self.scale]

    def _needed(self) -> tuple[int, ...]:
        return self.scales if self.is_initializing() else (self.scale,)

    def features(self, images: Images) -> Float[Array, "b *s f"]:
        """Returns what the trunk makes of images of any factor, (b, h, w, width)."""
        first = x = self.first(images)
        for block in self.trunk:
            x = block(x)
        return first + x

    def enlarge(self, images: Images, features: Float[Array, "b *s f"], scale: int) -> Float[Array, "b *t c"]:
        """Returns the images, (b, h, w, 3), enlarged by one of `scales` with their features."""
        change = depth_to_space(self.heads[str(scale)](features), scale).astype(jnp.float32)
        for axis in range(1, images.ndim - 1):
            images = jnp.repeat(images, scale, axis)
        return images + change
