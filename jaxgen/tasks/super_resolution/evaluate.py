"""The table of super-resolution on a folder of photographs, for the pretrained weights or a network of the user."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from jaxgen.errors import require
from jaxgen.files import printable
from jaxgen.images import save_png
from jaxgen.photos.files import Found, find_photos
from jaxgen.photos.reading import photo_size, read_photo
from jaxgen.photos.writing import to_8_bits
from jaxgen.tasks.load import load, require_use
from jaxgen.tasks.super_resolution.enlarge import make_enlarge
from jaxgen.tasks.super_resolution.protocol import least_size
from jaxgen.tasks.super_resolution.table import (
    NETWORK,
    Table,
    evaluate_upscaler,
    format_table,
    save_table,
    sheet_of_examples,
)

USE = "evaluate-restoration --suite super-resolution"
"""The use of a trained model that this file is."""
PRETRAINED = ("upscale-bicubic", "upscale")
"""Pretrained weights, which are evaluated by default."""


def evaluate_photos(
    folder: Path, model: str | Path | None, checkpoint: str = "latest", num: int | None = None, out: Path | None = None
) -> Table:
    """Prints and returns the table of super-resolution on a folder of photographs, for all factors of the networks.

    Args:
      folder: folder of originals; those that are too small are named on stderr and left out.
      model: a run folder, a file of weights, or a name of pretrained weights; None for `PRETRAINED`.
      checkpoint: checkpoint of a run.
      num: number of photographs, the first ones that are large enough; None for all.
      out: folder for table.json and sheet.png; None writes neither.

    Raises:
      InputError: no such folder or model, a model of another task, or no photograph that is large enough.
    """
    require(folder.is_dir(), "folder", str(folder), "an existing folder of photographs")
    require(num is None or num >= 1, "num", num, "1 or more")
    found = find_photos([str(folder)])
    models = [
        require_use(load(m, checkpoint, "model"), USE, "model", m) for m in (PRETRAINED if model is None else [model])
    ]
    scales = models[0].config.super_resolution.scale
    photos = _large_enough(folder, found, max(map(least_size, scales)))[:num]
    columns = PRETRAINED if model is None else (NETWORK,)
    networks = {c: {s: make_enlarge(m, s) for s in scales} for c, m in zip(columns, models, strict=True)}
    pictures = ((place.as_posix(), to_8_bits(read_photo(path).pixels)) for path, place in photos)
    watch, name = partial(_watch, [place.as_posix() for _, place in photos]), ", ".join(m.facts.name for m in models)
    table, examples = evaluate_upscaler(name, networks, pictures, watch)
    print(format_table(table))
    if out is not None:
        save_table(out / "table.json", table)
        save_png(out / "sheet.png", sheet_of_examples(examples))
    return table


def _large_enough(folder: Path, found: Sequence[Found], least: int) -> list[Found]:
    """Returns the photographs of `least` pixels or more along both sides; names the others on stderr."""
    large = []
    for photo in found:
        height, width = photo_size(photo.path)
        if min(height, width) >= least:
            large.append(photo)
            continue
        line = f"{photo.path}: left out, has {width} x {height} pixels; needed: {least} x {least} or more"
        print(printable(line), file=sys.stderr)
    require(bool(large), "folder", str(folder), f"a folder with a photograph of {least} x {least} pixels or more")
    return large


def _watch(names: Sequence[str], picture: str, factor: str) -> None:
    print(printable(f"{picture} {factor} ({len(names) - names.index(picture)} to go)"), file=sys.stderr, flush=True)
