"""Image data sets of TensorFlow Datasets (TFDS), found on disk or else downloaded if the internet can be reached."""

import difflib
import io
import math
import os
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from jaxgen.data import base
from jaxgen.data.base import Source
from jaxgen.data.config import DataConfig
from jaxgen.data.records import open_records
from jaxgen.errors import InputError, reject, require

FORMS = "a TFDS name (mnist, cifar10, ...), folder:PATH, npz:FILE, or digits"
PROBE_URL = "https://storage.googleapis.com"
CHUNK = 256
"""Number of images that a thread decodes at a time."""
SPOT_CHECKS = 16
"""Number of evenly spaced images that are checked first if a data set is too large to be read whole."""


class DataSetMissing(InputError):
    """An error: a TFDS data set is not on disk and cannot be downloaded; `reason` says why in a few words."""

    def __init__(self, name: str, reason: str):
        super().__init__(
            f"dataset: {name!r} {reason}; accepted: a folder that holds it, by --data-dir or TFDS_DATA_DIR, "
            "the internet to download it once, or folder:PATH, npz:FILE, digits"
        )
        self.reason = reason


def internet_answers(timeout: float = 3.0) -> bool:
    """Returns whether a server of TFDS answers within `timeout` seconds; the downloader would try for minutes."""
    answers: list[bool] = []
    # In a thread, because the look-up of the address has no timeout.
    thread = threading.Thread(target=lambda: answers.append(_probe(timeout)), daemon=True)
    thread.start()
    thread.join(timeout)
    return answers == [True]


def _probe(timeout: float) -> bool:
    try:
        with urllib.request.urlopen(PROBE_URL, timeout=timeout):
            return True
    except urllib.error.HTTPError:  # an HTTP error is an answer too
        return True
    except OSError:
        return False


def locate(config: DataConfig) -> Any:
    """Returns the builder of the data set `config.dataset`, with its files on disk.

    It searches `config.data_dir`, TFDS_DATA_DIR and TFDS's default folder, then downloads to the first of these.

    Raises:
      InputError: TFDS has no data set of this name.
      DataSetMissing: the files are not on disk and cannot be downloaded.
    """
    base.import_tensorflow()
    import tensorflow_datasets as tfds

    folders = _search_folders(config)
    plain_name = re.split("[/:]", config.dataset)[0]
    for folder in folders:
        # Without this check, TFDS warns of every folder without the data set.
        if plain_name and tfds.core.Path(folder, plain_name).exists():
            builder = _builder(config.dataset, folder)
            if builder.is_prepared():
                return builder
    _require_known(config.dataset, plain_name, tfds.list_builders(with_community_datasets=False))
    return _download(config.dataset, folders)


def read_builder(builder: Any, config: DataConfig) -> Source:
    """Returns the source of one split of a prepared builder.

    Args:
      builder: a `tfds.core.DatasetBuilder` whose files are on disk, as TFRecord or as array_record.
      config: only `split`, `image_size` and `channels` are used.

    Returns:
      The source, in memory up to `base.MEMORY_LIMIT` bytes and read image by image above. Labels are those of the
      feature `label` if it is a ClassLabel and no image lacks one.

    Raises:
      InputError: an unknown split, no image feature, damaged files, or images that differ in size without
        `image_size`.
    """
    split = _split(builder, config)
    feature, label_feature = _features(builder, config)
    record = open_records(builder, config.split, split)
    num_images = split.num_examples
    channels = config.channels or _known_channels(builder.info.features[feature])
    shape = _pixels(record, 0, feature, config.image_size, channels).shape

    def read(index: int) -> np.ndarray:
        image = _pixels(record, index, feature, config.image_size, shape[2])
        if image.shape != shape:
            raise base.differing_sizes(shape, image.shape, f"image {index}")
        return image

    in_memory = num_images * math.prod(shape) <= base.MEMORY_LIMIT
    images = _fill(np.empty((num_images, *shape), np.uint8), read) if in_memory else None
    if not in_memory:
        _fill(
            np.empty((SPOT_CHECKS, *shape), np.uint8),
            lambda i: read(i * (num_images - 1) // (SPOT_CHECKS - 1)),
        )
    labels, class_names = _labels(record, num_images, label_feature)
    return Source(
        name=config.dataset,
        origin=f"{num_images} images of TFDS {builder.info.full_name} {config.split} in {builder.data_path}",
        shape=shape,
        num_images=num_images,
        labels=labels,
        class_names=class_names,
        images=images,
        read=None if in_memory else read,
        uses_tensorflow=True,
    )


def _search_folders(config: DataConfig) -> list[str]:
    """Returns the folders that may hold data sets, without repetition, in the order of the search."""
    given = (config.data_dir, os.environ.get("TFDS_DATA_DIR"), "~/tensorflow_datasets")
    return list(dict.fromkeys(os.path.expanduser(folder) for folder in given if folder))


def _builder(name: str, folder: str) -> Any:
    """Returns `tfds.builder`; its errors (about a configuration, a version, a missing package) become one line."""
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=folder)
    except Exception as error:
        raise InputError(f"dataset: TFDS cannot open {name!r} ({_one_line(error)}); accepted: {FORMS}") from error


def _one_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _require_known(name: str, plain_name: str, known: list[str]) -> None:
    is_name = re.fullmatch(r"\w+(/[\w.,=+-]+)?(:(\d+|\*)(\.(\d+|\*)){0,2})?", name)
    if is_name and plain_name in known:
        return
    close = difflib.get_close_matches(plain_name.lower(), [*known, "digits"], n=3)
    hint = f" (did you mean {' or '.join(close)}?)" if close else ""
    raise InputError(f"dataset: TFDS does not know {name!r}{hint}; accepted: {FORMS}")


def _download(name: str, folders: list[str]) -> Any:
    where = f"is not in {', '.join(folders)}"
    if not internet_answers():
        raise DataSetMissing(name, f"{where} and the internet does not answer")
    builder = _builder(name, folders[0])
    try:
        builder.download_and_prepare()
    except Exception as error:  # data sets raise many kinds of errors, AssertionError too
        raise DataSetMissing(name, f"{where} and its download failed ({_one_line(error)})") from error
    return builder


def _split(builder: Any, config: DataConfig) -> Any:
    try:
        split = builder.info.splits[config.split]
    except (ValueError, KeyError):
        found = ", ".join(sorted(builder.info.splits)) or "none"
        reject(
            "split",
            config.split,
            f"the splits of {config.dataset} ({found}) and their parts, as train[:1000]",
        )
    require(split.num_examples > 0, "split", config.split, f"a split of {config.dataset} that is not empty")
    return split


def _features(builder: Any, config: DataConfig) -> tuple[str, Any]:
    """Returns the name of the image feature (`image` if there are several) and the ClassLabel `label` or None."""
    import tensorflow_datasets as tfds

    features = dict(builder.info.features.items()) if hasattr(builder.info.features, "items") else {}
    images = [
        name
        for name, feature in features.items()
        if isinstance(feature, tfds.features.Image)
        and not isinstance(feature, tfds.features.LabeledImage)
        and feature.np_dtype in (np.uint8, np.uint16)
    ]
    if not images:
        found = ", ".join(f"{name}: {type(feature).__name__}" for name, feature in sorted(features.items()))
        reject("dataset", config.dataset, f"a data set with an image feature; this one has {found or 'none'}")
    label = features.get("label")
    return ("image" if "image" in images else min(images)), (
        label if isinstance(label, tfds.features.ClassLabel) else None
    )


def _known_channels(feature: Any) -> int | None:
    """Returns the channels that the data set declares: single files may differ (grey JPEGs among colour)."""
    return {1: 1, 2: 1, 3: 3, 4: 3}.get(feature.shape[-1])


def _parse(serialized: bytes) -> Any:
    """Returns the features of a `tf.train.Example` by name."""
    import tensorflow as tf

    return tf.train.Example.FromString(serialized).features.feature


def _pixels(
    record: Callable[[int], bytes], index: int, feature: str, image_size: int | None, channels: int | None
) -> np.ndarray:
    """Returns image number `index`, uint8 [h, w, c], cut to size."""
    try:
        with Image.open(io.BytesIO(_parse(record(index))[feature].bytes_list.value[0])) as image:
            return base.fit_image(base.decode(image), image_size, channels)
    except Exception as error:  # for damaged records and images protobuf and Pillow raise any exception
        raise InputError(f"{feature} {index} of the data set cannot be read: {_one_line(error)}") from error


def _labels(
    record: Callable[[int], bytes], num_images: int, feature: Any
) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    """Returns labels (int32 [n]) and class names; None, None without a ClassLabel or if an image has no label."""
    if feature is None:
        return None, None
    labels = _fill(np.empty(num_images, np.int32), lambda i: _parse(record(i))["label"].int64_list.value[0])
    return (labels, tuple(feature.names)) if labels.min() >= 0 else (None, None)


def _fill(target: np.ndarray, value: Callable[[int], Any]) -> np.ndarray:
    """Sets `target[i] = value(i)` for all i, in threads that each take a chunk at a time; returns `target`."""

    def fill(start: int) -> None:
        for index in range(start, min(start + CHUNK, len(target))):
            target[index] = value(index)

    pool = ThreadPoolExecutor(base.NUM_THREADS)
    try:
        list(pool.map(fill, range(0, len(target), CHUNK)))
    finally:
        pool.shutdown(cancel_futures=True)
    return target
