"""Weights to start a restorer from: those that the package carries, a run's, or a file of them."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.errors import InputError, require
from jaxgen.training.step import Algorithm, TrainState
from jaxgen.weights import load_notes, load_params, require_published

SHIPPED = {
    "photos": "8aaeba53a53445a7c904c852fda0893afc0b1bd15f7f6966e82b611605761870",
    "photos-grey": "6f215a9ce5481ae4cd0dc7be7b0933b290202bc7e02477705247df1b56ecf93a",
}
"""Restorers that the package carries, for colour and for grey photographs, and the SHA-256 of their files."""
WEIGHTS = "restorer.safetensors"
"""What a run leaves its weights in."""


def state_from_weights(name: str, algorithm: Algorithm, key: jax.Array, hparams: dict[str, Any]) -> TrainState:
    """A state before its first step, with weights that were trained elsewhere and an optimizer that knows nothing.

    Args:
      name: one of `SHIPPED`, a run folder, or a .safetensors file of a run.
      algorithm: of a restorer.
      key: of all that the weights do not decide.
      hparams: numbers of the run.

    Raises:
      InputError: no such file, or weights of another network.
    """
    path = weights_file(name)
    params = load_params(path)
    state = algorithm.init(key, hparams)
    if _shapes(params) != _shapes(state.params["restorer"]):
        made_for = load_notes(path).get("restoration", "another network")
        raise InputError(f"initial_weights: got {name!r}, of {made_for}; accepted: weights of the network of this run")
    return state.replace(params={"restorer": params}, ema_params={"restorer": jax.tree.map(jnp.copy, params)})


def weights_file(name: str) -> Path:
    """The file that `name` means; raises `InputError` where there is none."""
    if name in SHIPPED:
        return shipped_file(name)
    path = Path(name) / WEIGHTS if Path(name).is_dir() else Path(name)
    accepted = f"{', '.join(SHIPPED)}, a finished run of a restorer, or its {WEIGHTS}"
    require(path.is_file(), "initial_weights", name, accepted)
    return path


def shipped_file(name: str) -> Path:
    """Weights that the package carries; raises `InputError` where they are not those that were published."""
    path = Path(__file__).with_name(f"{name}.safetensors")
    require_published(path, SHIPPED[name])
    return path


def _shapes(params: Any) -> dict[str, tuple[int, ...]]:
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
