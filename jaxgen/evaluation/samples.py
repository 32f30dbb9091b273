"""The evaluation of generated images in a folder or a file; its figures as text and as files."""

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxgen.data.base import Source
from jaxgen.data.config import DataConfig
from jaxgen.data.sources import open_source
from jaxgen.errors import InputError, require
from jaxgen.evaluation.features import choose_network
from jaxgen.evaluation.generated import Batches, Generated, generated_from_file, generated_from_source
from jaxgen.evaluation.protocol import Evaluation, Figure, evaluate
from jaxgen.files import write_json
from jaxgen.images import make_grid, readable_scale, save_png
from jaxgen.progress import track_pass

MEANINGS = {
    "frechet": "Fréchet distance to the reference; 0 is best",
    "real_distance": "Fréchet distance of as many training images to the reference",
    "frechet_multiple": "frechet / real_distance; 1 is as near as real images",
    "kernel": "kernel distance (KID), unbiased: around 0 for real images",
    "real_kernel": "kernel distance of as many training images, drawn at random",
    "kernel_multiple": "kernel / what chance gives for as many real images; -2 to 2 for real ones",
    "precision": "share of generated images that look real",
    "recall": "share of real images that look like generated ones",
    "density": "as precision, counting how many real neighbourhoods each is in; 1 for real ones",
    "coverage": "share of real images with a generated image nearby",
    "two_sample_accuracy": "accuracy of 1-nearest-neighbour at telling generated from real; 0.5 is best",
    "occupancy": "mean share of a volume that is occupied, a grey voxel in part",
    "real_occupancy": "the same of the reference",
    "occupancy_distance": "distance of the histograms of occupancy (Wasserstein); 0 is best",
    "largest_component": "mean share of the voxels above the middle grey in the largest connected body",
    "real_largest_component": "the same of the reference",
    "largest_component_distance": "distance of the histograms of this share (Wasserstein); 0 is best",
    "class_imbalance": "total variation of the class frequencies from the reference's; 0 is best",
    "smallest_class_share": "lowest share of a class over its share in the reference; 1 is best",
    "conditional_accuracy": "share of generated images of the class asked for",
    "classifier_accuracy_score": "accuracy on held-out images of a classifier trained on the generated images",
    "real_classifier_accuracy_score": "the same of one trained on as many training images",
    "classifier_auc": "area under the ROC curve of the classifier trained on the generated images",
    "real_classifier_auc": "the same of one trained on as many training images",
    "memorisation_auc": "chance that a generated image is nearer to the training set than a held-out one; 0.5 is best",
    "memorisation_ratio": "median distance to the training images: generated over held-out images",
}


def evaluate_samples(
    path: Path, config: DataConfig, num: int, seed: int = 0, inception_weights: Path | None = None
) -> Evaluation:
    """Returns the evaluation of images in a folder or file; prints it and writes it to the folder NAME-evaluation.

    Args:
      path: folder of images of one size, with their classes as subfolders or without any; or a file, see `open_arrays`.
        With `volume_size` in the configuration they are volumes.
      config: configuration of the real images, see `dataset_of`.
      num: number of images to use, drawn at random.
      seed: seed of every random choice of the protocol.
      inception_weights: file of the public Inception weights; None takes the pretrained classifier.

    Raises:
      InputError: there is no such folder or file, or its images do not have one size, that of the real ones.
    """
    generated = _open_samples(path, num, seed, config.volume_size)
    with _naming("reference"):
        train, held_out = open_splits(config)
    if generated.shape != train.shape:
        made, real = (" x ".join(map(str, shape)) for shape in (generated.shape, train.shape))
        size, axes = "--image-size", "height, width, channels"
        if config.volume_size is not None:
            size, axes = "--volume-size", f"depth, {axes}"
        accepted = f"{real}, as in {train.name}; --reference names other images, {size} and --channels fit them"
        raise InputError(f"samples: got images of {made} ({axes}); accepted: {accepted}")
    if path.is_dir() and not set(generated.class_names or ()) <= set(train.class_names or ()):
        generated = _without_labels(generated)  # subfolders that are no classes
    network = choose_network(generated.shape, inception_weights)
    result = evaluate(generated, train, held_out, network, seed, track_pass, trained_on=False)
    print(describe(result))
    folder = path.resolve()
    name = folder.name if folder.is_dir() else folder.stem
    other = "" if config.dataset == DataConfig().dataset else f"-{_slug(config.dataset)}"
    about = {"images": generated.origin}
    save(result, folder.with_name(f"{name}-evaluation"), f"{result.protocol.name}{other}-seed{seed}", about)
    return result


def dataset_of(reference: str) -> str:
    """Returns the value of `--dataset` for real images: an existing folder or file, or else the text itself."""
    path = Path(reference).expanduser()
    return f"folder:{path}" if path.is_dir() else f"npz:{path}" if path.is_file() else reference


def _open_samples(path: Path, num: int, seed: int, volume_size: int | None) -> Generated:
    """Returns the images of a folder or file; errors name `samples`."""
    require(path.exists(), "samples", str(path), "an existing folder of images, or file of arrays")
    if not path.is_dir():
        return generated_from_file(path, num, seed, 2 if volume_size is None else 3)
    try:
        with _naming("samples"):
            return generated_from_source(open_source(DataConfig(f"folder:{path}", volume_size=volume_size)), num, seed)
    except InputError as error:
        if not str(error).startswith("image_size:"):
            raise
        sizes = str(error).partition(" and ")[2].partition(";")[0]
        raise InputError(f"samples: {path} holds {sizes}; accepted: images of one size") from None


@contextlib.contextmanager
def _naming(argument: str) -> Iterator[None]:
    """Lets errors about a data set name the argument that it came from."""
    try:
        yield
    except InputError as error:
        field, colon, rest = str(error).partition(": ")
        raise InputError(f"{argument if field == 'dataset' else field}{colon}{rest}") from None


def _without_labels(generated: Generated) -> Generated:
    def batches(at_once: int) -> Batches:
        for images, _ in generated.batches(at_once):
            yield images, None

    return generated._replace(labelled=False, batches=batches, class_names=None)


def _slug(dataset: str) -> str:
    """Returns what names a data set in the name of a file: the last part of a path, in plain characters."""
    return re.sub(r"[^\w.-]+", "-", Path(dataset.partition(":")[2] or dataset).name)


def open_splits(config: DataConfig) -> tuple[Source, Source | None]:
    """Returns the training images and the split `test`; None if there is none, or if training may have used it."""
    train = open_source(config)
    named = dataclasses.replace(train, name=f"{train.name} {config.split}" if train.uses_tensorflow else train.name)
    if not re.fullmatch(r"train(\[.*\])?", config.split) or train.name != config.dataset:
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
    rows = [f"{name:31} {format_figure(figure):30} {MEANINGS[name]}" for name, figure in result.figures.items()]
    notes = [] if result.pairs is not None else ["no held-out split: no real distance, no memorisation"]
    return "\n".join([head, *rows, *notes])


def format_figure(figure: Figure) -> str:
    """Returns value and interval as text of four digits."""
    interval = "" if figure.low is None else f" [{figure.low:.4g}, {figure.high:.4g}]"
    return f"{figure.value:.4g}{interval}"
