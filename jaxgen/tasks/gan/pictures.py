"""The final pictures of a GAN's run: samples and interpolations between latents and between classes."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgen.images import make_grid, readable_scale, save_gif, save_png, to_uint8
from jaxgen.training.parallel import spread
from jaxgen.training.step import Algorithm, TrainState
from jaxgen.types import Latents, Prediction

Inputs = dict[str, jax.Array]
Predict = Callable[[TrainState, Inputs, jax.Array], Prediction]

MAX_CLASSES = 20
"""Largest number of classes in a picture."""
COLUMNS = 10
GRID_IMAGES = 64
"""Images of the grids over time; a conditional GAN shows `GRID_ROWS` of each class, of ten classes at most."""
GRID_ROWS = 6


def render_all(predict: Predict, state: TrainState, inputs: Inputs, at_once: int = 250) -> np.ndarray:
    """Returns the images for any number of inputs; each call of `predict` makes a bounded number of them.

    Args:
      predict: jitted `Algorithm.predict`.
      state: trained state.
      inputs: arrays (b, ...) by name, such as those of `Algorithm.draw_inputs`.
      at_once: images per call; more take more memory.

    Returns:
      uint8 (b, h, w, c).
    """
    num, devices = len(next(iter(inputs.values()))), len(state.step.sharding.device_set)
    at_once = min(at_once, num)
    at_once += -at_once % devices
    parts, key = [], jax.random.key(0)  # a generator does not use the key
    for start in range(0, num, at_once):
        stop = min(start + at_once, num)
        # all parts have one shape, so that the program is compiled once; the last part is padded, and its result cut
        padded = jax.tree.map(lambda x, a=start, b=stop: filled(x[a:b], at_once), inputs)
        parts.append(to_uint8(predict(state, spread(padded, devices), key).images)[: stop - start])
    return np.concatenate(parts)


def filled(x: Array, num: int) -> Array:
    """Returns x, padded with zeros to `num` rows."""
    return jnp.concatenate([x, jnp.zeros((num - len(x), *x.shape[1:]), x.dtype)])


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
    cosine = jnp.sum(a * b, -1) / (jnp.linalg.norm(a, axis=-1) * jnp.linalg.norm(b, axis=-1))
    w = jnp.arccos(jnp.clip(cosine, -0.9999, 0.9999))[..., None]
    t = (jnp.arange(frames_between, dtype=latents.dtype) / frames_between)[None, :, None]
    path = (jnp.sin((1.0 - t) * w) * a + jnp.sin(t * w) * b) / jnp.sin(w)
    return path.reshape(-1, latents.shape[-1])


def draw_over_time(algorithm: Algorithm, num_classes: int, seed: int) -> Callable[[TrainState], np.ndarray]:
    """Returns a function that draws a grid from fixed latents; for a conditional GAN it has a column for each class."""
    predict = jax.jit(algorithm.predict)
    key, _ = jax.random.split(jax.random.key(seed))
    columns = min(num_classes, COLUMNS) or None
    labels = None if columns is None else jnp.tile(jnp.arange(columns), GRID_ROWS)
    inputs = algorithm.draw_inputs(key, GRID_IMAGES if labels is None else len(labels), labels)
    return lambda state: make_grid(predict(state, inputs, key).images, columns)


def draw_final(directory: Path, algorithm: Algorithm, state: TrainState, num_classes: int, seed: int) -> None:
    """Writes samples.png and interpolation.gif; with classes also same_noise.png and class_interpolation.png.

    Args:
      directory: folder of the run.
      algorithm: algorithm of a GAN.
      state: trained state.
      num_classes: number of classes of a conditional GAN; 0 for one without classes.
      seed: seed of the latents.
    """
    predict = jax.jit(algorithm.predict)
    keys = jax.random.split(jax.random.key(seed), 3)

    def sheet(name: str, inputs: Inputs, columns: int) -> None:
        images = render_all(predict, state, inputs)
        save_png(directory / name, make_grid(images, columns), readable_scale(images.shape[1]))

    shown = min(num_classes, MAX_CLASSES)
    if not num_classes:
        sheet("samples.png", algorithm.draw_inputs(keys[0], 100), COLUMNS)
    else:
        sheet("samples.png", class_rows(algorithm, keys[0], shown), COLUMNS)
        sheet("same_noise.png", same_noise(algorithm, keys[2], shown), shown)
        sheet("class_interpolation.png", between_classes(algorithm, keys[2], shown), COLUMNS)
    frames = _frames(algorithm, keys[1], lambda inputs: render_all(predict, state, inputs))
    if frames.shape[-1] in (1, 3):
        grids = np.stack([make_grid(frame) for frame in frames])
        save_gif(directory / "interpolation.gif", grids, scale=readable_scale(frames.shape[2]))


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
    share = jnp.linspace(0.0, 1.0, COLUMNS)[None, :, None]
    mixed = (1.0 - share) * start[:, None] + share * end[:, None]
    latents = algorithm.draw_inputs(key, num_classes, classes)["latents"]
    return {
        "latents": jnp.repeat(latents, COLUMNS, axis=0),
        "condition": mixed.reshape(-1, mixed.shape[-1]),
    }


def _frames(algorithm: Algorithm, key: jax.Array, render: Callable[[Inputs], np.ndarray]) -> np.ndarray:
    """Returns the frames (t, paths, h, w, c) of closed paths through the latents, each path in one class."""
    num_paths, stops, between = 16, 4, 12
    inputs = algorithm.draw_inputs(key, num_paths * stops)
    anchors = inputs["latents"].reshape(num_paths, stops, -1)
    paths = jax.vmap(lambda latents: interpolate(latents, between))(anchors).swapaxes(0, 1)  # t paths z
    moving = {"latents": paths.reshape(-1, paths.shape[-1])}
    if "condition" in inputs:
        moving["condition"] = jnp.tile(inputs["condition"][:num_paths], (stops * between, 1))
    images = render(moving)
    return images.reshape(stops * between, num_paths, *images.shape[1:])
