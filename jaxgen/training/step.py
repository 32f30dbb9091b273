"""The train step, a pure function of state, batch and key; an algorithm is a record of such functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from jaxgen.types import Metrics, Params, PRNGKey

LossFn = Callable[[Params, Any], tuple[jax.Array, Metrics]]
"""(params, examples) -> (loss, metrics), both means over the examples, a pytree of arrays (b, ...)."""
Gradient = Callable[[LossFn, Params, Any], tuple[Params, Metrics]]
"""(loss_fn, params, examples) -> (gradient by params, metrics); the caller of a step may pass one that accumulates."""


@flax.struct.dataclass
class TrainState:
    """The state that a step reads and updates: a pytree of arrays, or of shapes from `jax.eval_shape`.

    Attributes:
      step: int32 scalar, the number of steps done.
      images: int32 scalar, the number of training images read: schedules and the order of the data go on from it.
      params: parameters by network name, e.g. "generator", "discriminator", "restorer".
      opt_state: optimizer state by network name.
      ema_params: moving average of the parameters of each network that is used for prediction.
      hparams: float32 scalars by name, all numbers that a user may tune or scan.
      extras: other arrays of an algorithm.
    """

    step: Any
    images: Any
    params: dict[str, Params]
    opt_state: dict[str, Any]
    ema_params: dict[str, Params]
    hparams: dict[str, Any]
    extras: dict[str, Any]


class Sizes(NamedTuple):
    """The image sizes that a `predict` takes, if it takes more than one.

    Attributes:
      halo: the farthest distance, in pixels of the image, at which one of them influences the result.
      multiple: sizes that are a multiple of this need no padding.
      heeds_extent: whether `predict` gives the same for an image in a larger array (`jaxgen.networks.extent`).
      scale: pixels of the result for each pixel of the image, along each axis.
    """

    halo: int
    multiple: int
    heeds_extent: bool = False
    scale: int = 1


class Algorithm(NamedTuple):
    """An algorithm: a record of pure functions.

    Attributes:
      init: (key, hparams) -> TrainState.
      step: (state, batch, key) -> (state, metrics); all its random numbers come from `fold_in(key, state.step)`.
        A fourth argument, a `Gradient`, replaces `mean_gradient`; all costly gradients are computed by it.
      predict: (state, inputs, key) -> `Prediction` of images in [-1, 1], or logits, with the averaged parameters.
      draw_inputs: (key, num) -> random inputs of `predict` by name, such as `latents` (num, z); None if they are data.
      images_per_step: images that one step consumes.
      takes_gradient: whether `step` takes the fourth argument.
      sizes: the sizes that `predict` takes; None for only the training size.
      batches: makes the batches in place of `jaxgen.data.pipeline.batches`, whose arguments it takes.
    """

    init: Callable[[PRNGKey, dict[str, float]], TrainState]
    step: Callable[..., tuple[TrainState, Metrics]]
    predict: Callable[..., Any]
    draw_inputs: Callable[..., dict[str, jax.Array]] | None
    images_per_step: int
    takes_gradient: bool = True
    sizes: Sizes | None = None
    batches: Callable[..., Any] | None = None


def mean_gradient(loss_fn: LossFn, params: Params, examples: Any) -> tuple[Params, Metrics]:
    """Returns the gradient and the metrics of all examples at once: the default `Gradient`."""
    return jax.grad(loss_fn, has_aux=True)(params, examples)


def advanced(state: TrainState, num_images: int) -> TrainState:
    """Returns the state with one more step done, which has read `num_images` images."""
    return state.replace(step=state.step + 1, images=state.images + num_images)


def all_finite(tree: Any) -> jax.Array:
    """Returns whether all floating-point arrays of a tree are finite, as a bool scalar."""
    leaves = jax.tree.leaves(tree)
    return jnp.stack([jnp.isfinite(x).all() for x in leaves if jnp.issubdtype(x.dtype, jnp.floating)]).all()


def as_hparams(hparams: Any) -> dict[str, jax.Array]:
    """Returns numbers by name as float32 scalar arrays."""
    return {name: jnp.asarray(value, jnp.float32) for name, value in dict(hparams).items()}


def new_state(params: dict[str, Params], averaged: tuple[str, ...], hparams: Any, optimizer: Any) -> TrainState:
    """Returns the state before the first step.

    Args:
      params: parameters by network name.
      averaged: names of the networks that get a moving average.
      hparams: numbers by name.
      optimizer: an `optax.GradientTransformation`, the same for all networks.
    """
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        images=jnp.zeros((), jnp.int32),
        params=params,
        opt_state={name: optimizer.init(p) for name, p in params.items()},
        ema_params={name: jax.tree.map(jnp.copy, params[name]) for name in averaged},  # a step donates its state
        hparams=as_hparams(hparams),
        extras={},
    )
