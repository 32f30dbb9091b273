"""A trained restorer as a network that can be exported."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict
from jax import export

from jaxgen.errors import require
from jaxgen.tasks.base import Exportable, Trained, flat_weights
from jaxgen.tasks.restoration.restorers import make_restorer
from jaxgen.types import GUESSED, Observation


def exportable(restorer: Trained, iterations: int | None) -> Exportable:
    """Returns the network with its averaged weights: it maps images and their missing pixels to restored images.

    Args:
      restorer: result of `load`.
      iterations: number of iterations of a recurrent network; None for as many as in training.

    Raises:
      InputError: iterations are given for a network that has none.
    """
    config, (height, width, channels) = restorer.config.restoration, restorer.facts.shape
    recurrent = hasattr(make_restorer(config, restorer.facts.shape), "iterations")
    if iterations is not None:
        require(recurrent, "iterations", iterations, "none, since the network is not recurrent")
        require(1 <= iterations <= 100, "iterations", iterations, "1 to 100")
        config = dataclasses.replace(config, iterations=iterations)
    network = make_restorer(dataclasses.replace(config, dtype="float32"), restorer.facts.shape)

    def apply(weights: dict[str, jax.Array], images: jax.Array, missing: jax.Array) -> jax.Array:
        known = 1.0 - missing  # bundles mark missing pixels; all other masks in jaxgen mark known ones
        observation = Observation(jnp.where(known > 0, images, 0), known)
        return network.apply({"params": unflatten_dict(weights, sep="/")}, observation)

    any_size = hasattr(network, "halo")
    multiple = network.multiple if any_size else 1
    shape = export.symbolic_shape(f"b, {multiple}*h, {multiple}*w" if any_size else f"b, {height}, {width}")
    inputs = {
        "images": jax.ShapeDtypeStruct((*shape, channels), jnp.float32),
        "missing": jax.ShapeDtypeStruct((*shape, 1), jnp.float32),
    }
    size = (4 * multiple, 4 * multiple) if any_size else (height, width)
    stated = (None, None) if any_size else (height, width)
    about = {
        "kind": "restorer",
        "image": {"height": stated[0], "width": stated[1], "channels": channels, "range": [-1, 1]},
        "labels": [],
        "takes_guesses": True,
        **({"multiple": multiple, "halo": network.halo} if any_size else {}),
        **({"iterations": config.iterations} if recurrent else {}),
    }
    sizes = ({"b": 1, "h": 4, "w": 4}, {"b": 2, "h": 5, "w": 8}, {"b": 1, "h": 9, "w": 3})
    weights = flat_weights(restorer.state.ema_params["restorer"])
    return Exportable(apply, weights, inputs, "restored", _damaged((1, *size, channels)), sizes, about)


def _damaged(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Returns an image of noise, and a mask with a hole, of which half is guessed."""
    images = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    missing = np.zeros((*shape[:-1], 1), np.float32)
    missing[:, : shape[1] // 2, : shape[2] // 2] = 1
    missing[:, : shape[1] // 4, : shape[2] // 2] = 1 - GUESSED
    return {"images": images, "missing": missing}
