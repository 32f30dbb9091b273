"""The audit of a network that enlarges images: does it enlarge those that it was trained on better than others?"""

from collections.abc import Sequence
from pathlib import Path

import jax

from jaxgen.audit.outcome import Outcome
from jaxgen.tasks.base import Trained
from jaxgen.tasks.candidates import Shadow, audit_quality
from jaxgen.tasks.super_resolution.algorithm import enlarge, examples_of, static_part
from jaxgen.types import Images, Observation, PRNGKey

DRAWS = 8
"""Draws of the damage for each image, where small images are damaged."""


def audit_run(
    upscaler: Trained, run: Path, num: int | None = None, seed: int = 0, shadows: Sequence[Shadow] = ()
) -> Outcome:
    """Returns the outcome of an attack by the quality of enlarged images; see `audit_quality`."""
    draws = DRAWS if upscaler.config.super_resolution.degradation == "photo" else 1
    name = "quality of enlarged images"
    return audit_quality(upscaler, run, num, seed, shadows, attack=name, compared=_enlarged, draws=draws)


def _enlarged(upscaler: Trained, key: PRNGKey, clean: Images) -> tuple[tuple[jax.Array, jax.Array], ...]:
    """Returns the enlarged and the large images for each factor, of small ones as in the training."""
    structure, shape = upscaler.config.super_resolution, upscaler.facts.shape
    parts = [static_part(structure, shape, 1, scale) for scale in sorted(structure.scale)]
    pairs = zip(parts, examples_of(parts[0], key, clean), strict=True)
    seen = ((part.network, Observation(small), large) for part, (small, large) in pairs)
    return tuple((enlarge(network, upscaler.state, small, key).images, large) for network, small, large in seen)
