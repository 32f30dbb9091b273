"""The audit of a restorer: does it restore the images that it was trained on better than others?"""

from collections.abc import Sequence
from pathlib import Path

import jax

from jaxgen.audit.attacks import in_batches, quality_in_draws
from jaxgen.audit.outcome import Outcome, Scores
from jaxgen.degradations.compose import has_missing, mixture, parse_mixture
from jaxgen.tasks.base import Trained
from jaxgen.tasks.candidates import Shadow, conclude, find_candidates, require_no_fakes
from jaxgen.types import Images, PRNGKey

DRAWS = 8
"""Draws of the damage for each image."""


def audit_run(
    restorer: Trained, run: Path, num: int | None = None, seed: int = 0, shadows: Sequence[Shadow] = ()
) -> Outcome:
    """Returns the outcome of an attack by the quality of restored images; prints it and writes it to RUN/private.

    Args:
      restorer: result of `load`.
      run: folder of the run.
      num: None, as a restorer generates no images.
      seed: seed of the damage, which is that of the run.
      shadows: shadow models, by which the attack is also calibrated.

    Raises:
      InputError: see `find_candidates` and `conclude`; or `num` is given.
    """
    require_no_fakes(num)
    found, structure = find_candidates(restorer, run, seed), restorer.config.restoration
    choices = parse_mixture(structure.damage)
    blind = bool(structure.repairs) and not has_missing(choices)

    def attack(model: Trained) -> Scores:
        def restored(key: PRNGKey, clean: Images) -> tuple[tuple[jax.Array, jax.Array], ...]:
            seen = mixture(key, clean, choices)
            seen = seen._replace(masks=None) if blind else seen
            return ((model.algorithm.predict(model.state, seen, key).images, clean),)

        return {"quality of restored images": in_batches(quality_in_draws(restored, seed, DRAWS), found.batch)}

    return conclude(restorer, run, found, attack, seed, shadows)
