"""The table of a restorer on everyday pictures: first what it did to clean ones, then what it mended.

PSNR is in dB over all pixels and channels of 8-bit pictures, at most `BEST`, which equal pictures have. The worst
picture stands beside each mean, as a mean hides the one photograph that was spoilt.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxgen.files import printable, write_json
from jaxgen.metrics.quality import psnr
from jaxgen.tasks.restoration.evaluation.everyday import GROUPS, Case, Kind, Repair, everyday_cases
from jaxgen.tasks.restoration.evaluation.everyday_pictures import Pixels
from jaxgen.tasks.restoration.evaluation.table import Example, Watch

SUITE = "everyday-1"
BEST = 99.0
"""PSNR in dB that equal pictures are given, so that a mean stays finite."""
HEADINGS: dict[Kind, str] = {
    "kept": "clean, to come back as it was",
    "damaged": "damaged",
    "asked": "repaired when asked for",
}
"""What is to become of the pictures of a kind, in the order of the table."""

RestoreFn = Callable[[Pixels, Repair], Pixels]
"""What is evaluated: (pixels uint8 (h, w, 3), what is asked for or None) -> restored pixels of the same shape."""


class PictureScore(NamedTuple):
    """PSNR in dB of one picture, as it was given to the restorer and as it came back."""

    picture: str
    given: float
    restored: float

    @property
    def gain(self) -> float:
        """Returns the PSNR that the restorer added; below 0 if it did harm."""
        return self.restored - self.given


class EverydayRow(NamedTuple):
    """One group of cases; `group`, `about`, `kind` and `repair` as in `Case`, and the scores of its pictures."""

    group: str
    about: str
    kind: Kind
    repair: Repair
    scores: tuple[PictureScore, ...]


class EverydayTable(NamedTuple):
    """All rows, those of clean pictures first, with the name of the restorer and the number of photographs."""

    restorer: str
    num_photos: int
    rows: tuple[EverydayRow, ...]


def evaluate_everyday(
    name: str,
    restore_fn: RestoreFn,
    photos: Mapping[str, Pixels],
    seed: int = 0,
    watch: Watch = lambda what, left: None,
) -> tuple[EverydayTable, list[Example]]:
    """Returns the scores of a restorer on all everyday cases, and an example of each row.

    Args:
      name: name of the restorer, for the table.
      restore_fn: the restorer.
      photos: clean photographs by name, uint8 (SIZE, SIZE, 3).
      seed: seed of all damage, 0 or more.
      watch: called before each group.

    Returns:
      The table, and for each row the worst picture of clean ones, or the first of damaged ones.
    """
    groups = itertools.groupby(everyday_cases(photos, seed), key=lambda case: case.group)
    rows, examples = [], []
    for i, (group, cases) in enumerate(groups):
        watch(group, len(GROUPS) + 1 - i)
        row, example = _evaluate_group(restore_fn, cases)
        rows.append(row)
        examples.append(example)
    return EverydayTable(name, len(photos), tuple(rows)), examples


def _evaluate_group(restore_fn: RestoreFn, cases: Iterable[Case]) -> tuple[EverydayRow, Example]:
    """Returns the row of the cases of one group, and one of them as an example."""
    scores, shown = [], None
    for case in cases:
        restored = restore_fn(case.degraded, case.repair)
        score = PictureScore(case.picture, _psnr(case.degraded, case.reference), _psnr(restored, case.reference))
        if not scores or (case.kind == "kept" and score.restored < min(other.restored for other in scores)):
            shown = Example(case.degraded, restored, case.reference)
        scores.append(score)
    return EverydayRow(case.group, case.about, case.kind, case.repair, tuple(scores)), shown


def _psnr(pixels: Pixels, reference: Pixels) -> float:
    return min(BEST, float(psnr(pixels[None], reference[None])[0]))


def to_record(table: EverydayTable) -> dict[str, Any]:
    """Returns the table as JSON values, with the scores of every picture."""
    rows = [
        {
            **row._asdict(),
            "given": _mean(row, "given"),
            "restored": _mean(row, "restored"),
            "gain": _mean(row, "gain"),
            "worst_restored": _worst(row, "restored"),
            "worst_gain": _worst(row, "gain"),
            "scores": [{**score._asdict(), "gain": score.gain} for score in row.scores],
        }
        for row in table.rows
    ]
    return {"restorer": table.restorer, "suite": SUITE, "num_photos": table.num_photos, "rows": rows}


def save_everyday(path: Path, table: EverydayTable) -> None:
    """Writes the table as JSON."""
    write_json(path, to_record(table))


def format_everyday(table: EverydayTable) -> str:
    """Returns the table as lines of text: clean pictures, damaged ones, and those that are repaired when asked for.

    Clean pictures have the mean and the least PSNR; damaged ones the mean PSNR of the input and of the result, and the
    mean and the least of the difference. Beside the least is the name of its picture.
    """
    head = f"{table.restorer} on {table.num_photos} photographs, suite {SUITE}: PSNR in dB, {BEST:g} for equal pictures"
    lines = [head]
    for kind, heading in HEADINGS.items():
        titles = ("mean", "worst") if kind == "kept" else ("input", "restored", "gain", "worst")
        lines += ["", f"{heading:42} " + " ".join(f"{title:>8}" for title in titles) + "  worst picture"]
        lines += [_format_row(row) for row in table.rows if row.kind == kind]
    return "\n".join(lines)


def _format_row(row: EverydayRow) -> str:
    """Returns one line of the table."""
    if row.kind == "kept":
        worst = _worst(row, "restored")
        numbers = [f"{_mean(row, 'restored'):8.2f}", f"{worst['db']:8.2f}"]
    else:
        worst = _worst(row, "gain")
        numbers = [f"{_mean(row, measure):8.2f}" for measure in ("given", "restored")]
        numbers += [f"{_mean(row, 'gain'):+8.2f}", f"{worst['db']:+8.2f}"]
    asked = f"; asked for {', '.join(row.repair)}" if row.repair else ""
    return f"{row.group:12} {row.about:29} {' '.join(numbers)}  {printable(worst['picture'])}{asked}"


def _mean(row: EverydayRow, measure: str) -> float:
    """Returns the mean over pictures of `given`, `restored` or `gain` in dB."""
    return float(np.mean([getattr(score, measure) for score in row.scores]))


def _worst(row: EverydayRow, measure: str) -> dict[str, Any]:
    """Returns the least of `restored` or `gain` in dB, and the name of its picture."""
    least = min(row.scores, key=lambda score: getattr(score, measure))
    return {"db": getattr(least, measure), "picture": least.picture}
