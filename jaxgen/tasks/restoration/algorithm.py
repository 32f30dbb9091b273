"""The training of restorers: a network learns to map damaged images to clean ones, in two phases.

Phase "noise" adds Gaussian noise of random levels, up to pure noise. The best estimate under noise is the mean of the
clean images that could have led to the noisy one, so a network that gives it has learned the distribution of the data
(Miyasawa, "An empirical Bayes estimator of the mean of a normal population", 1961; Vincent, "A connection between score
matching and denoising autoencoders", 2011). Phase "damage" applies the damage that the network is to remove.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from jaxgen.degradations.compose import Damage, has_missing, mixture, parse_mixture
from jaxgen.errors import require
from jaxgen.images import to_float
from jaxgen.losses.reconstruction import RECONSTRUCTION_LOSSES
from jaxgen.networks.inverse import estimated_levels
from jaxgen.repairs import UNKNOWN
from jaxgen.tasks.restoration.config import RestorationConfig
from jaxgen.tasks.restoration.examples import Example, blind_example, told_example, without_masks
from jaxgen.tasks.restoration.restorers import make_restorer
from jaxgen.tasks.restoration.schedule import Schedule, in_phase, parse_schedule
from jaxgen.training.optimizers import apply_gradients, average, learning_rate, make_optimizer
from jaxgen.training.step import Algorithm, Gradient, Sizes, TrainState, advanced, as_hparams, mean_gradient, new_state
from jaxgen.types import (
    Batch,
    Grid,
    Images,
    Metrics,
    Observation,
    Params,
    Prediction,
    PRNGKey,
    per_image,
)

LEVELS = "levels"
"""The loss of the estimates of levels alone."""


class Restoration(NamedTuple):
    """The static part of the training of a restorer: what is the same at every step.

    Attributes:
      config: structure of the restorer.
      network: maps an `Observation` to restored images; `estimates` gives those of all iterations (t, b, *spatial, c).
      schedule: phases and their numbers of steps.
      choices: kinds of damage, of which one is drawn for each image.
      shape: (*spatial, c) of the training images.
      batch_size: images per update, over all devices.
    """

    config: RestorationConfig
    network: nn.Module
    schedule: Schedule
    choices: tuple[tuple[Damage, ...], ...]
    shape: Grid
    batch_size: int


def make_restoration(config: RestorationConfig, shape: Grid, batch_size: int) -> Algorithm:
    """Returns the training of a restorer as a record of pure functions.

    Args:
      config: structure of the restorer.
      shape: (*spatial, c) of the images, or of the crops, that it is trained on.
      batch_size: images per update, over all devices.

    Returns:
      An `Algorithm`; a batch holds clean `images` (b, *spatial, c), uint8 or in [-1, 1]. `init` reads the numbers
      of `RestorationHparams`. `predict(state, observation, key)` restores images with the averaged weights.

    Raises:
      InputError: an unknown damage or phase, or a shape that the architecture does not take.
    """
    require(config.loss != LEVELS or bool(config.repairs), "loss", config.loss, "any other without repairs")
    network = make_restorer(config, shape)
    choices, config = parse_mixture(config.damage), dataclasses.replace(config, repairs=tuple(config.repairs))
    task = Restoration(config, network, parse_schedule(config.schedule), choices, shape, batch_size)
    return Algorithm(
        init=partial(init_restoration, task),
        step=partial(restoration_step, task),
        predict=partial(restore, network),
        draw_inputs=None,
        images_per_step=batch_size,
        sizes=_sizes(network) if hasattr(network, "halo") else None,
    )


def _sizes(network: nn.Module) -> Sizes:
    return Sizes(network.halo, network.multiple, getattr(network, "heeds_extent", False))


def restore(network: nn.Module, state: TrainState, observation: Observation, key: PRNGKey) -> Prediction:
    """Returns the images restored with the averaged weights; the key is not used."""
    del key
    return Prediction(network.apply({"params": state.ema_params["restorer"]}, observation))


def init_restoration(task: Restoration, key: PRNGKey, hparams: Mapping[str, Any]) -> TrainState:
    """Returns the initial state: weights drawn from `key`, and a moving average that starts as their copy."""
    params = {"restorer": task.network.init(key, Observation(jnp.zeros((1, *task.shape), jnp.float32)))["params"]}
    numbers = as_hparams(hparams)
    optimizer = make_optimizer(task.config.optimizer, numbers["lr"], numbers["b1"], numbers["b2"])
    return new_state(params, ("restorer",), numbers, optimizer)


def restoration_step(
    task: Restoration, state: TrainState, batch: Batch, key: PRNGKey, gradient: Gradient = mean_gradient
) -> tuple[TrainState, Metrics]:
    """Returns the state after one update, and its metrics; the step draws the damage of its phase itself.

    Args:
      task: the static part of the training.
      state: state before the step.
      batch: clean `images` (b, *spatial, c), uint8 or in [-1, 1].
      key: key of the run; that of the step is `fold_in(key, state.step)`.
      gradient: computes the mean gradient over the examples.
    """
    key_grey, key_damage = jax.random.split(jax.random.fold_in(key, state.step))
    grey = jax.random.uniform(key_grey, (task.batch_size,), jnp.float32) < state.hparams["grey_share"]
    clean = one_channel(to_float(batch["images"]), grey)
    noisy = in_phase(task.schedule, "noise", state.step)
    examples = examples_in_phase(task, key_damage, clean, noisy, state.hparams["noise_share"])
    examples = in_one_channel(examples, grey)
    if task.config.repairs and not has_missing(task.choices):
        examples = without_masks(examples)
    images_seen = state.images.astype(jnp.float32)
    lr = learning_rate(state.hparams, images_seen)
    hparams = state.hparams
    optimizer = make_optimizer(task.config.optimizer, lr, hparams["b1"], hparams["b2"], hparams["weight_decay"])
    loss_fn = partial(reconstruction, task)
    grads, value = gradient(loss_fn, state.params["restorer"], examples)
    state = apply_gradients(state, "restorer", grads, optimizer)
    state = average(state, "restorer", state.hparams["ema_half_life"], images_seen, task.batch_size)
    metrics = {**value, "schedule/lr": lr, "schedule/noise": noisy.astype(jnp.float32)}
    return advanced(state, task.batch_size), metrics


def reconstruction(task: Restoration, params: Params, examples: Example) -> tuple[jax.Array, Metrics]:
    """Returns the mean loss over the examples and over the iterations of the network, and the same as a metric.

    The loss of a network that is told levels has that of its estimates of them added, on weights of their own.
    """
    if task.config.loss == LEVELS:
        error = level_error(task, params, examples)
        return error, {"loss/levels": error}
    loss = RECONSTRUCTION_LOSSES[task.config.loss]
    estimates = task.network.apply({"params": params}, examples.degraded, method="estimates")
    value = jnp.mean(jax.vmap(lambda estimate: loss(estimate, examples.clean))(estimates))
    metrics = {"loss/restorer": value}
    if not task.config.repairs:
        return value, metrics
    error = level_error(task, params, examples)
    return value + error, {**metrics, "loss/levels": error}


def level_error(task: Restoration, params: Params, examples: Example) -> jax.Array:
    """Returns the mean absolute error of the estimated levels, in square roots."""
    found = estimated_levels(task.network, params, examples.degraded.images)
    return jnp.mean(jnp.abs(found - jnp.sqrt(examples.levels)))


def examples_in_phase(
    task: Restoration, key: PRNGKey, clean: Images, noisy: jax.Array, noise_share: jax.Array
) -> Example:
    """Returns images under noise in phase "noise"; else under the damage, and a share of them under noise."""
    key_share, key_noise, key_damage = jax.random.split(key, 3)
    repairs = task.config.repairs
    noised = all_levels_of_noise(key_noise, clean, task.config.keep_known, repairs)

    def mixed() -> Example:
        damaged = mixture(key_damage, clean, task.choices, partial(told_example if repairs else blind_example, repairs))
        chosen = jax.random.uniform(key_share, (len(clean),), jnp.float32) < noise_share
        return jax.tree.map(lambda a, b: jnp.where(per_image(chosen, a), a, b), noised, damaged)

    return lax.cond(noisy, lambda: noised, mixed)


def in_one_channel(examples: Example, chosen: jax.Array) -> Example:
    """Returns the examples, of which the chosen (b,) are made grey; see `one_channel`."""
    degraded = examples.degraded._replace(images=one_channel(examples.degraded.images, chosen))
    return examples._replace(clean=one_channel(examples.clean, chosen), degraded=degraded)


def all_levels_of_noise(key: PRNGKey, clean: Images, keep_known: bool, repairs: tuple[str, ...] = ()) -> Example:
    """Returns images under noise of random levels, from the clean image to pure noise.

    y = min(1, 2 (1 - t)) x + t n with t uniform in [0, 1] and n standard normal. Up to t = 1/2, noise of standard
    deviation 1/4 on an image in [0, 1], the image keeps its contrast; beyond, it fades.

    Args:
      key: key of levels and noise.
      clean: (b, *spatial, c) in [-1, 1].
      keep_known: whether the network returns known pixels unchanged. Then the mask is 0.5 everywhere, so that none
        counts as known; else it is 1.
      repairs: what the network is told about; the level of noise is t / 2, which is not told, and that of others is 0.
    """
    key_level, key_noise = jax.random.split(key)
    level = jax.random.uniform(key_level, (len(clean),), jnp.float32)
    t = per_image(level, clean)
    images = jnp.minimum(1.0, 2.0 * (1.0 - t)) * clean + t * jax.random.normal(key_noise, clean.shape, jnp.float32)
    masks = jnp.full((*clean.shape[:-1], 1), 0.5 if keep_known else 1.0, jnp.float32)
    if not repairs:
        return Example(clean, Observation(images, masks))
    true = jnp.stack([0.5 * level * float(repair == "noise") for repair in repairs], axis=1)
    return Example(clean, Observation(images, masks, jnp.full_like(true, UNKNOWN)), true)


def one_channel(images: Images, chosen: jax.Array) -> Images:
    """Returns the images; those that are chosen (b,) are made grey: green, the second channel, in all channels."""
    channel = min(1, images.shape[-1] - 1)
    grey = jnp.broadcast_to(images[..., channel : channel + 1], images.shape)
    return jnp.where(per_image(chosen, images), grey, images)
