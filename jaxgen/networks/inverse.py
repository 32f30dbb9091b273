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
from jax import lax
from jaxtyping import Array, Float

from jaxgen.networks.initial_fill import initial_fill, reach
from jaxgen.networks.layers import Conv, depth_to_space, he_init, scaled_init, space_to_depth
from jaxgen.networks.levels import LevelEstimator, level_features
from jaxgen.repairs import UNKNOWN
from jaxgen.types import Grid, Images, Observation, Params, per_image

SMALL = scaled_init(0.1)
"""Initializer of the last convolution before a sum: at first a block hardly changes what it adds to."""
IMPULSE_BIAS = 4.0
"""At first the network keeps the share sigmoid(-4) of a suspected impulse, a pixel that may be salt or pepper."""
IMPULSES, ESTIMATOR = "salt_and_pepper", "estimator"
DENSE_WIDTHS = (32, 64, 128, 256)
DENSE_HIDDEN = 1024


def join_planes(observation: Observation) -> Float[Array, "b *s d"]:
    """Appends two channels to the images: 1 where a pixel is missing, and 0, which the weights of older files expect.

    Args:
      observation: of images (b, *spatial, c).

    Returns:
      (b, *spatial, c + 2).
    """
    images, masks, _ = observation
    nothing = jnp.zeros((*images.shape[:-1], 1), images.dtype)
    return jnp.concatenate([images, nothing if masks is None else 1.0 - masks, nothing], axis=-1)


def pad_to_multiple(x: Images, multiple: int) -> Float[Array, "b *p c"]:
    """Returns x with its last row, column (and slice) repeated until all sizes, also symbolic ones, are multiples."""
    for axis, size in enumerate(x.shape[1:-1], 1):
        beyond = (size + multiple - 1) // multiple * multiple - size
        if not (isinstance(beyond, int) and beyond == 0):
            last = lax.slice_in_dim(x, size - 1, size, axis=axis)
            repeated = jnp.broadcast_to(last, (*x.shape[:axis], beyond, *x.shape[axis + 1 :]))
            x = jnp.concatenate([x, repeated], axis=axis)
    return x


def cut_to(x: Float[Array, "..."], sizes: Sequence[Any]) -> Array:
    """Removes the padding of `pad_to_multiple`: cuts (..., *spatial, c) to the given sizes, which may be symbolic."""
    return x[(..., *(slice(size) for size in sizes), slice(None))]


def put_back(restored: Images, observation: Observation, keeps_known: bool) -> Images:
    """Returns the restored images; with `keeps_known`, the known pixels are those of the observation."""
    images, masks, _ = observation
    return jnp.where(masks > 0.5, images, restored) if keeps_known and masks is not None else restored


class Block(nn.Module):
    """The residual block x + conv(relu(conv(x) + told)), which is close to x at first.

    Attributes:
      dtype: compute dtype.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Images, told: Float[Array, "b f"] | None = None) -> Images:
        """Returns the sum of x and its residual, (b, *spatial, c).

        Args:
          x: (b, *spatial, c).
          told: features of what the network is told, of which a linear map is added to all pixels alike; None adds
            nothing.
        """
        y = Conv(x.shape[-1], dtype=self.dtype)(x)
        if told is not None:
            shift = nn.Dense(x.shape[-1], dtype=self.dtype, kernel_init=nn.initializers.zeros)(told)
            y = y + shift.reshape(x.shape[0], *(1,) * (x.ndim - 2), -1)
        return x + Conv(x.shape[-1], dtype=self.dtype, kernel_init=SMALL)(nn.relu(y))


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
      repairs: what the network is told to repair, each with a level in `Observation.levels`; empty for a blind network.
      fills: whether images may have missing pixels or impulses, which are then filled before all else.
      keeps_known: whether pixels that a mask marks as known are returned unchanged.
      dtype: compute dtype; the result is float32.
    """

    widths: tuple[int, ...] = (32, 64, 128)
    blocks: int = 1
    depth: int = 3
    repairs: tuple[str, ...] = ()
    fills: bool = True
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
        filled = reach(self._grids) if self.fills else 0
        return sum(2 ** (i + 1) * n for i, n in enumerate(convolutions)) + blocks + filled

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
        padded, missing = planes[..., :c], planes[..., c : c + 1]
        levels = self._levels(observation, padded)
        start, suspected = self._start(observation, levels, padded, missing)
        told = None if levels is None else level_features(levels)
        x = space_to_depth(jnp.concatenate([start, planes[..., c:], suspected], axis=-1))
        x = Conv(self.widths[0], dtype=self.dtype)(x)
        grids = []
        for width in self.widths[1:]:
            x = self._blocks(x, self.blocks, told)
            grids.append(x)
            x = Conv(width, 1, dtype=self.dtype)(space_to_depth(x))
        x = self._blocks(x, self.depth, told)
        block = 2 ** len(sizes)
        for grid in reversed(grids):
            x = grid + depth_to_space(Conv(block * grid.shape[-1], 1, dtype=self.dtype, kernel_init=SMALL)(x))
            x = self._blocks(x, self.blocks, told)
        change = depth_to_space(Conv(block * (c + 1), dtype=self.dtype, kernel_init=SMALL)(x)).astype(jnp.float32)
        kept = nn.sigmoid(change[..., c:] - IMPULSE_BIAS) * jnp.abs(suspected)
        restored = start + kept * (padded - start) + change[..., :c]
        return put_back(cut_to(restored, sizes), observation, self.keeps_known)

    def _blocks(self, x: Array, num: int, told: Array | None) -> Array:
        for _ in range(num):
            x = Block(self.dtype)(x, told)
        return x

    def _levels(self, observation: Observation, padded: Images) -> Array | None:
        """Returns the levels that the network is told, (b, k); None for a blind network."""
        if not self.repairs:
            return None
        if self.is_initializing():  # its weights lie among those of the network; `estimated_levels` applies it
            LevelEstimator(len(self.repairs), self.dtype, name=ESTIMATOR)(padded)
        if observation.levels is None:
            return jnp.full((padded.shape[0], len(self.repairs)), UNKNOWN, jnp.float32)
        return observation.levels

    def _start(self, observation: Observation, levels: Array | None, x: Images, missing: Array) -> tuple[Images, Array]:
        """Returns the images with missing pixels and suspected impulses filled, and the suspects."""
        if not self.fills:
            return x, jnp.zeros_like(missing)
        if levels is None:
            return initial_fill(x, missing, self._grids)
        if IMPULSES in self.repairs:
            asked = per_image((levels[:, self.repairs.index(IMPULSES)] != 0.0).astype(jnp.float32), x)
            return initial_fill(x, missing, self._grids, asked)
        if observation.masks is not None:
            return initial_fill(x, missing, self._grids, 0.0)
        return x, jnp.zeros_like(missing)  # the fill would change nothing, and takes as long as the network


def estimated_levels(network: nn.Module, params: Params, images: Images) -> Float[Array, "b k"]:
    """Returns the square roots of the levels that a network which is told levels estimates; see `LevelEstimator`."""
    estimator = LevelEstimator(len(network.repairs), network.dtype)
    return estimator.apply({"params": params[ESTIMATOR]}, images)


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
