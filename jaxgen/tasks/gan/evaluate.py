"""The evaluation of a GAN's run, or of generated images in a file: figures are computed, printed and saved."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.data.base import Source
from jaxgen.data.config import DataConfig
from jaxgen.data.sources import open_source
from jaxgen.errors import InputError, require
from jaxgen.evaluation.features import choose_network
from jaxgen.evaluation.generated import Batches, Generated, draw_labels, generated_from_file
from jaxgen.evaluation.protocol import Evaluation, Figure, evaluate
from jaxgen.files import write_json
from jaxgen.images import make_grid, readable_scale, save_png
from jaxgen.progress import track_pass
from jaxgen.runs.recording import append_metrics
from jaxgen.tasks.base import Trained, report
from jaxgen.tasks.gan.pictures import render_all
from jaxgen.tasks.gan.sample import class_names

MEANINGS = {
    "frechet": "Fréchet distance to the reference; 0 is best",
    "real_distance": "Fréchet distance of as many training images, drawn at random",
    "frechet_multiple": "frechet / real_distance; 1 is as near as real images",
    "kernel": "kernel distance (KID), unbiased: around 0 for real images",
    "precision": "share of generated images that look real",
    "recall": "share of real images that the generated images reach",
    "density": "how crowded by generated images the places of real images are; 1 for real ones",
    "coverage": "share of real images with a generated image nearby",
    "class_imbalance": "total variation of the class frequencies from the reference's; 0 is best",
    "smallest_class_share": "share of the rarest class over its share in the reference",
    "conditional_accuracy": "share of generated images of the class asked for",
    "classifier_accuracy_score": "share of held-out images known by a classifier trained on the generated images",
    "memorisation_auc": "chance that a generated image is nearer to the training set than a new real one; 0.5 is best",
    "memorisation_ratio": "median distance to the training images, generated images over new real ones",
}


def evaluate_run(
    gan: Trained,
    run: Path,
    num: int,
    seed: int = 0,
    data_dir: str | None = None,
    inception_weights: Path | None = None,
) -> Evaluation:
    """Returns the evaluation of a GAN's run; prints it and writes it to RUN/evaluation, the metrics and the report.

    Args:
      gan: result of `load`.
      run: folder of the run.
      num: number of images to generate, more than 5.
      seed: seed of the images and of every random choice of the protocol.
      data_dir: folder of the data set, if it is another one than in training.
      inception_weights: file of the public Inception weights; None takes the feature network of the package.

    Raises:
      InputError: there is no such data or file.
    """
    config = gan.config.data if data_dir is None else dataclasses.replace(gan.config.data, data_dir=data_dir)
    train, held_out = open_splits(config)
    generated = generated_by(gan, train, num, seed)
    result = evaluate(generated, train, held_out, choose_network(gan.facts.shape, inception_weights), seed, track_pass)
    print(describe(result))
    name, step = f"{result.protocol.name}-seed{seed}", gan.facts.step
    save(result, run / "evaluation", f"{name}-step{step}", {"images": generated.origin, "step": step})
    append_metrics(run, step, {f"evaluation/{name}/{key}": figure.value for key, figure in result.figures.items()})
    report(gan.task, run)
    return result


def evaluate_samples(
    path: Path, config: DataConfig, num: int, seed: int = 0, inception_weights: Path | None = None
) -> Evaluation:
    """Returns the evaluation of images in an .npz file; prints it and writes it to the folder FILE-evaluation.

    Args:
      path: archive with `images` and optional `labels`; see `generated_from_file`.
      config: configuration of the real images.
      num: number of images to use, drawn at random.
      seed: seed of every random choice of the protocol.
      inception_weights: see `evaluate_run`.

    Raises:
      InputError: there is no such file, or its images do not have the shape or classes of the real ones.
    """
    generated = generated_from_file(path, num, seed)
    train, held_out = open_splits(config)
    result = evaluate(generated, train, held_out, choose_network(generated.shape, inception_weights), seed, track_pass)
    print(describe(result))
    save(
        result,
        path.with_name(f"{path.stem}-evaluation"),
        f"{result.protocol.name}-seed{seed}",
        {"images": generated.origin},
    )
    return result


def open_splits(config: DataConfig) -> tuple[Source, Source | None]:
    """Returns the training images and the split `test`; None if there is none, or if training may have used it."""
    train = open_source(config)
    named = dataclasses.replace(train, name=f"{train.name} {config.split}")
    if not re.fullmatch(r"train(\[.*\])?", config.split) or train.name != config.dataset or not train.uses_tensorflow:
        return named, None
    try:
        held_out = open_source(dataclasses.replace(config, split="test", flip=False))
    except InputError as error:
        if not str(error).startswith("split:"):
            raise
        return named, None
    return named, dataclasses.replace(held_out, name=f"{train.name} test")


def generated_by(gan: Trained, train: Source, num: int, seed: int) -> Generated:
    """Returns images of a GAN, generated whenever they are read; classes are as frequent as in the training images."""
    names, shape = class_names(gan), gan.facts.shape
    known = names in ((), train.class_names)
    require(known, "dataset", train.name, f"data of the classes that the run learned: {', '.join(names)}")
    predict, key = jax.jit(gan.algorithm.predict), jax.random.key(seed)
    labels = draw_labels(train, num, seed) if names else None

    def batches(at_once: int) -> Batches:
        for start in range(0, num, at_once):
            count = min(at_once, num - start)
            asked = None if labels is None else labels[start : start + count]
            conditions = () if asked is None else (jnp.asarray(asked),)
            inputs = gan.algorithm.draw_inputs(jax.random.fold_in(key, start), count, *conditions)
            yield render_all(predict, gan.state, inputs), asked

    return Generated(f"run at step {gan.facts.step}", num, shape, labels is not None, batches)


def save(result: Evaluation, folder: Path, name: str, about: dict[str, Any]) -> None:
    """Writes the figures to NAME.json and the closest pairs to NAME-closest.png in a folder."""
    figures = {key: figure._asdict() for key, figure in result.figures.items()}
    record = {**about, "protocol": result.protocol._asdict(), "figures": figures}
    write_json(folder / f"{name}.json", record)
    if result.pairs is not None:
        grid = make_grid(result.pairs, len(result.pairs) // 2)
        save_png(folder / f"{name}-closest.png", grid, readable_scale(result.pairs.shape[1]))


def describe(result: Evaluation) -> str:
    """Returns the protocol and all figures as lines of text."""
    protocol = result.protocol
    head = (
        f"protocol {protocol.name}: features of {protocol.features} (sha256 {protocol.sha256[:12]}), "
        f"{protocol.num_generated:,} images, reference {protocol.reference}, seed {protocol.seed}"
    )
    rows = [f"{name:26} {format_figure(figure):30} {MEANINGS[name]}" for name, figure in result.figures.items()]
    notes = [] if result.pairs is not None else ["no held-out split: no real distance, no memorisation"]
    return "\n".join([head, *rows, *notes])


def format_figure(figure: Figure) -> str:
    """Returns value and interval as text of four digits."""
    interval = "" if figure.low is None else f" [{figure.low:.4g}, {figure.high:.4g}]"
    return f"{figure.value:.4g}{interval}"
