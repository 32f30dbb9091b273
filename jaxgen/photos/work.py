"""Work on photo files one after another: what all commands share that write a changed photo for each one given."""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxgen.errors import InputError
from jaxgen.files import printable, write_bytes
from jaxgen.photos.comparing import side_by_side
from jaxgen.photos.files import Job, find_photos, output_paths, results
from jaxgen.photos.kinds import SUFFIXES
from jaxgen.photos.reading import Photo, read_pages
from jaxgen.photos.writing import encoder, require_fits, write_pages, write_photo
from jaxgen.progress import PhotoProgress, open_photo_progress

Watch = Callable[[int, int], None]


class Work(NamedTuple):
    """What is done to each photo.

    Attributes:
      change: (photo, watch) -> the new photo, or the very same one, and what to say about it, or "".
      beside: photo -> what a picture side by side shows on the left.
      labels: what such a picture calls its halves.
      done: what was done, for the line about those that failed.
      sizes: (height, width) of a photo -> those of its result.
    """

    change: Callable[[Photo, Watch], tuple[Photo, str]]
    beside: Callable[[Photo], Photo] = lambda photo: photo
    labels: tuple[str, str] = ("before", "after")
    done: str = "changed"
    sizes: Callable[[tuple[int, int]], tuple[int, int]] = lambda sizes: sizes


def plan_jobs(
    arguments: Sequence[str], out: Path, compare: bool, force: bool, suffixes: Sequence[str] = SUFFIXES
) -> list[Job]:
    """Returns the photos that the arguments name, with the files to write.

    Args:
      arguments: see `find_photos`.
      out: folder for the results, with the subfolders of the originals; it need not exist.
      compare: whether to write NAME-compare.png too, with both side by side.
      force: whether to overwrite existing results.
      suffixes: see `find_photos`.

    Raises:
      InputError: the arguments name no photo, or a result exists, or would replace a photo or another result.
    """
    jobs = output_paths(find_photos(arguments, out, suffixes=suffixes), out, compare)
    existing = [path for path, _ in results(jobs) if path.exists()]
    if existing and not force:
        more = f" and {len(existing) - 1} more exist" if existing[1:] else " exists"
        raise InputError(f"out: {existing[0]}{more} already; overwritten only with --force")
    return jobs


def do_jobs(jobs: Sequence[Job], work: Work, allow_large: bool) -> int:
    """Writes the results of all photos in order; shows progress, returns the exit code.

    Format, pages, depth, alpha, colour profile, EXIF and notes of a photo are kept. A photo that cannot be read is
    named on stderr and left out. Each file is written whole or not at all.

    Args:
      jobs: result of `plan_jobs`.
      work: what is done.
      allow_large: whether to take photos above the limit on pixels.

    Returns:
      0, or 1 if a photo was left out.

    Raises:
      OSError: a result cannot be written.
    """
    return in_turn(jobs, lambda job, show: _do_job(job, work, allow_large, show), work.done)


def in_turn(
    jobs: Sequence[Job], do: Callable[[Job, PhotoProgress], None], done: str = "changed", what: str = "photos"
) -> int:
    """Does all jobs in order; shows progress, returns the exit code: 1 if one raised `InputError`, which is shown."""
    failed = 0
    with open_photo_progress(len(jobs), what) as show:
        for job in jobs:
            try:
                do(job, show)
            except InputError as error:
                failed += 1
                show.failed(printable(error))
    if failed:
        print(f"{failed} of {len(jobs)} {what} could not be {done}", file=sys.stderr)
    return 1 if failed else 0


def _do_job(job: Job, work: Work, allow_large: bool, show: PhotoProgress) -> None:
    """Reads, changes and writes one photo; one that stays as it was is copied."""
    began = time.monotonic()
    encoder(job.result)  # raises before the work if the format cannot be written
    pages = read_pages(job.photo, allow_large)
    for page in pages:
        require_fits(job.result, work.sizes(page.pixels.shape[:2]))
    try:
        done = [work.change(page, show.watch) for page in pages]
    except FloatingPointError as error:
        raise InputError(f"{job.photo}: {error}") from None
    changed, words = [photo for photo, _ in done], "; ".join(dict.fromkeys(words for _, words in done if words))
    unchanged = all(after is before for after, before in zip(changed, pages, strict=True))
    if unchanged and job.result.suffix == job.photo.suffix:
        write_bytes(job.result, job.photo.read_bytes())
    else:
        write_pages(job.result, changed)
    if job.compare is not None:
        write_photo(job.compare, side_by_side([work.beside(page) for page in pages], changed, work.labels))
    line = f"{_described(pages, changed)}, {time.monotonic() - began:.1f} s"
    show.done(printable(f"{job.photo} -> {job.result} ({line})" + (f": {words}" if words else "")))


def _described(pages: Sequence[Photo], changed: Sequence[Photo]) -> str:
    """Returns the number of pages if there are several, and the size of the first one before and after."""
    num = f"{len(pages)} pages, " if len(pages) > 1 else ""
    before, after = (f"{width} x {height}" for height, width in (p[0].pixels.shape[:2] for p in (pages, changed)))
    return num + (before if before == after else f"{before} to {after}")
