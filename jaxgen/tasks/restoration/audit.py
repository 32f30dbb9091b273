"""The audit of a restorer: does it restore the images that it was trained on better than others?"""

from collections.abc import Sequence
from pathlib import Path

import jax

from jaxgen.audit.outcome import Outcome
from jaxgen.degradations.compose import has_missing, mixture, parse_mixture
from jaxgen.tasks.base import Trained
from jaxgen.tasks.candidates import Shadow, audit_quality
from jaxgen.types import Images, PRNGKey

DRAWS = 8
"""Draws of the damage for each image."""


def audit_run(
    restorer: Trained, run: Path, num: int | None = None, seed: int = 0, shadows: Sequence[Shadow] = ()
) -> Outcome:
    """Returns the outcome of an attack by the quality of restored images; see `audit_quality`."""
    name = "quality of restored images"
    return audit_quality(restorer, run, num, seed, shadows, attack=name, compared=_restored, draws=DRAWS)


def _restored(restorer: Trained, key: PRNGKey, clean: Images) -> tuple[tuple[jax.Array, jax.Array], ...]:
    """Returns the restored images, of damage as in the training, and the clean ones."""
    structure = restorer.config.restoration
    choices = parse_mixture(structure.damage)
    seen = mixture(key, clean, choices)
    if structure.repairs and not has_missing(choices):
        seen = seen._replace(masks=None)  # it is not told which pixels are damaged
    return ((restorer.algorithm.predict(restorer.state, seen, key).images, clean),)
