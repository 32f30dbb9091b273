"""Inverse networks: a damaged image in, the restored one out; in the source's form and fully convolutional.

References: Zhang, Zuo, Zhang, "FFDNet: Toward a Fast and Flexible Solution for CNN-Based Image Denoising", 2018 (half
resolution by rearrangement, a plane with the noise level); Ronneberger, Fischer, Brox, "U-Net", 2015, figure 1; Lim et
al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", 2017, figure 2 (blocks without normalisation).
"""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxgen.networks import filling
from jaxgen.networks.layers import Conv, depth_to_space, he_init, scaled_init, space_to_depth
from jaxgen.types import Grid, Images, Masks, Observation, per_image

SMALL = scaled_init(0.1)
"""Initial weights of what ends in a sum: at first a block hardly changes what it adds to."""
DOUBT = 4.0
"""At first the network believes in the share sigmoid(-4) of a black or white pixel that may be salt or pepper."""
DENSE_WIDTHS = (32, 64, 128, 256)
DENSE_HIDDEN = 1024


def join_planes(observation: Observation) -> Float[Array, "b *s d"]:
    """Joins two planes to the images: 1 where a pixel is missing, and the noise level. What is not told is 0.

    Args:
      observation: of images (b, *spatial, c).

    Returns:
      (b, *spatial, c + 2).
    """
    images, masks, sigma = observation
    plane = (*images.shape[:-1], 1)
    missing = jnp.zeros(plane, images.dtype) if masks is None else 1.0 - masks
    level = jnp.zeros(plane, images.dtype) if sigma is None else jnp.broadcast_to(per_image(sigma, images), plane)
    return jnp.concatenate([images, missing, level], axis=-1)


def pad_to_multiple(x: Images, multiple: int) -> Float[Array, "b *p c"]:
    """Repeats the last row and column, and slice, until all sizes are multiples."""
    return jnp.pad(x, ((0, 0), *((0, -size % multiple) for size in x.shape[1:-1]), (0, 0)), mode="edge")


def cut_to(x: Float[Array, "..."], sizes: Sequence[Any]) -> Array:
    """Takes what `pad_to_multiple` has added off again: (..., *spatial, c) to the sizes given, symbolic ones too."""
    return x[(..., *(slice(size) for size in sizes), slice(None))]


def first_guess(images: Images, missing: Masks, grids: int) -> tuple[Images, Array]:
    """Missing pixels, and those that may be salt or pepper, from the others; and which these are.

    Args:
      images: (b, *spatial, c) in [-1, 1], sizes multiples of 2 ** (grids - 1).
      missing: (b, *spatial, 1), 1 where a pixel is missing; up to 0.5 it is seen.
      grids: see `filling.fill`.

    Returns:
      (b, *spatial, c), and (b, *spatial, 1) as of `filling.suspects`, 0 where a pixel is missing.
    """
    seen = jnp.minimum(1.0, 2.0 * (1.0 - missing))
    doubtful = filling.suspects(images) * seen
    return filling.fill(images, seen * (1.0 - jnp.abs(doubtful)), grids), doubtful


def put_back(restored: Images, observation: Observation, keeps_known: bool) -> Images:
    """Returns, with `keeps_known`, known pixels as they came and the others restored; else all restored."""
    images, masks, _ = observation
    return jnp.where(masks > 0.5, images, restored) if keeps_known and masks is not None else restored


class Block(nn.Module):
    """x + conv(relu(conv(x))), starting near x.

    Attributes:
      dtype: compute dtype.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Images) -> Images:
        """One residual block."""
        y = nn.relu(Conv(x.shape[-1], dtype=self.dtype)(x))
        return x + Conv(x.shape[-1], dtype=self.dtype, kernel_init=SMALL)(y)


class InverseNetwork(nn.Module):
    """Fully convolutional: any size, odd ones included; it adds what it has learned to the damaged image.

    Where pixels are missing, or may be salt or pepper, it starts from a smooth surface through those around
    (`filling`), and may go back to what may be salt or pepper. It works on grids of a half, a quarter, ... of the size,
    reached by space-to-depth, and goes back up with a sum over each level; the image itself is never convolved at full
    size.

    Attributes:
      widths: channels of each grid, from half size down; sizes are padded to multiples of 2 ** len(widths).
      blocks: residual blocks on each grid, once on the way down and once on the way up.
      depth: residual blocks on the smallest grid.
      keeps_known: whether pixels that a mask calls known come out exactly as they came in.
      dtype: compute dtype; the result is float32.
    """

    widths: tuple[int, ...] = (32, 64, 128)
    blocks: int = 1
    depth: int = 3
    keeps_known: bool = False
    dtype: Any = jnp.float32

    @property
    def multiple(self) -> int:
        """Sizes that need no padding are multiples of this."""
        return 2 ** len(self.widths)

    @property
    def halo(self) -> int:
        """Pixels from which a result pixel may depend on another one, at most: the radius of the receptive field."""
        grids = range(len(self.widths))
        # a convolution at half size reaches 2 pixels; entry and exit are one each, a block is two, each way
        convolutions = [4 * self.blocks if i + 1 < len(self.widths) else 2 * self.depth for i in grids]
        convolutions[0] += 2
        # and each rearrangement looks across its block
        blocks = 2 * self.multiple
        return sum(2 ** (i + 1) * n for i, n in enumerate(convolutions)) + blocks + filling.reach(self._grids)

    @property
    def _grids(self) -> int:
        return len(self.widths) + 1

    def estimates(self, observation: Observation) -> Float[Array, "1 b *s c"]:
        """Restores images as a restorer with iterations does: this one has one."""
        return self(observation)[None]

    @nn.compact
    def __call__(self, observation: Observation) -> Images:
        """Restores images.

        Args:
          observation: of images or volumes (b, *spatial, c).

        Returns:
          (b, *spatial, c), near [-1, 1] and not clipped.
        """
        *sizes, c = observation.images.shape[1:]
        planes = pad_to_multiple(join_planes(observation), self.multiple)
        padded, missing = planes[..., :c], planes[..., c : c + 1]
        start, doubtful = first_guess(padded, missing, self._grids)
        x = space_to_depth(jnp.concatenate([start, planes[..., c:], doubtful], axis=-1))
        x = Conv(self.widths[0], dtype=self.dtype)(x)
        levels = []
        for width in self.widths[1:]:
            x = self._blocks(x, self.blocks)
            levels.append(x)
            x = Conv(width, 1, dtype=self.dtype)(space_to_depth(x))
        x = self._blocks(x, self.depth)
        block = 2 ** len(sizes)
        for level in reversed(levels):
            x = level + depth_to_space(Conv(block * level.shape[-1], 1, dtype=self.dtype, kernel_init=SMALL)(x))
            x = self._blocks(x, self.blocks)
        change = depth_to_space(Conv(block * (c + 1), dtype=self.dtype, kernel_init=SMALL)(x)).astype(jnp.float32)
        own = nn.sigmoid(change[..., c:] - DOUBT) * jnp.abs(doubtful)
        restored = start + own * (padded - start) + change[..., :c]
        return put_back(cut_to(restored, sizes), observation, self.keeps_known)

    def _blocks(self, x: Array, num: int) -> Array:
        for _ in range(num):
            x = Block(self.dtype)(x)
        return x


class DenseInverseNetwork(nn.Module):
    """The source's own form, for small images of one size: four 3x3 convolutions of 32, 64, 128 and 256 channels, the
    last three of which halve the grid (28 px: 28, 14, 7, 4), two dense layers, and a sigmoid onto [-1, 1].

    Attributes:
      shape: (*spatial, c) of the images.
      keeps_known: as of `InverseNetwork`.
      dtype: compute dtype; the result is float32.
    """

    shape: Grid
    keeps_known: bool = False
    dtype: Any = jnp.float32

    def estimates(self, observation: Observation) -> Float[Array, "1 b *s c"]:
        """Restores images; as of `InverseNetwork`."""
        return self(observation)[None]

    @nn.compact
    def __call__(self, observation: Observation) -> Images:
        """Restores images; argument and result as of `InverseNetwork`."""
        x = join_planes(observation)
        for i, width in enumerate(DENSE_WIDTHS):
            x = x if i == 0 else space_to_depth(pad_to_multiple(x, 2))
            x = nn.relu(Conv(width, dtype=self.dtype)(x))
        x = x.reshape(x.shape[0], -1)
        x = nn.relu(nn.Dense(DENSE_HIDDEN, dtype=self.dtype, kernel_init=he_init)(x))
        x = nn.Dense(math.prod(self.shape), dtype=self.dtype)(x)
        restored = 2.0 * nn.sigmoid(x.astype(jnp.float32)).reshape(-1, *self.shape) - 1.0
        return put_back(restored, observation, self.keeps_known)
