"""A source of the files of volumes in a folder and its subfolders."""

import logging
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from jaxgen.data import base
from jaxgen.data.base import Source
from jaxgen.data.config import DataConfig
from jaxgen.data.folder import files_of, folder_labels, in_threads, refuse_bad_folder
from jaxgen.errors import InputError, require
from jaxgen.files import printable
from jaxgen.volumes.kinds import VOLUME_SUFFIXES
from jaxgen.volumes.levels import Window, common_window, to_bytes, to_shares, window_of
from jaxgen.volumes.reading import read_volume
from jaxgen.volumes.sizes import fit_volume, is_cut, upright

LOGGER = logging.getLogger("jaxgen")


class _Found(NamedTuple):
    """A volume that was cut to size: its values (d, h, w, 1), window, and whether its sides were cut off."""

    values: np.ndarray
    window: Window
    cut: bool


def open_volumes(config: DataConfig) -> Source:
    """Returns the source of `folder:PATH` of volumes: every .nii, .nii.gz, .tif, .tiff, .npy and .npz, sorted.

    Of each the central cube is resized to `volume_size`, as `fit_volume` does with the spacing of the file; NIfTI is
    turned to the nearest axes of the body first. One window for all makes them grey levels, `window`, else that of
    `window_of` and `common_window`, which the origin of the source names. A damaged file is skipped and counted.

    Args:
      config: `dataset` is `folder:PATH`; `volume_size`, `window` and `time` are used. All volumes are held in memory.

    Returns:
      The source, grey; labels are the subfolders of the first level as in `open_folder`.

    Raises:
      InputError: no such folder, no readable volume, more than 10% of the files unreadable, or too much for the memory.
    """
    root, size = Path(config.dataset.removeprefix("folder:")).expanduser(), config.volume_size
    require(root.is_dir(), "dataset", config.dataset, "folder:PATH where PATH is an existing folder")
    require(config.channels in (None, 1), "channels", config.channels, "1 or None for volumes")
    paths = files_of(root, VOLUME_SUFFIXES)
    require(bool(paths), "dataset", config.dataset, f"a folder that holds volumes ({', '.join(VOLUME_SUFFIXES)})")
    fits = len(paths) * size**3 <= base.MEMORY_LIMIT
    require(fits, "volume_size", size, f"a size at which {len(paths)} volumes fit into {base.MEMORY_LIMIT:,} bytes")
    good, found, bad = [], [], []
    with threadpool_limits(1, "blas"):  # small matrices are faster so
        for path, one in zip(paths, in_threads(partial(_try_read, config), paths), strict=True):
            if isinstance(one, str):
                LOGGER.warning("skipped, %s", printable(one))
                bad.append((path, one))
            else:
                good.append(path)
                found.append(one)
    note = f"; the first of these: {bad[0][1]}" if bad else ""
    refuse_bad_folder(config.dataset, [printable(path.name) for path, _ in bad], len(paths), "volumes", note)
    window = common_window([one.window for one in found])
    labels, class_names = folder_labels(root, good)
    return Source(
        name=config.dataset,
        origin=f"{len(good)} files of volumes of the folder {root}, {window}",
        shape=(size, size, size, 1),
        num_images=len(good),
        labels=labels,
        class_names=class_names,
        images=np.stack([to_bytes(one.values, window) for one in found]),
        skipped=len(bad),
        cropped=sum(one.cut for one in found),
    )


def _try_read(config: DataConfig, path: Path) -> _Found | str:
    """Returns the volume of a file, cut to size, or why there is none."""
    try:
        volume = read_volume(path, config.time)
    except InputError as error:
        return str(error)
    volume = volume if volume.header is None else upright(volume)
    window, cut = window_of(volume, config.window), is_cut(volume)
    if config.window is not None:  # bright metal is cut before means are taken
        shares = to_shares(volume.values, window)
        volume = volume._replace(values=window.low + shares * np.float32(window.high - window.low))
    return _Found(fit_volume(volume, config.volume_size), window, cut)
