"""The recurrent convolutional network (CRNN): the estimate is fed back beside the damaged image, again and again.

References: Putzky, Welling, "Recurrent Inference Machines for Solving Inverse Problems", 2017, section 3; Ren et al.,
"Progressive Image Deraining Networks: A Better and Simpler Baseline", 2019, section 3.2; Ballas et al., "Delving Deeper
into Convolutional Networks for Learning Video Representations", 2016, equations 5 to 8 (the gated state).
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float, Int

from jaxgen.networks.inverse import SMALL, Block, join_planes, pad_to_multiple, put_back
from jaxgen.networks.layers import Conv, depth_to_space, space_to_depth
from jaxgen.types import Images, Levels, Masks


class Memory(NamedTuple):
    """What passes from one iteration to the next: the estimate (b, h, w, c) and the state (b, h/2, w/2, f)."""

    estimate: Images
    state: Float[Array, "b i j f"]


class RecurrentCell(nn.Module):
    """One iteration, at half size: h' = (1 - z) h + z n with gates z, r and proposal n from convolutions of (x, h).

    Attributes:
      features: channels f of the state.
      blocks: residual blocks between state and output.
      keeps_known: whether known pixels are put back after the iteration.
      dtype: compute dtype; the estimate is float32.
    """

    features: int = 32
    blocks: int = 2
    keeps_known: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, memory: Memory, images: Images, masks: Masks | None, sigma: Levels | None) -> Memory:
        """The memory after one more look at the damaged image; sizes are even."""
        seen = jnp.concatenate([join_planes(images, masks, sigma), memory.estimate], axis=-1)
        x = nn.relu(Conv(self.features, dtype=self.dtype)(space_to_depth(seen)))
        h = memory.state.astype(self.dtype)
        gates = nn.sigmoid(Conv(2 * self.features, dtype=self.dtype)(jnp.concatenate([x, h], axis=-1)))
        z, r = jnp.split(gates, 2, axis=-1)
        n = jnp.tanh(Conv(self.features, dtype=self.dtype)(jnp.concatenate([x, r * h], axis=-1)))
        h = (1.0 - z) * h + z * n
        y = h
        for _ in range(self.blocks):
            y = Block(self.dtype)(y)
        change = depth_to_space(Conv(4 * images.shape[-1], dtype=self.dtype, kernel_init=SMALL)(y))
        estimate = memory.estimate + change.astype(jnp.float32)
        estimate = put_back(estimate, images, masks, self.keeps_known)
        return Memory(estimate, h.astype(jnp.float32))


class RecurrentRestorer(nn.Module):
    """The same cell, iterated: what it reaches grows with each iteration, its parameters do not.

    Attributes:
      features: channels of the state.
      blocks: residual blocks of the cell.
      iterations: how often it is applied where nothing else is asked for.
      keeps_known: whether pixels that a mask calls known come out exactly as they came in.
      dtype: compute dtype; the result is float32.
    """

    features: int = 32
    blocks: int = 2
    iterations: int = 6
    keeps_known: bool = False
    dtype: Any = jnp.float32

    @property
    def multiple(self) -> int:
        """Sizes that need no padding are multiples of this."""
        return 2

    @property
    def halo(self) -> int:
        """Radius of the receptive field in pixels after `iterations`."""
        return self.iterations * (2 * (4 + 2 * self.blocks) + 2)

    def setup(self) -> None:
        """The one cell."""
        self.cell = RecurrentCell(self.features, self.blocks, self.keeps_known, self.dtype)

    def __call__(self, images: Images, masks: Masks | None = None, sigma: Levels | None = None) -> Images:
        """The last of `estimates`."""
        return self.estimates(images, masks, sigma)[-1]

    def estimates(
        self, images: Images, masks: Masks | None = None, sigma: Levels | None = None
    ) -> Float[Array, "t b h w c"]:
        """The estimates of all iterations; the backward pass computes each iteration anew rather than keep it.

        Args:
          images: damaged, (b, h, w, c) in [-1, 1].
          masks: (b, h, w, 1), 1 where a pixel is known, 0 where it is missing; None if nothing is told (blind).
          sigma: (b,), standard deviation of the noise, of an image in [0, 1]; None if unknown (blind).
        """

        def step(cell: RecurrentCell, memory: Memory, _: None) -> tuple[Memory, Images]:
            after = cell(memory, padded, padded_masks, sigma)
            return after, after.estimate

        padded, padded_masks, memory = self._start(images, masks)
        repeat = nn.scan(
            nn.remat(step, prevent_cse=False),
            variable_broadcast="params",
            split_rngs={"params": False},
            length=self.iterations,
        )
        _, found = repeat(self.cell, memory, None)
        return found[:, :, : images.shape[1], : images.shape[2]]

    def until_still(
        self,
        images: Images,
        masks: Masks | None = None,
        sigma: Levels | None = None,
        *,
        most: int = 50,
        tolerance: float = 1e-3,
    ) -> tuple[Images, Int[Array, ""]]:
        """Iterates until no image changes by more than `tolerance` (root mean square, of [-1, 1]) in an iteration.

        Args:
          images: as of `estimates`, with masks and sigma.
          masks: see there.
          sigma: see there.
          most: iterations at most; may be more than in training.
          tolerance: 0 or more.

        Returns:
          The estimate (b, h, w, c), and how many iterations were made.
        """
        padded, padded_masks, memory = self._start(images, masks)
        cell, variables = self.cell.clone(parent=None), self.cell.variables

        def moved(carry: tuple[Memory, Array, Array]) -> Array:
            _, change, num = carry
            return (num < most) & (change > tolerance)

        def again(carry: tuple[Memory, Array, Array]) -> tuple[Memory, Array, Array]:
            before, _, num = carry
            after = cell.apply(variables, before, padded, padded_masks, sigma)
            squares = jnp.mean(jnp.square(after.estimate - before.estimate), axis=(1, 2, 3))
            return after, jnp.sqrt(jnp.max(squares)), num + 1

        start = (memory, jnp.full((), jnp.inf), jnp.zeros((), jnp.int32))
        memory, _, num = lax.while_loop(moved, again, start)
        return memory.estimate[:, : images.shape[1], : images.shape[2]], num

    def _start(self, images: Images, masks: Masks | None) -> tuple[Array, Array | None, Memory]:
        """Inputs of even size, and the memory before the first iteration: the damaged image, and nothing."""
        padded = pad_to_multiple(images, 2)
        b, h, w, _ = padded.shape
        memory = Memory(padded, jnp.zeros((b, h // 2, w // 2, self.features)))
        return padded, None if masks is None else pad_to_multiple(masks, 2), memory
