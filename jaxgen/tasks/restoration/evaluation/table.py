"""PSNR and SSIM of restored images by damage and level, beside those of the damaged input and of the baselines.

Protocol: noise is added to the float image and not clipped; each image has its own key; the result is rounded to 8
bits; no border is left out. The PSNR of the damaged input stands beside every score, so that a figure from another
protocol is recognised.

Volumes are measured as images are: PSNR is that of all voxels, also of the empty ones, which most of a volume may be,
and the windows of SSIM have 11 voxels along each of the three axes.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.files import write_json
from jaxgen.images import to_float, to_uint8
from jaxgen.metrics.quality import WINDOW, psnr, ssim
from jaxgen.tasks.restoration.evaluation.suites import Case, Suite
from jaxgen.types import Observation

AT_ONCE = 64 * 28 * 28 * 4
"""Pixels of images that are restored in one call, one image at least."""
BEST = 100.0
"""PSNR in dB that equal images are given, so that a mean stays finite."""

RestoreFn = Callable[[Observation, tuple[str, ...] | None], Any]
"""What is evaluated: (`images` (b, *s, c) in [-1, 1] and `masks` (b, *s, 1), `Case.repair`) -> restored images."""


class Score(NamedTuple):
    """Means over images: PSNR in dB, and SSIM or None if an image is smaller than the window of SSIM."""

    psnr: float
    ssim: float | None


class Row(NamedTuple):
    """One damage at one level.

    Attributes:
      damage: name of the damage.
      level: its level in words.
      scores: those of the damaged "input", of each baseline by its name, and of the restorer under "restored".
    """

    damage: str
    level: str
    scores: dict[str, Score]


class Table(NamedTuple):
    """All rows, with what was evaluated and on how many images.

    Attributes:
      restorer: name of the restorer.
      suite: name of the suite.
      num_images: number of images.
      rows: one for each case.
    """

    restorer: str
    suite: str
    num_images: int
    rows: tuple[Row, ...]


class Example(NamedTuple):
    """One image under one damage, uint8 (*s, c) each."""

    degraded: np.ndarray
    restored: np.ndarray
    clean: np.ndarray


Watch = Callable[[str, int], None]
"""Called with the name of the next case and the number of cases left."""


def evaluate_restoration(
    name: str,
    restore_fn: RestoreFn,
    images: list[np.ndarray],
    suite: Suite,
    seed: int = 0,
    watch: Watch = lambda what, left: None,
) -> tuple[Table, list[Example]]:
    """Returns the scores of a restorer under every damage of a suite, and an example of each.

    Args:
      name: name of the restorer, for the table.
      restore_fn: the restorer.
      images: uint8 (*s, c), of any sizes.
      suite: cases, from `jaxgen.tasks.restoration.evaluation.suites`.
      seed: seed of all damage.
      watch: called before each case.

    Returns:
      The table, and the first image under every case.
    """
    rows, examples = [], []
    for i, case in enumerate(suite.cases):
        watch(f"{case.damage} {case.level}", len(suite.cases) - i)
        row, example = _evaluate_case(restore_fn, images, case, jax.random.fold_in(jax.random.key(seed), i))
        rows.append(row)
        examples.append(example)
    return Table(name, suite.name, len(images), tuple(rows)), examples


def _evaluate_case(restore_fn: RestoreFn, images: list[np.ndarray], case: Case, key: jax.Array) -> tuple[Row, Example]:
    """Returns the row of one case, and the first image as an example."""
    found: dict[str, list[tuple[float, float]]] = {}
    damage = jax.jit(lambda key, image: case.apply(key, image[None]))
    first = None
    for index, clean in _batches(images):
        # a key for each image, so that its damage does not depend on the other images
        parts = [
            damage(jax.random.fold_in(key, i), to_float(jnp.asarray(x))) for i, x in zip(index, clean, strict=True)
        ]
        degraded = jax.tree.map(lambda *arrays: jnp.concatenate(arrays), *parts)
        restored = to_uint8(_keep_known(degraded, np.asarray(restore_fn(degraded, case.repair))))
        shown = {"input": np.asarray(degraded.images), **_baselines(case, degraded), "restored": restored}
        for name, result in shown.items():
            found.setdefault(name, []).extend(_scores(result, clean))
        first = first or Example(to_uint8(degraded.images)[0], restored[0], clean[0])
    return Row(case.damage, case.level, {name: _mean(values) for name, values in found.items()}), first


def _mean(values: list[tuple[float, float]]) -> Score:
    """Returns the means of PSNR and SSIM; an SSIM that is not a number becomes None."""
    ratio, similarity = np.mean(np.array(values), axis=0).tolist()
    return Score(ratio, None if np.isnan(similarity) else similarity)


def _keep_known(degraded: Observation, restored: np.ndarray) -> np.ndarray:
    """Returns restored images with the known pixels of the input, which `restore --mask` and the baselines keep too."""
    known = np.asarray(degraded.masks) > 0.5
    return np.where(
        known & ~known.all(axis=tuple(range(1, known.ndim)), keepdims=True), np.asarray(degraded.images), restored
    )


def _batches(images: list[np.ndarray]) -> Iterator[tuple[list[int], np.ndarray]]:
    """Yields images of one size with their numbers, as many at once as `AT_ONCE` allows."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for i, image in enumerate(images):
        by_shape.setdefault(image.shape, []).append(i)
    for shape, index in by_shape.items():
        at_once = max(1, AT_ONCE // math.prod(shape[:-1]))
        for start in range(0, len(index), at_once):
            part = index[start : start + at_once]
            yield part, np.stack([images[i] for i in part])


def _baselines(case: Case, degraded: Observation) -> dict[str, np.ndarray]:
    """Returns what each baseline restores from the damaged images, uint8 by name."""
    units = (np.asarray(degraded.images) + 1.0) / 2.0
    known = np.asarray(degraded.masks) > 0.5
    found = {}
    for name, baseline in case.baselines.items():
        results = [baseline(image, mask) for image, mask in zip(units, known, strict=True)]
        found[name] = to_uint8(2.0 * np.stack(results) - 1.0)
    return found


def _scores(result: np.ndarray, clean: np.ndarray) -> list[tuple[float, float]]:
    """Returns PSNR and SSIM of each image; SSIM is NaN for images smaller than its window.

    PSNR takes floats in [-1, 1] as they are; SSIM takes them rounded to 8 bits.
    """
    if result.dtype == np.uint8:
        ratios = psnr(result, clean)
    else:
        errors = (result - (clean / np.float32(127.5) - 1.0)) / 2.0
        with np.errstate(divide="ignore"):
            ratios = -10.0 * np.log10(np.mean(np.square(errors, dtype=np.float64), axis=tuple(range(1, errors.ndim))))
    rounded = result if result.dtype == np.uint8 else to_uint8(result)
    similarities = ssim(rounded, clean) if min(clean.shape[1:-1]) >= WINDOW else np.full(len(clean), np.nan)
    return list(zip(np.minimum(ratios, BEST).tolist(), similarities.tolist(), strict=True))


def to_record(table: Table) -> dict[str, Any]:
    """Returns the table as JSON values; a score without SSIM has none there either."""
    rows = [
        {"damage": r.damage, "level": r.level, "scores": {name: _present(score) for name, score in r.scores.items()}}
        for r in table.rows
    ]
    return {"restorer": table.restorer, "suite": table.suite, "num_images": table.num_images, "rows": rows}


def _present(score: Score) -> dict[str, float]:
    return {name: value for name, value in score._asdict().items() if value is not None}


def save_table(path: Path, table: Table) -> None:
    """Writes the table as JSON."""
    write_json(path, to_record(table))


def format_table(table: Table) -> str:
    """Returns the table as lines of text: a row for each case with the scores of input, restored and baselines."""
    with_ssim = any(score.ssim is not None for row in table.rows for score in row.scores.values())
    measures = "PSNR in dB / SSIM" if with_ssim else "PSNR in dB"
    lines = [
        f"{table.restorer} on {table.num_images} images, suite {table.suite}: {measures}",
        f"{'damage':16} {'level':>10} {'input':>14} {'restored':>14}   baselines",
    ]
    for row in table.rows:
        scores = {name: _format_score(score) for name, score in row.scores.items()}
        others = ", ".join(f"{name} {text}" for name, text in scores.items() if name not in ("input", "restored"))
        lines.append(f"{row.damage:16} {row.level:>10} {scores['input']:>14} {scores['restored']:>14}   {others}")
    return "\n".join(lines)


def _format_score(score: Score) -> str:
    return f"{score.psnr:.2f}" if score.ssim is None else f"{score.psnr:.2f} / {score.ssim:.3f}"
