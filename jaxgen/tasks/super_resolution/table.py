"""The table of super-resolution: PSNR and SSIM of a network and of classical methods, for each factor."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxgen.files import write_json
from jaxgen.images import add_headings, make_grid
from jaxgen.tasks.super_resolution.classical import CLASSICAL
from jaxgen.tasks.super_resolution.protocol import Pixels, Resized, Score, compare, cut_to_multiple, reduced

SUITE = "super-resolution-1"
NETWORK = "network"
"""Name of the network among the methods."""
NUM_SHOWN = 6
"""Pictures on a sheet."""
COLUMNS = ("small", "bicubic", NETWORK, "original")

EnlargeFn = Callable[[Pixels], Resized]
"""What is evaluated: small image (h, w, c) -> enlarged image, by the factor that it is for."""


class Row(NamedTuple):
    """One factor, with the mean score over the images of each method by name."""

    scale: int
    scores: dict[str, Score]


class Table(NamedTuple):
    """All rows, with the name of the network and the number of images."""

    name: str
    num_images: int
    rows: tuple[Row, ...]


class Example(NamedTuple):
    """One picture by the largest factor, uint8 (h, w, c) each: the small image by nearest neighbour, and the others."""

    picture: str
    small: Pixels
    bicubic: Pixels
    network: Pixels
    original: Pixels


def evaluate_upscaler(
    name: str,
    enlarge: Mapping[int, EnlargeFn],
    pictures: Iterable[tuple[str, Pixels]],
    watch: Callable[[str, str], None] = lambda picture, factor: None,
) -> tuple[Table, list[Example]]:
    """Returns the scores of a network and of `CLASSICAL` by the protocol, and the first pictures as examples.

    Args:
      name: name of the network, for the table.
      enlarge: functions of the network by factor.
      pictures: at least one name and original, each of `least_size` or more.
      watch: called with the name of the picture and the factor in words, before each.
    """
    found: dict[int, list[dict[str, Score]]] = {scale: [] for scale in sorted(enlarge)}
    examples: list[Example] = []
    for picture, pixels in pictures:
        for scale, scores in found.items():
            watch(picture, f"x{scale}")
            original = cut_to_multiple(pixels, scale)
            small = reduced(original, scale)
            results = {method: run(small, scale) for method, run in CLASSICAL.items()}
            results[NETWORK] = enlarge[scale](small)
            scores.append({method: compare(result, original, scale) for method, result in results.items()})
            if scale == max(enlarge) and len(examples) < NUM_SHOWN:
                nearest = small.repeat(scale, axis=0).repeat(scale, axis=1)
                examples.append(Example(picture, nearest, results["bicubic"], results[NETWORK], original))
    rows = tuple(Row(scale, _means(scores)) for scale, scores in found.items())
    return Table(name, len(next(iter(found.values()))), rows), examples


def _means(scores: list[dict[str, Score]]) -> dict[str, Score]:
    """Returns the mean score of each method over images."""
    return {method: Score(*np.mean([each[method] for each in scores], axis=0).tolist()) for method in scores[0]}


def to_record(table: Table) -> dict[str, Any]:
    """Returns the table as JSON values, in the form of the tables of restorers."""
    rows = [
        {
            "damage": "reduced",
            "level": f"x{row.scale}",
            "scores": {method: score._asdict() for method, score in row.scores.items()},
        }
        for row in table.rows
    ]
    return {"upscaler": table.name, "suite": SUITE, "num_images": table.num_images, "rows": rows}


def save_table(path: Path, table: Table) -> None:
    """Writes the table as JSON."""
    write_json(path, to_record(table))


def format_table(table: Table) -> str:
    """Returns the table as lines of text: a row for each factor with the scores of all methods."""
    methods = list(table.rows[0].scores)
    lines = [
        f"{table.name} on {table.num_images} images, suite {SUITE}: PSNR of the luma in dB / SSIM",
        f"{'factor':6}" + "".join(f"{method:>18}" for method in methods),
    ]
    for row in table.rows:
        cells = (f"{score.psnr:.2f} / {score.ssim:.4f}" for score in row.scores.values())
        lines.append(f"x{row.scale:<5}" + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(lines)


def sheet_of_examples(examples: list[Example], largest: int = 128) -> np.ndarray:
    """Returns a picture with a row for each example: small, bicubic, network, original.

    Of each the square of up to `largest` pixels is shown where bicubic errs the most.

    Returns:
      uint8 (H, W, 3).
    """
    edge = min(largest, *(size for example in examples for size in example.original.shape[:2]))
    cells = []
    for example in examples:
        top, left = _worst_square(example.bicubic, example.original, edge)
        parts = [pixels[top : top + edge, left : left + edge] for pixels in example[1:]]
        cells += [np.repeat(part, 3 // part.shape[-1], axis=-1) for part in parts]
    return add_headings(make_grid(np.stack(cells), len(COLUMNS)), [each.picture for each in examples], COLUMNS)


def _worst_square(result: Pixels, original: Pixels, edge: int) -> tuple[int, int]:
    """Returns the top left corner of the square of `edge` pixels with the largest squared error."""
    errors = ((result.astype(np.int64) - original) ** 2).sum(axis=-1)
    sums = np.pad(errors.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    squares = sums[edge:, edge:] - sums[:-edge, edge:] - sums[edge:, :-edge] + sums[:-edge, :-edge]
    top, left = np.unravel_index(squares.argmax(), squares.shape)
    return int(top), int(left)
