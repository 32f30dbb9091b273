"""The one table that names all tasks. To add one: a folder, and a row here.

The table imports no task before it is needed, so that the help of the command line needs no JAX.
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
      about: what it trains, in a line.
      recipe: the experiment that it starts from.
      folder_recipe: the one that it starts from for a folder of pictures, if that is another.
      scan_recipe: the experiment that `jaxgen scan` starts from, if there is one.
    """

    about: str
    recipe: str
    folder_recipe: str | None = None
    scan_recipe: str | None = None


class Row(NamedTuple):
    """A task: the module whose `TASK` it is, its presets, and the names of weights that the package carries."""

    module: str
    presets: dict[str, Preset]
    pretrained: tuple[str, ...] = ()


TABLE = {
    "gan": Row(
        "jaxgen.tasks.gan.task",
        {
            "gan": Preset("a GAN", "gan_mnist", scan_recipe="scan_gan_mnist"),
            "cgan": Preset("a GAN that is told the class; the subfolders of a folder are its classes", "cgan_mnist"),
        },
    ),
    "restoration": Row(
        "jaxgen.tasks.restoration.task",
        {
            "inverse": Preset(
                "a restorer; of a folder a blind one for colour photographs",
                "inverse_mnist",
                "inverse_photos",
                "scan_inverse_mnist",
            ),
            "crnn": Preset("a recurrent restorer", "crnn_mnist", "crnn_photos"),
        },
        ("photos", "photos-grey"),
    ),
}
"""Name to row."""


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
      fields: names.
      field: what an error calls the thing that the configuration is of.
      value: what an error says of it.

    Raises:
      InputError: no task has such a configuration.
    """
    names = set(fields) & set(TABLE)
    if len(names) != 1:
        raise InputError(f"{field}: got {str(value)!r}; accepted: a run of one of {', '.join(TABLE)}")
    return task(names.pop())


def presets() -> dict[str, Preset]:
    """Returns the presets of all tasks by name."""
    return {name: preset for row in TABLE.values() for name, preset in row.presets.items()}


def pretrained() -> dict[str, str]:
    """Returns the names of all weights that the package carries, with the name of the task of each."""
    return {name: key for key, row in TABLE.items() for name in row.pretrained}
