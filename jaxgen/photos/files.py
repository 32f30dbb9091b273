"""The photo files that the user names, and the paths of the restored ones."""

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxgen.data.folder import SUFFIXES, image_files
from jaxgen.errors import InputError, require


class Found(NamedTuple):
    """A photo file.

    Attributes:
      path: path of the file.
      place: path of the restored photo, relative to the folder of results.
    """

    path: Path
    place: Path


class Job(NamedTuple):
    """A photo, and the files to write for it.

    Attributes:
      photo: file to read.
      restored: file to write.
      compare: file to write with both side by side, or None.
    """

    photo: Path
    restored: Path
    compare: Path | None


def find_photos(arguments: Sequence[str], out: Path | None = None, field: str = "photos") -> list[Found]:
    """Returns the photos that the arguments name, in this order, each once: files, and those of folders and globs.

    Folders are searched with their subfolders, sorted, without hidden files. A file that is named may have any suffix;
    of folders and globs only files with `SUFFIXES` are taken. Places are relative to the folder, or to the part of a
    glob before its first wildcard.

    Args:
      arguments: names of files or folders, or globs (`**` for any depth).
      out: folder of results; if it lies in a folder that is searched, it is left out.
      field: name of the arguments in errors.

    Raises:
      InputError: an argument matches no photo, or there is no argument.
    """
    require(len(arguments) > 0, field, list(arguments), "files, folders or globs")
    found: dict[Path, Found] = {}
    for argument in arguments:
        photos = _expand(argument, out)
        require(bool(photos), field, argument, f"a file, a folder with {', '.join(SUFFIXES)} files, or a glob")
        for photo in photos:
            found.setdefault(_real(photo.path), photo)
    return list(found.values())


def output_paths(photos: Sequence[Found], out: Path, compare: bool = False) -> list[Job]:
    """Returns the files to write for each photo: OUT/PLACE, and OUT/PLACE without suffix + `-compare.png`.

    Args:
      photos: result of `find_photos`.
      out: folder of results; it need not exist.
      compare: whether to write the pictures side by side too.

    Raises:
      InputError: `out` is a file, two results would have the same path, or a result would replace a photo.
    """
    require(not out.exists() or out.is_dir(), "out", str(out), "a folder")
    jobs = []
    for photo in photos:
        restored = out / photo.place
        beside = restored.with_name(f"{restored.stem}-compare.png") if compare else None
        jobs.append(Job(photo.path, restored, beside))
    _refuse_overwriting(jobs, {_real(photo.path) for photo in photos})
    return jobs


def results(jobs: Iterable[Job]) -> list[tuple[Path, Path]]:
    """Returns all pairs (file to write, its photo)."""
    return [(path, job.photo) for job in jobs for path in (job.restored, job.compare) if path is not None]


def _refuse_overwriting(jobs: list[Job], inputs: set[Path]) -> None:
    """Raises `InputError` if a result would replace a photo or another result."""
    taken: dict[Path, Path] = {}
    for path, photo in results(jobs):
        if _real(path) in inputs:
            raise InputError(f"out: {path} is one of the photos to restore; accepted: a folder that leaves these alone")
        other = taken.setdefault(path, photo)
        if other != photo:
            raise InputError(f"out: {other} and {photo} would both be written to {path}; accepted: their common folder")


def _expand(argument: str, out: Path | None) -> list[Found]:
    """Returns the photos of one argument."""
    path = Path(argument).expanduser()
    if path.is_dir():
        return _in_folder(path, path, out)
    if path.is_file():
        return [Found(path, Path(path.name))]
    root = _before_wildcards(path)
    found = []
    for match in map(Path, sorted(glob.glob(str(path), recursive=True))):
        if match.is_dir():
            found += _in_folder(match, root, out)
        elif match.suffix.lower() in SUFFIXES:
            found.append(Found(match, match.relative_to(root)))
    return found


def _in_folder(folder: Path, root: Path, out: Path | None) -> list[Found]:
    """Returns image files below `folder`, placed relative to `root`, without those below an `out` inside `folder`."""
    paths = image_files(folder)
    if out is not None and folder.resolve() in out.resolve().parents:
        paths = [path for path in paths if out.resolve() not in _real(path).parents]
    return [Found(path, path.relative_to(root)) for path in paths]


def _before_wildcards(pattern: Path) -> Path:
    """Returns the folders of a glob before its first part with a wildcard."""
    fixed = []
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


def _real(path: Path) -> Path:
    """Returns the path without links; unlike `Path.resolve` it accepts a loop of links."""
    return Path(os.path.realpath(path))
