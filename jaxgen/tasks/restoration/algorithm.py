"""Restoration: a network learns the way from damaged images to clean ones, first under noise, then under the damage.

Phase "noise" shows images under random noise of widely drawn levels, up to nothing but noise: the best answer at every
level is the mean of the clean images that may lie behind, so a network that gives it knows the distribution of the data
(Miyasawa, "An empirical Bayes estimator of the mean of a normal population", 1961; Vincent, "A connection between score
matching and denoising autoencoders", 2011). Phase "damage" shows the damage that is to be undone.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from jaxgen.degradations.compose import Damage, mixture, parse_mixture
from jaxgen.images import to_float
from jaxgen.losses.reconstruction import RECONSTRUCTION_LOSSES
from jaxgen.tasks.restoration.config import RestorationConfig
from jaxgen.tasks.restoration.restorers import make_restorer
from jaxgen.tasks.restoration.schedule import Schedule, in_phase, parse_schedule
from jaxgen.training.optimizers import apply_gradients, average, cosine, make_optimizer
from jaxgen.training.step import Algorithm, Gradient, Sizes, TrainState, as_hparams, mean_gradient, new_state
from jaxgen.types import Batch, Grid, Images, Levels, Metrics, Observation, Params, Prediction, PRNGKey, per_image

WARM_UP = 0.01
"""Share of the schedule over which the learning rate rises."""


class Restoration(NamedTuple):
    """What is static in the training of a restorer.

    Attributes:
      config: its structure.
      network: an `Observation` to restored images; `estimates` gives those of its iterations (t, b, *spatial, c).
      schedule: phases and their steps.
      choices: of the damage, one for each image.
      shape: (*spatial, c) of the images trained on.
      batch_size: images per update, over all devices.
    """

    config: RestorationConfig
    network: nn.Module
    schedule: Schedule
    choices: tuple[tuple[Damage, ...], ...]
    shape: Grid
    batch_size: int


class Examples(NamedTuple):
    """What a gradient is taken over: images (b, *spatial, c) in [-1, 1] and what is seen of them."""

    clean: Images
    degraded: Observation


def make_restoration(config: RestorationConfig, shape: Grid, batch_size: int) -> Algorithm:
    """The training of a restorer as a record of pure functions.

    Args:
      config: its structure.
      shape: (*spatial, c) of the images, or of the crops, that it is trained on.
      batch_size: images per update, over all devices.

    Returns:
      An `Algorithm`; a batch holds clean `images` (b, *spatial, c), uint8 or in [-1, 1]. `init` reads the numbers
      of `RestorationHparams`. `predict(state, observation, key)` restores by the averaged weights.

    Raises:
      InputError: an unknown damage or phase, or a shape that the architecture does not take.
    """
    network = make_restorer(config, shape)
    choices = parse_mixture(config.damage)
    task = Restoration(config, network, parse_schedule(config.schedule), choices, shape, batch_size)
    return Algorithm(
        init=partial(init_restoration, task),
        step=partial(restoration_step, task),
        predict=partial(restore, network),
        draw_inputs=None,
        images_per_step=batch_size,
        sizes=Sizes(network.halo, network.multiple) if hasattr(network, "halo") else None,
    )


def restore(network: nn.Module, state: TrainState, observation: Observation, key: PRNGKey) -> Prediction:
    """Returns the images that the averaged weights restore; nothing is drawn from the key."""
    del key
    return Prediction(network.apply({"params": state.ema_params["restorer"]}, observation))


def init_restoration(task: Restoration, key: PRNGKey, hparams: Mapping[str, Any]) -> TrainState:
    """Initial state: weights drawn from `key`, the moving average a copy of them."""
    params = {"restorer": task.network.init(key, Observation(jnp.zeros((1, *task.shape))))["params"]}
    numbers = as_hparams(hparams)
    optimizer = make_optimizer(task.config.optimizer, numbers["lr"], numbers["b1"], numbers["b2"])
    return new_state(params, ("restorer",), numbers, optimizer)


def restoration_step(
    task: Restoration, state: TrainState, batch: Batch, key: PRNGKey, gradient: Gradient = mean_gradient
) -> tuple[TrainState, Metrics]:
    """One update on images that are damaged here, in the phase that the step is in.

    Args:
      task: what is static.
      state: before the step.
      batch: clean `images` (b, *spatial, c), uint8 or in [-1, 1].
      key: of the run; the step's own is `fold_in(key, state.step)`.
      gradient: how the gradient is taken.

    Returns:
      The state after the step, and its metrics.
    """
    key_grey, key_damage = jax.random.split(jax.random.fold_in(key, state.step))
    grey = jax.random.uniform(key_grey, (task.batch_size,)) < state.hparams["grey_share"]
    clean = one_channel(to_float(batch["images"]), grey)
    noisy = in_phase(task.schedule, "noise", state.step)
    degraded = damage_in_phase(task, key_damage, clean, noisy, state.hparams["noise_share"])
    degraded = degraded._replace(images=one_channel(degraded.images, grey))
    images_seen = state.step.astype(jnp.float32) * task.batch_size
    lr = learning_rate(state.hparams, images_seen)
    hparams = state.hparams
    optimizer = make_optimizer(task.config.optimizer, lr, hparams["b1"], hparams["b2"], hparams["weight_decay"])
    loss_fn = partial(reconstruction, task)
    grads, value = gradient(loss_fn, state.params["restorer"], Examples(clean, degraded))
    state = apply_gradients(state, "restorer", grads, optimizer)
    state = average(state, "restorer", state.hparams["ema_half_life"], images_seen, task.batch_size)
    metrics = {**value, "schedule/lr": lr, "schedule/noise": noisy.astype(jnp.float32)}
    return state.replace(step=state.step + 1), metrics


def reconstruction(task: Restoration, params: Params, examples: Examples) -> tuple[jax.Array, Metrics]:
    """Mean loss over the examples and over the iterations of the network; and the same as a metric."""
    loss, (clean, degraded) = RECONSTRUCTION_LOSSES[task.config.loss], examples
    estimates = task.network.apply({"params": params}, degraded, method="estimates")
    value = jnp.mean(jax.vmap(lambda estimate: loss(estimate, clean))(estimates))
    return value, {"loss/restorer": value}


def damage_in_phase(
    task: Restoration, key: PRNGKey, clean: Images, noisy: jax.Array, noise_share: jax.Array
) -> Observation:
    """The noise of phase "noise", or the damage with a share of that noise mixed in."""
    key_share, key_noise, key_damage = jax.random.split(key, 3)
    noised = all_levels_of_noise(key_noise, clean, task.config.keep_known)

    def mixed() -> Observation:
        damaged = mixture(key_damage, clean, task.choices)
        chosen = per_image(jax.random.uniform(key_share, (len(clean),)), clean) < noise_share
        return jax.tree.map(lambda a, b: jnp.where(chosen, a, b), noised, damaged)

    return lax.cond(noisy, lambda: noised, mixed)


def all_levels_of_noise(key: PRNGKey, clean: Images, keep_known: bool) -> Observation:
    """min(1, 2 (1 - t)) x + t n with t uniform in [0, 1], n standard normal: from the image to nothing but noise.

    Up to t = 1/2, which is noise of standard deviation 1/4 of an image in [0, 1], the image stays whole; then it fades.

    Args:
      key: of levels and noise.
      clean: (b, *spatial, c) in [-1, 1].
      keep_known: whether the network keeps what a mask calls known: then no pixel is, though all are seen (0.5).
    """
    key_level, key_noise = jax.random.split(key)
    t = per_image(jax.random.uniform(key_level, (len(clean),)), clean)
    images = jnp.minimum(1.0, 2.0 * (1.0 - t)) * clean + t * jax.random.normal(key_noise, clean.shape)
    masks = jnp.full((*clean.shape[:-1], 1), 0.5 if keep_known else 1.0)
    return Observation(images, masks)


def one_channel(images: Images, chosen: jax.Array) -> Images:
    """The chosen images (b,) with all channels like their second, green: damage of a grey photograph is grey."""
    channel = min(1, images.shape[-1] - 1)
    grey = jnp.broadcast_to(images[..., channel : channel + 1], images.shape)
    return jnp.where(per_image(chosen, images), grey, images)


def learning_rate(hparams: Mapping[str, jax.Array], images_seen: Levels | jax.Array) -> jax.Array:
    """A linear rise over the first `WARM_UP` of the schedule, then a cosine from `lr` to `lr_final`."""
    progress = images_seen / hparams["schedule_images"]
    return cosine(hparams["lr"], hparams["lr_final"], progress) * jnp.minimum(1.0, (progress + 1e-4) / WARM_UP)
