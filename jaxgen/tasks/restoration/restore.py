"""Restores photo files: the work of `python -m jaxgen restore`."""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxgen.errors import InputError, reject, require
from jaxgen.files import printable, write_bytes
from jaxgen.photos.comparing import side_by_side
from jaxgen.photos.files import Job, find_photos, output_paths, results
from jaxgen.photos.masks import any_missing, described, missing_in
from jaxgen.photos.reading import Photo, photo_size, read_pages, read_photo
from jaxgen.photos.writing import encoder, write_pages, write_photo
from jaxgen.progress import PhotoProgress, open_photo_progress
from jaxgen.tasks.restoration.pixels import Models, make_restore, require_fills, require_repairs


class RestoreOptions(NamedTuple):
    """The options of `restore`.

    Attributes:
      mask: image file of the photo's size, see `missing_in`; the rest is kept. None: restore all.
      repair: what to repair, see `require_repairs`; None for what does no harm, or with a mask for nothing else.
      strength: weight of the restored photo, 0 to 1; that of the original is 1 - strength.
      compare: whether to write NAME-compare.png too, with the photo and the restored one side by side.
      force: whether to overwrite existing results.
      allow_large: whether to take photos above the limit on pixels.
      tile: approximate edge of a tile in pixels; larger ones take more memory and up to a point less time.
    """

    mask: Path | None = None
    repair: str | None = None
    strength: float = 1.0
    compare: bool = False
    force: bool = False
    allow_large: bool = False
    tile: int = 512


DEFAULTS = RestoreOptions()


def restore_photos(arguments: Sequence[str], out: Path, models: Models, options: RestoreOptions = DEFAULTS) -> int:
    """Writes restored photos to a folder, with the subfolders of the originals; shows progress, returns the exit code.

    Format, pages, depth, alpha, colour profile, EXIF and notes of a photo are kept. A photo that cannot be read is
    named on stderr and left out. Each file is written whole or not at all.

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
    jobs = output_paths(find_photos(arguments, out), out, options.compare)
    _refuse_existing(jobs, options.force)
    known = None if options.mask is None else read_mask(options.mask, [job.photo for job in jobs], options.allow_large)
    restore_pixels = make_restore(models, options.strength, options.tile, repair)

    def restore(photo: Photo, watch: Callable[[int, int], None]) -> tuple[Photo, str]:
        if options.strength == 0 or (known is not None and known.all() and repair is None):
            return photo, ""
        if known is not None and known.shape != photo.pixels.shape[:2]:  # of a further page
            reject("mask", known.shape, f"the size of each page, also {photo.pixels.shape[:2]}")
        restored = restore_pixels(photo.pixels, known, watch)
        if restored.pixels is photo.pixels:
            hint = f" ({restored.words})" if restored.words else ""
            return photo, f"left as it was, as nothing of what was asked for is to be seen{hint}"
        return photo._replace(pixels=restored.pixels), restored.words

    return _run(jobs, restore, options.allow_large)


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
    require(options.tile >= 1, "tile", options.tile, "1 or more")


def _refuse_existing(jobs: list[Job], force: bool) -> None:
    existing = [path for path, _ in results(jobs) if path.exists()]
    if existing and not force:
        more = f" and {len(existing) - 1} more exist" if existing[1:] else " exists"
        raise InputError(f"out: {existing[0]}{more} already; overwritten only with --force")


def _run(jobs: list[Job], restore: Callable[..., tuple[Photo, str]], allow_large: bool) -> int:
    """Restores all photos in order and returns the exit code."""
    failed = 0
    with open_photo_progress(len(jobs)) as show:
        for job in jobs:
            try:
                _restore_file(job, restore, allow_large, show)
            except InputError as error:
                failed += 1
                show.failed(printable(error))
    if failed:
        print(f"{failed} of {len(jobs)} photos could not be restored", file=sys.stderr)
    return 1 if failed else 0


def _restore_file(job: Job, restore: Callable[..., tuple[Photo, str]], allow_large: bool, show: PhotoProgress) -> None:
    """Reads, restores and writes one photo; one that stays as it was is copied."""
    began = time.monotonic()
    encoder(job.restored)  # raises before the work if the format cannot be written
    pages = read_pages(job.photo, allow_large)
    try:
        results = [restore(page, show.watch) for page in pages]
    except FloatingPointError as error:
        raise InputError(f"{job.photo}: {error}") from None
    restored, words = [photo for photo, _ in results], "; ".join(dict.fromkeys(words for _, words in results if words))
    unchanged = all(after is before for after, before in zip(restored, pages, strict=True))
    if unchanged and job.restored.suffix == job.photo.suffix:
        write_bytes(job.restored, job.photo.read_bytes())
    else:
        write_pages(job.restored, restored)
    if job.compare is not None:
        write_photo(job.compare, side_by_side(pages, restored))
    height, width = pages[0].pixels.shape[:2]
    num = f"{len(pages)} pages, " if len(pages) > 1 else ""
    size = f"{num}{width} x {height}, {time.monotonic() - began:.1f} s"
    show.done(printable(f"{job.photo} -> {job.restored} ({size})" + (f": {words}" if words else "")))
