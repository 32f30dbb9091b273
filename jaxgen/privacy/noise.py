"""Gaussian noise from secret random bits, which the host draws for each step and nothing ever writes."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, UInt32

from jaxgen.types import Params, PRNGKey

WORDS = 10
"""Words of 32 bits of a secret: four keys of Threefry for noise, and one for what else a step must draw in secret."""

Keys = Sequence[PRNGKey]


def keys_of(secret: UInt32[Array, " w"], hparams: Mapping[str, Float[Array, ""]]) -> Keys:
    """Returns the secret keys of a step of one training.

    Trainings that share their batches, as the members of a scan do, must not share their noise: their difference would
    show what the noise hides. They differ in their numbers, which are mixed into the keys.

    Args:
      secret: `WORDS` random words of this step.
      hparams: float32 scalars by name.
    """
    keys = [jax.random.wrap_key_data(words, impl="threefry2x32") for words in secret.reshape(-1, 2)]
    for name in sorted(hparams):
        bits = lax.bitcast_convert_type(hparams[name], jnp.uint32)
        keys = [jax.random.fold_in(key, bits) for key in keys]
    return tuple(keys)


def add_noise(keys: Keys, total: Params, stddev: Float[Array, ""]) -> Params:
    """Returns the arrays plus normal noise, whose standard deviation is that of each element.

    It is half the sum of four independent normal numbers: one alone, of float32, has gaps and an end at 5.4 standard
    deviations, by which the value that it hides can be told.

    Args:
      keys: four secret keys, of those from `keys_of`.
      total: a pytree of float32 arrays.
      stddev: the noise multiplier times the norm to which each example was clipped.

    References:
      Holohan, Braghin, "Secure Random Sampling in Differential Privacy", 2021, section 4.
    """
    leaves, tree = jax.tree.flatten(total)
    noisy = []
    for i, leaf in enumerate(leaves):
        draws = [jax.random.normal(jax.random.fold_in(key, i), leaf.shape, jnp.float32) for key in keys]
        noisy.append(leaf + stddev * sum(draws) / len(draws) ** 0.5)
    return jax.tree.unflatten(tree, noisy)
