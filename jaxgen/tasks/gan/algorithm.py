"""Generative adversarial networks: discriminator update, generator update against the new discriminator, average.

Everything static is in `GanConfig`, every number in `state.hparams`. Real and fake images are paired by position. All
that is random is drawn for each pair before a gradient is taken, so that the gradient can be taken in parts.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from jaxgen.errors import require
from jaxgen.images import to_float
from jaxgen.losses.adversarial import ADVERSARIAL_LOSSES, AdversarialLoss
from jaxgen.losses.penalties import interpolated_gradient_penalty, logits_and_squared_gradient
from jaxgen.networks.conditioning import Condition
from jaxgen.tasks.gan.config import GanConfig
from jaxgen.tasks.gan.diffaugment import augment_each
from jaxgen.tasks.gan.pairs import make_gan_pair
from jaxgen.training.optimizers import apply_gradients, average, cosine, make_optimizer
from jaxgen.training.step import Algorithm, Gradient, TrainState, as_hparams, mean_gradient, new_state
from jaxgen.types import Batch, Grid, Images, Labels, Latents, Logits, Metrics, Params, Prediction, PRNGKey, PRNGKeys


class Gan(NamedTuple):
    """What is static in a GAN: fixed when it is made, the same in every step.

    Attributes:
      config: its structure.
      generator: latents (b, z) and perhaps a condition (b, n) to images (b, *spatial, c).
      discriminator: images and perhaps a condition to logits (b,).
      loss: of both players.
      shape: (*spatial, c) of the images.
      batch_size: images per update, over all devices.
      num_classes: n; 0 for a GAN without a condition.
    """

    config: GanConfig
    generator: nn.Module
    discriminator: nn.Module
    loss: AdversarialLoss
    shape: Grid
    batch_size: int
    num_classes: int


class Pairs(NamedTuple):
    """Real images (b, *spatial, c) and the condition (b, n) or None that each shares with the fake beside it."""

    images: Images
    condition: Condition | None


class Examples(NamedTuple):
    """What one gradient is taken over: pairs, and for each the latents of its fake (b, z) and random keys (b, 3)."""

    pairs: Pairs
    latents: Latents
    keys: jax.Array


def make_gan(config: GanConfig, shape: Grid, batch_size: int, num_classes: int = 0) -> Algorithm:
    """The GAN of `config` as a record of pure functions.

    Args:
      config: its structure.
      shape: (*spatial, c) of the images.
      batch_size: images per update, over all devices.
      num_classes: n, classes of the data; used by a conditional GAN alone.

    Returns:
      An `Algorithm`; a batch holds `images` (batch_size * discriminator_updates, *spatial, c), uint8 or in [-1, 1], and
      for a conditional GAN `labels`, integers in [0, n). `predict(state, inputs, key)` renders, by the averaged generator,
      what `draw_inputs(key, num)` or `draw_inputs(key, num, labels)` draws: `latents` (b, z) and, for a conditional
      GAN, `condition` (b, n), one-hot or a mixture of classes.

    Raises:
      InputError: the architecture cannot make images of this shape, the penalties do not fit the loss, or a condition
        is asked for of data without classes.
    """
    critic = config.loss == "wasserstein"
    require(not critic or len(config.penalties) > 0, "penalties", config.penalties, "gp for loss wasserstein")
    labelled = config.conditioning == "none" or num_classes >= 2
    require(labelled, "conditioning", config.conditioning, "none, since the data has no labels of two or more classes")
    num_classes = 0 if config.conditioning == "none" else num_classes
    gan = Gan(config, *make_gan_pair(config, shape), ADVERSARIAL_LOSSES[config.loss], shape, batch_size, num_classes)
    return Algorithm(
        init=partial(init_gan, gan),
        step=partial(gan_step, gan),
        predict=lambda state, inputs, key: Prediction(render(gan, state.ema_params["generator"], **inputs)),
        draw_inputs=partial(draw_inputs, gan),
        images_per_step=batch_size * config.discriminator_updates,
    )


def init_gan(gan: Gan, key: PRNGKey, hparams: Mapping[str, Any]) -> TrainState:
    """Initial state of `gan`: parameters drawn from `key`, the moving average a copy of them."""
    key_g, key_d = jax.random.split(key)
    condition = jnp.zeros((1, gan.num_classes)) if gan.num_classes else None
    params = {
        "generator": gan.generator.init(key_g, jnp.zeros((1, gan.config.latent_dim)), condition)["params"],
        "discriminator": gan.discriminator.init(key_d, jnp.zeros((1, *gan.shape)), condition)["params"],
    }
    numbers = as_hparams(hparams)
    optimizer = make_optimizer(gan.config.optimizer, numbers["lr"], numbers["b1"], numbers["b2"])
    return new_state(params, ("generator",), numbers, optimizer)


def gan_step(
    gan: Gan, state: TrainState, batch: Batch, key: PRNGKey, gradient: Gradient = mean_gradient
) -> tuple[TrainState, Metrics]:
    """Discriminator updates, one generator update against the new discriminator, the average.

    Args:
      gan: what is static.
      state: before the step.
      batch: `images` (batch_size * discriminator_updates, *spatial, c), uint8 or in [-1, 1]; `labels` if conditional.
      key: of the run; the step's own is `fold_in(key, state.step)`.
      gradient: how gradients are taken.

    Returns:
      The state after the step, and its metrics.
    """
    key_d, key_g = jax.random.split(jax.random.fold_in(key, state.step))
    images_seen = state.step.astype(jnp.float32) * gan.batch_size
    now = scheduled(state.hparams, images_seen)
    optimizer = make_optimizer(gan.config.optimizer, now["lr"], now["b1"], now["b2"])
    pairs = pairs_by_update(gan, batch)
    weights = {name: now[name] for name in gan.config.penalties}
    for i in range(gan.config.discriminator_updates):
        examples = draw_examples(gan, pairs[i], jax.random.fold_in(key_d, i))
        grads, metrics = discriminator_grads(gan, state, examples, weights, gradient)
        state = apply_gradients(state, "discriminator", grads, optimizer)
    loss_fn = partial(generator_loss, gan, state.params["discriminator"])
    grads, value = gradient(loss_fn, state.params["generator"], draw_examples(gan, pairs[-1], key_g))
    state = apply_gradients(state, "generator", grads, optimizer)
    state = average(state, "generator", now["ema_half_life"], images_seen, gan.batch_size)
    metrics = {**value, **metrics, "schedule/lr": now["lr"]}
    return state.replace(step=state.step + 1), metrics


def pairs_by_update(gan: Gan, batch: Batch) -> list[Pairs]:
    """Real images and conditions of each discriminator update."""
    images, n = to_float(batch["images"]), gan.config.discriminator_updates
    condition = one_hot(gan, batch["labels"]) if gan.num_classes else None

    def part(x: jax.Array, i: int) -> jax.Array:
        return x.reshape(-1, n, *x.shape[1:])[:, i]  # images i, i + n, ...: none moves between devices

    return [Pairs(part(images, i), None if condition is None else part(condition, i)) for i in range(n)]


def draw_examples(gan: Gan, pairs: Pairs, key: PRNGKey) -> Examples:
    """The pairs with all that is random in an update."""
    key_latents, key_rest = jax.random.split(key)
    num = len(pairs.images)
    return Examples(pairs, draw_latents(gan, key_latents, num), jax.random.split(key_rest, (num, 3)))


def one_hot(gan: Gan, labels: Labels) -> Condition:
    """Labels (b,) to conditions (b, n)."""
    return jax.nn.one_hot(labels, gan.num_classes, dtype=jnp.float32)


def draw_latents(gan: Gan, key: PRNGKey, num: int) -> Latents:
    """Standard normal latents (num, z)."""
    return jax.random.normal(key, (num, gan.config.latent_dim))


def draw_inputs(gan: Gan, key: PRNGKey, num: int, labels: Labels | None = None) -> dict[str, jax.Array]:
    """Inputs of `predict`: `latents` (num, z), and for a conditional GAN `condition` (num, n).

    Args:
      gan: what is static.
      key: of the latents and of labels not given.
      num: how many.
      labels: (num,) in [0, n); None draws each class as often as any other.
    """
    key_latents, key_labels = jax.random.split(key)
    latents = {"latents": draw_latents(gan, key_latents, num)}
    if not gan.num_classes:
        return latents
    if labels is None:
        labels = jax.random.randint(key_labels, (num,), 0, gan.num_classes)
    return {**latents, "condition": one_hot(gan, labels)}


def render(gan: Gan, params: Params, latents: Latents, condition: Condition | None = None) -> Images:
    """Images of latents and conditions, by the generator with these parameters."""
    return gan.generator.apply({"params": params}, latents, condition)


def score_fn(gan: Gan, params: Params, keys: PRNGKeys, condition: Condition | None) -> Callable[[Images], Logits]:
    """The discriminator as a function of images, each seen through augmentations drawn from its key."""
    return lambda images: gan.discriminator.apply(
        {"params": params}, augment_each(keys, images, gan.config.augment), condition
    )


def discriminator_loss(
    gan: Gan, generator_params: Params, weights: Mapping[str, jax.Array], params: Params, examples: Examples
) -> tuple[jax.Array, Metrics]:
    """Mean loss with penalties, and metrics.

    Args:
      gan: what is static.
      generator_params: of the generator, which draws the fakes.
      weights: of the penalties to pay at this step, by name.
      params: of the discriminator.
      examples: b of them; their keys are for the augmentations of real and fake and for the interpolated penalty.
    """
    (real, condition), latents, keys = examples
    fake = render(gan, generator_params, latents, condition)
    real_fn, fake_fn = (score_fn(gan, params, keys[:, i], condition) for i in range(2))
    penalties = {}
    if "r1" in weights:
        real_logits, square = logits_and_squared_gradient(real_fn, real)
        penalties["r1"] = 0.5 * square
    else:
        real_logits = real_fn(real)
    if "r2" in weights:
        fake_logits, square = logits_and_squared_gradient(fake_fn, fake)
        penalties["r2"] = 0.5 * square
    else:
        fake_logits = fake_fn(fake)
    if "gp" in weights:
        penalties["gp"] = interpolated_gradient_penalty(real_fn, real, fake, keys[:, 2])
    means = {name: jnp.mean(value) for name, value in penalties.items()}
    adversarial = jnp.mean(gan.loss.discriminator(real_logits, fake_logits))
    metrics = {
        "loss/discriminator": adversarial,
        "logits/real": jnp.mean(real_logits),
        "logits/fake": jnp.mean(fake_logits),
        **{f"penalty/{name}": value for name, value in means.items()},
    }
    return adversarial + sum(weights[name] * value for name, value in means.items()), metrics


def discriminator_grads(
    gan: Gan, state: TrainState, examples: Examples, weights: Mapping[str, jax.Array], gradient: Gradient
) -> tuple[Params, Metrics]:
    """Gradient of the discriminator's loss; penalties at every n-th step."""

    def grads(paid: Mapping[str, jax.Array]) -> tuple[Params, Metrics]:
        loss_fn = partial(discriminator_loss, gan, state.params["generator"], paid)
        found, metrics = gradient(loss_fn, state.params["discriminator"], examples)
        return found, {f"penalty/{name}": jnp.zeros(()) for name in weights} | metrics

    interval = gan.config.penalty_interval
    if interval == 1 or not weights:
        return grads(weights)
    # n times as strongly at every n-th step, so that the average stays
    lazy = {name: interval * weight for name, weight in weights.items()}
    return lax.cond(state.step % interval == 0, lambda: grads(lazy), lambda: grads({}))


def generator_loss(
    gan: Gan, discriminator_params: Params, params: Params, examples: Examples
) -> tuple[jax.Array, Metrics]:
    """Mean loss of the generator with `params`; the relativistic one compares with the real images."""
    (real, condition), latents, keys = examples
    real_fn, fake_fn = (score_fn(gan, discriminator_params, keys[:, i], condition) for i in range(2))
    fake_logits = fake_fn(render(gan, params, latents, condition))
    real_logits = real_fn(real) if gan.loss.generator_sees_real else fake_logits
    value = jnp.mean(gan.loss.generator(real_logits, fake_logits))
    return value, {"loss/generator": value}


def scheduled(hparams: dict[str, jax.Array], images_seen: jax.Array) -> dict[str, jax.Array]:
    """The numbers in force after `images_seen` images: cosines from start to final values.

    Args:
      hparams: fields of `GanHparams` as float32 scalars; `schedule_images` above 0.
      images_seen: float32 scalar.

    Returns:
      `lr`, `b1`, `b2`, `r1`, `r2`, `gp` and `ema_half_life` as float32 scalars.
    """
    progress = images_seen / hparams["schedule_images"]
    factor = cosine(jnp.ones(()), hparams["penalty_final"], progress)
    return {
        "lr": cosine(hparams["lr"], hparams["lr_final"], progress),
        "b1": hparams["b1"],
        "b2": cosine(hparams["b2"], hparams["b2_final"], progress),
        "ema_half_life": hparams["ema_half_life"],
        **{name: factor * hparams[name] for name in ("r1", "r2", "gp")},
    }
