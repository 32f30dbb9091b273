"""Optimizers and schedules with traced numbers, so that one compiled step works for every value."""

from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxgen.training.step import TrainState
from jaxgen.types import Params

OptimizerName = Literal["adam", "muon", "sgd"]
Scalar = Float[Array, ""]
WARM_UP = 0.01
"""Share of the schedule over which the learning rate rises linearly."""


def make_optimizer(
    name: OptimizerName, lr: Scalar, b1: Scalar, b2: Scalar, weight_decay: Scalar | float = 0.0
) -> optax.GradientTransformation:
    """Returns the optimizer for one step; it is built inside the step from traced numbers.

    Args:
      name: "adam" (Kingma and Ba 2015, epsilon 1e-8), "sgd" (plain, for comparisons across devices) or "muon". Muon
        makes the momentum of each convolution kernel, a matrix from inputs to outputs, orthogonal, and scales it to
        the size of Adam's updates (Liu et al., "Muon is Scalable for LLM Training", 2025, equation 4). It updates all
        other parameters by Adam. Both use Nesterov momentum (Dozat, "Incorporating Nesterov Momentum into Adam", 2016).
      lr: learning rate of this step.
      b1: decay of the first moment, unused by sgd.
      b2: decay of the second moment, unused by sgd.
      weight_decay: decoupled weight decay of the kernels that muon updates: without normalisation they would grow
        until a high learning rate diverges. Unused by the others.

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
    """Returns the input and output axes of each convolution kernel, for muon; None for any other parameter."""
    return jax.tree.map(
        lambda p: optax.contrib.MuonDimensionNumbers(tuple(range(p.ndim - 1)), p.ndim - 1) if p.ndim >= 4 else None,
        params,
    )


def apply_gradients(state: TrainState, name: str, grads: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """Returns the state after one optimizer update of the network `name`; the others are unchanged."""
    with jax.numpy_dtype_promotion("standard"):  # optax raises a float decay to an integer count
        updates, opt_state = optimizer.update(grads, state.opt_state[name], state.params[name])
    params = optax.apply_updates(state.params[name], updates)
    return state.replace(params={**state.params, name: params}, opt_state={**state.opt_state, name: opt_state})


def average(state: TrainState, name: str, half_life: Scalar, images_seen: Scalar, batch_size: int) -> TrainState:
    """Returns the state after an update of the moving average of the network `name` (see `ema_decay`)."""
    decay = ema_decay(half_life, images_seen, batch_size)
    mixed = optax.incremental_update(state.params[name], state.ema_params[name], 1.0 - decay)
    return state.replace(ema_params={**state.ema_params, name: mixed})


def cosine(start: Scalar, end: Scalar, progress: Scalar) -> Scalar:
    """Returns end + (start - end) (1 + cos(pi p)) / 2: `start` at progress 0, `end` at 1 and after.

    References:
      Loshchilov and Hutter, "SGDR", 2017, equation 5, a single period.
    """
    p = jnp.clip(progress, 0.0, 1.0)
    return end + (start - end) * 0.5 * (1.0 + jnp.cos(jnp.pi * p))


def learning_rate(hparams: Mapping[str, Scalar], images_seen: Scalar) -> jax.Array:
    """Returns the learning rate: a cosine from `lr` to `lr_final`, with a linear rise over its first `WARM_UP`."""
    progress = images_seen / hparams["schedule_images"]
    return cosine(hparams["lr"], hparams["lr_final"], progress) * jnp.minimum(1.0, (progress + 1e-4) / WARM_UP)


def ema_decay(half_life: Scalar, images_seen: Scalar, batch_size: int) -> Scalar:
    """Returns the decay per step of an exponential moving average with a half-life of `half_life` images.

    It is 0.5 ** (batch_size / h) with h = min(half_life, images_seen / 20), so that the average moves fast at first.

    References:
      Karras et al., "Training Generative Adversarial Networks with Limited Data", 2020, its published ramp-up.
    """
    ramp = jnp.maximum(jnp.minimum(half_life, images_seen / 20.0), 1e-8)
    return jnp.exp2(-batch_size / ramp)
