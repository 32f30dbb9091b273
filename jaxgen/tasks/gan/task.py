"""GAN runs: train, draw, choose the best, and leave pictures and a report."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.data.base import Source
from jaxgen.data.sources import open_source
from jaxgen.evaluation.checkpoint_score import make_judge
from jaxgen.evaluation.generated import labels_like
from jaxgen.images import make_grid, save_png
from jaxgen.runs.curves import plot_curves
from jaxgen.runs.driver import Hooks, fix_schedule, run_training
from jaxgen.runs.folder import Run
from jaxgen.runs.recording import MetricWriter
from jaxgen.runs.report import write_report
from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.tasks.gan.config import GanRecipe
from jaxgen.tasks.gan.pictures import draw_final, picture_scale, render_all
from jaxgen.training.step import Algorithm, TrainState

GRID_IMAGES = 64
"""Images of the grids over time; a conditional GAN shows `GRID_ROWS` of each class, ten classes at most."""
GRID_ROWS = 6


def run_gan(run: Run, config: GanRecipe, source: Source | None = None, **more: Any) -> TrainState:
    """Trains a GAN in `run.directory` and leaves samples, an interpolation, curves and a report there.

    Args:
      run: the folder and the recipe's name.
      config: everything else.
      source: what to train on; None opens what `config.data` names.
      more: `watch` and `begin` of `run_training`.

    Returns:
      The last state.

    Raises:
      InputError: data, sizes or devices that cannot work.
      NonFiniteError: training diverged.
    """
    source = source or open_source(config.data)
    config = fix_schedule(config)
    algorithm = make_gan(config.gan, source.shape, config.train.batch_size, source.num_classes)
    return run_training(
        run,
        config,
        algorithm,
        source,
        make_hooks=lambda writer: _make_hooks(run.directory, config, algorithm, source, writer),
        finish=lambda state: _finish(run.directory, config, algorithm, source, state),
        **more,
    )


def _make_hooks(
    directory: Path, config: GanRecipe, algorithm: Algorithm, source: Source, writer: MetricWriter
) -> Hooks:
    predict = jax.jit(algorithm.predict)
    key_grid, _ = jax.random.split(jax.random.key(config.train.seed + 1))
    columns = min(num_classes(config, source), 10) or None
    labels = None if columns is None else jnp.tile(jnp.arange(columns), GRID_ROWS)
    num_grid = GRID_IMAGES if labels is None else len(labels)
    grid_inputs = algorithm.draw_inputs(key_grid, num_grid, labels)

    def sample(step: int, state: TrainState) -> None:
        grid = make_grid(predict(state, grid_inputs), columns)
        save_png(directory / "samples" / f"{step:08d}.png", grid, picture_scale(source.shape[0]))
        writer.write_image(step, "samples", grid)

    return Hooks(sample, *make_evaluate(config, algorithm, source))


def make_evaluate(
    config: GanRecipe, algorithm: Algorithm, source: Source
) -> tuple[Callable[[TrainState], dict[str, float]], str]:
    """(state) -> the distance that chooses the best checkpoint, and what that is in one line."""
    predict = jax.jit(algorithm.predict)
    _, key_fakes = jax.random.split(jax.random.key(config.train.seed + 1))
    judge = make_judge(source, config.train.seed)
    conditional = num_classes(config, source) > 0
    labels = jnp.asarray(labels_like(source, judge.num_fakes, config.train.seed)) if conditional else None
    inputs = algorithm.draw_inputs(key_fakes, judge.num_fakes, labels)

    def evaluate(state: TrainState) -> dict[str, float]:
        return {judge.metric: judge.distance(render_all(predict, state, inputs))}

    return evaluate, judge.protocol


def num_classes(config: GanRecipe, source: Source) -> int:
    """Classes that the GAN is told of: 0 where it has no condition."""
    return 0 if config.gan.conditioning == "none" else source.num_classes


def _finish(directory: Path, config: GanRecipe, algorithm: Algorithm, source: Source, state: TrainState) -> None:
    """The final pictures, curves.png and report.html."""
    draw_final(directory, algorithm, state, num_classes(config, source), config.train.seed + 2)
    plot_curves(directory)
    write_report(directory)
