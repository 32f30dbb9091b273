"""Restores photo files: the work of `python -m jaxgen restore`."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxgen.errors import InputError, reject, require
from jaxgen.photos.masks import any_missing, described, missing_in
from jaxgen.photos.reading import Photo, photo_size, read_photo
from jaxgen.photos.work import Watch, Work, do_jobs, plan_jobs
from jaxgen.tasks.restoration.pixels import OF_AXES, Models, make_restore, require_fills, require_repairs
from jaxgen.volumes.kinds import suffix_of

OF_VOLUMES = (".nii.gz", ".nii", ".npy", ".npz")
"""Suffixes of files that hold no photographs."""


class RestoreOptions(NamedTuple):
    """The options of `restore`.

    Attributes:
      mask: image file of the photo's size, see `missing_in`; the rest is kept. None: restore all.
      repair: what to repair, see `require_repairs`; None for what does no harm, or with a mask for nothing else.
      strength: weight of the restored photo, 0 to 1; that of the original is 1 - strength.
      compare: whether to write NAME-compare.png too, with the photo and the restored one side by side.
      force: whether to overwrite existing results.
      allow_large: whether to take photos above the limit on pixels.
      tile: approximate edge of a tile in pixels; None for `TILE`.
    """

    mask: Path | None = None
    repair: str | None = None
    strength: float = 1.0
    compare: bool = False
    force: bool = False
    allow_large: bool = False
    tile: int | None = None


DEFAULTS = RestoreOptions()


def restore_photos(arguments: Sequence[str], out: Path, models: Models, options: RestoreOptions = DEFAULTS) -> int:
    """Writes restored photos to a folder, with the subfolders of the originals; shows progress, returns the exit code.

    What is kept of a photo, and what becomes of one that cannot be read, says `do_jobs`.

    Args:
      arguments: see `find_photos`.
      out: folder for the results; it is made if it does not exist.
      models: restorers of photos.
      options: options of the user.

    Returns:
      0, or 1 if a photo was left out.

    Raises:
      InputError: arguments or options are wrong; then no file was written.
      OSError: a result cannot be written.
    """
    _check(options)
    repair = require_repairs(models, options.repair)
    if options.mask is not None:
        require_fills(models)
    jobs = plan_jobs(arguments, out, options.compare, options.force)
    for job in jobs:
        if suffix_of(job.photo, OF_VOLUMES) is not None:
            name, accepted = models.main[3].facts.name, f"{OF_AXES[3]}, as {job.photo} is a volume"
            reject("model", f"{name}, {OF_AXES[2]}", accepted)
    known = None if options.mask is None else read_mask(options.mask, [job.photo for job in jobs], options.allow_large)
    restore_pixels = make_restore(models, options.strength, options.tile, repair)

    def restore(photo: Photo, watch: Watch) -> tuple[Photo, str]:
        if options.strength == 0 or (known is not None and known.all() and repair is None):
            return photo, ""
        if known is not None and known.shape != photo.pixels.shape[:2]:  # of a further page
            reject("mask", known.shape, f"the size of each page, also {photo.pixels.shape[:2]}")
        restored = restore_pixels(photo.pixels, known, watch)
        if restored.pixels is photo.pixels:
            hint = f" ({restored.words})" if restored.words else ""
            return photo, f"left as it was, as nothing of what was asked for is to be seen{hint}"
        return photo._replace(pixels=restored.pixels), restored.words

    return do_jobs(jobs, Work(restore, done="restored"), options.allow_large)


def read_mask(path: Path, photos: Sequence[Path], allow_large: bool = False) -> np.ndarray:
    """Returns the known pixels by a mask file, bool (h, w): False where it says so; see `missing_in`. Prints how many.

    Raises:
      InputError: the file cannot be read or is no mask, or one of the readable photos has another size.
    """
    mask = read_photo(path, allow_large)
    for photo in photos:
        try:
            size = photo_size(photo)
        except InputError:
            continue  # reported when this photo is restored
        if size != mask.pixels.shape[:2]:
            sizes = [f"{width} x {height}" for height, width in (mask.pixels.shape[:2], size)]
            raise InputError(f"mask: {path} has {sizes[0]} pixels; accepted: {sizes[1]}, as {photo} has")
    missing = missing_in(mask.pixels, mask.alpha)
    if any_missing(missing):
        print(described(missing), flush=True)
    return ~missing


def _check(options: RestoreOptions) -> None:
    require(0 <= options.strength <= 1, "strength", options.strength, "0 to 1")
    require(options.tile is None or options.tile >= 1, "tile", options.tile, "1 or more")
