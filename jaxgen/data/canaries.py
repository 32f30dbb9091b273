"""Canaries: training images of which a coin decides whether they are trained on, and the record of the coins.

An auditor who knows the images, but not the coins, guesses them from the trained model. The images are real ones, so
the canaries cost the training nothing but those that are left out.
"""

import dataclasses
import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from jaxgen.data.base import Canaries, Source, subset
from jaxgen.errors import InputError, require
from jaxgen.files import write_bytes

FILE = Path("private") / "canaries.npz"
"""Place of the record in the folder of a run; whoever has it knows which of the images were trained on."""
NUM_COMPARED = 32
"""Canaries whose pixels are part of the digest."""


def flip_coins(source: Source, num: int, seed: int) -> Source:
    """Returns a source without those of its canaries whose coins say so; `Source.canaries` tells which they are.

    Args:
      source: the images to train on.
      num: number of canaries, which are drawn from all images; 0 returns the source unchanged.
      seed: seed of the canaries and of their coins; other streams of the same seed do not depend on them.

    Raises:
      InputError: there are fewer images than canaries.
    """
    if num == 0:
        return source
    require(num <= source.num_images, "canaries", num, f"at most {source.num_images:,}, the number of training images")
    generator = np.random.default_rng((seed, 0, 5))
    index = np.sort(generator.choice(source.num_images, num, replace=False))
    included = generator.integers(0, 2, num).astype(np.bool_)
    return leave_out(source, Canaries(index, included, _digest(source, index)))


def with_all_canaries(config: Any) -> Any:
    """Returns the configuration of a training that leaves no image out."""
    return dataclasses.replace(config, data=dataclasses.replace(config.data, canaries=0))


def leave_out(source: Source, canaries: Canaries) -> Source:
    """Returns the source without the canaries that are not included."""
    kept = np.ones(source.num_images, np.bool_)
    kept[canaries.index[~canaries.included]] = False
    return dataclasses.replace(subset(source, np.flatnonzero(kept)), canaries=canaries)


def record_canaries(directory: Path, source: Source) -> None:
    """Writes the canaries of a source to the folder of a run; without canaries it does nothing.

    Raises:
      InputError: the run began with other canaries, as it would with another seed.
    """
    canaries, path = source.canaries, directory / FILE
    if canaries is None:
        return
    if path.exists():
        before = read_canaries(directory)
        same = np.array_equal(before.index, canaries.index) and np.array_equal(before.included, canaries.included)
        same = same and before.digest == canaries.digest
        require(same, "canaries", "others than before", f"those of {path}, by the run's first seed and images")
        return
    buffer = io.BytesIO()
    np.savez(buffer, index=canaries.index, included=canaries.included, digest=np.array(canaries.digest))
    write_bytes(path, buffer.getvalue())


def trained_on(canaries: Canaries, index: Int64[np.ndarray, " m"]) -> Bool[np.ndarray, " m"]:
    """Returns whether a run with these canaries was trained on the images with these numbers (-1: of another set)."""
    return (index >= 0) & ~np.isin(index, canaries.index[~canaries.included])


def read_canaries(directory: Path) -> Canaries | None:
    """Returns the canaries of a run; None if it has none.

    Raises:
      InputError: the record is damaged.
    """
    path = directory / FILE
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            return Canaries(file["index"].astype(np.int64), file["included"].astype(np.bool_), str(file["digest"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: holds no canaries ({error}); accepted: the file that the training wrote") from None


def require_source_of(canaries: Canaries, source: Source) -> None:
    """Raises `InputError` if a source, before any image is left out, is not the one that the canaries are from."""
    inside = bool(canaries.index.max() < source.num_images)
    same = inside and canaries.digest == _digest(source, canaries.index)
    require(same, "dataset", source.name, "the images that the run was trained on, in the same order")


def _digest(source: Source, index: np.ndarray) -> str:
    """Returns a hash of the number of images and of the pixels of the first canaries."""
    pixels = np.ascontiguousarray(source.take(index[:NUM_COMPARED])).tobytes()
    return hashlib.sha256(f"{source.num_images} {source.shape} ".encode() + pixels).hexdigest()
