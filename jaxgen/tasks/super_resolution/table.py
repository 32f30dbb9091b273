"""The table of super-resolution: PSNR and SSIM of networks and classical methods, by kind of image and factor."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxgen.files import write_json
from jaxgen.images import add_headings, make_grid
from jaxgen.tasks.super_resolution.classical import CLASSICAL
from jaxgen.tasks.super_resolution.protocol import (
    Pixels,
    Resized,
    Score,
    compare,
    cut_to_multiple,
    reduced,
    reduced_as_photo,
)

SUITE = "super-resolution-1"
NUM_SHOWN = 6
"""Pictures on a sheet."""
NETWORK = "network"
"""Name among the methods of a network that is evaluated alone."""
KINDS = {"bicubic": reduced, "photo": reduced_as_photo}
"""How small images are made of originals (h, w, c) whose sizes are multiples of the factor, by the name of the kind."""

EnlargeFn = Callable[[Pixels], Resized]
"""What is evaluated: small image (h, w, c) -> enlarged image, by the factor that it is for."""


class Row(NamedTuple):
    """One kind of small images and one factor, with the mean score over the images of each method by name."""

    kind: str
    scale: int
    scores: dict[str, Score]


class Table(NamedTuple):
    """All rows, with the name of the networks and the number of images."""

    name: str
    num_images: int
    rows: tuple[Row, ...]


class Example(NamedTuple):
    """One picture by the largest factor.

    Attributes:
      picture: its name, and the kind of the small image.
      shown: uint8 (h, w, c) by name: the small image by nearest neighbour, enlarged ones, and last the original.
    """

    picture: str
    shown: dict[str, Pixels]


def evaluate_upscaler(
    name: str,
    networks: Mapping[str, Mapping[int, EnlargeFn]],
    pictures: Iterable[tuple[str, Pixels]],
    watch: Callable[[str, str], None] = lambda picture, what: None,
) -> tuple[Table, list[Example]]:
    """Returns the scores of networks and of `CLASSICAL` by the protocol, and the first pictures as examples.

    Args:
      name: name of the networks, for the table.
      networks: functions of each network by factor; all have the same factors.
      pictures: at least one name and original, each of `least_size` or more.
      watch: called with the name of the picture, and the kind and factor in words, before each.
    """
    scales = sorted(next(iter(networks.values())))
    found: dict[tuple[str, int], list[dict[str, Score]]] = {(kind, scale): [] for kind in KINDS for scale in scales}
    examples: list[Example] = []
    num = 0
    for num, (picture, pixels) in enumerate(pictures, 1):
        for (kind, scale), scores in found.items():
            watch(picture, f"{kind} x{scale}")
            small, original = KINDS[kind](cut_to_multiple(pixels, scale), scale, num)
            own = {method: by_scale[scale] for method, by_scale in networks.items()}
            results = {method: run(small, scale) for method, run in CLASSICAL.items()}
            results |= {method: enlarge(small) for method, enlarge in own.items()}
            scores.append({method: compare(result, original, scale) for method, result in results.items()})
            if scale == scales[-1] and len(examples) < NUM_SHOWN * len(KINDS):
                nearest = small.repeat(scale, axis=0).repeat(scale, axis=1)
                columns = {"small": nearest, **{method: results[method] for method in ("bicubic", *own)}}
                examples.append(Example(f"{picture}, {kind}", {**columns, "original": original}))
    rows = tuple(Row(*key, _means(scores)) for key, scores in found.items())
    return Table(name, num, rows), examples


def _means(scores: list[dict[str, Score]]) -> dict[str, Score]:
    """Returns the mean score of each method over images."""
    return {method: Score(*np.mean([each[method] for each in scores], axis=0).tolist()) for method in scores[0]}


def to_record(table: Table) -> dict[str, Any]:
    """Returns the table as JSON values, in the form of the tables of restorers."""
    rows = [
        {
            "damage": row.kind,
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
        f"{'':12}" + "".join(f"{method:>18}" for method in methods),
    ]
    for row in table.rows:
        cells = (f"{score.psnr:.2f} / {score.ssim:.4f}" for score in row.scores.values())
        lines.append(f"{f'{row.kind} x{row.scale}':12}" + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(lines)


def sheet_of_examples(examples: list[Example], largest: int = 128) -> np.ndarray:
    """Returns a picture with a row for each example: small, bicubic, networks, original.

    Of each the square of up to `largest` pixels is shown where bicubic errs the most.

    Returns:
      uint8 (H, W, 3).
    """
    edge = min(largest, *(size for example in examples for size in example.shown["original"].shape[:2]))
    cells = []
    for example in examples:
        top, left = _worst_square(example.shown["bicubic"], example.shown["original"], edge)
        parts = [pixels[top : top + edge, left : left + edge] for pixels in example.shown.values()]
        cells += [np.repeat(part, 3 // part.shape[-1], axis=-1) for part in parts]
    columns = tuple(examples[0].shown)
    return add_headings(make_grid(np.stack(cells), len(columns)), [each.picture for each in examples], columns)


def _worst_square(result: Pixels, original: Pixels, edge: int) -> tuple[int, int]:
    """Returns the top left corner of the square of `edge` pixels with the largest squared error."""
    errors = ((result.astype(np.int64) - original) ** 2).sum(axis=-1)
    sums = np.pad(errors.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    squares = sums[edge:, edge:] - sums[:-edge, edge:] - sums[edge:, :-edge] + sums[:-edge, :-edge]
    top, left = np.unravel_index(squares.argmax(), squares.shape)
    return int(top), int(left)
