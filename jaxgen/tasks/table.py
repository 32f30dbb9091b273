"""The table of all tasks. A new task takes a folder, and a row in this table.

A task is imported only when it is needed, so that the help of the command line works without JAX.
"""

import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxgen.errors import InputError

if TYPE_CHECKING:
    from jaxgen.tasks.base import Task


class Preset(NamedTuple):
    """A short name for `jaxgen train` and `jaxgen scan`.

    Attributes:
      about: the network that it trains, in one line.
      recipe: name of the experiment that it uses.
      folder_recipe: name of the experiment for a folder of pictures, if it is another one.
      scan_recipe: name of the experiment for `jaxgen scan`, if there is one.
    """

    about: str
    recipe: str
    folder_recipe: str | None = None
    scan_recipe: str | None = None


class Row(NamedTuple):
    """A task: the module that defines it as `TASK`, its presets, and the names of its pretrained weights."""

    module: str
    presets: dict[str, Preset]
    pretrained: tuple[str, ...] = ()


TABLE = {
    "gan": Row(
        "jaxgen.tasks.gan.task",
        {
            "gan": Preset("a GAN", "gan_mnist", scan_recipe="scan_gan_mnist"),
            "cgan": Preset("a GAN conditioned on the class; the subfolders of a folder are its classes", "cgan_mnist"),
        },
        ("digits",),
    ),
    "private_gan": Row(
        "jaxgen.tasks.private_gan.task",
        {
            "private_gan": Preset("a GAN with differential privacy for each image", "dp_cgan_mnist"),
            "private_embedding": Preset("a private generator from one noisy mean, in minutes", "dp_embedding_mnist"),
        },
    ),
    "restoration": Row(
        "jaxgen.tasks.restoration.task",
        {
            "inverse": Preset(
                "a restorer; with a folder: of colour photographs",
                "inverse_mnist",
                "inverse_photos",
                "scan_inverse_mnist",
            ),
            "crnn": Preset("a recurrent restorer", "crnn_mnist", "crnn_photos"),
        },
        ("photos", "photos-grey", "photos-marks"),
    ),
    "super_resolution": Row(
        "jaxgen.tasks.super_resolution.task",
        {"super-resolution": Preset("a network that enlarges photographs", "super_resolution")},
        ("upscale", "upscale-bicubic"),
    ),
}
"""Rows by the name of the task."""


def task(name: str) -> "Task":
    """Returns a task by its name.

    Raises:
      InputError: there is no such task.
    """
    if name not in TABLE:
        raise InputError(f"task: got {name!r}; accepted: {', '.join(TABLE)}")
    return importlib.import_module(TABLE[name].module).TASK


def task_of(fields: Iterable[str], field: str, value: Any) -> "Task":
    """Returns the task whose name is among the fields of a configuration.

    Args:
      fields: names of the fields.
      field: name of the argument in errors.
      value: its value in errors.

    Raises:
      InputError: no task has such a configuration, or more than one has.
    """
    names = set(fields) & set(TABLE)
    if len(names) != 1:
        raise InputError(f"{field}: got {str(value)!r}; accepted: a run of one of {', '.join(TABLE)}")
    return task(names.pop())


def presets() -> dict[str, Preset]:
    """Returns the presets of every task by name."""
    return {name: preset for row in TABLE.values() for name, preset in row.presets.items()}


def pretrained() -> dict[str, str]:
    """Returns the names of the pretrained weights, each with the name of its task."""
    return {name: key for key, row in TABLE.items() for name in row.pretrained}
