"""What the user's images decide of the training of a GAN: its size, its architecture, and what is said of them."""

import dataclasses
from typing import Any

from jaxgen.data.base import Source
from jaxgen.data.canaries import flip_coins
from jaxgen.data.notes import class_notes, size_notes
from jaxgen.data.sources import open_source
from jaxgen.tasks.base import Data, Facts
from jaxgen.tasks.gan import pairs
from jaxgen.tasks.gan.config import GanRecipe

FOLDER_SIZE = 64
"""Default size in pixels to which the pictures of a folder are cut and resized."""
FEW_IMAGES = 200
"""Number of images below which augmentation is advised."""


def open_images(config: Any, source: Source | None) -> Data:
    """Returns the training images; checkpoints are compared with these too, so that test images choose none."""
    return Data(flip_coins(source or open_source(config.data), config.data.canaries, config.train.seed))


def adapt(config: Any, dataset: str, image_size: int | None) -> Any:
    """Returns the configuration of any GAN for the user's images: the pictures of a folder are resized to one size."""
    if config.data.volume_size is not None:
        return config
    size = image_size or (FOLDER_SIZE if dataset.startswith("folder:") else None)
    return dataclasses.replace(config, data=dataclasses.replace(config.data, image_size=size or config.data.image_size))


def settle(config: GanRecipe, facts: Facts) -> GanRecipe:
    """Returns the configuration with the architecture that the size of the images asks for, unless it names one."""
    return dataclasses.replace(config, gan=pairs.settle(config.gan, facts.shape))


def notes(config: GanRecipe, source: Source) -> tuple[str, ...]:
    """Returns lines about the images: cuts, classes, the architecture if it is a makeshift, and if they are few."""
    lines = [*size_notes(source), *(class_notes(source) if config.gan.conditioning != "none" else ())]
    if config.gan.architecture == "auto" and pairs.settle(config.gan, source.shape).architecture == "mlp":
        size, better = " x ".join(map(str, source.shape[:-1])), pairs.PAIRS["resnet"].accepted
        lines.append(f"architecture mlp, the only one for {size} px; sides that are {better} (--image-size) get resnet")
    if source.num_images < FEW_IMAGES and not config.gan.augment:
        advice = "--augment translation cutout color (in Python GanConfig(augment=...))"
        lines.append(f"only {source.num_images} images: {advice} keeps the discriminator from learning them by heart")
    return tuple(lines)
