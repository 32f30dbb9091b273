"""Schedules of training phases: `noise:2000,damage:4000` means 2,000 steps under noise, then 4,000 under damage."""

import re

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from jaxgen.errors import require

PHASES = ("noise", "damage")
Schedule = tuple[tuple[str, int], ...]


def parse_schedule(text: str) -> Schedule:
    """Returns the phases with their numbers of steps, in order.

    Raises:
      InputError: the text is not `PHASE:STEPS` joined by commas, names an unknown phase, or has no or too many steps.
    """
    accepted = f"PHASE:STEPS joined by commas, as noise:2000,damage:4000; phases are {' and '.join(PHASES)}"
    found = re.fullmatch(r"\w+:0*[1-9]\d*(,\w+:0*[1-9]\d*)*", text.replace(" ", ""), re.ASCII)
    require(found is not None, "schedule", text, accepted)
    phases = [part.split(":") for part in text.replace(" ", "").split(",")]
    require(all(name in PHASES for name, _ in phases), "schedule", text, accepted)
    schedule = tuple((name, int(steps)) for name, steps in phases)
    require(num_steps(schedule) < 2**31, "schedule", text, f"{accepted}; fewer than 2^31 steps in all")
    return schedule


def num_steps(schedule: Schedule) -> int:
    """Returns the total number of steps."""
    return sum(steps for _, steps in schedule)


def in_phase(schedule: Schedule, name: str, step: Int[Array, ""]) -> Bool[Array, ""]:
    """Returns whether a step, counted from 0, is in the phase `name`; the last phase has no end."""
    ends = jnp.cumsum(jnp.asarray([steps for _, steps in schedule], jnp.int32))
    index = jnp.minimum(jnp.searchsorted(ends, step, side="right"), len(schedule) - 1)
    return jnp.asarray([phase == name for phase, _ in schedule])[index]
