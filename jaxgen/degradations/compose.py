"""Sequences of damages with ranges of levels, written `gaussian:0-0.2+jpeg:0.1-0.9`, and mixtures of sequences."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxgen.degradations.kinds import KINDS, Kind, unmasked
from jaxgen.degradations.masks import apply_mask
from jaxgen.errors import reject, require
from jaxgen.images import require_rank
from jaxgen.types import Images, Observation, PRNGKey

__all__ = [
    "KINDS",
    "Damage",
    "Kind",
    "degrade",
    "degrade_at",
    "draw_levels",
    "for_rank",
    "format_damage",
    "format_mixture",
    "has_missing",
    "mixture",
    "parse_damage",
    "parse_mixture",
]
NUMBER = r"(\d+\.?\d*|\.\d+)"
STEP = re.compile(rf"(\w+):{NUMBER}(?:-{NUMBER})?", re.ASCII)


class Damage(NamedTuple):
    """One kind of damage, whose level is drawn uniformly from [low, high] for each image."""

    kind: str
    """A name in `KINDS`."""
    low: float
    """Lowest level, 0 or more, in the kind's unit."""
    high: float
    """Highest level, at least `low` and at most the kind's `highest`."""


def parse_damage(text: str) -> tuple[Damage, ...]:
    """Reads a sequence such as `gaussian:0-0.2+jpeg:0.1-0.9`; a single number is a fixed level.

    Args:
      text: `KIND:LOW-HIGH` or `KIND:LEVEL`, joined by `+` in the order of application; spaces are ignored.

    Returns:
      The damages in that order.

    Raises:
      InputError: an unknown kind, or a level outside the kind's range.
    """
    return tuple(_parse_step(step, text) for step in text.split("+"))


def parse_mixture(text: str) -> tuple[tuple[Damage, ...], ...]:
    """Reads choices joined by `|`, such as `gaussian:0-0.2|jpeg:0.2-0.9`; see `parse_damage` for each of them.

    Raises:
      InputError: see `parse_damage`.
    """
    return tuple(parse_damage(choice) for choice in text.split("|"))


def format_damage(damages: tuple[Damage, ...]) -> str:
    """Returns the text that `parse_damage` reads as these damages."""
    return "+".join(map(_format_step, damages))


def format_mixture(choices: tuple[tuple[Damage, ...], ...]) -> str:
    """Returns the text that `parse_mixture` reads as these choices."""
    return "|".join(map(format_damage, choices))


def _parse_step(step: str, text: str) -> Damage:
    match = STEP.fullmatch(re.sub(r"\s", "", step))
    if match is None:
        reject("damage", text, f"KIND:LOW-HIGH or KIND:LEVEL joined by +, choices by |; {_accepted()}")
    kind, low, high = match.groups()
    damage = Damage(kind, float(low), float(high or low))
    _require_known(damage, text)
    return damage


def _require_known(damage: Damage, value: object) -> None:
    require(damage.kind in KINDS, "damage", value, _accepted())
    kind = KINDS[damage.kind]
    accepted = f"{damage.kind}:LOW-HIGH with 0 <= LOW <= HIGH <= {kind.highest:g} ({kind.unit})"
    require(0.0 <= damage.low <= damage.high <= kind.highest, "damage", value, accepted)


def _accepted() -> str:
    return "kinds and their highest levels: " + ", ".join(f"{name} {kind.highest:g}" for name, kind in KINDS.items())


def _format_step(damage: Damage) -> str:
    low, high = (np.format_float_positional(level, trim="-") for level in damage[1:])
    return f"{damage.kind}:{low}" if low == high else f"{damage.kind}:{low}-{high}"


def for_rank(choices: tuple[tuple[Damage, ...], ...], rank: int) -> tuple[tuple[Damage, ...], ...]:
    """Returns those choices of a mixture of which every kind takes images (rank 2), or volumes (rank 3)."""
    return tuple(damages for damages in choices if all(rank in KINDS[damage.kind].ranks for damage in damages))


def has_missing(choices: tuple[tuple[Damage, ...], ...]) -> bool:
    """Returns whether any damage of a mixture makes pixels missing."""
    return any(KINDS[damage.kind].missing for damages in choices for damage in damages)


def degrade(key: PRNGKey, images: Images, damages: tuple[Damage, ...], random_order: bool = False) -> Observation:
    """Applies damages one after the other, each with its own levels and random draws for every image.

    Args:
      key: random key of levels, draws and order.
      images: (b, *spatial, c) in [-1, 1].
      damages: damages in the order of application; an empty tuple leaves the images unchanged.
      random_order: whether to apply them in a random order, the same for the whole batch.

    Returns:
      Damaged images, not clipped, and the product of the masks. A missing pixel is 0, also after further damages.

    Raises:
      InputError: an unknown kind, a level outside the kind's range, or images of a rank that the kind does not accept.
    """
    key_levels, key_apply = jax.random.split(key)
    levels = draw_levels(key_levels, len(images), damages)
    return degrade_at(key_apply, images, damages, levels, random_order)


def draw_levels(key: PRNGKey, num: int, damages: tuple[Damage, ...]) -> Float[Array, "b k"]:
    """Returns levels of k damages for `num` images, each uniform in the damage's range."""
    share = jax.random.uniform(key, (num, len(damages)), jnp.float32)
    low, high = (jnp.asarray([damage[i] for damage in damages], jnp.float32).reshape(1, -1) for i in (1, 2))
    return low + (high - low) * share


def degrade_at(
    key: PRNGKey, images: Images, damages: tuple[Damage, ...], levels: Float[Array, "b k"], random_order: bool = False
) -> Observation:
    """Applies damages at given levels; the same key makes the same draws at any level, and 0 leaves a damage out.

    Args:
      key: random key of draws and order.
      images: see `degrade`.
      damages: see `degrade`.
      levels: (b, k), a level of each of the k damages for each image, in the kind's unit.
      random_order: see `degrade`.
    """
    for damage in damages:
        _require_known(damage, damage)
        require_rank(f"damage {damage.kind}", images, KINDS[damage.kind].ranks)
    key_order, key_steps = jax.random.split(key)
    keys = jax.random.split(key_steps, len(damages))

    def apply(i: int, before: Observation) -> Observation:
        after = KINDS[damages[i].kind].apply(keys[i], before.images, levels[:, i])
        return Observation(after.images, before.masks * after.masks)

    result = unmasked(images)
    if random_order and len(damages) > 1:
        branches = [partial(apply, i) for i in range(len(damages))]
        order = jax.random.permutation(key_order, len(damages))
        result, _ = lax.scan(lambda before, i: (lax.switch(i, branches, before), None), result, order)
    else:
        for i in range(len(damages)):
            result = apply(i, result)
    return Observation(apply_mask(result.images, result.masks), result.masks)


def mixture(
    key: PRNGKey,
    images: Images,
    choices: tuple[tuple[Damage, ...], ...],
    apply: Callable[[PRNGKey, Images, tuple[Damage, ...]], Any] = degrade,
) -> Any:
    """Damages each image in one way, drawn uniformly from `choices`; the result does not say which.

    The batch is cut into rows of as many neighbouring images as there are choices. In each row every choice is used
    once, in a random order. So each choice is computed for its share of the batch alone, and the choices are balanced.
    If the batch is spread over devices, no image moves between them unless a row crosses their borders. A batch whose
    size is not a multiple of the number of choices is padded to one.

    Args:
      key: random key of choices, levels and draws.
      images: (b, *spatial, c) in [-1, 1].
      choices: one or more sequences of damages.
      apply: (key, images, sequence) -> the damaged images, as a pytree of arrays (b, ...).

    Returns:
      What `apply` returns for each image; by default damaged images and masks, see `degrade`.

    Raises:
      InputError: no choice, or see `degrade`.
    """
    require(len(choices) > 0, "damage", choices, "one or more choices")
    b, *shape = images.shape
    num = len(choices)
    key_choice, key_apply = jax.random.split(key)
    rows = jnp.pad(images, ((0, -b % num), *((0, 0),) * len(shape))).reshape(-1, num, *shape)
    places = jnp.argsort(
        jax.random.uniform(key_choice, rows.shape[:2], jnp.float32), axis=1
    )  # [row, choice]: the image in the row
    chosen = _take(rows, places)
    results = [apply(jax.random.fold_in(key_apply, i), chosen[:, i], damages) for i, damages in enumerate(choices)]
    back = jnp.argsort(places, axis=1)

    def joined(*parts: jax.Array) -> jax.Array:
        stack = jnp.stack(parts, axis=1)
        return _take(stack, back).reshape(-1, *stack.shape[2:])[:b]

    return jax.tree.map(joined, *results)


def _take(rows: jax.Array, places: jax.Array) -> jax.Array:
    """Returns the members of each row (r, n, ...) in the order of `places` (r, n)."""
    return jnp.take_along_axis(rows, places.reshape(*places.shape, *(1,) * (rows.ndim - 2)), axis=1)
