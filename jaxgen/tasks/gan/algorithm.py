"""The training of a GAN: a step updates the discriminator, then the generator, then the average of its weights.

The structure is in `GanConfig`, the numbers are in `state.hparams`. Each real image is paired with a generated one by
position. Latents and random keys are drawn for each pair before the gradient is computed, so that the gradient can be
accumulated over parts of a batch (gradient accumulation).
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
from jaxgen.training.step import Algorithm, Gradient, TrainState, advanced, as_hparams, mean_gradient, new_state
from jaxgen.types import Batch, Grid, Images, Labels, Latents, Logits, Metrics, Params, Prediction, PRNGKey, PRNGKeys


class Gan(NamedTuple):
    """The static part of the training of a GAN: what is the same at every step.

    Attributes:
      config: structure of the GAN.
      generator: maps latents (b, z), and a condition (b, n) if there is one, to images (b, *spatial, c).
      discriminator: maps images, and a condition if there is one, to logits (b,).
      loss: losses of discriminator and generator.
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
    """Real images (b, *spatial, c), and the condition (b, n) or None that each shares with its generated image."""

    images: Images
    condition: Condition | None


class Examples(NamedTuple):
    """The examples of a gradient: pairs, with latents (b, z) of the generated images and random keys (b, 3)."""

    pairs: Pairs
    latents: Latents
    keys: jax.Array


def make_gan(config: GanConfig, shape: Grid, batch_size: int, num_classes: int = 0) -> Algorithm:
    """Returns the training of a GAN as a record of pure functions.

    Args:
      config: structure of the GAN.
      shape: (*spatial, c) of the images.
      batch_size: images per update, over all devices.
      num_classes: number of classes n of the data; only a conditional GAN uses it.

    Returns:
      An `Algorithm`. A batch holds `images` (batch_size * discriminator_updates, *spatial, c), uint8 or in [-1, 1], and
      for a conditional GAN `labels`, integers in [0, n). `draw_inputs(key, num)` and `draw_inputs(key, num, labels)`
      draw `latents` (num, z) and, for a conditional GAN, `condition` (num, n), which is one-hot or a mixture of
      classes. `predict(state, inputs, key)` generates images from these with the averaged generator.

    Raises:
      InputError: the architecture cannot make images of this shape, the penalties do not fit the loss, or the GAN is
        conditional and the data has no classes.

    Examples:
      >>> jaxgen.make_gan(jaxgen.GanConfig(), (28, 28, 1), batch_size=32).images_per_step
      32
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
    """Returns the initial state: weights drawn from `key`, and a moving average that starts as their copy."""
    key_g, key_d = jax.random.split(key)
    condition = jnp.zeros((1, gan.num_classes), jnp.float32) if gan.num_classes else None
    params = {
        "generator": gan.generator.init(key_g, jnp.zeros((1, gan.config.latent_dim), jnp.float32), condition)["params"],
        "discriminator": gan.discriminator.init(key_d, jnp.zeros((1, *gan.shape), jnp.float32), condition)["params"],
    }
    numbers = as_hparams(hparams)
    optimizer = make_optimizer(gan.config.optimizer, numbers["lr"], numbers["b1"], numbers["b2"])
    return new_state(params, ("generator",), numbers, optimizer)


def gan_step(
    gan: Gan, state: TrainState, batch: Batch, key: PRNGKey, gradient: Gradient = mean_gradient
) -> tuple[TrainState, Metrics]:
    """Returns the state after one step, and its metrics.

    The generator is updated once, with the discriminator that the updates before it have given.

    Args:
      gan: the static part of the training.
      state: state before the step.
      batch: `images` (batch_size * discriminator_updates, *spatial, c), uint8 or in [-1, 1]; `labels` if conditional.
      key: key of the run; that of the step is `fold_in(key, state.step)`.
      gradient: computes the mean gradient over the examples.
    """
    key_d, key_g = jax.random.split(jax.random.fold_in(key, state.step))
    images_seen, num_read = state.images.astype(jnp.float32), gan.batch_size * gan.config.discriminator_updates
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
    state = average(state, "generator", now["ema_half_life"], images_seen, num_read)
    metrics = {**value, **metrics, "schedule/lr": now["lr"]}
    return advanced(state, num_read), metrics


def pairs_by_update(gan: Gan, batch: Batch) -> list[Pairs]:
    """Returns the real images and conditions of each discriminator update."""
    images, n = to_float(batch["images"]), gan.config.discriminator_updates
    condition = one_hot(gan, batch["labels"]) if gan.num_classes else None

    def part(x: jax.Array, i: int) -> jax.Array:
        return x.reshape(-1, n, *x.shape[1:])[:, i]  # images i, i + n, ..., so that no image moves between devices

    return [Pairs(part(images, i), None if condition is None else part(condition, i)) for i in range(n)]


def draw_examples(gan: Gan, pairs: Pairs, key: PRNGKey) -> Examples:
    """Returns the pairs with the latents and random keys of an update."""
    key_latents, key_rest = jax.random.split(key)
    num = len(pairs.images)
    return Examples(pairs, draw_latents(gan, key_latents, num), jax.random.split(key_rest, (num, 3)))


def one_hot(gan: Gan, labels: Labels) -> Condition:
    """Returns the conditions (b, n) of labels (b,)."""
    return jax.nn.one_hot(labels, gan.num_classes, dtype=jnp.float32)


def draw_latents(gan: Gan, key: PRNGKey, num: int) -> Latents:
    """Returns standard normal latents (num, z)."""
    return jax.random.normal(key, (num, gan.config.latent_dim), jnp.float32)


def draw_inputs(gan: Gan, key: PRNGKey, num: int, labels: Labels | None = None) -> dict[str, jax.Array]:
    """Returns random inputs of `predict`: `latents` (num, z), and for a conditional GAN `condition` (num, n).

    Args:
      gan: the static part of the training.
      key: key of the latents, and of the labels if they are not given.
      num: number of images.
      labels: (num,) in [0, n); None draws the classes with equal probability.
    """
    key_latents, key_labels = jax.random.split(key)
    latents = {"latents": draw_latents(gan, key_latents, num)}
    if not gan.num_classes:
        return latents
    if labels is None:
        labels = jax.random.randint(key_labels, (num,), 0, gan.num_classes, jnp.int32)
    return {**latents, "condition": one_hot(gan, labels)}


def render(gan: Gan, params: Params, latents: Latents, condition: Condition | None = None) -> Images:
    """Returns the images that the generator with these weights makes from latents and conditions."""
    return gan.generator.apply({"params": params}, latents, condition)


def score_fn(gan: Gan, params: Params, keys: PRNGKeys, condition: Condition | None) -> Callable[[Images], Logits]:
    """Returns the discriminator as a function of images; it augments each image at random with its key."""
    return lambda images: gan.discriminator.apply(
        {"params": params}, augment_each(keys, images, gan.config.augment), condition
    )


def discriminator_loss(
    gan: Gan, generator_params: Params, weights: Mapping[str, jax.Array], params: Params, examples: Examples
) -> tuple[jax.Array, Metrics]:
    """Returns the mean loss of the discriminator with its penalties, and metrics.

    Args:
      gan: the static part of the training.
      generator_params: weights of the generator.
      weights: factors of the penalties at this step, by name.
      params: weights of the discriminator.
      examples: the examples; their three keys are for the augmentations of real and of generated images, and for the
        interpolated penalty.
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
    """Returns the gradient of the discriminator's loss, and metrics; every n-th step has penalties."""

    def grads(paid: Mapping[str, jax.Array]) -> tuple[Params, Metrics]:
        loss_fn = partial(discriminator_loss, gan, state.params["generator"], paid)
        found, metrics = gradient(loss_fn, state.params["discriminator"], examples)
        return found, {f"penalty/{name}": jnp.zeros((), jnp.float32) for name in weights} | metrics

    interval = gan.config.penalty_interval
    if interval == 1 or not weights:
        return grads(weights)
    # penalties are n times as strong at every n-th step, so that their mean stays the same
    lazy = {name: interval * weight for name, weight in weights.items()}
    return lax.cond(state.step % interval == 0, lambda: grads(lazy), lambda: grads({}))


def generator_loss(
    gan: Gan, discriminator_params: Params, params: Params, examples: Examples
) -> tuple[jax.Array, Metrics]:
    """Returns the mean loss of the generator with weights `params`; the relativistic loss uses the real images too."""
    (real, condition), latents, keys = examples
    real_fn, fake_fn = (score_fn(gan, discriminator_params, keys[:, i], condition) for i in range(2))
    fake_logits = fake_fn(render(gan, params, latents, condition))
    real_logits = real_fn(real) if gan.loss.generator_sees_real else fake_logits
    value = jnp.mean(gan.loss.generator(real_logits, fake_logits))
    return value, {"loss/generator": value}


def scheduled(hparams: dict[str, jax.Array], images_seen: jax.Array) -> dict[str, jax.Array]:
    """Returns the numbers after `images_seen` images: some follow a cosine from a start value to a final one.

    Args:
      hparams: fields of `GanHparams` as float32 scalars; `schedule_images` above 0.
      images_seen: float32 scalar.

    Returns:
      `lr`, `b1`, `b2`, `r1`, `r2`, `gp` and `ema_half_life` as float32 scalars.
    """
    progress = images_seen / hparams["schedule_images"]
    factor = cosine(jnp.ones((), jnp.float32), hparams["penalty_final"], progress)
    return {
        "lr": cosine(hparams["lr"], hparams["lr_final"], progress),
        "b1": hparams["b1"],
        "b2": cosine(hparams["b2"], hparams["b2_final"], progress),
        "ema_half_life": hparams["ema_half_life"],
        **{name: factor * hparams[name] for name in ("r1", "r2", "gp")},
    }
