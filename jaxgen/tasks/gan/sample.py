"""Sampling of images from a trained GAN."""

import io
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.errors import require
from jaxgen.files import write_bytes
from jaxgen.images import make_grid, readable_scale, save_png
from jaxgen.tasks.base import Trained
from jaxgen.tasks.gan.pictures import render_all


def class_names(gan: Trained) -> tuple[str, ...]:
    """Returns the names of the classes that a GAN can generate, in order; none if it is not conditional."""
    return () if gan.config.gan.conditioning == "none" else gan.facts.class_names


def sample_run(gan: Trained, num: int | None, seed: int, out: Path, label: str | None = None) -> str:
    """Writes images of a trained GAN to a file, and returns a line of text about it.

    Args:
      gan: result of `load`.
      num: number of images, 1 or more; None for one of each label, or 64 if one label or none is given.
      seed: seed of the latents.
      out: .png for one picture, .npz for `images` uint8 (n, h, w, c) and, of a conditional GAN, `labels`.
      label: classes by name or number, separated by commas and repeated in order; None draws them at random.

    Raises:
      InputError: a label is unknown, or `out` is of another kind.
    """
    require(out.suffix in (".png", ".npz"), "out", str(out), "a file name that ends in .png or .npz")
    require(num is None or num >= 1, "num", num, "1 or more")
    labels = None if label is None else parse_labels(label, class_names(gan))
    num = num or (len(labels) if labels is not None and len(labels) > 1 else 64)
    arrays = draw(gan, num, seed, labels)
    if out.suffix == ".png":
        save_png(out, make_grid(arrays["images"]), readable_scale(gan.facts.shape[0]))
    else:
        save_arrays(out, **arrays)
    return f"{out}: {num} images from {origin(gan)}"


def origin(gan: Trained) -> str:
    """Returns the step of a GAN's run, or the name of its weights, in words."""
    return f"step {gan.facts.step}" if gan.from_run else gan.facts.name


def parse_labels(text: str, names: tuple[str, ...]) -> list[int]:
    """Returns the classes of a comma-separated list of names or numbers; a name has precedence.

    Raises:
      InputError: a class is unknown; lists the known ones.
    """
    known = ", ".join(name if name == str(i) else f"{name} ({i})" for i, name in enumerate(names))
    require(len(names) > 0, "label", text, "none, since this run was trained without classes")
    numbers = {str(i): i for i in range(len(names))} | {name: i for i, name in enumerate(names)}
    for name in text.split(","):
        require(name.strip() in numbers, "label", name.strip(), known)
    return [numbers[name.strip()] for name in text.split(",")]


def draw(gan: Trained, num: int, seed: int, labels: list[int] | None = None) -> dict[str, np.ndarray]:
    """Returns `images` uint8 (num, h, w, c) and, of a conditional GAN, `labels` int32 (num,).

    Args:
      gan: result of `load`.
      num: number of images, 1 or more.
      seed: seed of the latents, and of the classes if they are not given.
      labels: classes, repeated in order up to `num`.
    """
    asked = None if labels is None else jnp.resize(jnp.asarray(labels, jnp.int32), (num,))
    inputs = gan.algorithm.draw_inputs(jax.random.key(seed), num, asked)
    arrays = {"images": render_all(jax.jit(gan.algorithm.predict), gan.state, inputs)}
    if "condition" in inputs:
        arrays["labels"] = np.argmax(np.asarray(inputs["condition"]), axis=-1).astype(np.int32)
    return arrays


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Writes a compressed .npz file, whole or not at all.

    Raises:
      OSError: the file cannot be written.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_bytes(path, buffer.getvalue())
