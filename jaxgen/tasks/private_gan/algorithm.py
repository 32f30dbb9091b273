"""The training of a private GAN: each step updates the discriminator by DP-SGD, some update the generator too.

Only the discriminator sees private images, and only through a clipped and noised sum. The generator learns from the
discriminator and from generated images, so it costs no privacy, nor does anything computed from either.

References:
  Bie, Kamath, Zhang, "Private GANs, Revisited", 2023, algorithm 1 (several discriminator updates) and section 5 (their
  number from the discriminator's accuracy on generated images).
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxgen.errors import require
from jaxgen.images import to_float
from jaxgen.losses.adversarial import ADVERSARIAL_LOSSES
from jaxgen.privacy.gradient import Mechanism, private_gradient
from jaxgen.privacy.noise import keys_of
from jaxgen.privacy.sampling import poisson_batches
from jaxgen.tasks.gan.algorithm import (
    Gan,
    Pairs,
    discriminator_grads,
    draw_examples,
    draw_inputs,
    init_gan,
    make_gan,
    one_hot,
    render,
    scheduled,
    score_fn,
)
from jaxgen.tasks.gan.pairs import make_gan_pair
from jaxgen.tasks.private_gan.config import PrivateGanConfig
from jaxgen.training.optimizers import apply_gradients, average, make_optimizer
from jaxgen.training.step import Algorithm, TrainState, advanced, mean_gradient
from jaxgen.types import Batch, Grid, Metrics, Params, PRNGKey

LADDER = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
"""Numbers of discriminator updates per generator update, if they adapt."""
THRESHOLD, MEMORY, GRACE = 0.6, 0.99, 200
"""Accuracy on generated images below which the number rises; decay of its moving average at each generator update; and
generator updates between two rises."""


def make_private_gan(config: PrivateGanConfig, shape: Grid, batch_size: int, num_classes: int = 0) -> Algorithm:
    """Returns the training of a private GAN as a record of pure functions.

    The noise is in proportion to the noise multiplier of the configuration, which is not compared with its epsilon
    here: the task does that. Batches come from `poisson_batches`, with a new secret for each step.

    Args:
      config: structure of the GAN, with a noise multiplier.
      shape: (*spatial, c) of the images.
      batch_size: mean number of images of a step.
      num_classes: number of classes of the data; only a conditional GAN uses it.

    Raises:
      InputError: see `make_gan`, or there is no noise multiplier.
    """
    noise = config.noise_multiplier
    require(noise is not None, "noise_multiplier", noise, "a number above 0")
    plain = make_gan(config, shape, batch_size, num_classes)
    gan = static_part(config, shape, batch_size, num_classes)
    return plain._replace(
        init=lambda key, hparams: init_gan(gan, key, hparams).replace(extras=first_turn()),
        step=partial(private_step, gan),
        images_per_step=batch_size,
        takes_gradient=False,
        batches=poisson_batches,
    )


def static_part(config: PrivateGanConfig, shape: Grid, batch_size: int, num_classes: int) -> Gan:
    """Returns what is the same at every step, of arguments that `make_gan` has accepted."""
    classes = 0 if config.conditioning == "none" else num_classes
    return Gan(config, *make_gan_pair(config, shape), ADVERSARIAL_LOSSES[config.loss], shape, batch_size, classes)


def first_turn() -> dict[str, jax.Array]:
    """Returns what is remembered from step to step.

    That is the rung of the ladder, the steps `since` the last generator update, its loss, the moving accuracy on
    generated images, and the number of generator updates that have `waited` on this rung.
    """
    whole = {name: jnp.zeros((), jnp.int32) for name in ("rung", "since", "waited")}
    return {**whole, "loss": jnp.zeros((), jnp.float32), "accuracy": jnp.ones((), jnp.float32)}


def private_step(gan: Gan, state: TrainState, batch: Batch, key: PRNGKey) -> tuple[TrainState, Metrics]:
    """Returns the state after one step, and its metrics, none of which reads a private image.

    Args:
      gan: the static part of the training.
      state: state before the step.
      batch: from `poisson_batches`.
      key: key of the run, which is public; that of the step is `fold_in(key, state.step)`.
    """
    images_seen = state.images.astype(jnp.float32)
    now = scheduled(state.hparams, images_seen)
    optimizer = make_optimizer(gan.config.optimizer, now["lr"], now["b1"], now["b2"])
    grads = private_grads(gan, state, batch, {name: now[name] for name in gan.config.penalties})
    state = apply_gradients(state, "discriminator", grads, optimizer)
    state = generator_turn(gan, state, jax.random.fold_in(key, state.step), optimizer)
    state = average(state, "generator", now["ema_half_life"], images_seen, gan.batch_size)
    metrics = {
        "loss/generator": state.extras["loss"],
        "generated/accuracy": state.extras["accuracy"],
        "schedule/updates": updates_wanted(gan, state.extras["rung"]).astype(jnp.float32),
        "schedule/lr": now["lr"],
    }
    return advanced(state, gan.batch_size), metrics


def private_grads(gan: Gan, state: TrainState, batch: Batch, weights: dict[str, jax.Array]) -> Params:
    """Returns the private gradient of the discriminator's loss, penalties included.

    Latents and augmentations are drawn in secret too: drawn from the public key by place in the batch, they would tell
    with one image more or less which latents the others got.
    """
    *noise, draws = keys_of(batch["secret"][0], state.hparams)
    condition = one_hot(gan, batch["labels"]) if gan.num_classes else None
    examples = draw_examples(gan, Pairs(to_float(batch["images"]), condition), draws)
    config: PrivateGanConfig = gan.config  # type: ignore[assignment]
    mechanism = Mechanism(state.hparams["clip"], config.noise_multiplier, gan.batch_size, taps=not config.penalties)
    gradient = private_gradient(mechanism, noise, batch["mask"])
    return discriminator_grads(gan, state, examples, weights, gradient)[0]


def generator_turn(gan: Gan, state: TrainState, key: PRNGKey, optimizer: optax.GradientTransformation) -> TrainState:
    """Returns the state after an update of the generator, if it is its turn; else after one more step without."""
    since = state.extras["since"] + 1

    def update(state: TrainState) -> TrainState:
        grads, found = generator_grads(gan, state, key)
        return climbed(gan, apply_gradients(state, "generator", grads, optimizer), found)

    def wait(state: TrainState) -> TrainState:
        return state.replace(extras={**state.extras, "since": since})

    return lax.cond(since >= updates_wanted(gan, state.extras["rung"]), update, wait, state)


def updates_wanted(gan: Gan, rung: jax.Array) -> jax.Array:
    """Returns the number of discriminator updates per generator update."""
    adaptive = gan.config.adaptive  # type: ignore[attr-defined]
    return jnp.asarray(LADDER, jnp.int32)[rung] if adaptive else jnp.int32(gan.config.discriminator_updates)


def generator_grads(gan: Gan, state: TrainState, key: PRNGKey) -> tuple[Params, Metrics]:
    """Returns the gradient of the generator's loss, the loss, and the share of images that the discriminator rejects.

    Classes are drawn with equal probability, as those of a batch are private.
    """
    key_inputs, key_augment = jax.random.split(key)
    inputs = draw_inputs(gan, key_inputs, gan.batch_size)
    keys = jax.random.split(key_augment, gan.batch_size)

    def loss_fn(params: Params, examples: tuple[dict[str, jax.Array], jax.Array]) -> tuple[jax.Array, Metrics]:
        inputs, keys = examples
        fake_fn = score_fn(gan, state.params["discriminator"], keys, inputs.get("condition"))
        logits = fake_fn(render(gan, params, **inputs))
        loss = jnp.mean(gan.loss.generator(logits, logits))
        return loss, {"loss": loss, "accuracy": jnp.mean((logits < 0).astype(jnp.float32))}

    return mean_gradient(loss_fn, state.params["generator"], (inputs, keys))


def climbed(gan: Gan, state: TrainState, found: Metrics) -> TrainState:
    """Returns the state after a generator update, one rung higher if the discriminator has failed for long enough."""
    old = state.extras
    accuracy = MEMORY * old["accuracy"] + (1 - MEMORY) * found["accuracy"]
    rises = (accuracy < THRESHOLD) & (old["waited"] + 1 >= GRACE)
    rung = jnp.minimum(old["rung"] + rises.astype(jnp.int32), len(LADDER) - 1)
    waited = jnp.where(rises, 0, old["waited"] + 1)
    turn = {"rung": rung, "since": jnp.int32(0), "waited": waited, "loss": found["loss"], "accuracy": accuracy}
    return state.replace(extras=turn)
