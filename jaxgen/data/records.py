"""Random access to the records of a TFDS split: TFRecord files by the stored lengths, array_record by TFDS."""

import os
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxgen.errors import InputError, reject, require


def open_records(builder: Any, name: str, split: Any) -> Callable[[int], bytes]:
    """Returns a function for random access to the serialized examples of a split.

    Args:
      builder: a `tfds.core.DatasetBuilder` whose files are on disk.
      name: name of the split, as the user wrote it.
      split: `builder.info.splits[name]`.

    Returns:
      A function from an index to a serialized `tf.train.Example`; several threads may call it.

    Raises:
      InputError: the files are damaged, incomplete, or in another format than TFRecord and array_record.
    """
    import tensorflow_datasets as tfds

    if builder.info.file_format.value == "tfrecord":
        return _tfrecords(split)
    raw = tfds.decode.DeserializeMethod.RAW_BYTES
    try:
        records = builder.as_data_source(name, deserialize_method=raw)
    except (NotImplementedError, ValueError, ImportError) as error:
        reason = str(error).splitlines()[0]
        reject("dataset", str(builder.data_path), f"files in the format tfrecord or array_record ({reason})")
    return lambda index: records[index]


def record_offsets(path: str) -> np.ndarray:
    """Returns the positions of the records of a TFRecord file.

    Each record is stored as length (8 bytes), its checksum (4), the record, its checksum (4). Only the lengths are
    read, one short read for each record.

    Args:
      path: a local file.

    Returns:
      int64 [n, 2]: offset and length of each record in bytes.

    Raises:
      InputError: the file does not exist or ends within a record.
    """
    found, position = [], 0
    try:
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            while position + 12 <= size:
                file.seek(position)
                (length,) = struct.unpack("<Q", file.read(8))
                found.append((position + 12, length))
                position += length + 16
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); accepted: a TFRecord file") from None
    require(position == size, path, f"{size} bytes that end within a record", "a complete TFRecord file")
    return np.array(found, np.int64).reshape(-1, 2)


def _tfrecords(split: Any) -> Callable[[int], bytes]:
    """Returns a function that reads one record; it opens the file each time, as a large set has over a thousand."""
    paths = [os.fspath(part.filename) for part in split.file_instructions]
    places = []
    for number, part in enumerate(split.file_instructions):
        found = record_offsets(paths[number])[part.skip : part.skip + part.take]
        require(len(found) == part.take, paths[number], f"{len(found)} records", f"the {part.take} of its index")
        places.append(np.column_stack([np.full(len(found), number), found]))
    table = np.concatenate(places)

    def record(index: int) -> bytes:
        number, offset, length = table[index].tolist()
        with open(paths[number], "rb", buffering=0) as file:
            file.seek(offset)
            return file.read(length)

    return record
