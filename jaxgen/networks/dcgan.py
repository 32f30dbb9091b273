"""A generator and a discriminator like DCGAN's, for small images (28 or 32 px), without normalisation.

Generator: latents -> dense -> dense to a quarter-size grid -> twice (2 convolutions, depth-to-space) -> convolution ->
tanh. Discriminator: twice (space-to-depth, 2 convolutions) -> dense -> dense to one logit. The second convolution of
each stage halves the Fréchet distance after the same number of images, and the hidden dense layers reduce it to a third
again (321 to 97 after 80,000 images without classes). A third convolution gains too little for its time.
References: Radford, Metz, Chintala, "Unsupervised Representation Learning with DCGANs", 2016, figure 1; resampling by
rearrangement after Shi et al., "Real-Time Single Image and Video Super-Resolution", 2016, section 3.2.
"""

import math
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxgen.networks import layers
from jaxgen.networks.conditioning import Condition, entries, join, score
from jaxgen.networks.layers import Conv, depth_to_space, he_init, leaky_relu, space_to_depth
from jaxgen.types import Grid, Images

HIDDEN = 256
"""Width of the dense layer between latents and first grid, and of that between last grid and logit."""


class Generator(nn.Module):
    """A generator from latents (b, z) to images (b, *spatial, c) in [-1, 1].

    Attributes:
      shape: (*spatial, c) of the images; sizes multiples of 4.
      base_channels: channels at half size; twice as many at a quarter.
      dtype: compute dtype.
    """

    shape: Grid
    base_channels: int = 32
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, latents: Float[Array, "b z"], condition: Condition | None = None) -> Images:
        """Returns one image for each latent vector."""
        (*sizes, c), base = self.shape, self.base_channels
        quarter, block = [size // 4 for size in sizes], 2 ** len(sizes)
        x = join(latents, condition, latents.shape[-1])
        x = leaky_relu(nn.Dense(HIDDEN, dtype=self.dtype, kernel_init=he_init)(x))
        x = nn.Dense(math.prod(quarter) * 2 * base, dtype=self.dtype, kernel_init=he_init)(x)
        x = leaky_relu(x).reshape(-1, *quarter, 2 * base)
        x = leaky_relu(Conv(2 * base, dtype=self.dtype)(x))
        x = leaky_relu(depth_to_space(Conv(block * base, dtype=self.dtype)(x)))  # half size, base
        x = leaky_relu(Conv(base, dtype=self.dtype)(x))
        if len(sizes) == 3:  # volumes have few channels at full size, where most of the time would go
            x = leaky_relu(layers.upsample(Conv(layers.NARROW, 1, self.dtype)(x)))
            return layers.volumes_of(x, c)
        x = leaky_relu(depth_to_space(Conv(block * -(-base // 2), dtype=self.dtype)(x)))  # full size, base/2
        return jnp.tanh(Conv(c, dtype=self.dtype)(x).astype(jnp.float32))


class Discriminator(nn.Module):
    """A discriminator from images (b, *spatial, c) to one logit each (b,): large for real images.

    Attributes:
      base_channels: see `Generator`.
      conditioning: where a condition enters, "concat" (beside the first channels) or "projection" (at the last).
      dtype: compute dtype; the logit is float32.
    """

    base_channels: int = 32
    conditioning: str = "projection"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Images, condition: Condition | None = None) -> Float[Array, " b"]:
        """Returns one logit for each image."""
        joined, projected = entries(self.conditioning, condition)
        base = self.base_channels
        x = join(space_to_depth(images), joined, max(4, base // 4))
        x = leaky_relu(Conv(base, dtype=self.dtype)(x))  # half size, base
        x = leaky_relu(Conv(base, dtype=self.dtype)(x))
        x = leaky_relu(Conv(2 * base, dtype=self.dtype)(space_to_depth(x)))  # a quarter, 2*base
        x = leaky_relu(Conv(2 * base, dtype=self.dtype)(x))
        x = leaky_relu(nn.Dense(HIDDEN, dtype=self.dtype, kernel_init=he_init)(x.reshape(x.shape[0], -1)))
        return score(x, projected)
