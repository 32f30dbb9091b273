"""Optimizers and schedules whose numbers are traced, so that one compiled step serves every value."""

from typing import Literal

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

OptimizerName = Literal["adam", "sgd"]
Scalar = Float[Array, ""]


def make_optimizer(name: OptimizerName, lr: Scalar, b1: Scalar, b2: Scalar) -> optax.GradientTransformation:
    """The optimizer for one step; build it inside the step from traced numbers.

    Args:
      name: "adam" (Kingma and Ba 2015, epsilon 1e-8) or "sgd" (plain, for comparisons across devices).
      lr: learning rate of this step.
      b1: decay of the first moment, unused by sgd.
      b2: decay of the second moment, unused by sgd.

    Returns:
      A transformation whose state has the same structure at every step.
    """
    if name == "sgd":
        return optax.sgd(lr)
    return optax.adam(lr, b1=b1, b2=b2, eps=1e-8)


def cosine(start: Scalar, end: Scalar, progress: Scalar) -> Scalar:
    """end + (start - end) (1 + cos(pi p)) / 2: from `start` at progress 0 to `end` at 1 and after.

    References:
      Loshchilov and Hutter, "SGDR", 2017, equation 5, a single period.
    """
    p = jnp.clip(progress, 0.0, 1.0)
    return end + (start - end) * 0.5 * (1.0 + jnp.cos(jnp.pi * p))


def ema_decay(half_life: Scalar, images_seen: Scalar, batch_size: int) -> Scalar:
    """Decay per step of an exponential moving average whose memory halves every `half_life` images.

    0.5 ** (batch_size / h) with h = min(half_life, images_seen / 20), so that the average follows fast at first.

    References:
      Karras et al., "Training Generative Adversarial Networks with Limited Data", 2020, its published ramp-up.
    """
    ramp = jnp.maximum(jnp.minimum(half_life, images_seen / 20.0), 1e-8)
    return jnp.exp2(-batch_size / ramp)
