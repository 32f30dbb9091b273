"""A source of the image files in a folder and its subfolders."""

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps

from jaxgen.data import base
from jaxgen.data.base import Source
from jaxgen.data.config import DataConfig
from jaxgen.errors import InputError, reject, require
from jaxgen.files import printable
from jaxgen.volumes.kinds import VOLUME_SUFFIXES

T = TypeVar("T")
LOGGER = logging.getLogger("jaxgen")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
MAX_UNREADABLE = 0.1
"""Share of unreadable files above which a folder is refused."""


def open_folder(config: DataConfig) -> Source:
    """Returns the source of `folder:PATH`: every PNG, JPEG, WebP, BMP and TIFF in it and its subfolders, sorted.

    Every file is decoded once here. Hidden files and links to folders are left out. A damaged file, or one that
    Pillow refuses as a decompression bomb, is skipped and counted, and a warning names it. Alpha is composited over
    white, and the orientation in EXIF is applied. The source is grey if every file is stored as grey, else RGB.

    Args:
      config: `dataset` is `folder:PATH`; `image_size` and `channels` as in `fit_image`. With `crop_size` the images
        keep their sizes, and those smaller than a crop are skipped like damaged ones.

    Returns:
      The source; labels are the subfolders of the first level (sorted by name) if there are two or more and
      every image is in one.

    Raises:
      InputError: no such folder, no readable image, more than 10% of the files unreadable, or images that
        differ in size without `image_size`.
    """
    root = Path(config.dataset.removeprefix("folder:")).expanduser()
    require(root.is_dir(), "dataset", config.dataset, "folder:PATH where PATH is an existing folder")
    paths = image_files(root)
    hint = "; volumes need a --volume-size" if not paths and files_of(root, VOLUME_SUFFIXES) else ""
    require(bool(paths), "dataset", config.dataset, f"a folder that holds images ({', '.join(SUFFIXES)}){hint}")
    good, kept, shape, cropped = _check(paths, config)
    labels, class_names = folder_labels(root, good)
    read = partial(_read, good, config.image_size, shape[2])
    if config.crop_size is not None and kept is not None:
        read = [base.fit_image(image, None, shape[2]) for image in kept].__getitem__
        kept = None
    return Source(
        name=config.dataset,
        origin=f"{len(good)} image files of the folder {root}",
        shape=shape,
        num_images=len(good),
        labels=labels,
        class_names=class_names,
        images=None if kept is None else _stack(kept, shape),
        read=read if kept is None else None,
        crops=config.crop_size is not None,
        skipped=len(paths) - len(good),
        cropped=cropped,
    )


def image_files(root: Path) -> list[Path]:
    """Returns the image files below `root` as `files_of` does."""
    return files_of(root, SUFFIXES)


def files_of(root: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Returns the files below `root` with these ends, sorted by relative path, without hidden files and folders."""
    found = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        visible = [name for name in names if not name.startswith(".")]
        found += [Path(folder, name) for name in visible if name.lower().endswith(suffixes)]
    return sorted(found, key=lambda path: path.relative_to(root).parts)


def folder_labels(root: Path, paths: list[Path]) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    """Returns labels (int32 [n]) and class names from the first-level subfolders; None, None without classes."""
    parts = [path.relative_to(root).parts for path in paths]
    names = sorted({part[0] for part in parts})
    if any(len(part) == 1 for part in parts) or len(names) < 2:
        return None, None
    index = {name: i for i, name in enumerate(names)}
    return np.array([index[part[0]] for part in parts], np.int32), tuple(names)


def decode_file(path: Path, image_size: int | None = None, channels: int | None = None) -> np.ndarray:
    """Decodes one file with its EXIF orientation and cuts it to size (see `fit_image`).

    Returns:
      uint8 [h, w, 1 or 3].

    Raises:
      Exception: any exception that Pillow raises for a damaged file.
    """
    return base.fit_image(_decode(path), image_size, channels)


def _decode(path: Path) -> np.ndarray:
    """Returns the whole image of a file with its EXIF orientation."""
    with Image.open(path, formats=FORMATS) as image:
        return base.decode(ImageOps.exif_transpose(image))


def _check(
    paths: list[Path], config: DataConfig
) -> tuple[list[Path], list[np.ndarray] | None, tuple[int, int, int], int]:
    """Returns the readable paths, their images if these fit in memory, the shape of all, and how many were cropped."""
    good, kept, bad, num_pixels, channels, num_cropped = [], [], [], 0, config.channels or 1, 0
    for path, found in zip(paths, in_threads(partial(_try_decode, config), paths), strict=True):
        if isinstance(found, str):
            LOGGER.warning("%s", printable(f"{path}: skipped, {found}"))
            bad.append(printable(path.name))
            continue
        image, cropped = found
        num_cropped += cropped
        if not good:
            first = image.shape
        if config.crop_size is None and image.shape[:2] != first[:2]:
            raise base.differing_sizes(first, image.shape, path.name)
        good.append(path)
        channels = max(channels, image.shape[2])
        num_pixels += image.shape[0] * image.shape[1]
        if num_pixels * channels <= base.MEMORY_LIMIT:
            kept.append(image)
        else:
            kept.clear()
    size = config.crop_size
    note = "" if size is None else f", where an image smaller than crop_size {size} counts as damaged"
    refuse_bad_folder(config.dataset, bad, len(paths), "images", note)
    fits = num_pixels * channels <= base.MEMORY_LIMIT
    height, width = first[:2] if config.crop_size is None else (config.crop_size, config.crop_size)
    return good, kept if fits else None, (height, width, channels), num_cropped


def in_threads(fn: Callable[[Path], T], paths: list[Path]) -> Iterator[T]:
    """Maps by a few threads, in order; when the consumer stops early, calls that have not begun are cancelled."""
    pool = ThreadPoolExecutor(base.NUM_THREADS)
    try:
        yield from pool.map(fn, paths)
    finally:
        pool.shutdown(cancel_futures=True)


def _try_decode(config: DataConfig, path: Path) -> tuple[np.ndarray, bool] | str:
    """Returns the image and whether its sides were cut off; or why there is none: Pillow may raise any exception."""
    try:
        whole = _decode(path)
        image = base.fit_image(whole, config.image_size, config.channels)
        small = config.crop_size is not None and min(image.shape[:2]) < config.crop_size
        cropped = config.image_size is not None and whole.shape[0] != whole.shape[1]
        return f"{image.shape[0]}x{image.shape[1]} is smaller than a crop" if small else (image, cropped)
    except MemoryError:
        raise
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def refuse_bad_folder(dataset: str, bad: list[str], total: int, what: str, note: str) -> None:
    """Raises `InputError` if of the `total` files of a folder none, or too few, could be read.

    Args:
      dataset: name of the source.
      bad: names of the unreadable files.
      total: number of files.
      what: what they hold, in the plural.
      note: end of the message.
    """
    if len(bad) == total:
        reject("dataset", dataset, f"a folder with readable {what}; none of its {total} could be read{note}")
    if len(bad) > MAX_UNREADABLE * total:
        raise InputError(
            f"dataset: {len(bad)} of the {total} {what} of {dataset!r} cannot be read (more than 10%), "
            f"the first are {', '.join(bad[:3])}; accepted: a folder with at most 10% damaged files{note}"
        )


def _stack(kept: list[np.ndarray], shape: tuple[int, int, int]) -> np.ndarray:
    """Stacks images of one or three channels in one array; it empties the list meanwhile to save memory."""
    images = np.empty((len(kept), *shape), np.uint8)
    for i in reversed(range(len(kept))):
        images[i] = base.fit_image(kept.pop(), None, shape[2])
    return images


def _read(paths: list[Path], image_size: int | None, channels: int, index: int) -> np.ndarray:
    return decode_file(paths[index], image_size, channels)
