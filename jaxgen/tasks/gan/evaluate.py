"""The evaluation of a GAN's run: figures are computed, printed and saved."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.data.base import Source
from jaxgen.errors import require
from jaxgen.evaluation.features import choose_network
from jaxgen.evaluation.generated import Batches, Generated, draw_labels
from jaxgen.evaluation.protocol import Evaluation, evaluate
from jaxgen.evaluation.samples import describe, open_splits, save
from jaxgen.progress import track_pass
from jaxgen.runs.recording import append_metrics
from jaxgen.tasks.base import Trained, report
from jaxgen.tasks.gan.inputs import class_names
from jaxgen.tasks.gan.pictures import render_all
from jaxgen.tasks.gan.sample import origin


def evaluate_run(
    gan: Trained,
    run: Path,
    num: int,
    seed: int = 0,
    data_dir: str | None = None,
    inception_weights: Path | None = None,
) -> Evaluation:
    """Returns the evaluation of a GAN; prints it and writes it to RUN/evaluation, the metrics and the report.

    That of a file of weights is written to a folder beside it; that of pretrained weights to NAME-evaluation in
    the current folder.

    Args:
      gan: result of `load`.
      run: what `load` was given: the folder of the run, a file of weights, or a name.
      num: number of images to generate, more than 5.
      seed: seed of the images and of every random choice of the protocol.
      data_dir: folder of the data set, if it is another one than in training.
      inception_weights: file of the public Inception weights; None takes the pretrained classifier.

    Raises:
      InputError: there is no such data or file.
    """
    result = measured(gan, run, num, seed, data_dir, inception_weights)
    name, step = keep(result, gan, run / "evaluation", run.with_name(f"{run.stem}-evaluation"), seed), gan.facts.step
    if not gan.from_run:
        return result
    append_metrics(run, step, {f"evaluation/{name}/{key}": figure.value for key, figure in result.figures.items()})
    report(gan.task, run)
    return result


def measured(
    gan: Trained, run: Path, num: int, seed: int, data_dir: str | None, inception_weights: Path | None
) -> Evaluation:
    """Returns the evaluation of a GAN and prints it; takes the arguments of `evaluate_run`, and writes nothing."""
    config = gan.config.data if data_dir is None else dataclasses.replace(gan.config.data, data_dir=data_dir)
    train, held_out = open_splits(config)
    generated = generated_by(gan, train, num, seed)
    result = evaluate(generated, train, held_out, choose_network(gan.facts.shape, inception_weights), seed, track_pass)
    print(describe(result))
    return result


def keep(result: Evaluation, gan: Trained, of_run: Path, of_weights: Path, seed: int) -> str:
    """Writes an evaluation to the folder `of_run`, or `of_weights` if the GAN is one from a file; returns its name."""
    name, step = f"{result.protocol.name}-seed{seed}", gan.facts.step
    if gan.from_run:
        save(result, of_run, f"{name}-step{step}", {"images": f"run at {origin(gan)}", "step": step})
    else:
        save(result, of_weights, name, {"images": origin(gan)})
    return name


def generated_by(gan: Trained, train: Source, num: int, seed: int) -> Generated:
    """Returns images of a GAN, generated whenever they are read; classes are as frequent as in the training images.

    If these have no classes, the images are drawn equally often of each of the GAN's classes, and have no labels.
    """
    names, shape = class_names(gan), gan.facts.shape
    labelled = len(names) > 0 and train.labels is not None
    known = not labelled or names == train.class_names
    require(known, "reference", train.name, f"data of the classes that the run learned: {', '.join(names)}")
    predict, key = jax.jit(gan.algorithm.predict), jax.random.key(seed)
    labels = draw_labels(train, num, seed) if labelled else None
    if names and not labelled:
        labels = np.arange(num, dtype=np.int32) % np.int32(len(names))

    def batches(at_once: int) -> Batches:
        for start in range(0, num, at_once):
            count = min(at_once, num - start)
            asked = None if labels is None else labels[start : start + count]
            conditions = () if asked is None else (jnp.asarray(asked),)
            inputs = gan.algorithm.draw_inputs(jax.random.fold_in(key, start), count, *conditions)
            yield render_all(predict, gan.state, inputs), asked if labelled else None

    return Generated(f"run at {origin(gan)}" if gan.from_run else origin(gan), num, shape, labelled, batches)
