"""Optimizers and schedules whose numbers are traced, so that one compiled step serves every value."""

from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxgen.training.step import TrainState
from jaxgen.types import Params

OptimizerName = Literal["adam", "muon", "sgd"]
Scalar = Float[Array, ""]


def make_optimizer(
    name: OptimizerName, lr: Scalar, b1: Scalar, b2: Scalar, weight_decay: Scalar | float = 0.0
) -> optax.GradientTransformation:
    """The optimizer for one step; build it inside the step from traced numbers.

    Args:
      name: "adam" (Kingma and Ba 2015, epsilon 1e-8), "sgd" (plain, for comparisons across devices) or "muon": the
        momentum of each convolution, as a matrix from its inputs to its outputs, is made orthogonal and scaled to the
        size of Adam's updates (Liu et al., "Muon is Scalable for LLM Training", 2025, equation 4); others take Adam,
        both with Nesterov's momentum (Dozat, "Incorporating Nesterov Momentum into Adam", 2016).
      lr: learning rate of this step.
      b1: decay of the first moment, unused by sgd.
      b2: decay of the second moment, unused by sgd.
      weight_decay: what muon multiplies with `lr` and takes off each convolution in proportion: without normalisation
        kernels else grow until a high rate diverges. Unused by the others.

    Returns:
      A transformation whose state has the same structure at every step.
    """
    if name == "sgd":
        return optax.sgd(lr)
    if name == "muon":
        return optax.contrib.muon(
            lr,
            beta=b1,
            weight_decay=weight_decay,
            adam_b1=b1,
            adam_b2=b2,
            consistent_rms=0.2,
            muon_weight_dimension_numbers=_kernels,
        )
    return optax.adam(lr, b1=b1, b2=b2, eps=1e-8)


def _kernels(params: Params) -> Params:
    """For each convolution which axes are its inputs and outputs; None for any other parameter."""
    return jax.tree.map(
        lambda p: optax.contrib.MuonDimensionNumbers(tuple(range(p.ndim - 1)), p.ndim - 1) if p.ndim >= 4 else None,
        params,
    )


def apply_gradients(state: TrainState, name: str, grads: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """State after one optimizer update of the network `name`; the others are untouched."""
    with jax.numpy_dtype_promotion("standard"):  # optax raises a float decay to an integer count
        updates, opt_state = optimizer.update(grads, state.opt_state[name], state.params[name])
    params = optax.apply_updates(state.params[name], updates)
    return state.replace(params={**state.params, name: params}, opt_state={**state.opt_state, name: opt_state})


def average(state: TrainState, name: str, half_life: Scalar, images_seen: Scalar, batch_size: int) -> TrainState:
    """State whose moving average of the network `name` has taken in its parameters (see `ema_decay`)."""
    decay = ema_decay(half_life, images_seen, batch_size)
    mixed = optax.incremental_update(state.params[name], state.ema_params[name], 1.0 - decay)
    return state.replace(ema_params={**state.ema_params, name: mixed})


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
