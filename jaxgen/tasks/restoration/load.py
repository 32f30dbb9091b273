"""A trained restorer: one that the package carries, a run's, or a file of weights."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
from flax import linen as nn

from jaxgen.tasks.restoration.algorithm import make_restoration
from jaxgen.errors import InputError, require
from jaxgen.tasks.restoration.config import RestorationConfig
from jaxgen.config_json import from_dict
from jaxgen.tasks.gan.load import checkpoint_step
from jaxgen.tasks.restoration.restore import PhotoModel
from jaxgen.tasks.restoration.restorers import make_restorer
from jaxgen.tasks.restoration.pretrained import SHIPPED, shipped_file
from jaxgen.tasks.restoration.config import RestorationRecipe
from jaxgen.runs.checkpoints import read_meta, restore
from jaxgen.weights import load_notes, load_params
from jaxgen.types import Grid, Observation


class TrainedRestorer(NamedTuple):
    """What a run has learned.

    Attributes:
      name: for messages and tables.
      network: an `Observation` to restored images.
      params: its weights.
      shape: (*spatial, c) of the images or crops that it learned from.
      state: to go on training from; None where it was read from a file.
    """

    name: str
    network: nn.Module
    params: Any
    shape: Grid
    state: Any = None


def load_restorer(model: str | Path, checkpoint: str = "latest") -> TrainedRestorer:
    """Loads a restorer.

    Args:
      model: "photos" or "photos-grey" for those that the package carries, a run folder, or a .safetensors file of one.
      checkpoint: of a run: "latest", "best" (by the quality followed in training) or a step.

    Raises:
      InputError: no such run, file or checkpoint, a run of another kind, or a damaged installation.
    """
    if model in SHIPPED:
        return _load_file(shipped_file(str(model)), str(model))
    path = Path(model)
    return _load_run(path, checkpoint) if path.is_dir() else _load_file(path, path.name)


def _load_file(path: Path, name: str) -> TrainedRestorer:
    notes = load_notes(path)
    if not {"restoration", "shape"} <= set(notes):
        raise InputError(f"model: {path} holds no restorer; accepted: a run folder, or its restorer.safetensors")
    shape = tuple(json.loads(notes["shape"]))
    config = from_dict(RestorationConfig, json.loads(notes["restoration"]))
    return TrainedRestorer(name, make_restorer(config, shape), load_params(path), shape)


def _load_run(run: Path, checkpoint: str) -> TrainedRestorer:
    folder, wanted = run / "checkpoints", checkpoint_step(checkpoint)
    require(folder.is_dir(), "model", str(run), "a run folder with checkpoints (OUT/RECIPE/TIMESTAMP)")
    _, meta = read_meta(folder, wanted)
    require("restoration" in meta["config"], "model", str(run), "the run of a restorer")
    config, shape = from_dict(RestorationRecipe, meta["config"]), tuple(meta["shape"])
    algorithm = make_restoration(config.restoration, shape, config.train.batch_size)
    target = jax.eval_shape(algorithm.init, jax.random.key(0), vars(config.hparams))
    state, meta = restore(folder, target, wanted)
    name = f"{run.name} at step {meta['position']}"
    return TrainedRestorer(name, make_restorer(config.restoration, shape), state.ema_params["restorer"], shape)


def photo_models(model: str | Path | None = None, checkpoint: str = "latest") -> dict[int, PhotoModel]:
    """What restores photos of one channel, and what restores those of three.

    Args:
      model: of `load_restorer`, for both; None for those that the package carries, one for each.
      checkpoint: of a run.

    Raises:
      InputError: as of `load_restorer` and `photo_model`.
    """
    if model is None:
        return {1: photo_model(load_restorer("photos-grey")), 3: photo_model(load_restorer("photos"))}
    return dict.fromkeys((1, 3), photo_model(load_restorer(model, checkpoint)))


def photo_model(trained: TrainedRestorer) -> PhotoModel:
    """The restorer as what photos of any size are given to.

    Raises:
      InputError: its network takes one size alone, or restores volumes.
    """
    network = trained.network
    require(hasattr(network, "halo"), "model", trained.name, "a network for any size: inverse or recurrent")

    require(len(trained.shape) == 3, "model", trained.name, "a network for images (2 spatial axes), as photographs are")

    def apply(images: jax.Array, known: jax.Array) -> jax.Array:
        # a missing pixel is the middle grey, as in training; with nothing missing all count as seen
        return network.apply({"params": trained.params}, Observation(images * known, known))

    return PhotoModel(apply, trained.shape[2], network.halo, network.multiple, True, trained.name)
