"""Writes TensorBoard events, each at once: a failing disk then stops the run instead of a background thread."""

import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from jaxgen.files import append, naming


class EventWriter(NamedTuple):
    """The functions that write events to one file; made by `open_events`."""

    write_scalar: Callable[[str, float, int], None]
    """write_scalar(name, value, step): writes one number."""
    write_image: Callable[[str, np.ndarray, int], None]
    """write_image(name, image, step): writes a uint8 image [H, W, C]."""
    close: Callable[[], None]
    """Closes the file."""


def open_events(folder: Path, start_step: int) -> EventWriter:
    """Opens a new event file in a folder; makes the folder if it is missing.

    Args:
      folder: holds all event files of a run.
      start_step: the step that training goes on from; TensorBoard drops later steps of older files.

    Returns:
      The functions that write.

    Raises:
      OSError: the file cannot be written; names it. The functions raise it too.
    """
    from tensorboardX import summary
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    # the time in the name has whole seconds; the step keeps a quick restart from writing into the same file
    path = folder / f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{start_step:08}"
    with naming(path):
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("ab", buffering=0)

    def write(step: int, **content: object) -> None:
        _append_record(file, path, Event(wall_time=time.time(), step=step, **content).SerializeToString())

    write(0, file_version="brain.Event:2")
    write(start_step + 1 if start_step else 0, session_log=SessionLog(status=SessionLog.START))
    return EventWriter(
        lambda name, value, step: write(step, summary=summary.scalar(name, value)),
        lambda name, image, step: write(step, summary=summary.image(name, image, dataformats="HWC")),
        file.close,
    )


def _append_record(file: BinaryIO, path: Path, data: bytes) -> None:
    """Appends one record of the TFRecord format: the length, its checksum, the data, its checksum."""
    from tensorboardX.record_writer import masked_crc32c

    length = struct.pack("<Q", len(data))
    checks = [struct.pack("<I", masked_crc32c(part)) for part in (length, data)]
    append(file, path, length + checks[0] + data + checks[1])
