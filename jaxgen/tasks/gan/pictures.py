"""The final pictures of a GAN's run: samples and interpolations between latents and between classes; surfaces."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgen.images import add_headings, make_grid, readable_scale, save_gif, save_png, to_uint8
from jaxgen.training.parallel import spread
from jaxgen.training.step import Algorithm, TrainState
from jaxgen.types import Latents, Prediction
from jaxgen.volumes.pictures import montage, surface_view, turning

Inputs = dict[str, jax.Array]
Predict = Callable[[TrainState, Inputs, jax.Array], Prediction]

MAX_CLASSES = 20
"""Largest number of classes in a picture."""
COLUMNS = 10
AT_ONCE = 250
"""Images that are made in a call."""
GRID_IMAGES = 64
"""Images of the grids over time; a conditional GAN shows `GRID_ROWS` of each class, of ten classes at most."""
GRID_ROWS = 6
SURFACES = 4
"""Volumes of a picture of surfaces that turn or change."""


def render_all(predict: Predict, state: TrainState, inputs: Inputs, at_once: int = AT_ONCE) -> np.ndarray:
    """Returns the images for any number of inputs at once, uint8 (b, *spatial, c); see `render_batches`."""
    return np.concatenate(list(render_batches(predict, state, inputs, at_once)))


def render_batches(predict: Predict, state: TrainState, inputs: Inputs, at_once: int = AT_ONCE) -> Iterator[np.ndarray]:
    """Yields the images for any number of inputs, batch by batch.

    Args:
      predict: jitted `Algorithm.predict`.
      state: trained state.
      inputs: arrays (b, ...) by name, such as those of `Algorithm.draw_inputs`.
      at_once: images per call; more take more memory. With 1 a device makes one image at a time, so that no image
        depends on the number or order of the others even in its last bit.

    Yields:
      uint8 (n, *spatial, c).
    """
    arrays, key = jax.device_get(inputs), jax.random.key(0)  # a generator does not use the key
    num, devices = len(next(iter(arrays.values()))), len(state.step.sharding.device_set)
    at_once = min(at_once, num)
    at_once += -at_once % devices
    for start in range(0, num, at_once):
        part = {name: x[start : start + at_once] for name, x in arrays.items()}
        # all parts have one shape, so that the program is compiled once; the last part is padded, and its result cut
        padded = {name: filled(x, at_once) for name, x in part.items()}
        yield to_uint8(predict(state, spread(padded, devices), key).images)[: min(at_once, num - start)]


def filled(x: np.ndarray, num: int) -> np.ndarray:
    """Returns x, padded with zeros to `num` rows."""
    return np.concatenate([x, np.zeros((num - len(x), *x.shape[1:]), x.dtype)])


def interpolate(latents: Latents, frames_between: int) -> Float[Array, "f z"]:
    """Returns a closed path through the latents by spherical interpolation, at constant speed from one to the next.

    slerp(a, b, t) = (sin((1 - t) w) a + sin(t w) b) / sin(w), where w is the angle between a and b.

    Args:
      latents: (b, z), b at least 2.
      frames_between: number of frames from one latent to the next.

    Returns:
      (f, z), f = b * frames_between; every `frames_between`-th row is one of `latents`.

    References:
      Shoemake, "Animating rotation with quaternion curves", 1985, section 3.3.
    """
    a, b = latents[:, None], jnp.roll(latents, -1, axis=0)[:, None]
    lengths = jnp.linalg.norm(a, axis=-1) * jnp.linalg.norm(b, axis=-1)
    cosine = jnp.sum(a * b, -1) / jnp.maximum(lengths, jnp.finfo(latents.dtype).tiny)  # latents may be 0
    w = jnp.arccos(jnp.clip(cosine, -0.9999, 0.9999))[..., None]
    t = (jnp.arange(frames_between, dtype=latents.dtype) / frames_between)[None, :, None]
    path = (jnp.sin((1.0 - t) * w) * a + jnp.sin(t * w) * b) / jnp.sin(w)
    return path.reshape(-1, latents.shape[-1])


def draw_over_time(algorithm: Algorithm, class_names: Sequence[str], seed: int) -> Callable[[TrainState], np.ndarray]:
    """Returns a function that draws a grid from fixed latents; for a conditional GAN it has a column for each class."""
    predict, names = jax.jit(algorithm.predict), class_names[:COLUMNS]
    key, _ = jax.random.split(jax.random.key(seed))
    columns = len(names) or None
    labels = None if columns is None else jnp.tile(jnp.arange(columns), GRID_ROWS)
    inputs = algorithm.draw_inputs(key, GRID_IMAGES if labels is None else len(labels), labels)
    return lambda state: add_headings(make_grid(predict(state, inputs, key).images, columns), columns=names)


def draw_final(directory: Path, algorithm: Algorithm, state: TrainState, class_names: Sequence[str], seed: int) -> None:
    """Writes samples.png and interpolation.gif; with classes also same_noise.png and class_interpolation.png.

    Of volumes these show the middle slices, and interpolation.gif the surfaces; surfaces.png and turning.gif are added.

    Args:
      directory: folder of the run.
      algorithm: algorithm of a GAN.
      state: trained state.
      class_names: names of the classes of a conditional GAN, shown beside the images; empty for one without classes.
      seed: seed of the latents.
    """
    predict = jax.jit(algorithm.predict)
    keys = jax.random.split(jax.random.key(seed), 3)

    def sheet(name: str, inputs: Inputs, across: int, **headings: Sequence[str]) -> None:
        images = render_all(predict, state, inputs)
        scale = readable_scale(images.shape[-3])
        save_png(directory / name, add_headings(make_grid(images, across), scale=scale, **headings))

    names = [*class_names[:MAX_CLASSES]]
    shown = len(names)
    if not shown:
        sheet("samples.png", algorithm.draw_inputs(keys[0], 100), COLUMNS)
    else:
        sheet("samples.png", class_rows(algorithm, keys[0], shown), COLUMNS, rows=names)
        sheet("same_noise.png", same_noise(algorithm, keys[2], shown), shown, columns=names)
        moves = [f"{a[:4]} > {b[:4]}" for a, b in zip(names, [*names[1:], names[0]], strict=True)]
        sheet("class_interpolation.png", between_classes(algorithm, keys[2], shown), COLUMNS, rows=moves)
    frames = _frames(algorithm, keys[1], lambda inputs: render_all(predict, state, inputs))
    if frames.ndim == 6 and frames.shape[-1] == 1:
        save_png(directory / "surfaces.png", montage(frames[0]), readable_scale(frames.shape[-3]))
        save_gif(directory / "turning.gif", turning(frames[0, :SURFACES]), 80)
        frames = np.stack([[surface_view(volume) for volume in frame[:SURFACES]] for frame in frames])[..., None]
    if frames.shape[-1] in (1, 3):
        grids = np.stack([make_grid(frame) for frame in frames])
        save_gif(directory / "interpolation.gif", grids, scale=readable_scale(frames.shape[-3]))


def class_rows(algorithm: Algorithm, key: jax.Array, num_classes: int) -> Inputs:
    """Returns the inputs of a grid with a row of `COLUMNS` images for each class, each image from its own latents."""
    labels = jnp.repeat(jnp.arange(num_classes), COLUMNS)
    return algorithm.draw_inputs(key, len(labels), labels)


def same_noise(algorithm: Algorithm, key: jax.Array, num_classes: int) -> Inputs:
    """Returns the inputs of a grid with a column for each class; the images of a row share their latents."""
    inputs = algorithm.draw_inputs(key, COLUMNS * num_classes, jnp.tile(jnp.arange(num_classes), COLUMNS))
    return {**inputs, "latents": jnp.repeat(inputs["latents"][:COLUMNS], num_classes, axis=0)}


def between_classes(algorithm: Algorithm, key: jax.Array, num_classes: int) -> Inputs:
    """Returns the inputs of a grid with a row for each class: fixed latents, a condition that moves to the next."""
    classes = jnp.arange(num_classes)
    start, end = (
        algorithm.draw_inputs(key, num_classes, labels)["condition"] for labels in (classes, jnp.roll(classes, -1))
    )
    share = jnp.linspace(0.0, 1.0, COLUMNS, dtype=jnp.float32)[None, :, None]
    mixed = (1.0 - share) * start[:, None] + share * end[:, None]
    latents = algorithm.draw_inputs(key, num_classes, classes)["latents"]
    return {
        "latents": jnp.repeat(latents, COLUMNS, axis=0),
        "condition": mixed.reshape(-1, mixed.shape[-1]),
    }


def _frames(algorithm: Algorithm, key: jax.Array, render: Callable[[Inputs], np.ndarray]) -> np.ndarray:
    """Returns the frames (t, paths, *spatial, c) of closed paths through the latents, each path in one class."""
    num_paths, stops, between = 16, 4, 12
    inputs = algorithm.draw_inputs(key, num_paths * stops)
    anchors = inputs["latents"].reshape(num_paths, stops, -1)
    paths = jax.vmap(lambda latents: interpolate(latents, between))(anchors).swapaxes(0, 1)  # t paths z
    moving = {"latents": paths.reshape(-1, paths.shape[-1])}
    if "condition" in inputs:
        moving["condition"] = jnp.tile(inputs["condition"][:num_paths], (stops * between, 1))
    images = render(moving)
    return images.reshape(stops * between, num_paths, *images.shape[1:])
