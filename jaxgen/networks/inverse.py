"""Inverse networks, which map a damaged image to the restored one: fully convolutional, and in the source's form.

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

from jaxgen.networks.initial_fill import initial_fill, is_guess, reach
from jaxgen.networks.layers import Conv, depth_to_space, he_init, scaled_init, space_to_depth
from jaxgen.types import Grid, Images, Masks, Observation, per_image

SMALL = scaled_init(0.1)
"""Initializer of the last convolution before a sum: at first a block hardly changes what it adds to."""
IMPULSE_BIAS = 4.0
"""At first the network keeps the share sigmoid(-4) of a suspected impulse, a pixel that may be salt or pepper."""
DENSE_WIDTHS = (32, 64, 128, 256)
DENSE_HIDDEN = 1024


def join_planes(observation: Observation) -> Float[Array, "b *s d"]:
    """Appends two channels to the images: 1 where a pixel is missing, and the noise level; 0 where unknown.

    A guess of a missing pixel is left out: it is the initial fill that starts from it.

    Args:
      observation: of images (b, *spatial, c).

    Returns:
      (b, *spatial, c + 2).
    """
    images, masks, sigma = observation
    plane = (*images.shape[:-1], 1)
    missing = jnp.zeros(plane, images.dtype) if masks is None else 1.0 - masks
    if masks is not None:
        guessed = is_guess(masks)
        images, missing = jnp.where(guessed, 0.0, images), jnp.where(guessed, 1.0, missing)
    level = jnp.zeros(plane, images.dtype) if sigma is None else jnp.broadcast_to(per_image(sigma, images), plane)
    return jnp.concatenate([images, missing, level], axis=-1)


def pad_to_multiple(x: Images, multiple: int) -> Float[Array, "b *p c"]:
    """Returns x with its last row, column (and slice) repeated until all sizes are multiples of `multiple`."""
    return jnp.pad(x, ((0, 0), *((0, -size % multiple) for size in x.shape[1:-1]), (0, 0)), mode="edge")


def pad_observation(observation: Observation, multiple: int) -> tuple[Images, Masks]:
    """Returns images and masks of an observation by `pad_to_multiple`; without masks all is known."""
    images, masks, _ = observation
    masks = jnp.ones((*images.shape[:-1], 1), images.dtype) if masks is None else masks
    return pad_to_multiple(images, multiple), pad_to_multiple(masks, multiple)


def cut_to(x: Float[Array, "..."], sizes: Sequence[Any]) -> Array:
    """Removes the padding of `pad_to_multiple`: cuts (..., *spatial, c) to the given sizes, which may be symbolic."""
    return x[(..., *(slice(size) for size in sizes), slice(None))]


def put_back(restored: Images, observation: Observation, keeps_known: bool) -> Images:
    """Returns the restored images; with `keeps_known`, the known pixels are those of the observation."""
    images, masks, _ = observation
    return jnp.where(masks > 0.5, images, restored) if keeps_known and masks is not None else restored


class Block(nn.Module):
    """The residual block x + conv(relu(conv(x))), which is close to x at first.

    Attributes:
      dtype: compute dtype.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Images) -> Images:
        """Returns the sum of x and its residual, (b, *spatial, c)."""
        y = nn.relu(Conv(x.shape[-1], dtype=self.dtype)(x))
        return x + Conv(x.shape[-1], dtype=self.dtype, kernel_init=SMALL)(y)


class InverseNetwork(nn.Module):
    """A fully convolutional network for images of any size, odd ones included.

    It predicts a correction of the initial fill, in which missing pixels and suspected impulses (pixels that may be
    salt or pepper) are filled from the pixels around; of a suspected impulse it may keep a share. It works on grids of
    a half, a quarter, ... of the size, reached by space-to-depth, and returns to half size by depth-to-space, adding
    the features of each grid. There is no convolution at full size.

    Attributes:
      widths: channels of each grid, from half size down; sizes are padded to multiples of 2 ** len(widths).
      blocks: number of residual blocks on each grid, both on the way down and on the way up.
      depth: number of residual blocks on the smallest grid.
      keeps_known: whether pixels that a mask marks as known are returned unchanged.
      dtype: compute dtype; the result is float32.
    """

    widths: tuple[int, ...] = (32, 64, 128)
    blocks: int = 1
    depth: int = 3
    keeps_known: bool = False
    dtype: Any = jnp.float32

    heeds_extent = True  # it computes with the layers that do, and so knows `ends_at`

    @property
    def multiple(self) -> int:
        """Returns the number that divides all sizes that need no padding."""
        return 2 ** len(self.widths)

    @property
    def halo(self) -> int:
        """Returns an upper bound of the radius of the receptive field, in pixels."""
        grids = range(len(self.widths))
        # a convolution at half size reaches 2 pixels; the first and the last layer have one each, a block has two
        convolutions = [4 * self.blocks if i + 1 < len(self.widths) else 2 * self.depth for i in grids]
        convolutions[0] += 2
        # each rearrangement reaches across its block
        blocks = 2 * self.multiple
        return sum(2 ** (i + 1) * n for i, n in enumerate(convolutions)) + blocks + reach(self._grids)

    @property
    def _grids(self) -> int:
        return len(self.widths) + 1

    def estimates(self, observation: Observation) -> Float[Array, "1 b *s c"]:
        """Returns the estimates of all iterations, as `RecurrentRestorer` does; here there is one."""
        return self(observation)[None]

    @nn.compact
    def __call__(self, observation: Observation) -> Images:
        """Returns the restored images.

        Args:
          observation: of images or volumes (b, *spatial, c).

        Returns:
          (b, *spatial, c), near [-1, 1] and not clipped.
        """
        *sizes, c = observation.images.shape[1:]
        planes = pad_to_multiple(join_planes(observation), self.multiple)
        padded, masks = pad_observation(observation, self.multiple)
        start, suspected = initial_fill(padded, 1.0 - masks, self._grids)
        x = space_to_depth(jnp.concatenate([start, planes[..., c:], suspected], axis=-1))
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
        kept = nn.sigmoid(change[..., c:] - IMPULSE_BIAS) * jnp.abs(suspected)
        restored = start + kept * (padded - start) + change[..., :c]
        return put_back(cut_to(restored, sizes), observation, self.keeps_known)

    def _blocks(self, x: Array, num: int) -> Array:
        for _ in range(num):
            x = Block(self.dtype)(x)
        return x


class DenseInverseNetwork(nn.Module):
    """A network in the source's form, for small images of one size.

    It has four 3x3 convolutions of 32, 64, 128 and 256 channels, the last three of which halve the grid (28 px: 28, 14,
    7, 4), two dense layers, and a sigmoid rescaled to [-1, 1].

    Attributes:
      shape: (*spatial, c) of the images.
      keeps_known: see `InverseNetwork`.
      dtype: compute dtype; the result is float32.
    """

    shape: Grid
    keeps_known: bool = False
    dtype: Any = jnp.float32

    def estimates(self, observation: Observation) -> Float[Array, "1 b *s c"]:
        """Returns the restored images as the one estimate; see `InverseNetwork`."""
        return self(observation)[None]

    @nn.compact
    def __call__(self, observation: Observation) -> Images:
        """Returns the restored images; argument and result are those of `InverseNetwork`."""
        x = join_planes(observation)
        for i, width in enumerate(DENSE_WIDTHS):
            x = x if i == 0 else space_to_depth(pad_to_multiple(x, 2))
            x = nn.relu(Conv(width, dtype=self.dtype)(x))
        x = x.reshape(x.shape[0], -1)
        x = nn.relu(nn.Dense(DENSE_HIDDEN, dtype=self.dtype, kernel_init=he_init)(x))
        x = nn.Dense(math.prod(self.shape), dtype=self.dtype)(x)
        restored = 2.0 * nn.sigmoid(x.astype(jnp.float32)).reshape(-1, *self.shape) - 1.0
        return put_back(restored, observation, self.keeps_known)
