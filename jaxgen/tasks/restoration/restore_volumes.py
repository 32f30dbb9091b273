"""Restores files of volumes: the work of `python -m jaxgen restore` with a model of volumes."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32

from jaxgen.errors import InputError, reject, require
from jaxgen.files import printable, write_bytes
from jaxgen.photos.files import Job
from jaxgen.photos.masks import any_missing, described
from jaxgen.photos.work import Watch, in_turn, plan_jobs
from jaxgen.progress import PhotoProgress, open_photo_progress
from jaxgen.tasks.base import Trained
from jaxgen.tasks.restoration.pixels import OF_AXES, Restore, make_restore, one_model, require_fills, require_repairs
from jaxgen.volumes.kinds import VOLUME_SUFFIXES, Volume, spacing, suffix_of
from jaxgen.volumes.levels import Window, window_of
from jaxgen.volumes.reading import read_numbers, read_volume
from jaxgen.volumes.sizes import cubic_sizes, resize
from jaxgen.volumes.writing import stored_values, write_volume

UNEVEN = 1.5
"""Longest side of a voxel over its shortest from which a line says that the model was trained on cubic ones."""
WHOLLY = 0.999
"""Share of known voxels in a resampled one from which it counts as known."""
Known = Bool[np.ndarray, "d h w"]


class VolumeOptions(NamedTuple):
    """The options of `restore` for volumes.

    Attributes:
      mask: file of a volume of the same size, of two levels: the higher one where to fill in; the rest is kept.
      repair: see `require_repairs`.
      strength: weight of the restored volume, 0 to 1; that of the original is 1 - strength.
      force: whether to overwrite existing results.
      tile: approximate edge of a tile in voxels; None: see `layout_of_volume`.
      window: values that become -1 and 1 for the network; None for those of `window_of`.
      time: number of the one time to take from a file of several.
      resample: whether to restore on cubic voxels, as large as the shortest side of those of the file.
    """

    mask: Path | None = None
    repair: str | None = None
    strength: float = 1.0
    force: bool = False
    tile: int | None = None
    window: tuple[float, float] | None = None
    time: int | None = None
    resample: bool = False


DEFAULTS = VolumeOptions()


def restore_volumes(arguments: Sequence[str], out: Path, restorer: Trained, options: VolumeOptions = DEFAULTS) -> int:
    """Writes restored volumes to a folder, with the subfolders of the originals; shows progress, returns the exit code.

    Format, type, factor, affine and header are kept; voxels that are not changed hold the very numbers they had. A file
    that cannot be read is named on stderr and left out; an only one raises. Each is written whole or not at all.

    Args:
      arguments: see `find_photos`; files that end in `VOLUME_SUFFIXES`.
      out: folder for the results; it is made if it does not exist.
      restorer: a restorer of volumes.
      options: options of the user.

    Returns:
      0, or 1 if a file was left out.

    Raises:
      InputError: arguments or options are wrong; then no file was written.
      OSError: a result cannot be written.
    """
    require(0 <= options.strength <= 1, "strength", options.strength, "0 to 1")
    require(options.tile is None or options.tile >= 1, "tile", options.tile, "1 or more")
    models = one_model(restorer, 3)
    repair = require_repairs(models, options.repair)
    if options.mask is not None:
        require_fills(models)
    jobs = plan_jobs(arguments, out, False, options.force, VOLUME_SUFFIXES)
    for job in jobs:
        if suffix_of(job.photo, VOLUME_SUFFIXES) is None:
            reject("model", restorer.facts.name, f"for {job.photo} a network for images; this is {OF_AXES[3]}")
    known = None if options.mask is None else _read_known(options.mask, jobs, options.time)
    do = partial(_do_job, known, make_restore(models, options.strength, options.tile, repair), options)
    if len(jobs) > 1:
        return in_turn(jobs, do, "restored", "volumes")
    with open_photo_progress(1, "volumes") as show:
        do(jobs[0], show)
    return 0


def restore_volume(
    volume: Volume,
    known: Known | None,
    restore: Restore,
    options: VolumeOptions = DEFAULTS,
    watch: Watch = lambda *_: None,
) -> tuple[Volume, str]:
    """Returns the restored volume, or the very same one if there was nothing to do, and what to say about it.

    Values of the window become [-1, 1] for the network. Those beyond it are left as they are, unless they are missing.

    Args:
      volume: a volume.
      known: false where to fill in; all other voxels are then kept unless a repair is asked for. None restores all.
      restore: result of `make_restore`.
      options: options of the user.
      watch: called with the number of finished tiles and the total.

    Raises:
      InputError: the window is none.
    """
    if options.strength == 0 or (known is not None and known.all() and options.repair is None):
        return volume, ""
    values, shown = volume.values, volume.values if known is None else volume.values[known][None, None]
    window = window_of(volume._replace(values=shown), options.window)
    if window.low == window.high:
        return volume._replace(values=np.where(_with_channel(known, values), values, np.float32(window.low))), ""
    half = np.float32((window.high - window.low) / 2)
    x = np.clip((values - np.float32(window.low)) / half - 1, -1, 1)
    restored = _on_grid(x, known, cubic_sizes(volume) if options.resample else x.shape[:3], restore, watch)
    beyond = (values < window.low) | (values > window.high)
    kept = (restored == x) | beyond
    if known is not None:
        beyond, kept = beyond & known[..., None], known[..., None] & (kept | (options.repair is None))
    found = np.float32(window.low) + (np.clip(restored, -1, 1) + 1) * half
    words = _words(volume, window, int(beyond.sum()), options.resample)
    return volume._replace(values=np.where(kept, values, found)), words


def _with_channel(known: Known | None, values: Float32[np.ndarray, "d h w c"]) -> np.ndarray:
    return np.ones_like(values, bool) if known is None else known[..., None]


def _on_grid(
    x: Float32[np.ndarray, "d h w 1"], known: Known | None, sizes: tuple[int, ...], restore: Restore, watch: Watch
) -> Float32[np.ndarray, "d h w 1"]:
    """Returns values in [-1, 1] that were restored on a grid of these sizes.

    From another grid than their own the change comes back, which is 0 where the network changes nothing.
    """
    if sizes == x.shape[:3]:
        return restore(x, known, watch).pixels
    fine = resize(x, sizes)
    seen = None if known is None else resize(known[..., None].astype(np.float32), sizes)[..., 0] > WHOLLY
    restored = restore(fine, seen, watch).pixels
    back = x + resize(restored - fine, x.shape[:3])
    return back if known is None else np.where(known[..., None], back, resize(restored, x.shape[:3]))


def _words(volume: Volume, window: Window, beyond: int, resampled: bool) -> str:
    """Returns what the user must know of how a volume was restored."""
    words = [f"values {window.low:g} to {window.high:g} as black to white, {window.why}"]
    if beyond:
        words.append(f"{beyond} voxels beyond them are left as they were")
    sides = spacing(volume.affine)
    if max(sides) > UNEVEN * min(sides):
        what = "resampled to cubic ones and back" if resampled else "kept, though the model was trained on cubic ones"
        also = "" if resampled else " (--resample)"
        words.append(f"voxels of {' x '.join(f'{side:.3g}' for side in sides)} mm {what}{also}")
    return "; ".join(words)


def _read_known(path: Path, jobs: Sequence[Job], time: int | None) -> Known:
    """Returns the known voxels by the file of a mask; prints how many are missing.

    Raises:
      InputError: it is no mask, or one of the readable volumes has another size, or lies elsewhere by its affine.
    """
    mask = read_volume(path)
    levels = np.unique(mask.values)
    require(levels.size <= 2, "mask", f"{path} with {levels.size} levels", "two, the higher one where to fill in")
    for job in jobs:
        try:
            volume = read_volume(job.photo, time)
        except InputError:
            continue  # reported when this volume is restored
        if volume.values.shape != mask.values.shape:
            sizes = [_size(one) for one in (mask, volume)]
            raise InputError(f"mask: {path} has {sizes[0]} voxels; accepted: {sizes[1]}, as {job.photo} has")
        placed = None in (volume.header, mask.header) or np.allclose(volume.affine, mask.affine, atol=1e-3)
        require(placed, "mask", f"{path} with another affine than {job.photo}", "the same, so that voxels agree")
    missing = mask.values[..., 0] > (0 if levels.size == 1 else levels[0])
    if any_missing(missing):
        print(described(missing), flush=True)
    return ~missing


def _do_job(known: Known | None, restore: Restore, options: VolumeOptions, job: Job, show: PhotoProgress) -> None:
    """Reads, restores and writes one volume; one that stays as it was is copied."""
    began = time.monotonic()
    volume = read_volume(job.photo, options.time)
    try:
        restored, words = restore_volume(volume, known, restore, options, show.watch)
    except FloatingPointError as error:
        raise InputError(f"{job.photo}: {error}") from None
    if restored is volume and options.time is None:
        write_bytes(job.result, job.photo.read_bytes())
    else:
        same = restored.values[..., 0] == volume.values[..., 0]
        numbers = np.where(same, read_numbers(job.photo, options.time), stored_values(restored))
        write_volume(job.result, restored._replace(numbers=numbers))
    line = f"{job.photo} -> {job.result} ({_size(volume)}, {time.monotonic() - began:.1f} s)"
    show.done(printable(line + (f": {words}" if words else "")))


def _size(volume: Volume) -> str:
    return " x ".join(map(str, volume.values.shape[:3]))
