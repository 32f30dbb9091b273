"""The task of a private GAN: what it measures and shows reads no private image."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxgen.data.base import Source
from jaxgen.data.notes import size_notes
from jaxgen.runs.measures import Measure
from jaxgen.tasks.base import Data, Exportable, ExportChoices, Facts, Task, Trained, Use, facts_of
from jaxgen.tasks.gan import task as plain
from jaxgen.tasks.gan.data import open_images
from jaxgen.tasks.gan.export import exportable
from jaxgen.tasks.gan.pictures import draw_final, draw_over_time
from jaxgen.tasks.load import save_weights
from jaxgen.tasks.private_gan import budget
from jaxgen.tasks.private_gan.algorithm import make_private_gan
from jaxgen.tasks.private_gan.config import PrivateGanRecipe
from jaxgen.tasks.private_gan.embedding import make_embedding_gan
from jaxgen.tasks.private_gan.evaluate import evaluate_in_private
from jaxgen.training.step import Algorithm, TrainState

ALGORITHMS = {"discriminator": make_private_gan, "embedding": make_embedding_gan}


def _make(config: PrivateGanRecipe, facts: Facts) -> Algorithm:
    make = ALGORITHMS[config.private_gan.privacy]
    return make(config.private_gan, facts.shape, config.train.batch_size, len(facts.class_names))


def _classes(config: PrivateGanRecipe, source: Source) -> tuple[str, ...]:
    return () if config.private_gan.conditioning == "none" else source.class_names or ()


def _measures(config: PrivateGanRecipe, algorithm: Algorithm, data: Data) -> tuple[Measure, ...]:
    """Returns the epsilon that is spent at a checkpoint; "best" is the newest, and members of a scan have no ranks."""
    protocol = "none, as quality would need private images; the newest counts as best (the ε spent is measured)"
    spent = lambda state: budget.spent_by(config, int(state.step))  # noqa: E731
    return (Measure("privacy/epsilon", protocol, spent, higher_is_better=True, describe="ε = {:.4g} spent".format),)


def _show(config: PrivateGanRecipe, algorithm: Algorithm, data: Data) -> Callable[[TrainState], np.ndarray]:
    return draw_over_time(algorithm, _classes(config, data.train), config.train.seed + 1)


def _finish(trained: Trained, data: Data, directory: Path) -> None:
    """Writes the averaged generator, and the pictures of `draw_final`."""
    config = trained.config
    save_weights(directory / plain.WEIGHTS, trained)
    draw_final(directory, trained.algorithm, trained.state, _classes(config, data.train), config.train.seed + 2)


def _notes(config: PrivateGanRecipe, source: Source) -> tuple[str, ...]:
    """Returns lines about size and privacy; the numbers of images of each class are private."""
    return (*size_notes(source), *budget.notes(budget.settle(config, facts_of(source))))


def _exportable(trained: Trained, choices: ExportChoices) -> Exportable:
    """Returns the generator with its averaged weights, and the guarantee for the manifest."""
    found = exportable(trained, choices)
    return found._replace(about={**found.about, "privacy": budget.promise(trained.config)})


TASK = Task(
    name="private_gan",
    config=PrivateGanRecipe,
    open=open_images,
    make=_make,
    measures=_measures,
    show=_show,
    finish=_finish,
    pictures=plain.TASK.pictures,
    uses={**plain.TASK.uses, "evaluate": Use(evaluate_in_private, "python -m jaxgen evaluate {run}")},
    export=_exportable,
    adapt=plain.TASK.adapt,
    settle=budget.settle,
    notes=_notes,
    record=budget.record,
)
"""A generator with a guarantee for each of the images that it learned from."""
