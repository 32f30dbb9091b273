"""The task of a GAN: the data that it opens, what it measures and shows, and the files that it writes."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.data.base import Source
from jaxgen.data.sources import open_source
from jaxgen.evaluation.checkpoint_score import make_checkpoint_score
from jaxgen.evaluation.generated import draw_labels
from jaxgen.runs.measures import Measure
from jaxgen.runs.report import Picture
from jaxgen.tasks.base import Data, Facts, Task, Trained, Use
from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.tasks.gan.config import GanRecipe
from jaxgen.tasks.gan.evaluate import evaluate_run
from jaxgen.tasks.gan.export import exportable
from jaxgen.tasks.gan.pairs import architecture_for
from jaxgen.tasks.gan.pictures import draw_final, draw_over_time, render_all
from jaxgen.tasks.gan.project_files import project_files
from jaxgen.tasks.gan.sample import sample_run
from jaxgen.tasks.load import save_weights
from jaxgen.training.step import Algorithm, TrainState

WEIGHTS = "generator.safetensors"
"""File of a run that holds the averaged weights of the generator."""
FOLDER_SIZE = 64
"""Default size in pixels to which the pictures of a folder are cut and resized."""


def _open(config: GanRecipe, source: Source | None) -> Data:
    """Returns the training images; checkpoints are compared with these too, so that test images choose none."""
    return Data(source or open_source(config.data))


def _make(config: GanRecipe, facts: Facts) -> Algorithm:
    return make_gan(config.gan, facts.shape, config.train.batch_size, len(facts.class_names))


def _num_classes(config: GanRecipe, source: Source) -> int:
    """Returns the number of classes that the GAN is conditioned on; 0 if it is not conditional."""
    return 0 if config.gan.conditioning == "none" else source.num_classes


def _measures(config: GanRecipe, algorithm: Algorithm, data: Data) -> tuple[Measure, ...]:
    """Returns the measure of a checkpoint: the Fréchet distance of images from fixed inputs to training images."""
    source, seed = data.train, config.train.seed
    predict = jax.jit(algorithm.predict)
    _, key = jax.random.split(jax.random.key(seed + 1))
    score = make_checkpoint_score(source, seed)
    conditional = _num_classes(config, source) > 0
    labels = jnp.asarray(draw_labels(source, score.num_generated, seed)) if conditional else None
    inputs = algorithm.draw_inputs(key, score.num_generated, labels)
    return (Measure(score.name, score.protocol, lambda state: score.distance(render_all(predict, state, inputs))),)


def _show(config: GanRecipe, algorithm: Algorithm, data: Data) -> Callable[[TrainState], np.ndarray]:
    return draw_over_time(algorithm, _num_classes(config, data.train), config.train.seed + 1)


def _finish(trained: Trained, data: Data, directory: Path) -> None:
    """Writes the averaged generator, and the pictures of `draw_final`."""
    config = trained.config
    save_weights(directory / WEIGHTS, trained)
    num_classes = _num_classes(config, data.train)
    draw_final(directory, trained.algorithm, trained.state, num_classes, config.train.seed + 2)


def _adapt(config: GanRecipe, dataset: str, image_size: int | None) -> GanRecipe:
    """Returns the configuration for the user's images: the pictures of a folder are resized to one size."""
    size = image_size or (FOLDER_SIZE if dataset.startswith("folder:") else None)
    if size is None:
        return config
    gan = dataclasses.replace(config.gan, architecture=architecture_for((size, size, 3)))
    return dataclasses.replace(config, data=dataclasses.replace(config.data, image_size=size), gan=gan)


TASK = Task(
    name="gan",
    config=GanRecipe,
    open=_open,
    make=_make,
    measures=_measures,
    show=_show,
    finish=_finish,
    pictures=(
        Picture("samples.png", "Samples", "Final grid"),
        Picture("same_noise.png", "Same noise, every class", "A row shares its noise"),
        Picture("class_interpolation.png", "From class to class", "A row shares its noise"),
        Picture("interpolation.gif", "Interpolation", "Between latents, in a loop", 600),
    ),
    uses={
        "sample": Use(sample_run, "python -m jaxgen sample {run}"),
        "evaluate": Use(evaluate_run, "python -m jaxgen evaluate {run}"),
        "project": Use(project_files, "python -m jaxgen project {run} PICTURE"),
    },
    export=exportable,
    pretrained={"digits": "5cb3de1157c15e3fdeb6e95bf3ce4e94e2fe9da3584ab13d88713e0fed71f91d"},
    adapt=_adapt,
)
"""The training of generative adversarial networks, with and without classes."""
