"""The files of volumes that a GAN drew: the one place that decides by the suffix of their name."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from jaxgen.errors import require
from jaxgen.images import readable_scale, save_gif, save_png
from jaxgen.types import Grid
from jaxgen.volumes.kinds import Volume, suffix_of
from jaxgen.volumes.pictures import montage, turning
from jaxgen.volumes.writing import ENCODERS, write_volume, write_volumes

PICTURES = (".png", ".gif")
BYTES = (0.0, 255.0)
"""Values that are empty and full, also of a volume that has neither."""


def volume_kind(out: str | Path, shape: Grid) -> str:
    """Returns what volumes of a shape (d, h, w, c) are written to, by the suffix of a path.

    Raises:
      InputError: there is no such kind of file, or it takes no colours.
    """
    kind = suffix_of(out, (*PICTURES, *ENCODERS))
    accepted = f"a file name that ends in {', '.join((*PICTURES, *ENCODERS))}, or a folder (FOLDER/)"
    require(kind is not None, "out", str(out), accepted)
    require(shape[-1] == 1 or kind == ".npz", "out", str(out), f"a name that ends in .npz for {shape[-1]} channels")
    return kind or ""


def write_drawn(volumes: UInt8[np.ndarray, "n d h w 1"], out: Path, columns: int | None) -> None:
    """Writes volumes to one file: .png for slices and a view of each, .gif for turning surfaces, or as `write_volumes`.

    Args:
      volumes: 0 is empty, 255 is full.
      out: path with a suffix that `volume_kind` accepts.
      columns: volumes in a row of the picture; None makes it about square.
    """
    if suffix_of(out, PICTURES) == ".png":
        save_png(out, montage(volumes, columns), readable_scale(volumes.shape[2]))
    elif suffix_of(out, PICTURES) == ".gif":
        save_gif(out, turning(volumes, columns=columns), 80)
    else:
        write_volumes(out, [_record(volume) for volume in volumes], BYTES)


def save_volume(path: Path, volume: UInt8[np.ndarray, "d h w 1"]) -> None:
    """Writes one volume as `write_drawn` does."""
    write_volume(path, _record(volume), BYTES)


def _record(volume: UInt8[np.ndarray, "d h w 1"]) -> Volume:
    return Volume(volume.astype(np.float32), dtype=np.dtype(np.uint8))
