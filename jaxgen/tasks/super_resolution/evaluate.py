"""The table of super-resolution on a folder of photographs, for the weights of the package or a network of the user."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.degradations.resampling import LUMA
from jaxgen.errors import require
from jaxgen.files import printable
from jaxgen.images import save_png
from jaxgen.networks.extent import ends_at
from jaxgen.photos.files import Found, find_photos
from jaxgen.photos.reading import photo_size, read_photo
from jaxgen.photos.writing import to_8_bits
from jaxgen.tasks.base import Trained
from jaxgen.tasks.load import load, require_use
from jaxgen.tasks.super_resolution.algorithm import make_super_resolution
from jaxgen.tasks.super_resolution.protocol import Pixels, Resized, least_size, rounded
from jaxgen.tasks.super_resolution.table import (
    EnlargeFn,
    Table,
    evaluate_upscaler,
    format_table,
    save_table,
    sheet_of_examples,
)
from jaxgen.training.step import TrainState
from jaxgen.types import Observation

USE = "evaluate-restoration --suite super-resolution"
"""The use of a trained model that this file is."""
SHIPPED = "upscale-bicubic"
"""Weights of the package that are evaluated by default: those for small images as the protocol makes them."""
GRAIN = 64
"""Sizes of arrays are multiples of this, so that images of many sizes share few compiled programs."""


def evaluate_photos(
    folder: Path, model: str | Path | None, checkpoint: str = "latest", num: int | None = None, out: Path | None = None
) -> Table:
    """Prints and returns the table of super-resolution on a folder of photographs, for all factors of the network.

    Args:
      folder: folder of originals; those that are too small are named on stderr and left out.
      model: a run folder, a file of weights, or a name of weights of the package; None for `SHIPPED`.
      checkpoint: checkpoint of a run.
      num: number of photographs, the first ones that are large enough; None for all.
      out: folder for table.json and sheet.png; None writes neither.

    Raises:
      InputError: no such folder or model, a model of another task, or no photograph that is large enough.
    """
    require(folder.is_dir(), "folder", str(folder), "an existing folder of photographs")
    require(num is None or num >= 1, "num", num, "1 or more")
    found = find_photos([str(folder)])
    name = SHIPPED if model is None else model
    trained = require_use(load(name, checkpoint, "model"), USE, "model", name)
    scales = trained.config.super_resolution.scale
    photos = _large_enough(folder, found, max(map(least_size, scales)))[:num]
    enlarge = {scale: enlarger(trained, scale) for scale in scales}
    pictures = ((place.as_posix(), to_8_bits(read_photo(path).pixels)) for path, place in photos)
    names = [place.as_posix() for _, place in photos]
    table, examples = evaluate_upscaler(trained.facts.name, enlarge, pictures, partial(_watch, names))
    print(format_table(table))
    if out is not None:
        save_table(out / "table.json", table)
        save_png(out / "sheet.png", sheet_of_examples(examples))
    return table


def enlarger(trained: Trained, scale: int) -> EnlargeFn:
    """Returns the network as a function from small images, uint8 (h, w, 1 or 3), to enlarged ones of the same kind.

    A grey image goes through all three channels, and the result is the luma of the network's.

    Args:
      trained: a network that enlarges.
      scale: one of its factors.
    """
    predict = make_super_resolution(trained.config.super_resolution, trained.facts.shape, 1, scale).predict
    state = jax.device_put(trained.state, jax.local_devices()[0])

    def enlarged(state: TrainState, images: jax.Array, extent: jax.Array) -> jax.Array:
        with ends_at(images.shape[1:3], extent):
            return predict(state, Observation(images), jax.random.key(0)).images

    return partial(_enlarge, partial(jax.jit(enlarged), state), scale)


def _enlarge(apply: Callable[..., jax.Array], scale: int, small: Pixels) -> Resized:
    """Returns one image enlarged by `apply`, which takes it as the first rows and columns of a larger array."""
    height, width, channels = small.shape
    floats = np.repeat(small / np.float32(127.5) - np.float32(1.0), 3 // channels, axis=-1)
    images = np.pad(floats, ((0, -height % GRAIN), (0, -width % GRAIN), (0, 0)))[None]
    result = np.asarray(apply(jnp.asarray(images), jnp.asarray((height, width), jnp.int32)))[0]
    result = result[: scale * height, : scale * width]
    if channels == 1:
        result = result @ np.array(LUMA, np.float32)[:, None]
    return rounded((result + 1.0) * 127.5)


def _large_enough(folder: Path, found: Sequence[Found], least: int) -> list[Found]:
    """Returns the photographs of `least` pixels or more along both sides; names the others on stderr."""
    large = []
    for photo in found:
        height, width = photo_size(photo.path)
        if min(height, width) >= least:
            large.append(photo)
            continue
        line = f"{photo.path}: left out, has {width} x {height} pixels; needed: {least} x {least} or more"
        print(printable(line), file=sys.stderr)
    require(bool(large), "folder", str(folder), f"a folder with a photograph of {least} x {least} pixels or more")
    return large


def _watch(names: Sequence[str], picture: str, factor: str) -> None:
    print(printable(f"{picture} {factor} ({len(names) - names.index(picture)} to go)"), file=sys.stderr, flush=True)
