"""Sampling of images or volumes from a trained GAN, into one picture, an archive or a folder of files."""

import io
import math
import re
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from jaxgen.errors import InputError, require
from jaxgen.files import write_bytes
from jaxgen.images import make_grid, readable_scale, save_png
from jaxgen.progress import track_pass
from jaxgen.tasks.base import Trained
from jaxgen.tasks.gan.inputs import (
    between,
    class_names,
    inputs_of_file,
    inputs_of_seed,
    inputs_of_seeds,
    parse_labels,
    parse_seeds,
    truncate,
)
from jaxgen.tasks.gan.pictures import AT_ONCE, Inputs, render_all, render_batches
from jaxgen.tasks.gan.sample_volumes import save_volume, volume_kind, write_drawn
from jaxgen.types import Grid

NUMBERED = re.compile(r"\d{5,}\.(png|nii\.gz)")
"""Names of the files of a folder of images or volumes."""


def sample_run(
    gan: Trained,
    num: int | None,
    seed: int,
    out: str | Path,
    label: Sequence[str] = (),
    *,
    seeds: str | None = None,
    latents: Path | None = None,
    interpolate: int | None = None,
    truncation: float = 1.0,
    grid: str | None = None,
) -> str:
    """Writes images of a trained GAN, and returns a line of text about them.

    Args:
      gan: result of `load`.
      num: number of images, 1 or more; None for as many as the grid has places or, without one, one of each label, or
        64 if one label or none is given.
      seed: seed of all latents, and of classes that are not given; 0 to 2^32 - 1.
      out: .png for one picture; .npz for `images` uint8 (n, h, w, c) and, of a conditional GAN, `labels` and the name
        of each class, `label_names`; or a folder for one PNG file for each image, 00000.png and so on. Volumes also go
        to the files of `write_drawn`, and in a folder to 00000.nii.gz and so on.
      label: classes as in `parse_labels`, repeated in order; none draws them at random.
      seeds: a list as in `parse_seeds`, for one image of each seed, whose image depends on no other.
      latents: file as in `inputs_of_file`, in place of `seed` and `seeds`.
      interpolate: number of steps from each image of `seeds` or `latents` to the next, as in `between`.
      truncation: factor of the latents, 0 to 1, as in `truncate`.
      grid: ROWSxCOLUMNS of the picture.

    Raises:
      InputError: an argument is not accepted, or does not go with another.
    """
    kind = kind_of(out, gan.facts.shape)
    _require_together(num, seeds, latents, interpolate)
    require(0 <= seed < 2**32, "seed", seed, "0 to 4294967295")
    require(0 <= truncation <= 1, "truncation", truncation, "0 to 1")
    require(grid is None or kind == ".png", "grid", grid, "none unless --out ends in .png")
    rows, columns = (1, None) if grid is None else _parse_grid(grid)
    labels = parse_labels(label, class_names(gan))
    if latents is not None:
        inputs = inputs_of_file(gan, latents, seed, labels)
    elif seeds is not None:
        inputs = inputs_of_seeds(gan, parse_seeds(seeds), labels)
    else:
        default = rows * columns if columns else len(labels) if len(labels) > 1 else 64
        inputs = inputs_of_seed(gan, num or default, seed, labels)
    if interpolate is not None:
        ends = len(inputs["latents"])
        require(ends >= 2, "interpolate", interpolate, "none with fewer than two images to go between")
        inputs = between(inputs, interpolate)
        columns = columns or math.ceil(len(inputs["latents"]) / (ends - 1))
    num = len(inputs["latents"])
    require(grid is None or num <= rows * columns, "grid", grid, f"a grid with places for {num} images")
    # one image in a call, where it must not depend on the others even in its last bit
    _write(gan, truncate(inputs, truncation), out, columns, 1 if seeds is not None else AT_ONCE)
    what = "image" if _is_flat(gan) else "volume"
    return f"{out}: {num} {what}{'s' if num > 1 else ''} from {origin(gan)}"


def _require_together(num: int | None, seeds: str | None, latents: Path | None, interpolate: int | None) -> None:
    """Raises `InputError` for a number of images below 1, or one that does not go with another argument."""
    listed = seeds is not None or latents is not None
    require(num is None or num >= 1, "num", num, "1 or more")
    require(num is None or not listed, "num", num, "none with --seeds and --latents, which say how many")
    require(seeds is None or latents is None, "seeds", seeds, "none with --latents")
    require(interpolate is None or interpolate >= 1, "interpolate", interpolate, "1 or more")
    require(interpolate is None or listed, "interpolate", interpolate, "none without --seeds or --latents")


def origin(gan: Trained) -> str:
    """Returns the step of a GAN's run, or the name of its weights, in words."""
    return f"step {gan.facts.step}" if gan.from_run else gan.facts.name


def kind_of(out: str | Path, shape: Grid) -> str:
    """Returns what images (*spatial, c) are written to, by its suffix: ".png", ".npz", of volumes more.

    It is "" for a folder: named so, existing or without a suffix.

    Raises:
      InputError: a file of another kind.
    """
    path = Path(out)
    if path.is_dir() or str(out).endswith("/") or path.suffix == "":
        require(path.is_dir() or not path.exists(), "out", str(out), "a folder, which this existing file is not")
        return ""
    if len(shape) == 4:
        return volume_kind(out, shape)
    accepted = "a file name that ends in .png or .npz, or a folder (FOLDER/)"
    require(path.suffix in (".png", ".npz"), "out", str(out), accepted)
    return path.suffix


def draw(gan: Trained, num: int, seed: int, labels: Sequence[int] | None = None) -> dict[str, np.ndarray]:
    """Returns `images` uint8 (num, h, w, c) and, of a conditional GAN, `labels` int32 (num,).

    Args:
      gan: result of `load`.
      num: number of images, 1 or more.
      seed: seed of the latents, and of the classes if they are not given.
      labels: classes, repeated in order up to `num`.
    """
    return _arrays(gan, inputs_of_seed(gan, num, seed, labels or ()), AT_ONCE)


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Writes a compressed .npz file, whole or not at all.

    Raises:
      OSError: the file cannot be written.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def _is_flat(gan: Trained) -> bool:
    """Returns whether a GAN makes images, and not volumes."""
    return len(gan.facts.shape) == 3


def _write(gan: Trained, inputs: Inputs, out: str | Path, columns: int | None, at_once: int) -> None:
    """Writes the images of these inputs to a picture, an archive or a folder."""
    kind = kind_of(out, gan.facts.shape)
    if kind == "":
        _write_folder(gan, inputs, Path(out), at_once)
        return
    arrays = _arrays(gan, inputs, at_once)
    if kind == ".npz":
        names = class_names(gan)
        save_arrays(Path(out), **arrays, **({"label_names": np.array(names)} if names else {}))
    elif _is_flat(gan):
        save_png(Path(out), make_grid(arrays["images"], columns), readable_scale(gan.facts.shape[0]))
    else:
        write_drawn(arrays["images"], Path(out), columns)


def _write_folder(gan: Trained, inputs: Inputs, folder: Path, at_once: int) -> None:
    """Writes a PNG file for each image, or a NIfTI file for each volume, a batch at a time.

    Raises:
      InputError: the folder holds further numbered images, which would mix with these.
    """
    num = len(inputs["latents"])
    digits = max(5, len(str(num - 1)))
    suffix = ".png" if _is_flat(gan) else ".nii.gz"
    names = [f"{number:0{digits}}{suffix}" for number in range(num)]
    folder.mkdir(parents=True, exist_ok=True)
    others = sorted({path.name for path in folder.iterdir() if NUMBERED.fullmatch(path.name)} - set(names))
    if others:
        raise InputError(
            f"out: {folder} holds {others[-1]}; accepted: a folder without other numbered images than the new"
        )
    save = save_png if _is_flat(gan) else save_volume
    batches = render_batches(jax.jit(gan.algorithm.predict), gan.state, inputs, at_once)
    images = (image for batch in batches for image in batch)
    for name, image in zip(names, track_pass("images", images, num), strict=True):
        save(folder / name, image)


def _arrays(gan: Trained, inputs: Inputs, at_once: int) -> dict[str, np.ndarray]:
    """Returns `images` and, of a conditional GAN, `labels`: of a mixture the class with the largest share."""
    arrays = {"images": render_all(jax.jit(gan.algorithm.predict), gan.state, inputs, at_once)}
    if "condition" in inputs:
        arrays["labels"] = np.argmax(np.asarray(inputs["condition"]), axis=-1).astype(np.int32)
    return arrays


def _parse_grid(text: str) -> tuple[int, int]:
    """Returns rows and columns."""
    match = re.fullmatch(r"\s*(\d{1,4})\s*[x×]\s*(\d{1,4})\s*", text.lower())
    rows, columns = (0, 0) if match is None else (int(match[1]), int(match[2]))
    require(rows * columns > 0, "grid", text, "ROWSxCOLUMNS, such as 4x6")
    return rows, columns
