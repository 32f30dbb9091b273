"""Something trained, from a run's folder, a file of weights, or the weights that the package carries."""

import importlib.util
import json
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.config_json import from_dict, to_dict
from jaxgen.errors import InputError, require
from jaxgen.runs.checkpoints import Step, read_meta, restore
from jaxgen.tasks import table
from jaxgen.tasks.base import Facts, Trained, fix_schedule
from jaxgen.training.parallel import on_all_devices
from jaxgen.training.step import Algorithm, TrainState
from jaxgen.types import PRNGKey
from jaxgen.weights import load_notes, load_params, require_published, save_params

RUN = "a run folder with checkpoints (OUT/RECIPE/TIMESTAMP)"


def load(model: str | Path, checkpoint: str = "latest", field: str = "run") -> Trained:
    """Returns what a run, a file of weights or a name of the package's weights holds.

    Args:
      model: a run folder, while it trains or after; a .safetensors file of a run; or a name of `table.pretrained`.
      checkpoint: of a run: "latest" (the newest whole one), "best" (by the measure that chooses) or a step.
      field: what an error calls `model`.

    Raises:
      InputError: no such run, file or checkpoint, a scan, or a damaged installation.
    """
    names = table.pretrained()
    if str(model) in names:
        return _load_weights(pretrained_file(str(model)), str(model), field)
    path = Path(model)
    if path.is_file():
        return _load_weights(path, path.name, field)
    return _load_run(path, checkpoint, field)


def require_use(trained: Trained, use: str, field: str, value: Any) -> Trained:
    """Returns what was trained if its task has a use of this name.

    Raises:
      InputError: it has none; names the tasks that have.
    """
    if use not in trained.task.uses:
        able = [name for name in table.TABLE if use in table.task(name).uses]
        raise InputError(
            f"{field}: got {str(value)!r}, of task {trained.task.name}; accepted: a run of task {' or '.join(able)}"
        )
    return trained


def checkpoint_step(checkpoint: str) -> Step:
    """Returns what "latest", "best" or the number of a step means; raises `InputError` for anything else."""
    if checkpoint == "latest":
        return None
    if checkpoint.isdecimal():
        return int(checkpoint)
    require(checkpoint == "best", "checkpoint", checkpoint, "latest, best or the number of a step")
    return "best"


def pretrained_file(name: str) -> Path:
    """Returns the file of weights that the package carries under a name; raises `InputError` if it is damaged."""
    found = table.task(table.pretrained()[name])
    spec = importlib.util.find_spec(table.TABLE[found.name].module)
    path = Path(spec.origin).with_name(f"{name}.safetensors")
    require_published(path, found.pretrained[name])
    return path


def warm_start(algorithm: Algorithm, weights: str) -> Algorithm:
    """Returns the algorithm with an `init` whose networks begin with weights that were trained elsewhere.

    Args:
      algorithm: of one network, as a restorer's.
      weights: what `load` takes.

    Raises:
      InputError: no such weights, or those of another network.
    """
    found = load(weights, field="initial_weights")
    averaged = found.state.ema_params
    structure = getattr(found.config, found.task.name)

    def init(key: PRNGKey, hparams: Mapping[str, Any]) -> TrainState:
        state = algorithm.init(key, hparams)
        if _shapes(averaged) != _shapes(state.params):
            accepted = "weights of the network of this run"
            raise InputError(f"initial_weights: got {weights!r}, of {structure}; accepted: {accepted}")
        copies = (jax.tree.map(jnp.copy, averaged) for _ in range(2))
        return state.replace(params=next(copies), ema_params=next(copies))

    return algorithm._replace(init=init)


def _shapes(params: Any) -> dict[str, tuple[int, ...]]:
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(params)}


def save_weights(path: Path, trained: Trained) -> None:
    """Writes the averaged weights of a network as safetensors, with the structure that `load` needs."""
    (params,) = trained.state.ema_params.values()
    structure = to_dict(getattr(trained.config, trained.task.name))
    facts = {name: json.dumps(getattr(trained.facts, name)) for name in ("shape", "class_names")}
    notes = {trained.task.name: json.dumps(structure), **facts}
    save_params(path, jax.device_get(params), notes)


def _load_run(run: Path, checkpoint: str, field: str) -> Trained:
    """Restores a checkpoint of a run."""
    folder, wanted = run / "checkpoints", checkpoint_step(checkpoint)
    require(folder.is_dir(), field, str(run), f"{RUN}{_or_pretrained()}")
    _, meta = read_meta(folder, wanted)
    if "ledger" in meta:
        raise InputError(f"{field}: {run} is a scan; accepted: a member, after --extract NUMBER ({run}/members/NUMBER)")
    task = table.task_of(meta["config"], field, run)
    config = from_dict(task.config, meta["config"])
    facts = Facts(tuple(meta["shape"]), tuple(meta["class_names"] or ()))
    algorithm = task.make(config, facts)
    target = jax.eval_shape(algorithm.init, jax.random.key(0), vars(config.hparams))
    state, meta = restore(folder, target, wanted)
    facts = facts._replace(step=meta["position"], name=f"{run.name} at step {meta['position']}")
    return Trained(task, config, algorithm, on_all_devices(state), facts)


def _or_pretrained() -> str:
    return "".join(f", {name}" for name in table.pretrained())


def _load_weights(path: Path, name: str, field: str) -> Trained:
    """Reads a file of `save_weights`; its state holds the averaged weights alone."""
    require(path.is_file(), field, str(path), f"{RUN}, its file of weights{_or_pretrained()}")
    notes = load_notes(path)
    known = [key for key in table.TABLE if key in notes]
    if len(known) != 1 or "shape" not in notes:
        raise InputError(f"{field}: {path} holds no weights of a task; accepted: a run folder, or its file of weights")
    task = table.task(known[0])
    structure = from_dict(typing.get_type_hints(task.config)[task.name], json.loads(notes[task.name]))
    config = fix_schedule(task.config(**{task.name: structure}))
    facts = Facts(tuple(json.loads(notes["shape"])), tuple(json.loads(notes.get("class_names", "[]"))), name=name)
    algorithm = task.make(config, facts)
    (network,) = jax.eval_shape(algorithm.init, jax.random.key(0), vars(config.hparams)).ema_params
    averaged = {network: load_params(path)}
    return Trained(task, config, algorithm, TrainState(jnp.zeros((), jnp.int32), {}, {}, averaged, {}, {}), facts)
