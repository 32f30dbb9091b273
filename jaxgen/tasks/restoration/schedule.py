"""A schedule of training phases as data: `noise:2000,damage:4000` is 2,000 steps on noise, then 4,000 on damage."""

import re

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from jaxgen.errors import require

PHASES = ("noise", "damage")
Schedule = tuple[tuple[str, int], ...]


def parse_schedule(text: str) -> Schedule:
    """Phases and their numbers of steps, in order.

    Raises:
      InputError: not `PHASE:STEPS` joined by commas, an unknown phase, a phase of no steps, or too many in all.
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
    """Steps of all phases together."""
    return sum(steps for _, steps in schedule)


def in_phase(schedule: Schedule, name: str, step: Int[Array, ""]) -> Bool[Array, ""]:
    """Whether the step with this number, from 0, is of the phase `name`; the last phase goes on for ever."""
    ends = jnp.cumsum(jnp.asarray([steps for _, steps in schedule], jnp.int32))
    index = jnp.minimum(jnp.searchsorted(ends, step, side="right"), len(schedule) - 1)
    return jnp.asarray([phase == name for phase, _ in schedule])[index]
