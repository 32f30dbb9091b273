"""Images from a trained GAN."""

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
    """Returns the classes that a GAN can be asked for, in order; none of one without a condition."""
    return () if gan.config.gan.conditioning == "none" else gan.facts.class_names


def sample_run(gan: Trained, num: int | None, seed: int, out: Path, label: str | None = None) -> str:
    """Draws images from a trained GAN, writes them and returns a line that says what was written.

    Args:
      gan: from `load`.
      num: 1 or more; None for as many as there are labels, or 64 where one or none is given.
      seed: decides the latents.
      out: .png for one picture of all, .npz for `images` uint8 (n, h, w, c) and, of a conditional GAN, `labels`.
      label: classes by name or number, separated by commas and repeated in order; None draws them at random.

    Raises:
      InputError: an unknown label, or an `out` of another kind.
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
    return f"{out}: {num} images from step {gan.facts.step}"


def parse_labels(text: str, names: tuple[str, ...]) -> list[int]:
    """Returns the classes of a comma-separated list of names, or of numbers where no class has such a name.

    Raises:
      InputError: one is unknown; lists the known ones.
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
      gan: from `load`.
      num: 1 or more.
      seed: decides the latents, and the classes where none are given.
      labels: classes, repeated in order to `num`.
    """
    asked = None if labels is None else jnp.resize(jnp.asarray(labels, jnp.int32), (num,))
    inputs = gan.algorithm.draw_inputs(jax.random.key(seed), num, asked)
    arrays = {"images": render_all(jax.jit(gan.algorithm.predict), gan.state, inputs)}
    if "condition" in inputs:
        arrays["labels"] = np.argmax(np.asarray(inputs["condition"]), axis=-1).astype(np.int32)
    return arrays


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Writes a compressed .npz, whole or not at all.

    Raises:
      OSError: the file cannot be written.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_bytes(path, buffer.getvalue())
