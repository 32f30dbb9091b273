"""Loads a trained model from the folder of a run, from a file of weights, or from the pretrained weights."""

import importlib.util
import json
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.checkpoints.folder import Step, read_meta, restore
from jaxgen.config_json import from_dict, to_dict
from jaxgen.errors import InputError, require
from jaxgen.runs.folder import as_named_now
from jaxgen.tasks import table
from jaxgen.tasks.base import NOTHING, Facts, Trained
from jaxgen.training.fit import over_images
from jaxgen.training.parallel import on_all_devices
from jaxgen.training.step import Algorithm, TrainState
from jaxgen.weights import load_notes, load_params, require_published, save_params

RUN = "a run folder with checkpoints (OUT/RECIPE/TIMESTAMP)"
DATA = "dataset"
"""Note in a file of weights with the settings of the training data, but for the folder where they lay."""


def load(model: str | Path, checkpoint: str = "latest", field: str = "run") -> Trained:
    """Returns a trained model.

    Args:
      model: a run folder, during training or after; a .safetensors file of a run; or a name of `table.pretrained`.
      checkpoint: checkpoint of a run: "latest" (the newest complete one), "best" (by the first measure) or a step;
        of a file of weights "latest" only.
      field: name of `model` in errors.

    Raises:
      InputError: there is no such run, file or checkpoint; or it is a scan, or the installation is damaged.
    """
    path, is_name = Path(model), str(model) in table.pretrained()
    if not is_name and not path.is_file():
        return _load_run(path, checkpoint, field)
    require(checkpoint == "latest", "checkpoint", checkpoint, f"latest, as {model} holds the weights of one step")
    file, name = (pretrained_file(str(model)), str(model)) if is_name else (path, path.name)
    return _load_weights(file, name, field)


def require_use(trained: Trained, use: str, field: str, value: Any) -> Trained:
    """Returns the model if its task has a use of this name.

    Raises:
      InputError: the task has no such use; names the tasks that have one.
    """
    if use not in trained.task.uses:
        able = [name for name in table.TABLE if use in table.task(name).uses]
        accepted = "".join([f"a run of task {' or '.join(able)}", *(f", {name}" for name in pretrained_for(use))])
        raise InputError(f"{field}: got {str(value)!r}, of task {trained.task.name}; accepted: {accepted}")
    return trained


def pretrained_for(use: str) -> tuple[str, ...]:
    """Returns the names of the pretrained weights whose task has a use of this name."""
    return tuple(name for name, task in table.pretrained().items() if use in table.task(task).uses)


def checkpoint_step(checkpoint: str) -> Step:
    """Returns the step that "latest", "best" or a number stands for; raises `InputError` for any other text."""
    if checkpoint == "latest":
        return None
    if checkpoint.isdecimal():
        return int(checkpoint)
    require(checkpoint == "best", "checkpoint", checkpoint, "latest, best or the number of a step")
    return "best"


def pretrained_file(name: str) -> Path:
    """Returns the path of pretrained weights by their name; raises `InputError` if the file is damaged."""
    found = table.task(table.pretrained()[name])
    spec = importlib.util.find_spec(table.TABLE[found.name].module)
    path = Path(spec.origin).with_name(f"{name}.safetensors")
    require_published(path, found.pretrained[name])
    return path


def shape_of_state(algorithm: Algorithm, config: Any) -> TrainState:
    """Returns the shapes of the arrays of a state; no array is made."""
    return jax.eval_shape(algorithm.init, jax.random.key(0), over_images(vars(config.hparams), 1))


def save_weights(path: Path, trained: Trained, notes: Mapping[str, str] = NOTHING, bits: int = 16) -> None:
    """Writes the averaged weights of a model that predicts by one network as safetensors, for `load`.

    Args:
      path: file to write.
      trained: a restorer, or a GAN, of which the generator is written.
      notes: further notes, such as those on the origin of pretrained weights.
      bits: see `save_params`.
    """
    (params,) = trained.state.ema_params.values()
    structure, data = to_dict(getattr(trained.config, trained.task.name)), to_dict(trained.config.data)
    facts = {name: json.dumps(getattr(trained.facts, name)) for name in ("shape", "class_names")}
    facts[DATA] = json.dumps({name: value for name, value in data.items() if name != "data_dir"})
    save_params(path, jax.device_get(params), {trained.task.name: json.dumps(structure), **facts, **notes}, bits)


def _load_run(run: Path, checkpoint: str, field: str) -> Trained:
    """Returns the model of a checkpoint of a run."""
    folder, wanted = run / "checkpoints", checkpoint_step(checkpoint)
    require(folder.is_dir(), field, str(run), f"{RUN}, its file of weights{_or_pretrained()}")
    _, meta = read_meta(folder, wanted)
    if "ledger" in meta:
        raise InputError(f"{field}: {run} is a scan; accepted: a member, after --extract NUMBER ({run}/members/NUMBER)")
    task = table.task_of(meta["config"], field, run)
    config = from_dict(task.config, as_named_now(meta["config"]))
    facts = Facts(tuple(meta["shape"]), tuple(meta["class_names"] or ()))
    algorithm = task.make(config, facts)
    target = shape_of_state(algorithm, config)
    state, meta = restore(folder, target, wanted)
    facts = facts._replace(step=meta["position"], name=f"{run.name} at step {meta['position']}")
    return Trained(task, config, algorithm, on_all_devices(state), facts)


def _or_pretrained() -> str:
    return "".join(f", {name}" for name in table.pretrained())


def _load_weights(path: Path, name: str, field: str) -> Trained:
    """Returns the model of a file of `save_weights`; its state holds only the averaged weights."""
    require(path.is_file(), field, str(path), f"{RUN}, its file of weights{_or_pretrained()}")
    notes = load_notes(path)
    known = [key for key in table.TABLE if key in notes]
    if len(known) != 1 or "shape" not in notes:
        raise InputError(f"{field}: {path} holds no weights of a task; accepted: a run folder, or its file of weights")
    task = table.task(known[0])
    hints, kept = typing.get_type_hints(task.config), {task.name: notes[task.name]}
    if DATA in notes:
        kept["data"] = notes[DATA]
    fields = {name: from_dict(hints[name], json.loads(text)) for name, text in kept.items()}
    config = task.config(**fields)
    facts = Facts(tuple(json.loads(notes["shape"])), tuple(json.loads(notes.get("class_names", "[]"))), name=name)
    algorithm = task.make(config, facts)
    (network,) = shape_of_state(algorithm, config).ema_params
    averaged = {network: load_params(path)}
    state = TrainState(*jnp.zeros((2,), jnp.int32), {}, {}, averaged, {}, {})
    return Trained(task, config, algorithm, state, facts)
