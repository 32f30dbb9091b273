"""Schedules: what is read, what is refused, and which step is in which phase."""

import jax
import jax.numpy as jnp
import pytest

from jaxgen.errors import InputError
from jaxgen.tasks.restoration.config import RestorationConfig
from jaxgen.tasks.restoration.schedule import in_phase, num_steps, parse_schedule

LARGEST = 2**31 - 1


def phases(text: str, num: int) -> str:
    """The phase of each step by its first letter; each step is in exactly one."""
    schedule, steps = parse_schedule(text), jnp.arange(num, dtype=jnp.int32)
    noise, damage = (
        jax.vmap(lambda step, name=name: in_phase(schedule, name, step))(steps) for name in ("noise", "damage")
    )
    assert (noise ^ damage).all()
    return "".join("n" if noisy else "d" for noisy in noise)


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("noise:2000,damage:4000", (("noise", 2000), ("damage", 4000))),
        (" damage : 7 ", (("damage", 7),)),
        ("noise:1, damage:02,noise:3", (("noise", 1), ("damage", 2), ("noise", 3))),
        (f"damage:{LARGEST}", (("damage", LARGEST),)),
    ],
)
def test_reads_phases_in_order(text: str, schedule: tuple[tuple[str, int], ...]) -> None:
    assert parse_schedule(text) == schedule
    assert num_steps(schedule) == sum(steps for _, steps in schedule)


REFUSED = [
    "",
    "noise",
    "noise:",
    "noise:0",
    "noise:-3",
    "noise:1.5",
    "noise:2000,",
    "noise:1;damage:2",
    "blur:3",
    "Noise:3",
    "noise:3,blur:4",
    "noise:٣",
    f"damage:{LARGEST + 1}",
    f"noise:1,damage:{LARGEST}",
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_schedule_is_named_with_what_is_accepted(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_schedule(text)
    message = str(caught.value)
    assert message.startswith(f"schedule: got {text!r}; accepted: PHASE:STEPS joined by commas")
    assert "phases are noise and damage" in message
    assert "\n" not in message


def test_the_default_is_a_schedule() -> None:
    assert [name for name, _ in parse_schedule(RestorationConfig().schedule)] == ["noise", "damage"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("noise:2,damage:3", "nndddddd"),  # the last phase goes on
        ("damage:1,noise:2", "dnnnnnnn"),
        ("noise:1,damage:2,noise:2,damage:1", "nddnnddd"),
        ("noise:2,noise:2,damage:1", "nnnndddd"),
        ("noise:3", "nnnnnnnn"),
    ],
)
def test_every_step_is_in_the_phase_that_its_number_falls_in(text: str, expected: str) -> None:
    assert phases(text, 8) == expected


def test_a_step_far_beyond_the_end_is_in_the_last_phase() -> None:
    schedule = parse_schedule(f"noise:3,damage:{LARGEST - 3}")
    traced = jax.jit(lambda step: in_phase(schedule, "damage", step))
    assert [bool(traced(jnp.asarray(step, jnp.int32))) for step in (2, 3, LARGEST)] == [False, True, True]
