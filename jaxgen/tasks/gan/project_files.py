"""Projection of picture files: the work of `python -m jaxgen project`."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxgen.errors import InputError, require
from jaxgen.files import printable
from jaxgen.images import make_grid, readable_scale, save_png
from jaxgen.metrics.quality import psnr
from jaxgen.photos.files import find_photos
from jaxgen.photos.reading import read_photo
from jaxgen.photos.writing import to_8_bits
from jaxgen.progress import track_pass
from jaxgen.tasks.base import Trained
from jaxgen.tasks.gan.project import Projection, find_latents, fit_to, require_pictures
from jaxgen.tasks.gan.sample import class_names, parse_labels, save_arrays
from jaxgen.types import Grid


def project_files(
    gan: Trained, arguments: Sequence[str], label: Sequence[str], steps: int, seed: int, out: Path
) -> int:
    """Writes pictures beside what a GAN draws most like them, and the latents; prints a line for each picture.

    The latents go to an .npz file of the same name: `latents` (n, z), `distances` (n,), and `labels` (n,) of a
    conditional GAN. Files that cannot be read are named and left out.

    Args:
      gan: result of `load`.
      arguments: files, folders or globs, as in `find_photos`.
      label: classes as in `parse_labels`, one for all pictures or one for each; none for the best of all classes.
      steps: steps of the search.
      seed: seed of its starts.
      out: .png to write; it may exist.

    Returns:
      The exit code: 1 if a file was left out.

    Raises:
      InputError: no such file or label, or no file can be read; then nothing is written.
    """
    names, shape = class_names(gan), require_pictures(gan)
    asked = parse_labels(label, names) or None
    paths = [found.path for found in find_photos(arguments, field="pictures")]
    fits = asked is None or len(asked) in (1, len(paths))
    require(fits, "label", label, f"one class, or one for each of the {len(paths)} pictures")
    labels = None if asked is None else (asked * len(paths) if len(asked) == 1 else asked)
    images = {i: image for i, path in enumerate(paths) if (image := _read(path, shape)) is not None}
    require(len(images) > 0, "pictures", ", ".join(arguments), "a picture that can be read")
    clean = np.stack(list(images.values()))
    found = find_latents(gan, clean, None if labels is None else [labels[i] for i in images], steps, seed, track_pass)
    for place, line in zip(images, _lines(clean, found, names), strict=True):
        print(printable(f"{paths[place]}: {line}"))
    pairs = np.stack([clean, found.images], axis=1).reshape(-1, *shape)
    save_png(out, make_grid(pairs, 2 * max(1, round((len(clean) / 2) ** 0.5))), readable_scale(shape[0]))
    arrays = {"latents": found.latents, "distances": found.distances}
    save_arrays(out.with_suffix(".npz"), **arrays, **({} if found.labels is None else {"labels": found.labels}))
    print(f"{out}: each picture, and beside it what the GAN draws most like it; {out.with_suffix('.npz')}: the latents")
    return 1 if len(images) < len(paths) else 0


def _read(path: Path, shape: Grid) -> np.ndarray | None:
    """Returns a picture in this shape and prints what was changed; prints the reason and returns None without one."""
    try:
        photo = read_photo(path)
        planes = photo.pixels if photo.alpha is None else np.concatenate([photo.pixels, photo.alpha[..., None]], -1)
        image = fit_to(to_8_bits(planes), shape)
    except InputError as error:
        text = str(error)
        print(printable(text if str(path) in text else f"{path}: {text}"), file=sys.stderr)
        return None
    height, width = photo.pixels.shape[:2]
    changes = []
    if (height, width) != shape[:2]:
        cut = "" if height == width else "cut to its middle square, "
        changes.append(f"{width} x {height} pixels, {cut}resized to {shape[1]} x {shape[0]}")
    if photo.pixels.shape[-1] != shape[-1]:
        changes.append("made grey" if shape[-1] == 1 else "grey")
    if changes:
        print(printable(f"{path}: {', '.join(changes)}"))
    return image


def _lines(clean: np.ndarray, found: Projection, names: tuple[str, ...]) -> list[str]:
    """Returns a line for each picture: the PSNR of its projection, and the class."""
    labels = [""] * len(clean) if found.labels is None else [f", class {names[label]}" for label in found.labels]
    return [f"PSNR {value:.2f} dB{label}" for value, label in zip(psnr(found.images, clean), labels, strict=True)]
