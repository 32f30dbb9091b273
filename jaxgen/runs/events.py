"""TensorBoard events, each written at once: a failing disk is then an error of the run, not of a thread in hiding."""

import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from tensorboardX import summary
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c

from jaxgen.files import append, naming


class EventWriter(NamedTuple):
    """Where events go; made by `open_events`."""

    write_scalar: Callable[[str, float, int], None]
    """write_scalar(name, value, step)."""
    write_image: Callable[[str, np.ndarray, int], None]
    """write_image(name, image, step): uint8 [H, W, C]."""
    close: Callable[[], None]


def open_events(folder: Path, start_step: int) -> EventWriter:
    """Opens a new file of events in a folder, which is made where it lacks.

    Args:
      folder: of all the event files of a run.
      start_step: the step that training goes on from; events of later steps in earlier files are purged by readers.

    Raises:
      OSError: the file cannot be written; so do the functions that write. Names the file.
    """
    # names count seconds: the step keeps a quick restart from writing over the file
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
    """One record of the TFRecord format: length, its checksum, data, its checksum."""
    length = struct.pack("<Q", len(data))
    checks = [struct.pack("<I", masked_crc32c(part)) for part in (length, data)]
    append(file, path, length + checks[0] + data + checks[1])
