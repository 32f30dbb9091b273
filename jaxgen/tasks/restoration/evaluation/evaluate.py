"""The tables of a restorer: of photographs under standard damage or on everyday pictures, or of volumes."""

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import jax
import numpy as np

from jaxgen.data.config import DataConfig
from jaxgen.data.sources import open_source
from jaxgen.degradations.kinds import KINDS
from jaxgen.errors import require
from jaxgen.files import printable
from jaxgen.images import add_headings, readable_scale, save_png
from jaxgen.photos.files import Found, find_photos
from jaxgen.photos.reading import photo_size, read_photo
from jaxgen.photos.writing import to_8_bits
from jaxgen.tasks.base import Trained
from jaxgen.tasks.load import load, require_use
from jaxgen.tasks.restoration.apply import can_fill
from jaxgen.tasks.restoration.evaluation.everyday import middle
from jaxgen.tasks.restoration.evaluation.everyday_pictures import SIZE, Pixels
from jaxgen.tasks.restoration.evaluation.everyday_table import (
    EverydayTable,
    evaluate_everyday,
    format_everyday,
    save_everyday,
)
from jaxgen.tasks.restoration.evaluation.sheets import ERROR_GAIN, sheet_of_examples
from jaxgen.tasks.restoration.evaluation.suites import suite_for
from jaxgen.tasks.restoration.evaluation.table import Example, Table, evaluate_restoration, format_table, save_table
from jaxgen.tasks.restoration.pixels import Models, accepted_repairs, make_restore, photo_models, restore_floats
from jaxgen.tasks.restoration.restore import DEFAULTS
from jaxgen.tasks.table import pretrained
from jaxgen.types import Grid, Observation

SUITES = ("standard", "everyday")


def evaluate_photos(
    folder: Path,
    model: str | Path | None,
    checkpoint: str,
    num: int | None,
    seed: int,
    out: Path | None,
    suite: str = "standard",
) -> Table | EverydayTable:
    """Prints and returns the table of a restorer on a folder of photographs, or of volumes if it is one of volumes.

    Args:
      folder: folder of clean photographs; of volumes, a folder of their files or a .npz or .npy file.
      model: a run folder or file of weights; None for the pretrained weights, by the number of channels.
      checkpoint: checkpoint of a run.
      num: number of photographs or volumes, the first ones; None for all.
      seed: seed of the damage.
      out: folder for table.json and sheet.png; None writes neither.
      suite: "standard" damages every photograph in every standard way; "everyday" takes the middle of each that is
        large enough, clean ones that are to come back as they were and damage as it occurs.

    Raises:
      InputError: no such folder, model or suite, or no photographs.
    """
    require(suite in SUITES, "suite", suite, " or ".join(SUITES))
    require(num is None or num >= 1, "num", num, "1 or more")
    opened = None if model is None or str(model) in pretrained() else load(model, checkpoint, "model")
    if opened is not None and len(opened.facts.shape) == 4:
        require(suite == "standard", "suite", suite, "standard for a model of volumes")
        restorer = require_use(opened, "restore", "model", model)
        return _of_volumes(restorer, _read_volumes(folder, restorer.facts.shape, num), seed, out)
    require(folder.is_dir(), "folder", str(folder), "an existing folder of photographs")
    found = find_photos([str(folder)])
    if suite == "everyday":
        require(seed >= 0, "seed", seed, "0 or more")
        photos = _middles(folder, found, num)
        return _everyday(photo_models(model, checkpoint), photos, seed, out)
    images = [to_8_bits(read_photo(photo.path).pixels) for photo in found[:num]]
    return _standard(photo_models(model, checkpoint), images, seed, out)


def _standard(models: Models, images: list[np.ndarray], seed: int, out: Path | None) -> Table:
    """Prints and returns the table under standard damage."""
    suite, restore = suite_for(images[0].shape, photos=True), partial(_restore_standard, models)
    if not all(map(can_fill, (models.marks or models.main).values())):
        suite = suite._replace(
            cases=tuple(c for c in suite.cases if c.damage not in KINDS or not KINDS[c.damage].missing)
        )
        print("missing pixels: left out, as this model was not trained to fill them in", file=sys.stderr)
    return _tell(*evaluate_restoration(_names(models), restore, images, suite, seed, _watch), out)


def _tell(table: Table, examples: list[Example], out: Path | None) -> Table:
    """Prints and returns a table, and leaves it and its examples in a folder."""
    print(format_table(table))
    if out is not None:
        save_table(out / "table.json", table)
        save_png(out / "sheet.png", sheet_of_examples(examples), readable_scale(min(examples[0].clean.shape[:-1])))
    return table


def _read_volumes(path: Path, shape: Grid, num: int | None) -> list[np.ndarray]:
    """Returns the first volumes of a folder or file, reduced to the shape that a restorer was trained on."""
    require(path.exists(), "folder", str(path), "an existing folder of volumes, or a .npz or .npy file of them")
    dataset = f"folder:{path}" if path.is_dir() else f"npz:{path}"
    source = open_source(DataConfig(dataset, volume_size=shape[0], channels=shape[-1]))
    return list(source.take(np.arange(min(source.num_images, num or source.num_images))))


def _of_volumes(restorer: Trained, volumes: list[np.ndarray], seed: int, out: Path | None) -> Table:
    """Prints and returns the table of a restorer of volumes under standard damage."""
    predict = jax.jit(restorer.algorithm.predict)

    def restore(degraded: Observation, _: tuple[str, ...] | None) -> np.ndarray:
        return np.asarray(predict(restorer.state, degraded, jax.random.key(0)).images)

    suite = suite_for(volumes[0].shape, photos=False)
    return _tell(*evaluate_restoration(restorer.facts.name, restore, volumes, suite, seed, _watch), out)


def _names(models: Models) -> str:
    return " and ".join(sorted({model.facts.name for group in models for model in group.values()}))


def _restore_standard(models: Models, degraded: Observation, repair: tuple[str, ...] | None) -> np.ndarray:
    return restore_floats(models, degraded, _known(models, repair))


def _known(models: Models, repair: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Returns those of the repairs that the restorers know; None if there is none."""
    return tuple(name for name in repair or () if name in accepted_repairs(models)) or None


def _everyday(models: Models, photos: Mapping[str, Pixels], seed: int, out: Path | None) -> EverydayTable:
    """Prints and returns the table on everyday pictures."""

    def restore(pixels: Pixels, repair: tuple[str, ...] | None) -> Pixels:
        return make_restore(models, 1.0, DEFAULTS.tile, _known(models, repair))(pixels).pixels

    table, examples = evaluate_everyday(_names(models), restore, photos, seed, _watch)
    print(format_everyday(table))
    if out is not None:
        save_everyday(out / "table.json", table)
        columns = ("input", "restored", "original", f"error x {ERROR_GAIN}")
        sheet = add_headings(sheet_of_examples(examples), [row.group for row in table.rows], columns)
        save_png(out / "sheet.png", sheet)
    return table


def _middles(folder: Path, found: Sequence[Found], num: int | None) -> dict[str, Pixels]:
    """Returns the middle of each photograph by name, up to `num`; names on stderr those that are too small."""
    photos: dict[str, Pixels] = {}
    small = []
    for path, place in found:
        height, width = photo_size(path)
        if min(height, width) < SIZE:
            small.append(f"{path}: left out, has {width} x {height} pixels; needed: {SIZE} x {SIZE} or more")
        elif num is None or len(photos) < num:
            pixels = to_8_bits(middle(read_photo(path).pixels))
            photos[place.as_posix()] = np.repeat(pixels, 3 // pixels.shape[-1], axis=-1)
    require(bool(photos), "folder", str(folder), f"a folder with a photograph of {SIZE} x {SIZE} pixels or more")
    for line in small:
        print(printable(line), file=sys.stderr)
    return photos


def _watch(what: str, left: int) -> None:
    print(f"{what} ({left} to go)", file=sys.stderr, flush=True)
