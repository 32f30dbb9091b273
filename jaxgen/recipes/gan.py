"""GAN runs: train, draw, choose the best, and leave pictures and a report."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from tyro.conf import OmitArgPrefixes

from jaxgen.algorithms.base import Algorithm, TrainState
from jaxgen.algorithms.gan import make_gan
from jaxgen.config import DataConfig, GanConfig, GanHparams, TrainConfig
from jaxgen.data.base import Source
from jaxgen.data.pipeline import batches
from jaxgen.data.sources import open_source
from jaxgen.images import make_grid, save_gif, save_png, to_float, to_uint8
from jaxgen.metrics.sliced import sliced_wasserstein
from jaxgen.training.report import write_report
from jaxgen.training.reporting import MetricWriter, plot_curves
from jaxgen.training.runs import Hooks, Run, run_training
from jaxgen.types import Latents

GRID_IMAGES = 64
NUM_EVALUATED = 2000
"""Generated and real images in the distance that chooses the best checkpoint."""


@dataclasses.dataclass(frozen=True)
class GanRecipe:
    """Everything that decides a GAN run."""

    data: OmitArgPrefixes[DataConfig] = DataConfig()
    gan: OmitArgPrefixes[GanConfig] = GanConfig()
    hparams: GanHparams = GanHparams()
    train: OmitArgPrefixes[TrainConfig] = TrainConfig()


def run_gan(run: Run, config: GanRecipe) -> None:
    """Trains a GAN in `run.directory` and leaves samples, an interpolation, curves and a report there.

    Args:
      run: the folder and the recipe's name.
      config: everything else.

    Raises:
      InputError: data, sizes or devices that cannot work.
      NonFiniteError: training diverged.
    """
    source = open_source(config.data)
    config = fix_schedule(config)
    algorithm = make_gan(config.gan, source.shape, config.train.batch_size)
    run_training(
        run,
        config,
        algorithm,
        source,
        make_hooks=lambda writer: _make_hooks(run.directory, config, algorithm, source, writer),
        finish=lambda state: _draw_final(run.directory, config, algorithm, state),
    )


def fix_schedule(config: GanRecipe) -> GanRecipe:
    """The configuration with `hparams.schedule_images` set to the whole run where it is None."""
    if config.hparams.schedule_images is not None:
        return config
    images = float(config.train.steps * config.train.batch_size)
    return dataclasses.replace(config, hparams=dataclasses.replace(config.hparams, schedule_images=images))


def picture_scale(height: int) -> int:
    """Enlargement that makes small images readable: 28 px twice, 64 px and more not at all."""
    return max(1, 64 // height)


def _make_hooks(
    directory: Path, config: GanRecipe, algorithm: Algorithm, source: Source, writer: MetricWriter
) -> Hooks:
    predict = jax.jit(algorithm.predict)
    key_grid, key_fakes, key_directions = jax.random.split(jax.random.key(config.train.seed + 1), 3)
    grid_latents = algorithm.draw_inputs(key_grid, GRID_IMAGES)
    num = min(NUM_EVALUATED, source.num_images)
    real = _real_images(source, num, config.train.seed)
    distance = jax.jit(lambda fake: sliced_wasserstein(to_float(jnp.asarray(real)), fake, key_directions))

    def sample(step: int, state: TrainState) -> None:
        grid = make_grid(predict(state, grid_latents))
        save_png(directory / "samples" / f"{step:08d}.png", grid, picture_scale(source.shape[0]))
        writer.write_image(step, "samples", grid)

    def evaluate(state: TrainState) -> dict[str, float]:
        fake = render_all(predict, state, algorithm.draw_inputs(key_fakes, num))
        return {"quality/sliced_wasserstein": float(distance(to_float(jnp.asarray(fake))))}

    return Hooks(sample, evaluate)


def _real_images(source: Source, num: int, seed: int) -> np.ndarray:
    """uint8 (num, h, w, c) of the source: the first batch of an order that training does not use."""
    stream = batches(source, batch_size=num, seed=seed + 2**32)
    images = next(stream)["images"]
    stream.close()
    return images


def render_all(
    predict: Callable[[TrainState, Latents], jax.Array], state: TrainState, latents: Latents, at_once: int = 250
) -> np.ndarray:
    """Images for any number of latents, a bounded number at once.

    Args:
      predict: jitted `Algorithm.predict`.
      state: a trained state.
      latents: (b, z).
      at_once: images per call; memory grows with it.

    Returns:
      uint8 (b, h, w, c).
    """
    parts = []
    for start in range(0, len(latents), at_once):
        part = latents[start : start + at_once]
        # one shape, one compilation: the last part is filled up and cut again
        filled = jnp.concatenate([part, jnp.zeros((at_once - len(part), *part.shape[1:]), part.dtype)])
        parts.append(to_uint8(predict(state, filled))[: len(part)])
    return np.concatenate(parts)


def interpolate(latents: Latents, frames_between: int) -> Float[Array, "f z"]:
    """A closed path through the latents along great circles, constant in speed from point to point.

    slerp(a, b, t) = (sin((1 - t) w) a + sin(t w) b) / sin(w), w the angle between a and b.

    Args:
      latents: (b, z), b at least 2.
      frames_between: frames from one latent to the next.

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


def _draw_final(directory: Path, config: GanRecipe, algorithm: Algorithm, state: TrainState) -> None:
    """samples.png, interpolation.gif, curves.png and report.html."""
    predict = jax.jit(algorithm.predict)
    key_grid, key_path = jax.random.split(jax.random.key(config.train.seed + 2))
    fakes = render_all(predict, state, algorithm.draw_inputs(key_grid, 100))
    scale = picture_scale(fakes.shape[1])
    save_png(directory / "samples.png", make_grid(fakes), scale)
    num_paths, stops, frames = 16, 4, 12
    anchors = algorithm.draw_inputs(key_path, num_paths * stops).reshape(num_paths, stops, -1)
    paths = jax.vmap(lambda latents: interpolate(latents, frames))(anchors)
    images = render_all(predict, state, paths.swapaxes(0, 1).reshape(-1, paths.shape[-1]))
    images = images.reshape(stops * frames, num_paths, *images.shape[1:])
    if images.shape[-1] in (1, 3):
        save_gif(directory / "interpolation.gif", np.stack([make_grid(frame) for frame in images]), scale=scale)
    plot_curves(directory)
    write_report(directory)
