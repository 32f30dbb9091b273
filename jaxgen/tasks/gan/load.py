"""A trained GAN from its run folder."""

from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxgen.config_json import from_dict
from jaxgen.errors import require
from jaxgen.runs.checkpoints import Step, read_meta, restore
from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.tasks.gan.config import GanRecipe
from jaxgen.training.parallel import on_all_devices
from jaxgen.training.step import Algorithm, TrainState


class TrainedGan(NamedTuple):
    """What a run has learned.

    Attributes:
      config: of the run.
      algorithm: whose `predict` renders.
      state: the restored state.
      step: that it is from.
      shape: (h, w, c) of the images.
      class_names: of a conditional GAN, in order; empty for one without classes.
    """

    config: GanRecipe
    algorithm: Algorithm
    state: TrainState
    step: int
    shape: tuple[int, int, int]
    class_names: tuple[str, ...]


def load_gan(run: Path, checkpoint: str = "latest") -> TrainedGan:
    """Restores a run while it trains or after.

    Args:
      run: run folder, OUT/RECIPE/TIMESTAMP.
      checkpoint: "latest" (the newest whole one), "best" (by the metric followed in training) or a step.

    Raises:
      InputError: no such run, no such checkpoint, or a run of another kind.
    """
    folder = run / "checkpoints"
    require(folder.is_dir(), "run", str(run), "a run folder with checkpoints (OUT/RECIPE/TIMESTAMP)")
    wanted = checkpoint_step(checkpoint)
    _, meta = read_meta(folder, wanted)
    config = _gan_config(run, meta)
    class_names = tuple(meta["class_names"] or ()) if config.gan.conditioning != "none" else ()
    shape = tuple(meta["shape"])
    algorithm = make_gan(config.gan, shape, config.train.batch_size, len(class_names))
    target = jax.eval_shape(algorithm.init, jax.random.key(0), vars(config.hparams))
    state, meta = restore(folder, target, wanted)
    return TrainedGan(config, algorithm, on_all_devices(state), meta["position"], shape, class_names)


def checkpoint_step(checkpoint: str) -> Step:
    """What "latest", "best" or the number of a step means; raises `InputError` for anything else."""
    if checkpoint == "latest":
        return None
    if checkpoint.isdecimal():
        return int(checkpoint)
    require(checkpoint == "best", "checkpoint", checkpoint, "latest, best or the number of a step")
    return "best"


def _gan_config(run: Path, meta: dict[str, Any]) -> GanRecipe:
    require("gan" in meta["config"], "run", str(run), "a GAN's run")
    return from_dict(GanRecipe, meta["config"])
