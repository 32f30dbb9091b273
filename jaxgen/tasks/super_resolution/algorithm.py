"""The training of networks that enlarge images: the step makes small images of clean ones, and learns the way back."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.degradations.second_order import second_order
from jaxgen.errors import require
from jaxgen.images import to_float
from jaxgen.losses.reconstruction import RECONSTRUCTION_LOSSES
from jaxgen.networks.upscaler import Upscaler
from jaxgen.tasks.super_resolution.bicubic import resize_bicubic
from jaxgen.tasks.super_resolution.config import SuperResolutionConfig
from jaxgen.training.optimizers import apply_gradients, average, learning_rate, make_optimizer
from jaxgen.training.step import Algorithm, Gradient, Sizes, TrainState, advanced, as_hparams, mean_gradient, new_state
from jaxgen.types import Batch, Grid, Images, Metrics, Observation, Params, Prediction, PRNGKey

Pair = tuple[Float[Array, "b ... c"], Float[Array, "b ... c"]]
"""Small images, and the clean ones that they show."""
NETWORK = "upscaler"
MARGIN = 2
"""Pixels that are cut off each side of a small image, whose values would depend on the border of the crop."""


class SuperResolution(NamedTuple):
    """The static part of the training: what is the same at every step.

    Attributes:
      config: structure of the network.
      network: the network.
      size: height and width of the small images of all factors, in pixels.
      batch_size: images per update, over all devices.
    """

    config: SuperResolutionConfig
    network: Upscaler
    size: int
    batch_size: int


def make_super_resolution(
    config: SuperResolutionConfig, shape: Grid, batch_size: int, scale: int | None = None
) -> Algorithm:
    """Returns the training of a network that enlarges images as a record of pure functions.

    Args:
      config: structure of the network.
      shape: (h, w, 3) of the crops; the smaller of h and w, divided by the largest factor, is the size of the small
        images, of which `MARGIN` is cut off each side.
      batch_size: crops per update, over all devices; each is reduced by every factor.
      scale: the factor of `predict`; None for the largest.

    Returns:
      An `Algorithm`; a batch holds clean `images` (b, h, w, 3), uint8 or in [-1, 1]. `init` reads the numbers of
      `SuperResolutionHparams`. `predict(state, observation, key)` enlarges images with the averaged weights.

    Raises:
      InputError: crops that are too small or not of colour, or a factor without a head.
    """
    task = static_part(config, shape, batch_size, scale)
    network = task.network
    return Algorithm(
        init=partial(init_super_resolution, task),
        step=partial(super_resolution_step, task),
        predict=partial(enlarge, network),
        draw_inputs=None,
        images_per_step=batch_size,
        sizes=Sizes(network.halo, network.multiple, network.heeds_extent, network.scale),
    )


def static_part(
    config: SuperResolutionConfig, shape: Grid, batch_size: int, scale: int | None = None
) -> SuperResolution:
    """Returns the static part of a training; see `make_super_resolution`."""
    require(len(shape) == 3 and shape[-1] == 3, "channels", shape[-1], "3")
    scales = tuple(sorted(config.scale))
    least, size = (8 + 2 * MARGIN) * scales[-1], min(shape[:2]) // scales[-1] - 2 * MARGIN
    require(size >= 8, "crop_size", min(shape[:2]), f"{least} or more for factor {scales[-1]}")
    scale = scales[-1] if scale is None else scale
    require(scale in scales, "scale", scale, f"one of {', '.join(map(str, scales))}")
    network = Upscaler(config.width, config.blocks, scales, scale, config.dtype)
    return SuperResolution(config, network, size, batch_size)


def enlarge(network: Upscaler, state: TrainState, observation: Observation, key: PRNGKey) -> Prediction:
    """Returns the images enlarged with the averaged weights; the key is not used."""
    del key
    return Prediction(network.apply({"params": state.ema_params[NETWORK]}, observation))


def init_super_resolution(task: SuperResolution, key: PRNGKey, hparams: Mapping[str, Any]) -> TrainState:
    """Returns the initial state: weights drawn from `key`, and a moving average that starts as their copy."""
    images = jnp.zeros((1, task.size, task.size, 3), jnp.float32)
    params = {NETWORK: task.network.init(key, Observation(images))["params"]}
    numbers = as_hparams(hparams)
    optimizer = make_optimizer(task.config.optimizer, numbers["lr"], numbers["b1"], numbers["b2"])
    return new_state(params, (NETWORK,), numbers, optimizer)


def super_resolution_step(
    task: SuperResolution, state: TrainState, batch: Batch, key: PRNGKey, gradient: Gradient = mean_gradient
) -> tuple[TrainState, Metrics]:
    """Returns the state after one update, and its metrics.

    Args:
      task: the static part of the training.
      state: state before the step.
      batch: clean `images` (b, h, w, 3), uint8 or in [-1, 1].
      key: key of the run; that of the step is `fold_in(key, state.step)`.
      gradient: computes the mean gradient over the examples.
    """
    images_seen, hparams = state.images.astype(jnp.float32), state.hparams
    examples = examples_of(task, jax.random.fold_in(key, state.step), to_float(batch["images"]))
    lr = learning_rate(hparams, images_seen)
    optimizer = make_optimizer(task.config.optimizer, lr, hparams["b1"], hparams["b2"], hparams["weight_decay"])
    grads, metrics = gradient(partial(reconstruction, task), state.params[NETWORK], examples)
    state = apply_gradients(state, NETWORK, grads, optimizer)
    state = average(state, NETWORK, hparams["ema_half_life"], images_seen, task.batch_size)
    return advanced(state, task.batch_size), {**metrics, "schedule/lr": lr}


def examples_of(task: SuperResolution, key: PRNGKey, images: Images) -> tuple[Pair, ...]:
    """Returns small images and the clean ones that they show, (b, ...) each, for each factor.

    All small images have the same size, so that the trunk takes them together.
    """
    keys = jax.random.split(key, len(task.network.scales))
    both = zip(keys, task.network.scales, strict=True)
    return tuple(pair_of(k, images, scale, task.size, task.config.degradation) for k, scale in both)


def pair_of(key: PRNGKey, images: Images, scale: int, size: int, degradation: str) -> Pair:
    """Returns small images (b, size, size, c) of 8-bit values, and the pixels of `images` that they show."""
    whole, cut = scale * (size + 2 * MARGIN), MARGIN * scale
    clean = images[:, :whole, :whole]
    if degradation == "photo":
        small = second_order(key, clean, scale, MARGIN)
    else:
        small = resize_bicubic(clean, (size + 2 * MARGIN,) * 2)[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
        small = jnp.clip(jnp.round((small + 1.0) * 127.5) / 127.5 - 1.0, -1.0, 1.0)
    return small, clean[:, cut:-cut, cut:-cut]


def reconstruction(task: SuperResolution, params: Params, examples: tuple[Pair, ...]) -> tuple[jax.Array, Metrics]:
    """Returns the mean loss over the examples of all factors, and that of each factor as a metric."""
    loss, weights = RECONSTRUCTION_LOSSES[task.config.loss], {"params": params}
    small = [pair[0] for pair in examples]
    features = task.network.apply(weights, jnp.concatenate(small), method="features")
    values = {}
    for i, scale in enumerate(task.network.scales):
        images, clean = examples[i]
        own = features[i * len(images) : (i + 1) * len(images)]
        enlarged = task.network.apply(weights, images, own, scale, method="enlarge")
        values[f"loss/x{scale}"] = jnp.mean(loss(enlarged, clean))
    return sum(values.values()) / len(values), values
