"""Generative adversarial networks: discriminator update, generator update against the new discriminator, average.

Everything static is in `GanConfig`, every number in `state.hparams`. Real and fake images are paired by position.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxgen.algorithms.base import Algorithm, TrainState, as_hparams
from jaxgen.algorithms.diffaugment import augment
from jaxgen.algorithms.optimizers import cosine, ema_decay, make_optimizer
from jaxgen.config import GanConfig, require
from jaxgen.images import to_float
from jaxgen.losses.adversarial import ADVERSARIAL_LOSSES
from jaxgen.losses.penalties import interpolated_gradient_penalty, logits_and_squared_gradient
from jaxgen.networks import make_gan_pair
from jaxgen.types import Batch, Images, Latents, Metrics, Params, PRNGKey


def make_gan(config: GanConfig, shape: tuple[int, int, int], batch_size: int) -> Algorithm:
    """The GAN of `config` as a record of pure functions.

    Args:
      config: its structure.
      shape: (h, w, c) of the images.
      batch_size: images per update, over all devices.

    Returns:
      An `Algorithm`; a batch holds `images` (batch_size * discriminator_updates, h, w, c), uint8 or in [-1, 1];
      `predict(state, key, num)` draws images and `predict(state, latents)` renders given latents.

    Raises:
      InputError: the architecture cannot make images of this shape.
    """
    generator, discriminator = make_gan_pair(config, shape)
    require(
        config.loss != "wasserstein" or len(config.penalties) > 0,
        "penalties",
        config.penalties,
        "gp with loss wasserstein",
    )
    loss = ADVERSARIAL_LOSSES[config.loss]

    def draw_latents(key: PRNGKey, num: int) -> Latents:
        return jax.random.normal(key, (num, config.latent_dim))

    def init(key: PRNGKey, hparams: dict[str, Any]) -> TrainState:
        key_g, key_d = jax.random.split(key)
        params = {
            "generator": generator.init(key_g, jnp.zeros((1, config.latent_dim)))["params"],
            "discriminator": discriminator.init(key_d, jnp.zeros((1, *shape)))["params"],
        }
        numbers = as_hparams(hparams)
        optimizer = make_optimizer(config.optimizer, numbers["lr"], numbers["b1"], numbers["b2"])
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            opt_state={name: optimizer.init(p) for name, p in params.items()},
            # a copy, since the step gives the buffers of its input away
            ema_params={"generator": jax.tree.map(jnp.copy, params["generator"])},
            hparams=numbers,
            extras={},
        )

    def render(params: Params, latents: Latents) -> Images:
        return generator.apply({"params": params}, latents)

    def score_fn(params: Params, key: PRNGKey) -> Callable[[Images], jax.Array]:
        return lambda images: discriminator.apply({"params": params}, augment(key, images, config.augment))

    def discriminator_loss(
        params: Params, real: Images, fake: Images, key: PRNGKey, weights: dict[str, jax.Array]
    ) -> tuple[jax.Array, Metrics]:
        """Mean loss and penalties; `weights` names the penalties to pay at this step."""
        keys = jax.random.split(key, 3)
        real_fn, fake_fn = score_fn(params, keys[0]), score_fn(params, keys[1])
        values = {}
        if "r1" in weights:
            real_logits, square = logits_and_squared_gradient(real_fn, real)
            values["r1"] = 0.5 * square
        else:
            real_logits = real_fn(real)
        if "r2" in weights:
            fake_logits, square = logits_and_squared_gradient(fake_fn, fake)
            values["r2"] = 0.5 * square
        else:
            fake_logits = fake_fn(fake)
        if "gp" in weights:
            values["gp"] = interpolated_gradient_penalty(real_fn, real, fake, keys[2])
        adversarial = jnp.mean(loss.discriminator(real_logits, fake_logits))
        penalties = {name: jnp.mean(value) for name, value in values.items()}
        metrics = {
            "loss/discriminator": adversarial,
            "logits/real": jnp.mean(real_logits),
            "logits/fake": jnp.mean(fake_logits),
            **{f"penalty/{name}": value for name, value in penalties.items()},
        }
        return adversarial + sum(weights[name] * value for name, value in penalties.items()), metrics

    def generator_loss(params: Params, d_params: Params, real: Images, latents: Latents, key: PRNGKey) -> jax.Array:
        key_real, key_fake = jax.random.split(key)
        fake_logits = score_fn(d_params, key_fake)(render(params, latents))
        real_logits = score_fn(d_params, key_real)(real) if loss.generator_sees_real else fake_logits
        return jnp.mean(loss.generator(real_logits, fake_logits))

    def discriminator_grads(
        state: TrainState, real: Images, key: PRNGKey, weights: dict[str, jax.Array]
    ) -> tuple[Params, Metrics]:
        key_latents, key_loss = jax.random.split(key)
        fake = render(state.params["generator"], draw_latents(key_latents, real.shape[0]))

        def grads(paid: dict[str, jax.Array]) -> tuple[Params, Metrics]:
            params = state.params["discriminator"]
            g, metrics = jax.grad(discriminator_loss, has_aux=True)(params, real, fake, key_loss, paid)
            zeros = {f"penalty/{name}": jnp.zeros(()) for name in weights}
            return g, zeros | metrics

        if config.penalty_interval == 1 or not weights:
            return grads(weights)
        # paid n times as strongly at every n-th step, so that the average stays
        lazy = {name: config.penalty_interval * weight for name, weight in weights.items()}
        return lax.cond(state.step % config.penalty_interval == 0, lambda: grads(lazy), lambda: grads({}))

    def step(state: TrainState, batch: Batch, key: PRNGKey) -> tuple[TrainState, Metrics]:
        key_d, key_g = jax.random.split(jax.random.fold_in(key, state.step))
        images = to_float(batch["images"])
        # update i takes images i, i + n, ...: no image moves between devices
        reals = images.reshape(-1, config.discriminator_updates, *shape)
        images_seen = state.step.astype(jnp.float32) * batch_size
        now = scheduled(state.hparams, images_seen)
        optimizer = make_optimizer(config.optimizer, now["lr"], now["b1"], now["b2"])
        weights = {name: now[name] for name in config.penalties}
        for i in range(config.discriminator_updates):
            grads, metrics = discriminator_grads(state, reals[:, i], jax.random.fold_in(key_d, i), weights)
            state = apply_gradients(state, "discriminator", grads, optimizer)
        key_latents, key_loss = jax.random.split(key_g)
        value, grads = jax.value_and_grad(generator_loss)(
            state.params["generator"],
            state.params["discriminator"],
            reals[:, -1],
            draw_latents(key_latents, reals.shape[0]),
            key_loss,
        )
        state = apply_gradients(state, "generator", grads, optimizer)
        decay = ema_decay(now["ema_half_life"], images_seen, batch_size)
        average = optax.incremental_update(state.params["generator"], state.ema_params["generator"], 1.0 - decay)
        metrics = {"loss/generator": value, **metrics, "schedule/lr": now["lr"]}
        return state.replace(step=state.step + 1, ema_params={"generator": average}), metrics

    def predict(state: TrainState, latents: Latents) -> Images:
        return render(state.ema_params["generator"], latents)

    return Algorithm(init, step, predict, draw_latents, batch_size * config.discriminator_updates)


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


def apply_gradients(state: TrainState, name: str, grads: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """State after one optimizer update of the network `name`; the others are untouched."""
    updates, opt_state = optimizer.update(grads, state.opt_state[name], state.params[name])
    params = optax.apply_updates(state.params[name], updates)
    return state.replace(params={**state.params, name: params}, opt_state={**state.opt_state, name: opt_state})
