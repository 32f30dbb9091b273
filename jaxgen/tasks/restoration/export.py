"""A trained restorer as a network that can be exported."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict
from jax import export

from jaxgen.bundles.manifest import WINDOW, image_entry
from jaxgen.degradations.compose import has_missing, parse_mixture
from jaxgen.errors import require
from jaxgen.networks.inverse import ESTIMATOR
from jaxgen.repairs import UNKNOWN
from jaxgen.tasks.base import Exportable, ExportChoices, Trained, flat_weights, require_no_choice
from jaxgen.tasks.load import load
from jaxgen.tasks.restoration.damage_seen import has_estimator, levels_in
from jaxgen.tasks.restoration.restorers import make_restorer
from jaxgen.types import Observation

SIZES = {
    2: ({"b": 1, "h": 61, "w": 47}, {"b": 2, "h": 64, "w": 96}, {"b": 1, "h": 1, "w": 30}),
    3: ({"b": 1, "d": 13, "h": 21, "w": 30}, {"b": 2, "d": 16, "h": 8, "w": 24}, {"b": 1, "d": 1, "h": 9, "w": 3}),
}
"""Further sizes at which an ONNX model is compared, by the number of spatial axes."""
SHARED = "photos"
"""The pretrained weights whose estimator serves those that have none."""


def exportable(restorer: Trained, choices: ExportChoices) -> Exportable:
    """Returns the network with its averaged weights: it maps images and their missing pixels to restored images.

    Args:
      restorer: result of `load`.
      choices: the number of iterations of a recurrent network.

    Raises:
      InputError: iterations are given for a network that has none, or a factor.
    """
    require_no_choice(choices, "scale")
    iterations = choices.iterations
    config, (*fixed, channels) = restorer.config.restoration, restorer.facts.shape
    recurrent = hasattr(make_restorer(config, restorer.facts.shape), "iterations")
    if iterations is not None:
        require(recurrent, "iterations", iterations, "none, since the network is not recurrent")
        require(1 <= iterations <= 100, "iterations", iterations, "1 to 100")
        config = dataclasses.replace(config, iterations=iterations)
    network = make_restorer(dataclasses.replace(config, dtype="float32"), restorer.facts.shape)

    fills = not config.repairs or has_missing(parse_mixture(config.damage))

    def apply(weights: dict[str, jax.Array], images: jax.Array, missing: jax.Array, *levels: jax.Array) -> jax.Array:
        known = 1.0 - missing  # bundles mark missing pixels; all other masks in jaxgen mark known ones
        told = levels[0] if levels else None
        seen = Observation(images * known, known, told) if fills else Observation(images, None, told)
        return network.apply({"params": unflatten_dict(weights, sep="/")}, seen)

    any_size = hasattr(network, "halo")
    letters = "dhw"[-len(fixed) :]
    shape = export.symbolic_shape(", ".join(("b", *(letters if any_size else map(str, fixed)))))
    inputs = {
        "images": jax.ShapeDtypeStruct((*shape, channels), jnp.float32),
        "missing": jax.ShapeDtypeStruct((*shape, 1), jnp.float32),
        **({"levels": jax.ShapeDtypeStruct((shape[0], len(config.repairs)), jnp.float32)} if config.repairs else {}),
    }
    size = [4 * network.multiple] * len(fixed) if any_size else fixed
    stated = [None] * len(fixed) if any_size else fixed
    about = {
        "kind": "restorer",
        "image": image_entry(stated, channels),
        "labels": [],
        **({"multiple": network.multiple, "halo": network.halo} if any_size else {}),
        **({"iterations": config.iterations} if recurrent else {}),
        **({"repairs": list(config.repairs), "fills": fills} if config.repairs else {}),
    }
    params = {name: tree for name, tree in restorer.state.ema_params["restorer"].items() if name != ESTIMATOR}
    golden = _damaged((1, *size, channels), len(config.repairs))
    seen = estimator_of(restorer)
    return Exportable(apply, flat_weights(params), inputs, "restored", golden, SIZES[len(fixed)], about, seen)


def estimator_of(restorer: Trained) -> Exportable | None:
    """Returns the network that sees what a restorer is told, by windows (b, size, size, c) of a picture.

    It is the restorer's own or the pretrained one, whichever `jaxgen restore` uses; None if it sees nothing of that,
    and for volumes, which it does not see.
    """
    asked = restorer.config.restoration.repairs if len(restorer.facts.shape) == 3 else ()
    source = restorer if not asked or has_estimator(restorer) else load(SHARED)
    config, channels = source.config.restoration, source.facts.shape[-1]
    if not {*asked} & {*config.repairs} or channels not in (1, 3):
        return None
    network = make_restorer(dataclasses.replace(config, dtype="float32"), source.facts.shape)

    def apply(weights: dict[str, jax.Array], images: jax.Array) -> jax.Array:
        return levels_in(network, {ESTIMATOR: unflatten_dict(weights, sep="/")}, images)

    (b,), shape = export.symbolic_shape("b"), (WINDOW, WINDOW, channels)
    golden = np.random.default_rng(0).uniform(-1, 1, (2, *shape)).astype(np.float32)
    return Exportable(
        apply,
        flat_weights(source.state.ema_params["restorer"][ESTIMATOR]),
        inputs={"images": jax.ShapeDtypeStruct((b, *shape), jnp.float32)},
        output="found",
        golden={"images": golden},
        sizes=({"b": 5},),
        about={"repairs": list(config.repairs)},
    )


def _damaged(shape: tuple[int, ...], num_levels: int) -> dict[str, np.ndarray]:
    """Returns an image or volume of noise, a mask with a hole, and levels, of which the first is unknown."""
    images = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    missing = np.zeros((*shape[:-1], 1), np.float32)
    missing[:, *(slice(size // 2) for size in shape[1:-1])] = 1
    if num_levels == 0:
        return {"images": images, "missing": missing}
    levels = np.full((1, num_levels), 0.1, np.float32)
    levels[:, 0] = UNKNOWN
    return {"images": images, "missing": missing, "levels": levels}
