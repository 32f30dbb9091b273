"""What a train step is: a pure function of state, batch and key. An algorithm is a record of such functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from jaxgen.types import Metrics, Params, PRNGKey

LossFn = Callable[[Params, Any], tuple[jax.Array, Metrics]]
"""(params, examples) -> (loss, metrics), both means over the examples, a pytree of arrays (b, ...)."""
Gradient = Callable[[LossFn, Params, Any], tuple[Params, Metrics]]
"""(loss_fn, params, examples) -> (gradient by params, metrics). Who runs a step may give it one that works in parts."""


@flax.struct.dataclass
class TrainState:
    """Everything that a step reads and changes, arrays only (or their shapes, from `jax.eval_shape`).

    Attributes:
      step: int32 scalar, number of steps done; also the number of batches consumed.
      params: parameters by network name, e.g. "generator", "discriminator", "restorer".
      opt_state: optimizer state by network name.
      ema_params: moving average of the parameters of the networks that are used for prediction.
      hparams: float32 scalars by name: every number that a user may tune or scan.
      extras: any further arrays of an algorithm.
    """

    step: Any
    params: dict[str, Params]
    opt_state: dict[str, Any]
    ema_params: dict[str, Params]
    hparams: dict[str, Any]
    extras: dict[str, Any]


class Sizes(NamedTuple):
    """The sizes that a `predict` takes: any multiple.

    Attributes:
      halo: pixels from which a pixel of the result may depend on another one, at most.
      multiple: that sizes without padding are a multiple of.
    """

    halo: int
    multiple: int


class Algorithm(NamedTuple):
    """A record of pure functions; no base class.

    Attributes:
      init: (key, hparams) -> TrainState.
      step: (state, batch, key) -> (state, metrics); takes its randomness from `fold_in(key, state.step)` alone.
        A fourth argument, a `Gradient`, may take the place of `mean_gradient`: what is costly goes through it.
      predict: (state, inputs, key) -> `Prediction` of images (b, *spatial, c) in [-1, 1], or logits, from the averaged
        parameters; what it draws comes from the key.
      draw_inputs: (key, num) -> random inputs of `predict` by name, as `latents` (num, z); None where inputs are data.
      images_per_step: images of the batch that one step consumes.
      takes_gradient: whether `step` takes the fourth argument.
      sizes: that `predict` takes; None for the one size that it was trained on.
    """

    init: Callable[[PRNGKey, dict[str, float]], TrainState]
    step: Callable[..., tuple[TrainState, Metrics]]
    predict: Callable[..., Any]
    draw_inputs: Callable[..., dict[str, jax.Array]] | None
    images_per_step: int
    takes_gradient: bool = True
    sizes: Sizes | None = None


def mean_gradient(loss_fn: LossFn, params: Params, examples: Any) -> tuple[Params, Metrics]:
    """The `Gradient` of all examples at once."""
    return jax.grad(loss_fn, has_aux=True)(params, examples)


def as_hparams(hparams: Any) -> dict[str, jax.Array]:
    """A mapping of numbers to float32 scalar arrays."""
    return {name: jnp.asarray(value, jnp.float32) for name, value in dict(hparams).items()}


def new_state(params: dict[str, Params], averaged: tuple[str, ...], hparams: Any, optimizer: Any) -> TrainState:
    """The state before the first step.

    Args:
      params: parameters by network name.
      averaged: names of the networks whose moving average is kept.
      hparams: numbers by name.
      optimizer: an `optax.GradientTransformation`, the same for all networks.
    """
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state={name: optimizer.init(p) for name, p in params.items()},
        # a copy, since the step gives the buffers of its input away
        ema_params={name: jax.tree.map(jnp.copy, params[name]) for name in averaged},
        hparams=as_hparams(hparams),
        extras={},
    )
