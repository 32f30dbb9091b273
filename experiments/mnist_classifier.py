"""The MNIST classifier whose features jaxgen compares 28 x 28 grey images in.

Command:  python -m experiments.mnist_classifier
Hardware: 2 cores of an AMD EPYC (Zen 5) that other work shared, no accelerator
Time:     11 min
Result:   99.57% of the 10,000 test images (60,000 training digits, seed 0), 646 kB

Writes the weights in half precision to RUN/classifier.safetensors, and test accuracy and hash beside it. Those of the
recorded run are in the package as jaxgen/evaluation/mnist_classifier.safetensors.
"""

import dataclasses
import json

import jax
import numpy as np
from tyro.conf import OmitArgPrefixes

from jaxgen.cli import run_recipe
from jaxgen.data.base import Source
from jaxgen.data.config import DataConfig
from jaxgen.data.sources import open_source
from jaxgen.errors import require
from jaxgen.evaluation.classifier import make_classifier
from jaxgen.runs.curves import plot_curves
from jaxgen.runs.driver import Hooks, fix_schedule, run_training
from jaxgen.runs.folder import Run
from jaxgen.runs.report import write_report
from jaxgen.training.config import TrainConfig
from jaxgen.training.step import TrainState
from jaxgen.weights import load_params, save_params, sha256_of

NUM_WATCHED = 5000
"""Training images on which accuracy is followed: the test set is looked at once, at the end."""


@dataclasses.dataclass(frozen=True)
class ClassifierHparams:
    """Numbers of the classifier."""

    lr: float = 2e-3
    """Learning rate at the start; a cosine brings it to 0."""
    ema_half_life: float = 20_000.0
    """Images after which the moving average of the weights has forgotten half."""
    schedule_images: float | None = None
    """Images over which the cosine runs; None: the whole run."""


@dataclasses.dataclass(frozen=True)
class ClassifierRecipe:
    """Everything that decides a run."""

    data: OmitArgPrefixes[DataConfig] = DataConfig()
    hparams: ClassifierHparams = ClassifierHparams()
    train: OmitArgPrefixes[TrainConfig] = TrainConfig(steps=9_400, batch_size=128)


def run_classifier(run: Run, config: ClassifierRecipe) -> None:
    """Trains, then measures the shipped precision on the test set, once."""
    source, test = open_source(config.data), open_source(dataclasses.replace(config.data, split="test"))
    require(source.class_names is not None, "dataset", config.data.dataset, "data with labels")
    config = fix_schedule(config)
    algorithm = make_classifier(source.shape, len(source.class_names), config.train.batch_size)
    predict = jax.jit(algorithm.predict)

    def evaluate(state: TrainState) -> dict[str, float]:
        return {"accuracy/error_on_train": 1.0 - accuracy(predict, state, source, min(NUM_WATCHED, source.num_images))}

    def finish(state: TrainState) -> None:
        path = run.directory / "classifier.safetensors"
        save_params(path, jax.device_get(state.ema_params["classifier"]), {"made_by": "experiments.mnist_classifier"})
        rounded = state.replace(ema_params={"classifier": load_params(path)})
        result = {"test_accuracy": accuracy(predict, rounded, test, test.num_images), "sha256": sha256_of(path)}
        (run.directory / "classifier.json").write_text(json.dumps(result, indent=2) + "\n")
        print(f"{path}: {result}")
        plot_curves(run.directory)
        write_report(run.directory)

    run_training(
        run,
        config,
        algorithm,
        source,
        lambda _: Hooks(lambda step, state: None, evaluate, "error on training images"),
        finish,
    )


def accuracy(predict, state: TrainState, source: Source, num: int, at_once: int = 500) -> float:
    """Share of the first `num` images whose class is found."""
    hits = 0
    for start in range(0, num, at_once):
        logits = predict(state, source.images[start : start + at_once])
        hits += int(np.sum(np.argmax(np.asarray(logits), -1) == source.labels[start : start + at_once]))
    return hits / num


def main() -> None:
    """Trains from the command line."""
    run_recipe("mnist_classifier", ClassifierRecipe(), run_classifier, __doc__)


if __name__ == "__main__":
    main()
