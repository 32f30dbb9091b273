"""The training of a generator on a noisy mean embedding: the only thing that is ever computed from private images.

The first batch brings the noisy sums of random features of each class, which stay in the state. Each step moves the
mean features of generated images towards them: the squared maximum mean discrepancy (MMD). There is no discriminator.

References:
  Harder, Adamczewski, Park, "DP-MERF", 2021; Gretton et al., "A Kernel Two-Sample Test", 2012, lemma 6 (unbiased MMD).
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from jaxgen.errors import require
from jaxgen.privacy.embedding import CONSTANT, Projections, Release, draw_projections, embedding_batches, features
from jaxgen.tasks.gan.algorithm import Gan, draw_latents, init_gan, make_gan, one_hot, render, scheduled
from jaxgen.tasks.private_gan.algorithm import static_part
from jaxgen.tasks.private_gan.config import PrivateGanConfig
from jaxgen.training.optimizers import apply_gradients, average, make_optimizer
from jaxgen.training.step import Algorithm, TrainState, advanced
from jaxgen.types import Batch, Grid, Images, Metrics, Params, PRNGKey

PROJECTIONS = 2000
"""Number of random projections; each gives two features."""


class Matching(NamedTuple):
    """The static part of the training: the generator, and the features by which its images are compared."""

    gan: Gan
    projections: Projections

    @property
    def num_groups(self) -> int:
        """Returns the number of classes, or 1 without."""
        return max(self.gan.num_classes, 1)


def make_embedding_gan(config: PrivateGanConfig, shape: Grid, batch_size: int, num_classes: int = 0) -> Algorithm:
    """Returns the training of a generator on a noisy embedding, as a record of pure functions.

    Takes what `make_private_gan` does. The batch size is the number of images that a step generates.

    Raises:
      InputError: see `make_gan`; or a batch does not hold as many images, two at least, of each class; or the images
        are too large.
    """
    plain = make_gan(config, shape, batch_size, num_classes)
    gan = static_part(config, shape, batch_size, num_classes)
    matching = Matching(gan, draw_projections(shape, PROJECTIONS))
    n = matching.num_groups
    accepted = f"a multiple of {n}, the number of classes, from {2 * n} on"
    require(batch_size % n == 0 and batch_size >= 2 * n, "batch_size", batch_size, accepted)
    release = Release(matching.projections, n, config.noise_multiplier)
    return plain._replace(
        init=partial(init_embedding, matching),
        step=partial(embedding_step, matching),
        images_per_step=batch_size,
        takes_gradient=False,
        batches=partial(embedding_batches, release),
    )


def init_embedding(matching: Matching, key: PRNGKey, hparams: Mapping[str, Any]) -> TrainState:
    """Returns the initial state: a generator, and room for the embedding."""
    state = init_gan(matching.gan, key, hparams)
    alone = lambda networks: {"generator": networks["generator"]}  # noqa: E731
    empty = jnp.zeros((matching.num_groups, matching.projections.width), jnp.float32)
    return state.replace(params=alone(state.params), opt_state=alone(state.opt_state), extras={"embedding": empty})


def embedding_step(matching: Matching, state: TrainState, batch: Batch, key: PRNGKey) -> tuple[TrainState, Metrics]:
    """Returns the state after one update of the generator, and its metrics; all of it follows from the embedding.

    Args:
      matching: the static part of the training.
      state: state before the step.
      batch: from `embedding_batches`; what it brings at the first step is kept.
      key: key of the run; that of the step is `fold_in(key, state.step)`.
    """
    gan, kept = matching.gan, state.extras["embedding"]
    brought = batch["embedding"].ravel()[: kept.size].reshape(kept.shape)
    embedding = jnp.where(state.step == 0, brought, kept)
    images_seen = state.images.astype(jnp.float32)
    now = scheduled(state.hparams, images_seen)
    optimizer = make_optimizer(gan.config.optimizer, now["lr"], now["b1"], now["b2"])
    inputs = inputs_at(gan, batch["place"], jax.random.fold_in(key, state.step))

    def loss_fn(params: Params) -> jax.Array:
        return discrepancy(matching, embedding, render(gan, params, **inputs), batch["place"])

    loss, grads = jax.value_and_grad(loss_fn)(state.params["generator"])
    state = apply_gradients(state, "generator", grads, optimizer).replace(extras={"embedding": embedding})
    state = average(state, "generator", now["ema_half_life"], images_seen, gan.batch_size)
    return advanced(state, gan.batch_size), {"loss/generator": loss, "schedule/lr": now["lr"]}


def inputs_at(gan: Gan, place: Int32[Array, " b"], key: PRNGKey) -> dict[str, jax.Array]:
    """Returns inputs of the generator for these rows of a batch: row i is of class i modulo their number.

    Each is drawn from its own key, so that devices share the work as they share the rows.
    """
    latents = jax.vmap(lambda i: draw_latents(gan, jax.random.fold_in(key, i), 1)[0])(place)
    condition = {"condition": one_hot(gan, place % gan.num_classes)} if gan.num_classes else {}
    return {"latents": latents, **condition}


def discrepancy(
    matching: Matching, embedding: Float[Array, "n f"], images: Images, place: Int32[Array, " b"]
) -> Float[Array, ""]:
    """Returns the squared MMD between the noisy embedding and generated images, a mean over the classes.

    A class weighs as the square of its noisy share of the images. That few images are generated makes no bias; the
    noise adds a constant, the square of its norm.

    Args:
      matching: the features.
      embedding: sums of features of each class, over the number of all images.
      images: as many generated images of each class.
      place: their rows; see `inputs_at`.
    """
    n = matching.num_groups
    found = features(matching.projections, images)
    means = jax.nn.one_hot(place % n, n, dtype=jnp.float32).T @ found * (n / len(images))
    num = len(images) / n
    squares = (num * jnp.sum(means**2, -1) - 1.0) / (num - 1.0)  # without the pairs of an image and itself
    shares = embedding[:, -1] / CONSTANT
    crossed = jnp.sum(embedding * means, -1)
    return n * jnp.sum(shares**2 * squares - 2 * shares * crossed + jnp.sum(embedding**2, -1))
