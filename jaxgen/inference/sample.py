"""Images from a run folder, while it trains or after."""

from pathlib import Path

import jax
import numpy as np

from jaxgen.algorithms.gan import make_gan
from jaxgen.config import from_dict, reject, require
from jaxgen.images import make_grid, save_png
from jaxgen.recipes.gan import GanRecipe, picture_scale, render_all
from jaxgen.training.checkpoints import read_meta, restore


def sample_run(run: Path, num: int, seed: int, out: Path) -> str:
    """Draws `num` images from the newest whole checkpoint of a run and writes them.

    Args:
      run: run folder.
      num: 1 or more.
      seed: decides the latents.
      out: .png for one picture of all, .npz for `images` uint8 (n, h, w, c).

    Returns:
      A line that says what was written.

    Raises:
      InputError: no such run, no checkpoint yet, or an `out` of another kind.
    """
    require(out.suffix in (".png", ".npz"), "out", str(out), "a file name that ends in .png or .npz")
    require(num >= 1, "num", num, "1 or more")
    require((run / "checkpoints").is_dir(), "run", str(run), "a run folder with checkpoints (OUT/RECIPE/TIMESTAMP)")
    images, step = draw(run, num, seed)
    if out.suffix == ".png":
        save_png(out, make_grid(images), picture_scale(images.shape[1]))
    else:
        save_arrays(out, images=images)
    return f"{out}: {num} images from step {step}"


def draw(run: Path, num: int, seed: int) -> tuple[np.ndarray, int]:
    """uint8 (num, h, w, c) from the newest whole checkpoint, and its step."""
    step, meta = read_meta(run / "checkpoints")
    config = from_dict(GanRecipe, meta["config"])
    algorithm = make_gan(config.gan, tuple(meta["shape"]), config.train.batch_size)
    target = jax.eval_shape(algorithm.init, jax.random.key(0), vars(config.hparams))
    state, _ = restore(run / "checkpoints", target)
    latents = algorithm.draw_inputs(jax.random.key(seed), num)
    return render_all(jax.jit(algorithm.predict), state, latents), step


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Compressed .npz, whole or not at all.

    Raises:
      InputError: the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as file:
            np.savez_compressed(file, **arrays)
        partial.replace(path)
    except OSError as error:
        reject("out", str(path), f"a file that can be written ({error.strerror})")
