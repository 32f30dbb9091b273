"""Loads what can be loaded: exported bundles, without the code that trained them, and else trained models."""

from os import PathLike
from pathlib import Path
from typing import Any

from jaxgen.bundles.manifest import MANIFEST
from jaxgen.bundles.model import Model
from jaxgen.bundles.model import load as load_bundle
from jaxgen.errors import reject, require


def load(folder: str | PathLike, checkpoint: str = "latest") -> Model | Any:
    """Returns the `Model` of an exported bundle, or the `Trained` model of a run.

    A bundle needs no training code, and nothing in it is trusted: the manifest is checked, each file must have the
    declared size and hash, and the program must reproduce the outputs that were stored at export.

    Args:
      folder: folder of a bundle; or, for `sample`, `restore`, `upscale` and `evaluate`, a run folder
        (OUT/RECIPE/TIMESTAMP), its file of weights, or a name of pretrained weights, such as "photos" or "digits".
      checkpoint: of a run: "latest", "best" or a step; all else has only "latest".

    Examples:
      >>> jaxgen.load("photos-grey").facts.shape[-1]
      1

    Raises:
      InputError: there is no such model, or it is damaged.
    """
    require(isinstance(folder, str | PathLike), "folder", type(folder).__name__, "the path of a bundle or a run")
    path = Path(folder)
    if (path / MANIFEST).is_file():
        require(checkpoint == "latest", "checkpoint", checkpoint, "latest, as a bundle holds one model")
        return load_bundle(path)
    from jaxgen.tasks.table import pretrained

    if str(folder) in pretrained() or path.is_file() or (path / "checkpoints").is_dir():
        from jaxgen.tasks.load import load as load_trained

        return load_trained(folder if isinstance(folder, str) else path, str(checkpoint), "folder")
    kinds = f"a bundle (a folder with a {MANIFEST}), a run folder with checkpoints, its file of weights"
    reject("folder", str(folder), f"{kinds}, {', '.join(pretrained())}")
