"""The standard tables of a restorer on a folder of photographs."""

import sys
from functools import partial
from pathlib import Path

from jaxgen.errors import require
from jaxgen.images import save_png
from jaxgen.photos.files import find_photos
from jaxgen.photos.reading import read_photo
from jaxgen.photos.writing import to_8_bits
from jaxgen.tasks.restoration.pixels import photo_models, restore_floats
from jaxgen.tasks.restoration.sheets import sheet_of_examples
from jaxgen.tasks.restoration.suites import suite_for
from jaxgen.tasks.restoration.table import Table, evaluate_restoration, format_table, save_table


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
    used = {model.facts.name for group in models for model in group.values()}

    def watch(what: str, left: int) -> None:
        print(f"{what} ({left} to go)", file=sys.stderr, flush=True)

    suite = suite_for(images[0].shape, photos=True)
    table, examples = evaluate_restoration(
        " and ".join(sorted(used)), partial(restore_floats, models), images, suite, seed, watch
    )
    print(format_table(table))
    if out is not None:
        save_table(out / "table.json", table)
        save_png(out / "sheet.png", sheet_of_examples(examples))
    return table
