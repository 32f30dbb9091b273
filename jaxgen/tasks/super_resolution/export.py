"""A network that enlarges images, by one of its factors, as one that can be exported."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict
from jax import export

from jaxgen.tasks.base import Exportable, ExportChoices, Trained, flat_weights, require_no_choice
from jaxgen.tasks.super_resolution.algorithm import NETWORK, static_part
from jaxgen.types import Observation


def exportable(upscaler: Trained, choices: ExportChoices) -> Exportable:
    """Returns the network with its averaged weights and one of its heads: it maps images to enlarged ones.

    Args:
      upscaler: result of `load`.
      choices: the factor, one that the network has a head for; its largest one if None.

    Raises:
      InputError: the network has no head for the factor, or iterations are given.
    """
    require_no_choice(choices, "iterations")
    config = dataclasses.replace(upscaler.config.super_resolution, dtype="float32")
    network = static_part(config, upscaler.facts.shape, 1, choices.scale).network
    others = {f"heads_{scale}" for scale in network.scales if scale != network.scale}
    params = {name: tree for name, tree in upscaler.state.ema_params[NETWORK].items() if name not in others}

    def apply(weights: dict[str, jax.Array], images: jax.Array) -> jax.Array:
        return network.apply({"params": unflatten_dict(weights, sep="/")}, Observation(images))

    sizes = ({"b": 1, "h": 61, "w": 47}, {"b": 2, "h": 20, "w": 36}, {"b": 1, "h": 1, "w": 30})
    return Exportable(
        apply,
        flat_weights(params),
        {"images": jax.ShapeDtypeStruct((*export.symbolic_shape("b, h, w"), 3), jnp.float32)},
        "enlarged",
        {"images": np.random.default_rng(0).uniform(-1, 1, (1, 12, 10, 3)).astype(np.float32)},
        sizes,
        {
            "kind": "upscaler",
            "image": {"height": None, "width": None, "channels": 3, "range": [-1, 1]},
            "labels": [],
            "multiple": network.multiple,
            "halo": network.halo,
            "scale": network.scale,
        },
    )
