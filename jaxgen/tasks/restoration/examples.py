"""Examples for a network that is told what to repair: damaged images, what is told, and what should come back."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.degradations.compose import KINDS, Damage, degrade, degrade_at, draw_levels
from jaxgen.repairs import UNKNOWN
from jaxgen.types import Images, Observation, PRNGKey

ASKED = {"noise": 0.95, "jpeg": 0.95}
"""Share of the images in which a repair is asked for; that of the others is 0.7."""
TOLD = 0.7
"""Share of the levels that are told; the others are for the network to find."""
LEAST_CHANGE = 0.7 / 255.0
"""Root mean square of a change, of white, below which a damage is none: JPEG leaves a flat picture as it is."""
MISTAKE = 0.15
"""Standard deviation of the logarithm of a told level around the true one, since it will be an estimate."""


class Example(NamedTuple):
    """Examples of a restorer's training.

    Attributes:
      clean: (b, *spatial, c), what the network should return: the images with the damage that is not to be repaired.
      degraded: the damaged images, with the levels that the network is told.
      levels: (b, k), the true levels of all repairs, asked for or not; None if the network is told nothing.
    """

    clean: Images
    degraded: Observation
    levels: Float[Array, "b k"] | None = None


def blind_example(repairs: tuple[str, ...], key: PRNGKey, images: Images, damages: tuple[Damage, ...]) -> Example:
    """Returns images under a sequence of damages, all of which are to be repaired; the network is told nothing."""
    del repairs
    return Example(images, degrade(key, images, damages))


def told_example(repairs: tuple[str, ...], key: PRNGKey, images: Images, damages: tuple[Damage, ...]) -> Example:
    """Returns images under a sequence of damages, some of which the network is asked to repair.

    Damage whose repair is not asked for, or is none of `repairs`, belongs to the picture. Damage that no repair is
    named for is always to be undone. The level of noise is the root mean square of what all noise together changes;
    that of another repair is the highest of its damages.

    Args:
      repairs: the k repairs that the network is told about.
      key: random key.
      images: clean images (b, *spatial, c) in [-1, 1].
      damages: damages in the order of application.
    """
    key_levels, key_apply, key_asked, key_told, key_mistake = jax.random.split(key, 5)
    b, k = len(images), len(repairs)
    levels = draw_levels(key_levels, b, damages)
    names = [KINDS[damage.kind].repair for damage in damages]
    shares = jnp.asarray([ASKED.get(repair, 0.7) for repair in repairs], jnp.float32)
    asked = jax.random.uniform(key_asked, (b, k), jnp.float32) < shares[None]

    def kept(i: int) -> Array:
        """Returns the share, 0 or 1, of the damage i that belongs to the picture."""
        if names[i] in repairs:
            return 1.0 - asked[:, repairs.index(names[i])].astype(jnp.float32)
        return jnp.full((b,), float(names[i] != ""))

    stays = levels * jnp.stack([kept(i) for i in range(len(damages))], axis=1)
    degraded = degrade_at(key_apply, images, damages, levels)
    clean = degrade_at(key_apply, images, damages, stays).images
    true = jnp.stack([_true_level(repair, key_apply, images, damages, levels) for repair in repairs], axis=1)
    mistakes = jnp.exp(MISTAKE * jax.random.normal(key_mistake, (b, k), jnp.float32))
    told = jnp.where(jax.random.uniform(key_told, (b, k), jnp.float32) < TOLD, true * mistakes, UNKNOWN)
    return Example(clean, degraded._replace(levels=jnp.where(asked, told, 0.0)), true)


def without_masks(example: Example) -> Example:
    """Returns the example without masks, as no damage makes pixels missing: the network is then not asked to fill."""
    return example._replace(degraded=example.degraded._replace(masks=None))


def _true_level(
    repair: str, key: PRNGKey, images: Images, damages: tuple[Damage, ...], levels: Float[Array, "b n"]
) -> Float[Array, "b"]:
    """Returns the level of the damage that a repair undoes; 0 where this damage changes nothing to speak of."""
    own = jnp.asarray([float(KINDS[damage.kind].repair == repair) for damage in damages])[None]
    if not any(KINDS[damage.kind].repair == repair for damage in damages):
        return jnp.zeros(len(images))
    change = degrade_at(key, images, damages, levels * own).images - images
    change = jnp.sqrt(jnp.mean(jnp.square(change), axis=tuple(range(1, images.ndim)))) / 2.0
    level = change if repair == "noise" else jnp.max(levels * own, axis=1)
    return jnp.where(change > LEAST_CHANGE, level, 0.0)
