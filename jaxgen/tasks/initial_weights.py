"""Fine-tuning: a new training that starts from the weights of a trained model, as far as the arrays fit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors.numpy import load as load_arrays

from jaxgen.bundles.manifest import MANIFEST, MODEL, read_file, read_manifest
from jaxgen.errors import InputError
from jaxgen.tasks.base import Trained, flat_weights
from jaxgen.tasks.load import load, shape_of_state
from jaxgen.training.step import Algorithm, TrainState
from jaxgen.types import PRNGKey

LISTED = 4
"""The most arrays that the line about them names."""
Found = Mapping[str, Mapping[str, Any]]
"""Weights by network and by path in the network."""


def warm_start(algorithm: Algorithm, config: Any, model: Trained | str) -> tuple[Algorithm, str]:
    """Returns the algorithm with an `init` that starts from the weights of a trained model, and a line about them.

    An array is taken if the new network has one of the same path and shape; the others are drawn as usual. A network
    that has a moving average starts from the average. Optimizers and step start anew.

    Args:
      algorithm: the algorithm of the new training.
      config: its configuration.
      model: a trained model; or a run folder, its file of weights, a name of `table.pretrained` or a bundle.

    Raises:
      InputError: there are no such weights, or no array of more than one axis fits.
    """
    shapes = shape_of_state(algorithm, config)
    name, found = _weights_of(model, next(iter(shapes.ema_params)))
    new = {f"{n}/{path}": leaf.shape for n, tree in shapes.params.items() for path, leaf in _flat(tree).items()}
    old = {f"{n}/{path}": leaf.shape for n, tree in found.items() for path, leaf in tree.items()}
    taken = [path for path, shape in new.items() if old.get(path) == shape]
    if not any(len(new[path]) > 1 for path in taken):
        some = ", ".join(f"{path} {new[path]}" for path in list(new)[:2])
        raise InputError(f"initial_weights: got {name!r}; accepted: weights of which some fit this network ({some})")

    def init(key: PRNGKey, hparams: Mapping[str, Any]) -> TrainState:
        state = algorithm.init(key, hparams)
        params = {network: _filled(tree, found.get(network, {})) for network, tree in state.params.items()}
        return state.replace(params=params, ema_params={n: jax.tree.map(jnp.copy, params[n]) for n in state.ema_params})

    return algorithm._replace(init=init), _describe(name, new, old, taken)


def _weights_of(model: Trained | str, network: str) -> tuple[str, Found]:
    """Returns the name and the weights of a model; those of a bundle are of one network, named `network`."""
    if not isinstance(model, Trained) and (Path(model) / MANIFEST).is_file():
        weights = read_file(Path(model), read_manifest(Path(model)), MODEL.weights)
        return model, {network: load_arrays(weights)}
    trained = model if isinstance(model, Trained) else load(model, field="initial_weights")
    networks = {**trained.state.params, **trained.state.ema_params}
    name = trained.facts.name if isinstance(model, Trained) else model
    return name, {network: flat_weights(params) for network, params in networks.items()}


def _flat(tree: Any) -> dict[str, Any]:
    return flatten_dict(tree, sep="/")


def _filled(tree: Any, found: Mapping[str, Any]) -> Any:
    """Returns the tree with the arrays that fit in place of its own."""
    own = _flat(tree)
    fits = {p: jnp.asarray(found[p], a.dtype) for p, a in own.items() if p in found and found[p].shape == a.shape}
    return unflatten_dict({**own, **fits}, sep="/")


def _describe(name: str, new: Mapping[str, Any], old: Mapping[str, Any], taken: list[str]) -> str:
    """Returns a line that says how many arrays were taken, and which were not."""
    line = f"initial weights: {len(taken)} of {len(new)} arrays are those of {name}"
    left = [path for path in new if path not in taken]
    if not left:
        return line
    about = [f"{path} {new[path]}" + (f", not {old[path]}" if path in old else "") for path in left[:LISTED]]
    more = f"; and {len(left) - LISTED} more" if len(left) > LISTED else ""
    return f"{line}; new: {'; '.join(about)}{more}"
