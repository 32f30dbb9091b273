"""A residual generator and discriminator after R3GAN for 8 to 256 px, with blurred resampling, without normalisation.

Reference: Huang et al., "The GAN is dead; long live the GAN! A modern GAN baseline", 2024, section 4. Each block ends
in a convolution that starts at zero, so that at first the network consists of resampling and 1x1 convolutions alone.
The generator starts from a learned grid. Volumes have no blocks at full size, which would take most of the time: the
generator ends with few channels there, and the discriminator takes each 2x2x2 voxels as channels, and those again.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxgen.networks.conditioning import Condition, entries, join, score
from jaxgen.networks.layers import (
    NARROW,
    Conv,
    downsample,
    leaky_relu,
    scaled_init,
    space_to_depth,
    stage_sizes,
    upsample,
    volumes_of,
)
from jaxgen.types import Grid, Images

CLASS_SCALE = 0.05
"""Initial scale of a generator's class embedding. With that of the latents it would first learn the mean of each class,
and from there to ignore the latents: it would draw one volume for a class."""


def stage_channels(base_channels: int, num_stages: int) -> tuple[int, ...]:
    """Returns the channels from the smallest grid to full size: doubled at each halving, at most 8 `base_channels`."""
    return tuple(base_channels * min(2**i, 8) for i in reversed(range(num_stages)))


def works_at_half(spatial: Sequence[int]) -> bool:
    """Returns whether no block has full size: for volumes of multiples of 8 voxels, 16 or more."""
    return len(spatial) == 3 and all(size >= 16 and size % 8 == 0 for size in spatial)


def stages(spatial: Sequence[int]) -> tuple[int, tuple[int, ...]]:
    """Returns the number of sizes that images (*spatial,) pass through, and the smallest grid.

    All sides are halved as often as the side that allows it least often: (28, 32) -> 3 and (7, 8).
    """
    num_stages = min(len(stage_sizes(size)) for size in spatial)
    return num_stages, tuple(size // 2 ** (num_stages - 1) for size in spatial)


class ResidualBlock(nn.Module):
    """The block x + conv(act(conv(act(x)))) of constant width; its last convolution starts at zero.

    Attributes:
      num_blocks: number of blocks in the whole network; sets the scale of the first convolution, as in Fixup.
      dtype: compute dtype.
    """

    num_blocks: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Images) -> Images:
        """Returns the sum of x and its residual, (b, *spatial, c)."""
        features = x.shape[-1]
        init = scaled_init(self.num_blocks**-0.25)  # Zhang et al. 2019, section 3: L^(-1/(2m-2)) with m = 3
        y = Conv(features, dtype=self.dtype, kernel_init=init)(leaky_relu(x))
        return x + Conv(features, dtype=self.dtype, kernel_init=nn.initializers.zeros)(leaky_relu(y))


class Generator(nn.Module):
    """A generator from latents (b, z) to images (b, *spatial, c) in [-1, 1].

    Attributes:
      shape: (*spatial, c); sizes multiples of 4, 8 or more.
      base_channels: channels at full size; doubled at each halving, up to eight times as many.
      blocks_per_stage: residual blocks at each size.
      dtype: compute dtype.
    """

    shape: Grid
    base_channels: int = 32
    blocks_per_stage: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, latents: Float[Array, "b z"], condition: Condition | None = None) -> Images:
        """Returns one image for each latent vector."""
        *spatial, channels = self.shape
        halved = works_at_half(spatial)
        num_stages, smallest = stages([size // 2 for size in spatial] if halved else spatial)
        widths = stage_channels(self.base_channels, num_stages)
        num_blocks = self.blocks_per_stage * num_stages
        grid = self.param("grid", nn.initializers.normal(1.0), (*smallest, widths[0]), jnp.float32)
        scale = nn.Dense(widths[0], dtype=self.dtype, kernel_init=nn.initializers.lecun_normal())(
            join(latents, condition, latents.shape[-1], CLASS_SCALE)
        )
        x = grid.astype(self.dtype)[None] * scale.reshape(-1, *(1,) * len(spatial), widths[0])
        for stage, width in enumerate(widths):
            if stage:
                x = upsample(Conv(width, 1, self.dtype, use_bias=False, kernel_init=scaled_init(0.7))(x))
            for _ in range(self.blocks_per_stage):
                x = ResidualBlock(num_blocks, self.dtype)(x)
        if halved:  # blocks of voxels by channels would show as a pattern; a surface must be smooth
            x = upsample(Conv(NARROW, 1, self.dtype, kernel_init=scaled_init(1.0))(leaky_relu(x)))
            return volumes_of(leaky_relu(x), channels)
        return jnp.tanh(Conv(channels, dtype=self.dtype)(leaky_relu(x)).astype(jnp.float32))


class Discriminator(nn.Module):
    """A discriminator from images (b, *spatial, c) to one logit each (b,): the generator mirrored.

    Attributes:
      base_channels: see `Generator`.
      blocks_per_stage: residual blocks at each size.
      conditioning: where a condition enters, "concat" (beside the pixels) or "projection" (at the last layer).
      dtype: compute dtype; the logit is float32.
    """

    base_channels: int = 32
    blocks_per_stage: int = 1
    conditioning: str = "projection"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Images, condition: Condition | None = None) -> Float[Array, " b"]:
        """Returns one logit for each image."""
        joined, projected = entries(self.conditioning, condition)
        width, halved = self.base_channels, works_at_half(images.shape[1:-1])
        images = space_to_depth(images) if halved else images
        x = Conv(width, dtype=self.dtype)(join(images, joined, max(4, self.base_channels // 4)))
        if halved:
            width = 2 * width
            x = Conv(width, 1, self.dtype)(space_to_depth(leaky_relu(x)))
        num_stages, smallest = stages(x.shape[1:-1])
        widths = stage_channels(width, num_stages)[::-1]
        num_blocks = self.blocks_per_stage * num_stages
        for stage, width in enumerate(widths):
            if stage:
                x = Conv(width, 1, self.dtype, use_bias=False, kernel_init=scaled_init(0.7))(downsample(x))
            for _ in range(self.blocks_per_stage):
                x = ResidualBlock(num_blocks, self.dtype)(x)
        # a weight per position and channel, then the channels: R3GAN's 4x4 depthwise convolution and linear layer
        window = self.param("window", nn.initializers.lecun_normal(), (math.prod(smallest), widths[-1]), jnp.float32)
        features = jnp.einsum(
            "bsc,sc->bc", leaky_relu(x).reshape(x.shape[0], -1, widths[-1]).astype(jnp.float32), window
        )
        return score(features, projected)
