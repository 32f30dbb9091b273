"""The task of a GAN: the data that it opens, what it measures and shows, and the files that it writes."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.data.base import Source
from jaxgen.evaluation.checkpoint_score import make_checkpoint_score
from jaxgen.evaluation.generated import draw_labels
from jaxgen.runs.measures import Measure
from jaxgen.runs.report import Picture
from jaxgen.tasks.base import Data, Facts, Task, Trained, Use
from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.tasks.gan.audit import audit_run
from jaxgen.tasks.gan.config import GanRecipe
from jaxgen.tasks.gan.data import adapt, notes, open_images, settle
from jaxgen.tasks.gan.evaluate import evaluate_run
from jaxgen.tasks.gan.export import exportable
from jaxgen.tasks.gan.pictures import draw_final, draw_over_time, render_all
from jaxgen.tasks.gan.project_files import project_files
from jaxgen.tasks.gan.sample import sample_run
from jaxgen.tasks.load import save_weights
from jaxgen.training.step import Algorithm, TrainState

WEIGHTS = "generator.safetensors"
"""File of a run that holds the averaged weights of the generator."""


def _make(config: GanRecipe, facts: Facts) -> Algorithm:
    return make_gan(config.gan, facts.shape, config.train.batch_size, len(facts.class_names))


def _classes(config: GanRecipe, source: Source) -> tuple[str, ...]:
    """Returns the names of the classes that the GAN is conditioned on; none if it is not conditional."""
    return () if config.gan.conditioning == "none" else source.class_names or ()


def _measures(config: GanRecipe, algorithm: Algorithm, data: Data) -> tuple[Measure, ...]:
    """Returns the measure of a checkpoint: the distance of images from fixed inputs to training images."""
    source, seed = data.train, config.train.seed
    predict, (_, key) = jax.jit(algorithm.predict), jax.random.split(jax.random.key(seed + 1))
    score = make_checkpoint_score(source, seed)
    labels = jnp.asarray(draw_labels(source, score.num_generated, seed)) if _classes(config, source) else None
    inputs = algorithm.draw_inputs(key, score.num_generated, labels)
    quality = lambda state: score.distance(render_all(predict, state, inputs))  # noqa: E731
    return (Measure(score.name, score.protocol, quality, describe=score.describe),)


def _show(config: GanRecipe, algorithm: Algorithm, data: Data) -> Callable[[TrainState], np.ndarray]:
    return draw_over_time(algorithm, _classes(config, data.train), config.train.seed + 1)


def _finish(trained: Trained, data: Data, directory: Path) -> None:
    """Writes the averaged generator, and the pictures of `draw_final`."""
    config = trained.config
    save_weights(directory / WEIGHTS, trained)
    draw_final(directory, trained.algorithm, trained.state, _classes(config, data.train), config.train.seed + 2)


TASK = Task(
    name="gan",
    config=GanRecipe,
    open=open_images,
    make=_make,
    measures=_measures,
    show=_show,
    finish=_finish,
    pictures=(
        Picture("samples.png", "Samples", "From the last step; of a conditional GAN a row for each class"),
        Picture("same_noise.png", "Same noise, every class", "The images of a row share their noise"),
        Picture("class_interpolation.png", "From class to class", "A row keeps its noise, and goes to the next class"),
        Picture("surfaces.png", "Surfaces", "Of each volume the middle slices and the surface"),
        Picture("turning.gif", "Turning surfaces", "Of four volumes", 600),
        Picture("interpolation.gif", "Interpolation", "Between latents, in a loop", 600),
    ),
    uses={
        "sample": Use(sample_run, "python -m jaxgen sample {run}"),
        "evaluate": Use(evaluate_run, "python -m jaxgen evaluate {run}"),
        "audit": Use(audit_run, "python -m jaxgen audit {run}"),
        "project": Use(project_files, "python -m jaxgen project {run} PICTURE"),
    },
    export=exportable,
    pretrained={"digits": "bac6e266e333f3cd248d1274544d7a18143113e400c7f68b70164bc15ae5bdf0"},
    adapt=adapt,
    settle=settle,
    notes=notes,
)
"""The training of generative adversarial networks, with and without classes."""
