"""The task of a GAN: the data that it opens, what it measures and shows, and the files that it writes."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.data.base import Source
from jaxgen.data.sources import open_source
from jaxgen.evaluation.checkpoint_score import make_checkpoint_score
from jaxgen.evaluation.generated import draw_labels
from jaxgen.images import add_headings, make_grid
from jaxgen.runs.measures import Measure
from jaxgen.runs.report import Picture
from jaxgen.tasks.base import Data, Facts, Task, Trained, Use
from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.tasks.gan.config import GanRecipe
from jaxgen.tasks.gan.data import adapt, notes, settle
from jaxgen.tasks.gan.evaluate import evaluate_run
from jaxgen.tasks.gan.export import exportable
from jaxgen.tasks.gan.pictures import draw_final, render_all
from jaxgen.tasks.gan.sample import sample_run
from jaxgen.training.step import Algorithm, TrainState

GRID_IMAGES = 64
"""Images of the grids over time; a conditional GAN shows `GRID_ROWS` of each class, of ten classes at most."""
GRID_ROWS = 6


def _open(config: GanRecipe, source: Source | None) -> Data:
    """Returns the training images; checkpoints are compared with these too, so that test images choose none."""
    return Data(source or open_source(config.data))


def _make(config: GanRecipe, facts: Facts) -> Algorithm:
    return make_gan(config.gan, facts.shape, config.train.batch_size, len(facts.class_names))


def _classes(config: GanRecipe, source: Source) -> tuple[str, ...]:
    """Returns the names of the classes that the GAN is conditioned on; none if it is not conditional."""
    return () if config.gan.conditioning == "none" else source.class_names or ()


def _measures(config: GanRecipe, algorithm: Algorithm, data: Data) -> tuple[Measure, ...]:
    """Returns the measure of a checkpoint: the Fréchet distance of images from fixed inputs to training images."""
    source, seed = data.train, config.train.seed
    predict = jax.jit(algorithm.predict)
    _, key = jax.random.split(jax.random.key(seed + 1))
    score = make_checkpoint_score(source, seed)
    conditional = len(_classes(config, source)) > 0
    labels = jnp.asarray(draw_labels(source, score.num_generated, seed)) if conditional else None
    inputs = algorithm.draw_inputs(key, score.num_generated, labels)
    quality = lambda state: score.distance(render_all(predict, state, inputs))  # noqa: E731
    return (Measure(score.name, score.protocol, quality, describe=score.describe),)


def _show(config: GanRecipe, algorithm: Algorithm, data: Data) -> Callable[[TrainState], np.ndarray]:
    """Returns a function that draws a grid from fixed latents; for a conditional GAN it has a column for each class."""
    predict = jax.jit(algorithm.predict)
    key, _ = jax.random.split(jax.random.key(config.train.seed + 1))
    names = _classes(config, data.train)[:10]
    columns = len(names) or None
    labels = None if columns is None else jnp.tile(jnp.arange(columns), GRID_ROWS)
    inputs = algorithm.draw_inputs(key, GRID_IMAGES if labels is None else len(labels), labels)
    return lambda state: add_headings(make_grid(predict(state, inputs, key).images, columns), columns=names)


def _finish(trained: Trained, data: Data, directory: Path) -> None:
    """Writes samples.png and interpolation.gif; with classes also same_noise.png and class_interpolation.png."""
    config = trained.config
    draw_final(directory, trained.algorithm, trained.state, _classes(config, data.train), config.train.seed + 2)


TASK = Task(
    name="gan",
    config=GanRecipe,
    open=_open,
    make=_make,
    measures=_measures,
    show=_show,
    finish=_finish,
    pictures=(
        Picture("samples.png", "Samples", "From the last step; of a conditional GAN a row for each class"),
        Picture("same_noise.png", "Same noise, every class", "The images of a row share their noise"),
        Picture("class_interpolation.png", "From class to class", "A row keeps its noise, and goes to the next class"),
        Picture("interpolation.gif", "Interpolation", "Between latents, in a loop", 600),
    ),
    uses={
        "sample": Use(sample_run, "python -m jaxgen sample {run}"),
        "evaluate": Use(evaluate_run, "python -m jaxgen evaluate {run}"),
    },
    export=exportable,
    adapt=adapt,
    settle=settle,
    notes=notes,
)
"""The training of generative adversarial networks, with and without classes."""
