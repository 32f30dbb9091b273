"""The MNIST classifier whose features serve to compare 28 x 28 grey images.

Command:  python -m experiments.mnist_classifier
Hardware: 2 cores of an AMD EPYC (Zen 5), no accelerator; other work at the same time
Time:     11 min
Result:   99.57% of the 10,000 test images (60,000 training digits, seed 0), 646 kB

It writes the weights in half precision to RUN/classifier.safetensors, and test accuracy and hash to
RUN/classifier.json. The weights of this run are in the package: jaxgen/evaluation/mnist_classifier.safetensors.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import numpy as np
from tyro.conf import OmitArgPrefixes

from jaxgen.cli import run_recipe
from jaxgen.data.base import Source
from jaxgen.data.config import DataConfig
from jaxgen.data.notes import class_notes, size_notes
from jaxgen.data.sources import open_source
from jaxgen.errors import require
from jaxgen.evaluation.classifier import make_classifier
from jaxgen.files import write_json
from jaxgen.images import make_grid
from jaxgen.runs.measures import Measure
from jaxgen.tasks.base import Data, Facts, Task, Trained
from jaxgen.training.config import TrainConfig
from jaxgen.training.step import Algorithm, TrainState
from jaxgen.weights import load_params, save_params, sha256_of

NUM_MEASURED = 5000
"""Training images on which accuracy is measured during training; the test set is used once, at the end."""


@dataclasses.dataclass(frozen=True)
class ClassifierHparams:
    """Numbers of the classifier."""

    lr: float = 2e-3
    """Learning rate at the start; a cosine brings it to 0."""
    ema_half_life: float = 20_000.0
    """Half-life of the moving average of the weights, in images."""
    schedule_images: float | None = None
    """Images over which the cosine runs; None: the whole run."""


@dataclasses.dataclass(frozen=True)
class ClassifierConfig:
    """Structure of the classifier, which has no options."""


@dataclasses.dataclass(frozen=True)
class ClassifierRecipe:
    """All settings of a run."""

    data: OmitArgPrefixes[DataConfig] = DataConfig()
    classifier: OmitArgPrefixes[ClassifierConfig] = ClassifierConfig()
    hparams: ClassifierHparams = ClassifierHparams()
    train: OmitArgPrefixes[TrainConfig] = TrainConfig(steps=9_400, batch_size=128)

    first = ("dataset", "data_dir", "hparams.lr", "steps", "minutes", "batch_size", "seed", "out", "resume")


def open_data(config: ClassifierRecipe, source: Source | None) -> Data:
    """Returns the training and the test images."""
    source = source or open_source(config.data)
    require(source.class_names is not None, "dataset", config.data.dataset, "data with labels")
    return Data(source, open_source(dataclasses.replace(config.data, split="test")))


def measures(config: ClassifierRecipe, algorithm: Algorithm, data: Data) -> tuple[Measure, ...]:
    """Returns the measure of a checkpoint: the accuracy on training images."""
    predict, num = jax.jit(algorithm.predict), min(NUM_MEASURED, data.train.num_images)
    protocol = f"accuracy on {num} training images"
    return (Measure("accuracy/watched", protocol, lambda s: accuracy(predict, s, data.train, num), True),)


def show(config: ClassifierRecipe, algorithm: Algorithm, data: Data) -> Callable[[TrainState], np.ndarray]:
    """Returns a function that shows training images, since a classifier makes none."""
    grid = make_grid(data.train.take(np.arange(16)))
    return lambda state: grid


def finish(made_by: str, trained: Trained, data: Data, directory: Path) -> None:
    """Writes the weights in half precision, with the module that made them, and their accuracy on the test set."""
    path, predict, test = directory / "classifier.safetensors", jax.jit(trained.algorithm.predict), data.held_out
    params = jax.device_get(trained.state.ema_params["classifier"])
    save_params(path, params, {"made_by": made_by})
    rounded = trained.state.replace(ema_params={"classifier": load_params(path)})
    result = {"test_accuracy": accuracy(predict, rounded, test, test.num_images), "sha256": sha256_of(path)}
    write_json(directory / "classifier.json", result)
    print(f"{path}: {result}")


def make(config: ClassifierRecipe, facts: Facts) -> Algorithm:
    """Returns the algorithm of the classifier."""
    return make_classifier(facts.shape, len(facts.class_names), config.train.batch_size)


CONFIG = ClassifierRecipe()
TASK = Task(
    "classifier", ClassifierRecipe, open_data, make, measures, show, partial(finish, "experiments.mnist_classifier"),
    notes=lambda _, source: (*size_notes(source), *class_notes(source)),
)  # fmt: skip


def accuracy(predict, state: TrainState, source: Source, num: int, at_once: int = 500) -> float:
    """Returns the share of the first `num` images that are classified correctly."""
    hits = 0
    for start in range(0, num, at_once):
        index = np.arange(start, min(start + at_once, num))
        logits = predict(state, source.take(index), jax.random.key(0))
        hits += int(np.sum(np.argmax(np.asarray(logits), -1) == source.labels[index]))
    return hits / num


def main() -> None:
    """Trains from the command line."""
    run_recipe("mnist_classifier", CONFIG, __doc__, TASK)


if __name__ == "__main__":
    main()
