"""The private gradient of DP-SGD, as a `Gradient`: clipped for each example, summed, noised, divided by a constant."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float

from jaxgen.privacy.clipping import clipped_sum
from jaxgen.privacy.noise import Keys, add_noise
from jaxgen.training.step import LossFn
from jaxgen.types import Metrics, Params


class Mechanism(NamedTuple):
    """What bounds and hides the contribution of one example.

    Attributes:
      clip: the largest norm of an example's gradient.
      noise: noise multiplier: the standard deviation of the noise on the sum, in units of `clip`.
      batch_size: mean number of examples of a batch, by which the noisy sum is divided. The number that was drawn is
        private.
      taps: see `clipped_sum`.
    """

    clip: jax.Array | float
    noise: float
    batch_size: int
    taps: bool = True


def private_gradient(
    mechanism: Mechanism, keys: Keys, mask: Float[Array, " b"]
) -> Callable[[LossFn, Params, Any], tuple[Params, Metrics]]:
    """Returns the `Gradient` of a step; it gives no metrics, since means over private examples are private.

    Args:
      mechanism: clip, noise and divisor.
      keys: secret keys of the noise of this step.
      mask: 1 for an example, 0 for padding.

    References:
      Abadi et al., "Deep Learning with Differential Privacy", 2016, algorithm 1.
    """

    def gradient(loss_fn: LossFn, params: Params, examples: Any) -> tuple[Params, Metrics]:
        total = clipped_sum(loss_fn, params, examples, mask, mechanism.clip, taps=mechanism.taps)
        noisy = add_noise(keys, total, mechanism.noise * mechanism.clip)
        return jax.tree.map(lambda x: x / mechanism.batch_size, noisy), {}

    return gradient
