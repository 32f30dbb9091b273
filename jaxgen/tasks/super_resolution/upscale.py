"""Enlarges photo files: the work of `python -m jaxgen upscale`."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jaxgen.errors import InputError, require
from jaxgen.photos.reading import Photo, page_sizes
from jaxgen.photos.work import Watch, Work, do_jobs, plan_jobs
from jaxgen.tasks.base import Trained
from jaxgen.tasks.super_resolution.enlarge import enlarge_photo, enlarged_sizes, make_enlarge, require_factor

MAX_RESULT = 400_000_000
"""Pixels of a result, all pages together, above which it is made only if the user allows it."""


class UpscaleOptions(NamedTuple):
    """The options of `upscale`.

    Attributes:
      strength: weight of what the network makes, 0 to 1; that of the bicubic enlargement is 1 - strength.
      compare: whether to write NAME-compare.png too, with the bicubic enlargement and the result side by side.
      force: whether to overwrite existing results.
      allow_large: whether to take photos above the limit on pixels, and to make results above `MAX_RESULT`.
    """

    strength: float | int = 1.0
    compare: bool = False
    force: bool = False
    allow_large: bool = False


DEFAULTS = UpscaleOptions()


def upscale_photos(
    arguments: Sequence[str], out: Path, model: Trained, scale: float | int, options: UpscaleOptions = DEFAULTS
) -> int:
    """Writes enlarged photos to a folder, with the subfolders of the originals; shows progress, returns the exit code.

    What is kept of a photo, and what becomes of one that cannot be read, says `do_jobs`. A factor of 1 copies.

    Args:
      arguments: see `find_photos`.
      out: folder for the results; it is made if it does not exist.
      model: a network that enlarges images.
      scale: the factor, 1 to 8; height and width of a result are those of the photo times the factor, rounded.
      options: options of the user.

    Returns:
      0, or 1 if a photo was left out.

    Raises:
      InputError: arguments or options are wrong, or a result would be too large; then no file was written.
      OSError: a result cannot be written.
    """
    require_factor(scale)
    require(0 <= options.strength <= 1, "strength", options.strength, "0 to 1")
    jobs = plan_jobs(arguments, out, options.compare, options.force)
    if not options.allow_large:
        for job in jobs:
            _refuse_large(job.photo, scale)
    enlarge, plain = make_enlarge(model, scale, options.strength), make_enlarge(None, scale)

    def change(photo: Photo, watch: Watch) -> tuple[Photo, str]:
        return enlarge_photo(photo, enlarge, scale, watch), ""

    work = Work(
        change,
        beside=lambda photo: enlarge_photo(photo, plain, scale, lambda *_: None),
        labels=("bicubic", "upscaled"),
        done="upscaled",
        sizes=lambda sizes: enlarged_sizes(sizes, scale),
    )
    return do_jobs(jobs, work, options.allow_large)


def _refuse_large(path: Path, scale: float | int) -> None:
    """Raises `InputError` if the result would have more than `MAX_RESULT` pixels."""
    try:
        pages = page_sizes(path)
    except InputError:
        return  # reported when this photo is enlarged
    results = [enlarged_sizes(sizes, scale) for sizes in pages]
    num = sum(height * width for height, width in results)
    if num > MAX_RESULT:
        size = " x ".join(map(str, results[0][::-1]))
        raise InputError(
            f"scale: {path} would have {size} pixels, {num / 1e6:,.0f} megapixels; accepted: results of at most "
            f"{MAX_RESULT / 1e6:.0f} megapixels, larger ones only with --allow-large"
        )
