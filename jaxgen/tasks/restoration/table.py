"""How well damaged images are restored: PSNR and SSIM by damage and level, beside the damaged input and the floors.

Protocol: noise is added to the float image and not clipped, each image has a key of its own, the result is rounded to 8
bits, no border is left out. The damaged input's own PSNR stands beside every score: it shows another protocol at once.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.files import write_json
from jaxgen.images import to_float, to_uint8
from jaxgen.metrics.quality import psnr, ssim
from jaxgen.tasks.restoration.suites import Case, Suite
from jaxgen.types import Observation

AT_ONCE = 64 * 28 * 28 * 4
"""Pixels of images that are restored in one call, one image at least."""
BEST = 100.0
"""PSNR in dB that equal images count as, so that a mean stays finite."""


RestoreFn = Callable[[Observation], Any]
"""What is judged: `images` (b, h, w, c) in [-1, 1] and `masks` (b, h, w, 1) -> restored images of the same shape."""


class Score(NamedTuple):
    """Means over images: PSNR in dB and SSIM."""

    psnr: float
    ssim: float


class Row(NamedTuple):
    """One damage at one level.

    Attributes:
      damage: its name.
      level: in words.
      scores: of the damaged "input", of each floor by name, and of the restorer under "restored".
    """

    damage: str
    level: str
    scores: dict[str, Score]


class Table(NamedTuple):
    """All rows, what was judged and on how many images.

    Attributes:
      restorer: its name.
      suite: name of the suite.
      num_images: how many.
      rows: one for each case.
    """

    restorer: str
    suite: str
    num_images: int
    rows: tuple[Row, ...]


class Example(NamedTuple):
    """One image under one damage, uint8 (h, w, c) each."""

    degraded: np.ndarray
    restored: np.ndarray
    clean: np.ndarray


Watch = Callable[[str, int], None]
"""Told what is done and how many cases are left."""


def evaluate_restoration(
    name: str,
    restore_fn: RestoreFn,
    images: list[np.ndarray],
    suite: Suite,
    seed: int = 0,
    watch: Watch = lambda what, left: None,
) -> tuple[Table, list[Example]]:
    """Damages the images in every way of a suite, restores them, and compares.

    Args:
      name: of the restorer, for the table.
      restore_fn: what is judged.
      images: uint8 (h, w, c), of any sizes.
      suite: cases, from `jaxgen.tasks.restoration.suites`.
      seed: of all damage.
      watch: called before each case.

    Returns:
      The table, and the first image under every case.
    """
    rows, examples = [], []
    for i, case in enumerate(suite.cases):
        watch(f"{case.damage} {case.level}", len(suite.cases) - i)
        row, example = _judge(restore_fn, images, case, jax.random.fold_in(jax.random.key(seed), i))
        rows.append(row)
        examples.append(example)
    return Table(name, suite.name, len(images), tuple(rows)), examples


def _judge(restore_fn: RestoreFn, images: list[np.ndarray], case: Case, key: jax.Array) -> tuple[Row, Example]:
    found: dict[str, list[tuple[float, float]]] = {}
    damage = jax.jit(lambda key, image: case.apply(key, image[None]))
    first = None
    for index, clean in _batches(images):
        # a key for each image, so that a score does not depend on what else is judged
        parts = [
            damage(jax.random.fold_in(key, i), to_float(jnp.asarray(x))) for i, x in zip(index, clean, strict=True)
        ]
        degraded = jax.tree.map(lambda *arrays: jnp.concatenate(arrays), *parts)
        restored = to_uint8(_keep_known(degraded, np.asarray(restore_fn(degraded))))
        shown = {"input": np.asarray(degraded.images), **_floors(case, degraded), "restored": restored}
        for name, result in shown.items():
            found.setdefault(name, []).extend(_scores(result, clean))
        first = first or Example(to_uint8(degraded.images)[0], restored[0], clean[0])
    means = {name: Score(*np.mean(np.array(values), axis=0).tolist()) for name, values in found.items()}
    return Row(case.damage, case.level, means), first


def _keep_known(degraded: Observation, restored: np.ndarray) -> np.ndarray:
    """Where pixels are missing, the known ones as they came: `restore --mask` and the floors keep them too."""
    known = np.asarray(degraded.masks) > 0.5
    return np.where(known & ~known.all(axis=(1, 2, 3), keepdims=True), np.asarray(degraded.images), restored)


def _batches(images: list[np.ndarray]) -> Iterator[tuple[list[int], np.ndarray]]:
    """Images of one size, as many at once as `AT_ONCE` allows, with their numbers."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for i, image in enumerate(images):
        by_shape.setdefault(image.shape, []).append(i)
    for shape, index in by_shape.items():
        at_once = max(1, AT_ONCE // (shape[0] * shape[1]))
        for start in range(0, len(index), at_once):
            part = index[start : start + at_once]
            yield part, np.stack([images[i] for i in part])


def _floors(case: Case, degraded: Observation) -> dict[str, np.ndarray]:
    """What the classical methods make of the damaged images, uint8 by name."""
    units = (np.asarray(degraded.images) + 1.0) / 2.0
    known = np.asarray(degraded.masks) > 0.5
    found = {}
    for name, floor in case.floors.items():
        results = [floor(image, mask) for image, mask in zip(units, known, strict=True)]
        found[name] = to_uint8(2.0 * np.stack(results) - 1.0)
    return found


def _scores(result: np.ndarray, clean: np.ndarray) -> list[tuple[float, float]]:
    """PSNR and SSIM of each image; floats in [-1, 1] are judged as they are by PSNR, rounded by SSIM."""
    if result.dtype == np.uint8:
        ratios = psnr(result, clean)
    else:
        errors = (result - (clean / np.float32(127.5) - 1.0)) / 2.0
        with np.errstate(divide="ignore"):
            ratios = -10.0 * np.log10(np.mean(np.square(errors, dtype=np.float64), axis=(1, 2, 3)))
    rounded = result if result.dtype == np.uint8 else to_uint8(result)
    return list(zip(np.minimum(ratios, BEST).tolist(), ssim(rounded, clean).tolist(), strict=True))


def to_record(table: Table) -> dict[str, Any]:
    """The table as JSON values."""
    rows = [
        {"damage": r.damage, "level": r.level, "scores": {n: s._asdict() for n, s in r.scores.items()}}
        for r in table.rows
    ]
    return {"restorer": table.restorer, "suite": table.suite, "num_images": table.num_images, "rows": rows}


def save_table(path: Path, table: Table) -> None:
    """Writes the table as JSON."""
    write_json(path, to_record(table))


def format_table(table: Table) -> str:
    """The table as lines of text: PSNR in dB / SSIM of input, best floor and restored, and the gain over that floor."""
    head = (
        f"{table.restorer} on {table.num_images} images, suite {table.suite}: PSNR in dB / SSIM\n"
        f"{'damage':16} {'level':>10} {'input':>14} {'restored':>14}   floors"
    )
    lines = [head]
    for row in table.rows:
        scores = {name: f"{s.psnr:.2f} / {s.ssim:.3f}" for name, s in row.scores.items()}
        floors = ", ".join(f"{name} {text}" for name, text in scores.items() if name not in ("input", "restored"))
        lines.append(f"{row.damage:16} {row.level:>10} {scores['input']:>14} {scores['restored']:>14}   {floors}")
    return "\n".join(lines)
