"""Images from a run folder, while it trains or after."""

import io
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.errors import require
from jaxgen.files import write_bytes
from jaxgen.images import make_grid, save_png
from jaxgen.tasks.gan.load import TrainedGan, load_gan
from jaxgen.tasks.gan.pictures import picture_scale, render_all


def sample_run(
    run: Path, num: int | None, seed: int, out: Path, label: str | None = None, checkpoint: str = "latest"
) -> str:
    """Draws `num` images from a checkpoint of a run and writes them.

    Args:
      run: run folder.
      num: 1 or more; None for as many as there are labels, or 64 where one or none is given.
      seed: decides the latents.
      out: .png for one picture of all, .npz for `images` uint8 (n, h, w, c) and, of a conditional GAN, `labels`.
      label: classes by name or number, separated by commas and repeated in order; None draws them at random.
      checkpoint: "latest", "best" or a step.

    Returns:
      A line that says what was written.

    Raises:
      InputError: no such run, no checkpoint yet, an unknown label, or an `out` of another kind.
    """
    require(out.suffix in (".png", ".npz"), "out", str(out), "a file name that ends in .png or .npz")
    require(num is None or num >= 1, "num", num, "1 or more")
    gan = load_gan(run, checkpoint)
    labels = None if label is None else parse_labels(label, gan.class_names)
    num = num or (len(labels) if labels is not None and len(labels) > 1 else 64)
    arrays = draw(gan, num, seed, labels)
    if out.suffix == ".png":
        save_png(out, make_grid(arrays["images"]), picture_scale(gan.shape[0]))
    else:
        save_arrays(out, **arrays)
    return f"{out}: {num} images from step {gan.step}"


def parse_labels(text: str, class_names: tuple[str, ...]) -> list[int]:
    """Classes of a comma-separated list of names, or of numbers where no class has such a name.

    Raises:
      InputError: one is unknown; lists the known ones.
    """
    known = ", ".join(name if name == str(i) else f"{name} ({i})" for i, name in enumerate(class_names))
    require(len(class_names) > 0, "label", text, "none, since this run was trained without classes")
    numbers = {str(i): i for i in range(len(class_names))} | {name: i for i, name in enumerate(class_names)}
    for name in text.split(","):
        require(name.strip() in numbers, "label", name.strip(), known)
    return [numbers[name.strip()] for name in text.split(",")]


def draw(gan: TrainedGan, num: int, seed: int, labels: list[int] | None = None) -> dict[str, np.ndarray]:
    """`images` uint8 (num, h, w, c) and, of a conditional GAN, `labels` int32 (num,).

    Args:
      gan: from `load_gan`.
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
    """Compressed .npz, whole or not at all.

    Raises:
      OSError: the file cannot be written.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_bytes(path, buffer.getvalue())
