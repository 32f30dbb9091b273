"""The standard tables of a restorer on a folder of photographs."""

import sys
from pathlib import Path

import numpy as np

from jaxgen.bundles.holes import fade, guess_holes
from jaxgen.errors import require
from jaxgen.images import save_png
from jaxgen.photos.files import find_photos
from jaxgen.photos.reading import read_photo
from jaxgen.photos.writing import to_8_bits
from jaxgen.tasks.restoration.pixels import adapt, photo_models
from jaxgen.tasks.restoration.sheets import sheet_of_examples
from jaxgen.tasks.restoration.suites import suite_for
from jaxgen.tasks.restoration.table import Table, evaluate_restoration, format_table, save_table
from jaxgen.types import Observation


def evaluate_photos(
    folder: Path, model: str | Path | None, checkpoint: str, num: int | None, seed: int, out: Path | None
) -> Table:
    """Prints and returns the table of a restorer on a folder of photographs, which it damages in every standard way.

    Args:
      folder: folder of clean photographs.
      model: a run folder or file of weights; None for the weights of the package, by the number of channels.
      checkpoint: checkpoint of a run.
      num: number of photographs, the first ones; None for all.
      seed: seed of the damage.
      out: folder for table.json and sheet.png; None writes neither.

    Raises:
      InputError: no such folder or model, or no photographs.
    """
    require(folder.is_dir(), "folder", str(folder), "an existing folder of photographs")
    require(num is None or num >= 1, "num", num, "1 or more")
    paths = [found.path for found in find_photos([str(folder)])][:num]
    images = [to_8_bits(read_photo(path).pixels) for path in paths]
    models = photo_models(model, checkpoint)
    apply_fns = {channels: adapt(photos, channels, 1.0, masked=False) for channels, photos in models.items()}
    used = {models[channels].facts.name for channels in (image.shape[-1] for image in images)}

    def apply(degraded: Observation) -> np.ndarray:
        images, known = np.asarray(degraded.images), np.asarray(degraded.masks)[..., 0] > 0.5
        given, kept = map(list, zip(*map(guess_holes, images, known), strict=True))
        masks = np.stack(kept).astype(np.float32)[..., None]
        restored = np.asarray(apply_fns[images.shape[-1]](np.stack(given), masks))
        return np.stack([fade(*each) for each in zip(restored, given, kept, strict=True)])

    def watch(what: str, left: int) -> None:
        print(f"{what} ({left} to go)", file=sys.stderr, flush=True)

    suite = suite_for(images[0].shape, photos=True)
    table, examples = evaluate_restoration(" and ".join(sorted(used)), apply, images, suite, seed, watch)
    print(format_table(table))
    if out is not None:
        save_table(out / "table.json", table)
        save_png(out / "sheet.png", sheet_of_examples(examples))
    return table
