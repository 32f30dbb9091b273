"""The convolutional recurrent network (CRNN), whose input is the damaged image and its own last estimate.

References: Putzky, Welling, "Recurrent Inference Machines for Solving Inverse Problems", 2017, section 3; Ren et al.,
"Progressive Image Deraining Networks: A Better and Simpler Baseline", 2019, section 3.2; Ballas et al., "Delving Deeper
into Convolutional Networks for Learning Video Representations", 2016, equations 5 to 8 (the gated state).
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxgen.networks.initial_fill import initial_fill, reach
from jaxgen.networks.inverse import SMALL, Block, cut_to, join_planes, pad_to_multiple, put_back
from jaxgen.networks.layers import Conv, depth_to_space, space_to_depth
from jaxgen.types import Images, Observation


class Memory(NamedTuple):
    """The state between two iterations: the estimate (b, *spatial, c), and hidden features on the smallest grid."""

    estimate: Images
    state: Float[Array, "b *g f"]


class RecurrentCell(nn.Module):
    """One iteration: down to the smallest grid, one gated update of the hidden state there, and up again.

    The update is h' = (1 - z) h + z n, with gates z, r and proposal n from convolutions of (x, h).

    Attributes:
      widths: channels of each grid, from half size down; the state has those of the last.
      blocks: number of residual blocks on each grid, both on the way down and up; on the smallest grid, up alone.
      keeps_known: whether known pixels are restored after the iteration to what they were.
      dtype: compute dtype; the estimate is float32.
    """

    widths: tuple[int, ...] = (32,)
    blocks: int = 2
    keeps_known: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, memory: Memory, observation: Observation) -> Memory:
        """Returns the memory after one iteration; sizes are multiples of 2 ** len(widths)."""
        *sizes, c = observation.images.shape[1:]
        block = 2 ** len(sizes)
        seen = jnp.concatenate([join_planes(observation), memory.estimate], axis=-1)
        x = nn.relu(Conv(self.widths[0], dtype=self.dtype)(space_to_depth(seen)))
        levels = []
        for width in self.widths[1:]:
            x = self._blocks(x)
            levels.append(x)
            x = Conv(width, 1, dtype=self.dtype)(space_to_depth(x))
        h = self._update(x, memory.state.astype(self.dtype))
        y = self._blocks(h)
        for level in reversed(levels):
            y = level + depth_to_space(Conv(block * level.shape[-1], 1, dtype=self.dtype, kernel_init=SMALL)(y))
            y = self._blocks(y)
        change = depth_to_space(Conv(block * c, dtype=self.dtype, kernel_init=SMALL)(y))
        estimate = memory.estimate + change.astype(jnp.float32)
        estimate = put_back(estimate, observation, self.keeps_known)
        return Memory(estimate, h.astype(jnp.float32))

    def _update(self, x: Array, h: Array) -> Array:
        width = h.shape[-1]
        gates = nn.sigmoid(Conv(2 * width, dtype=self.dtype)(jnp.concatenate([x, h], axis=-1)))
        z, r = jnp.split(gates, 2, axis=-1)
        n = jnp.tanh(Conv(width, dtype=self.dtype)(jnp.concatenate([x, r * h], axis=-1)))
        return (1.0 - z) * h + z * n

    def _blocks(self, x: Array) -> Array:
        for _ in range(self.blocks):
            x = Block(self.dtype)(x)
        return x


class RecurrentRestorer(nn.Module):
    """A network that applies one cell repeatedly, so that its receptive field grows with the iterations.

    Like the inverse network it starts from the initial fill of missing pixels and suspected impulses.

    Attributes:
      widths: see `RecurrentCell`.
      blocks: see `RecurrentCell`.
      iterations: number of times that the cell is applied.
      keeps_known: whether pixels that a mask marks as known are returned unchanged.
      dtype: compute dtype; the result is float32.
    """

    widths: tuple[int, ...] = (32,)
    blocks: int = 2
    iterations: int = 6
    keeps_known: bool = False
    dtype: Any = jnp.float32

    heeds_extent = True  # it computes with the layers that do, and so knows `ends_at`

    @property
    def multiple(self) -> int:
        """Returns the number that divides all sizes that need no padding."""
        return 2 ** len(self.widths)

    @property
    def halo(self) -> int:
        """Returns an upper bound of the radius of the receptive field after `iterations`, in pixels."""
        grids = range(len(self.widths))
        # the gated update has two convolutions in sequence (r, then n); a block has two, on the smallest grid up alone
        convolutions = [4 * self.blocks if i + 1 < len(self.widths) else 2 * self.blocks + 2 for i in grids]
        convolutions[0] += 2
        # each rearrangement reaches across its block
        iteration = sum(2 ** (i + 1) * n for i, n in enumerate(convolutions)) + 2 * (self.multiple - 1)
        return self.iterations * iteration + reach(self._grids)

    @property
    def _grids(self) -> int:
        return len(self.widths) + 1

    def setup(self) -> None:
        """Creates the cell."""
        self.cell = RecurrentCell(self.widths, self.blocks, self.keeps_known, self.dtype)

    def __call__(self, observation: Observation) -> Images:
        """Returns the last of the `estimates`."""
        return self.estimates(observation)[-1]

    def estimates(self, observation: Observation) -> Float[Array, "t b *s c"]:
        """Returns the estimates of all iterations; the backward pass computes each iteration again to save memory.

        Args:
          observation: of images or volumes (b, *spatial, c).
        """

        def step(cell: RecurrentCell, memory: Memory, _: None) -> tuple[Memory, Images]:
            after = cell(memory, padded)
            return after, cut_to(after.estimate, observation.images.shape[1:-1])

        padded, memory = self._start(observation)
        repeat = nn.scan(
            nn.remat(step, prevent_cse=False),
            variable_broadcast="params",
            split_rngs={"params": False},
            length=self.iterations,
        )
        _, found = repeat(self.cell, memory, None)
        return found

    def _start(self, observation: Observation) -> tuple[Observation, Memory]:
        """Returns the padded observation, and the memory at the start: the initial fill and a state of zeros."""
        images = pad_to_multiple(observation.images, self.multiple)
        masks = None if observation.masks is None else pad_to_multiple(observation.masks, self.multiple)
        missing = jnp.zeros((*images.shape[:-1], 1), jnp.float32) if masks is None else 1.0 - masks
        filled, _ = initial_fill(images, missing, self._grids)
        b, *sizes, _ = images.shape
        state = jnp.zeros((b, *(size // self.multiple for size in sizes), self.widths[-1]), jnp.float32)
        return Observation(images, masks, observation.levels), Memory(filled, state)
