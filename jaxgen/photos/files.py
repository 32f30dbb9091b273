"""The photo files that the user names, and the paths of the results."""

import glob
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxgen.errors import InputError, require
from jaxgen.files import printable
from jaxgen.photos.kinds import SUFFIXES, SUFFIXES_OF, kind_of

LOGGER = logging.getLogger("jaxgen")
MAX_NAMED = 10
"""Files that the line about those left out names; of further ones it says how many there are."""


class Found(NamedTuple):
    """A photo file.

    Attributes:
      path: path of the file.
      place: path of the result, relative to the folder of results.
    """

    path: Path
    place: Path


class Job(NamedTuple):
    """A photo, and the files to write for it.

    Attributes:
      photo: file to read.
      result: file to write.
      compare: file to write with both side by side, or None.
    """

    photo: Path
    result: Path
    compare: Path | None


def find_photos(
    arguments: Sequence[str], out: Path | None = None, field: str = "photos", suffixes: Sequence[str] = SUFFIXES
) -> list[Found]:
    """Returns the photos that the arguments name, in this order, each once: files, and those of folders and globs.

    Folders are searched with their subfolders, sorted, without hidden files. A file that is named may have any suffix;
    of folders and globs files with `suffixes` are taken, and photos without a suffix by their content; a warning names
    the others, and files that are named twice. Places are relative to the folder, or to the part of a
    glob before its first wildcard.

    Args:
      arguments: names of files or folders, or globs (`**` for any depth).
      out: folder of results; if it lies in a folder that is searched, it is left out.
      field: name of the arguments in errors.
      suffixes: what the names of files end in, in lower case.

    Raises:
      InputError: an argument matches no photo, or there is no argument.
    """
    require(len(arguments) > 0, field, list(arguments), "files, folders or globs")
    found: dict[Path, Found] = {}
    others: list[Path] = []
    for argument in arguments:
        photos = _expand(argument, out, others, tuple(suffixes))
        require(bool(photos), field, argument, f"a file, a folder with {', '.join(suffixes)} files, or a glob")
        for photo in photos:
            first = found.setdefault(_real(photo.path), photo).path
            if os.path.abspath(first) != os.path.abspath(photo.path):
                LOGGER.warning("%s is the same file as %s, and taken once", printable(photo.path), printable(first))
    _name_others(others, suffixes)
    return list(found.values())


def output_paths(photos: Sequence[Found], out: Path, compare: bool = False) -> list[Job]:
    """Returns the files to write for each photo: OUT/PLACE, and OUT/PLACE without suffix + `-compare.png`.

    If the content is of another format than the suffix says, the result has the suffix of the content. Where the suffix
    tells names apart, `a.jpg` and `a.png` give `a-jpg-compare.png` and `a-png-compare.png`.

    Args:
      photos: result of `find_photos`.
      out: folder of results; it need not exist.
      compare: whether to write the pictures side by side too.

    Raises:
      InputError: `out` is a file, two results would have the same path, or a result would replace a photo.
    """
    require(not out.exists() or out.is_dir(), "out", str(out), "a folder")
    places = _places(photos)
    beside = [out / place for place in _compare_places(places)] if compare else [None] * len(places)
    jobs = [Job(photo.path, out / place, b) for photo, place, b in zip(photos, places, beside, strict=True)]
    _refuse_overwriting(jobs, {_real(photo.path) for photo in photos})
    return jobs


def results(jobs: Iterable[Job]) -> list[tuple[Path, Path]]:
    """Returns all pairs (file to write, its photo)."""
    return [(path, job.photo) for job in jobs for path in (job.result, job.compare) if path is not None]


def _refuse_overwriting(jobs: list[Job], inputs: set[Path]) -> None:
    """Raises `InputError` if a result would replace a photo or another result."""
    taken: dict[Path, Path] = {}
    for path, photo in results(jobs):
        if _real(path) in inputs:
            raise InputError(f"out: {path} is one of the photos given; accepted: another folder")
        other = taken.setdefault(path, photo)
        if other != photo:
            raise InputError(f"out: {other} and {photo} would both be written to {path}; accepted: their parent folder")


def _places(photos: Sequence[Found]) -> list[Path]:
    """Returns where the results go: the places of the photos, with the suffix of their content."""
    fitting = [_with_suffix_of_content(photo) for photo in photos]
    times = Counter(fitting)
    places = []
    for photo, place in zip(photos, fitting, strict=True):
        renamed = place != photo.place and times[place] > 1  # another one has this name
        places.append(photo.place.with_name(photo.place.name + place.suffix) if renamed else place)
    return places


def _with_suffix_of_content(photo: Found) -> Path:
    """Returns the place, with another suffix if the content is not of the format that its own one says."""
    kind, place = kind_of(photo.path), photo.place
    if kind is None or place.suffix.lower() in SUFFIXES_OF[kind]:
        return place
    suffix = SUFFIXES_OF[kind][0]
    return place.with_suffix(suffix) if place.suffix.lower() in SUFFIXES else place.with_name(place.name + suffix)


def _compare_places(places: Sequence[Path]) -> list[Path]:
    """Returns where the pictures side by side go, without two of one name where suffixes tell the photos apart."""
    short = [place.with_name(f"{place.stem}-compare.png") for place in places]
    times = Counter([*short, *places])
    long = [place.with_name(f"{place.stem}-{place.suffix[1:]}-compare.png") for place in places]
    return [name if times[name] == 1 else longer for name, longer in zip(short, long, strict=True)]


def _expand(argument: str, out: Path | None, others: list[Path], suffixes: tuple[str, ...]) -> list[Found]:
    """Returns the photos of one argument; adds to `others` what is left out of folders and globs."""
    path = Path(argument).expanduser()
    if path.is_dir():
        return _in_folder(path, path, out, others, suffixes)
    if path.is_file():
        return [Found(path, Path(path.name))]
    root = _before_wildcards(path)
    found = []
    for match in map(Path, sorted(glob.glob(str(path), recursive=True))):
        if match.is_dir():
            found += _in_folder(match, root, out, others, suffixes)
        elif _is_taken(match, suffixes):
            found.append(Found(match, match.relative_to(root)))
        else:
            others.append(match)
    return found


def _in_folder(
    folder: Path, root: Path, out: Path | None, others: list[Path], suffixes: tuple[str, ...]
) -> list[Found]:
    """Returns image files below `folder`, placed relative to `root`, without those below an `out` inside `folder`."""
    paths = sorted(_visible(folder), key=lambda path: path.relative_to(folder).parts)
    if out is not None and folder.resolve() in out.resolve().parents:
        paths = [path for path in paths if out.resolve() not in _real(path).parents]
    taken = [path for path in paths if _is_taken(path, suffixes)]
    others += sorted({*paths} - {*taken})
    return [Found(path, path.relative_to(root)) for path in taken]


def _visible(folder: Path) -> Iterator[Path]:
    """Yields the visible files below a folder, and links to folders, which are not followed."""

    def warn(error: OSError) -> None:
        LOGGER.warning("%s: cannot be searched (%s)", printable(error.filename), error.strerror)

    for place, subfolders, names in os.walk(folder, onerror=warn):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        links = [name for name in subfolders if Path(place, name).is_symlink()]
        yield from (Path(place, name) for name in [*names, *links] if not name.startswith("."))


def _is_taken(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Returns whether a file of a folder or glob is taken: by its suffix, or a photo without one by its content."""
    named = path.name.lower().endswith(suffixes) and not path.is_dir()
    return named or (suffixes == SUFFIXES and not path.suffix and kind_of(path) is not None)


def _name_others(others: list[Path], suffixes: Sequence[str]) -> None:
    """Warns of files that were found and are left out."""
    unique = list(dict.fromkeys(others))
    if unique:
        named = ", ".join(printable(path) for path in unique[:MAX_NAMED])
        more = f" and {len(unique) - MAX_NAMED} more" if unique[MAX_NAMED:] else ""
        LOGGER.warning("left out, as no %s file: %s%s", ", ".join(suffixes), named, more)


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
