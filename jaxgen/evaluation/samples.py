"""The evaluation of generated images in a file; its figures as text and as files."""

import dataclasses
import re
from pathlib import Path
from typing import Any

from jaxgen.data.base import Source
from jaxgen.data.config import DataConfig
from jaxgen.data.sources import open_source
from jaxgen.errors import InputError
from jaxgen.evaluation.features import choose_network
from jaxgen.evaluation.generated import generated_from_file
from jaxgen.evaluation.protocol import Evaluation, Figure, evaluate
from jaxgen.files import write_json
from jaxgen.images import make_grid, readable_scale, save_png
from jaxgen.progress import track_pass

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


def evaluate_samples(
    path: Path, config: DataConfig, num: int, seed: int = 0, inception_weights: Path | None = None
) -> Evaluation:
    """Returns the evaluation of images in an .npz file; prints it and writes it to the folder FILE-evaluation.

    Args:
      path: archive with `images` and optional `labels`; see `generated_from_file`.
      config: configuration of the real images.
      num: number of images to use, drawn at random.
      seed: seed of every random choice of the protocol.
      inception_weights: file of the public Inception weights; None takes the feature network of the package.

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
