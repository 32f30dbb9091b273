"""The audit of a network that enlarges images: does it enlarge those that it was trained on better than others?"""

from collections.abc import Sequence
from pathlib import Path

import jax

from jaxgen.audit.attacks import in_batches, quality_in_draws
from jaxgen.audit.outcome import Outcome, Scores
from jaxgen.tasks.base import Trained
from jaxgen.tasks.candidates import Shadow, conclude, find_candidates, require_no_fakes
from jaxgen.tasks.super_resolution.algorithm import enlarge, examples_of, static_part
from jaxgen.types import Images, Observation, PRNGKey

DRAWS = 8
"""Draws of the damage for each image, where small images are damaged."""


def audit_run(
    upscaler: Trained, run: Path, num: int | None = None, seed: int = 0, shadows: Sequence[Shadow] = ()
) -> Outcome:
    """Returns the outcome of an attack by the quality of enlarged images; prints it and writes it to RUN/private.

    Args:
      upscaler: result of `load`.
      run: folder of the run.
      num: None, as the network generates no images.
      seed: seed of the damage, which is that of the run.
      shadows: shadow models, by which the attack is also calibrated.

    Raises:
      InputError: see `find_candidates` and `conclude`; or `num` is given.
    """
    require_no_fakes(num)
    found = find_candidates(upscaler, run, seed)
    structure, shape = upscaler.config.super_resolution, upscaler.facts.shape
    parts = {scale: static_part(structure, shape, 1, scale) for scale in sorted(structure.scale)}

    draws = DRAWS if structure.degradation == "photo" else 1

    def attack(model: Trained) -> Scores:
        def enlarged(key: PRNGKey, clean: Images) -> tuple[tuple[jax.Array, jax.Array], ...]:
            pairs = zip(parts.values(), examples_of(next(iter(parts.values())), key, clean), strict=True)
            seen = ((part.network, Observation(small), large) for part, (small, large) in pairs)
            return tuple((enlarge(network, model.state, small, key).images, large) for network, small, large in seen)

        return {"quality of enlarged images": in_batches(quality_in_draws(enlarged, seed, draws), found.batch)}

    return conclude(upscaler, run, found, attack, seed, shadows)
