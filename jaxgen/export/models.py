"""What is exported: a trained network as a function of weights and named arrays, with what is known of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import export

from jaxgen.config import InputError, require
from jaxgen.config_json import to_dict
from jaxgen.inference.load import checkpoint_step, load_gan
from jaxgen.inference.restorer import load_restorer
from jaxgen.networks import make_gan_pair
from jaxgen.recipes.initial import SHIPPED, shipped_file
from jaxgen.training.checkpoints import read_meta
from jaxgen.training.reporting import read_metrics
from jaxgen.training.weights import load_notes
from jaxgen.types import Observation

NUM_GOLDEN = 4


class Exportable(NamedTuple):
    """A network ready to be written.

    Attributes:
      apply: (weights by name, *inputs) -> output, in float32 whatever the network was trained in.
      weights: float32, by name.
      inputs: shapes by name, symbolic where open.
      output: name of the result.
      golden: inputs for which the result is kept in the bundle, by name.
      sizes: for each of three further trials, what the open sizes are, by letter.
      about: the manifest as far as it speaks of the network.
    """

    apply: Callable[..., jax.Array]
    weights: dict[str, np.ndarray]
    inputs: dict[str, jax.ShapeDtypeStruct]
    output: str
    golden: dict[str, np.ndarray]
    sizes: tuple[dict[str, int], ...]
    about: dict[str, Any]


def open_model(run: str, checkpoint: str = "latest", iterations: int | None = None) -> Exportable:
    """A run's network with its averaged weights, or a restorer that the package carries.

    Args:
      run: a run folder, or one of `SHIPPED`.
      checkpoint: "latest", "best" or a step.
      iterations: of a recurrent network; None for as many as it was trained with.

    Raises:
      InputError: no such run or checkpoint, a folder that is a scan, or iterations of a network without.
    """
    if run in SHIPPED:
        return _restorer(run, "latest", iterations)
    folder = Path(run)
    accepted = f"a run folder with checkpoints (OUT/RECIPE/TIMESTAMP), {', '.join(SHIPPED)}"
    require((folder / "checkpoints").is_dir(), "run", run, accepted)
    _, meta = read_meta(folder / "checkpoints", checkpoint_step(checkpoint))
    if "config" not in meta:
        raise InputError(
            f"run: {run} is a scan; accepted: a member of it, after --extract NUMBER ({run}/members/NUMBER)"
        )
    if "gan" in meta["config"]:
        require(iterations is None, "iterations", iterations, "none, since a GAN has no iterations")
        return _gan(folder, checkpoint)
    return _restorer(folder, checkpoint, iterations)


def _gan(run: Path, checkpoint: str) -> Exportable:
    gan = load_gan(run, checkpoint)
    config, num_classes = gan.config.gan, len(gan.class_names)
    generator = make_gan_pair(config, gan.shape)[0].clone(dtype=jnp.float32)
    (b,) = export.symbolic_shape("b")
    inputs = {"latents": jax.ShapeDtypeStruct((b, config.latent_dim), jnp.float32)}
    noise = np.random.default_rng(0)
    golden = {"latents": noise.normal(size=(NUM_GOLDEN, config.latent_dim)).astype(np.float32)}
    if num_classes:
        inputs["condition"] = jax.ShapeDtypeStruct((b, num_classes), jnp.float32)
        golden["condition"] = np.eye(num_classes, dtype=np.float32)[np.arange(NUM_GOLDEN) % num_classes]
    height, width, channels = gan.shape
    return Exportable(
        lambda weights, *arrays: generator.apply({"params": unflatten_dict(weights, sep="/")}, *arrays),
        _flat(gan.state.ema_params["generator"]),
        inputs,
        "images",
        golden,
        tuple({"b": n} for n in (1, 3, 16)),
        {
            "kind": "gan",
            "name": _name(run),
            "image": {"height": height, "width": width, "channels": channels, "range": [-1, 1]},
            "latent_dim": config.latent_dim,
            "labels": list(gan.class_names),
            **_of_run(run, gan.step, to_dict(gan.config)),
        },
    )


def _restorer(run: str | Path, checkpoint: str, iterations: int | None) -> Exportable:
    trained = load_restorer(run, checkpoint)
    require(len(trained.shape) == 3, "run", str(run), "a restorer of images (2 spatial axes)")
    network, (height, width, channels) = trained.network.clone(dtype=jnp.float32), trained.shape
    if iterations is not None:
        require(hasattr(network, "iterations"), "iterations", iterations, "none, since the network is not recurrent")
        require(1 <= iterations <= 100, "iterations", iterations, "1 to 100")
        network = network.clone(iterations=iterations)

    def apply(weights: dict[str, jax.Array], images: jax.Array, missing: jax.Array) -> jax.Array:
        known = 1.0 - missing
        return network.apply({"params": unflatten_dict(weights, sep="/")}, Observation(images * known, known))

    any_size = hasattr(network, "halo")
    multiple = network.multiple if any_size else 1
    form = f"b, {multiple}*h, {multiple}*w" if any_size else f"b, {height}, {width}"
    shape = export.symbolic_shape(form)
    inputs = {
        "images": jax.ShapeDtypeStruct((*shape, channels), jnp.float32),
        "missing": jax.ShapeDtypeStruct((*shape, 1), jnp.float32),
    }
    size = (4 * multiple, 4 * multiple) if any_size else (height, width)
    about = {
        "kind": "restorer",
        "name": run if isinstance(run, str) else _name(run),
        "image": {
            "height": None if any_size else height,
            "width": None if any_size else width,
            "channels": channels,
            "range": [-1, 1],
        },
        "labels": [],
        **({"multiple": multiple, "halo": network.halo} if any_size else {}),
        **({"iterations": network.iterations} if hasattr(network, "iterations") else {}),
        **(_of_package(run) if isinstance(run, str) else _of_restorer_run(run, checkpoint)),
    }
    sizes = ({"b": 1, "h": 4, "w": 4}, {"b": 2, "h": 5, "w": 8}, {"b": 1, "h": 9, "w": 3})
    return Exportable(apply, _flat(trained.params), inputs, "restored", _damaged((1, *size, channels)), sizes, about)


def _damaged(shape: tuple[int, int, int, int]) -> dict[str, np.ndarray]:
    """Noise with a hole."""
    images = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    missing = np.zeros((*shape[:3], 1), np.float32)
    missing[:, : shape[1] // 2, : shape[2] // 2] = 1
    return {"images": images, "missing": missing}


def _flat(params: Any) -> dict[str, np.ndarray]:
    """Arrays by path, contiguous: safetensors writes the wrong numbers for views."""
    flat = flatten_dict(jax.device_get(params), sep="/")
    return {name: np.ascontiguousarray(array, np.float32) for name, array in flat.items()}


def _name(run: Path) -> str:
    """Of the recipe, as a run's own folder is called after its time; else of the folder."""
    try:
        return str(json.loads((run / "run.json").read_text())["recipe"])
    except (OSError, ValueError, KeyError, TypeError):
        return run.resolve().name


def _of_run(run: Path, step: int, config: dict[str, Any]) -> dict[str, Any]:
    """Step, configuration, metrics and data of a run."""
    rows = [row for row in read_metrics(run) if row.get("step") == step]
    merged = {name: value for row in rows for name, value in row.items() if name != "step" and value is not None}
    data = config["data"]["dataset"]
    return {"step": step, "config": config, "metrics": merged, "data": data, "licence": "not stated"}


def _of_restorer_run(run: Path, checkpoint: str) -> dict[str, Any]:
    step, meta = read_meta(run / "checkpoints", checkpoint_step(checkpoint))
    return _of_run(run, meta.get("position", step), meta["config"])


def _of_package(name: str) -> dict[str, Any]:
    notes = load_notes(shipped_file(name))
    return {
        "step": None,
        "config": {"restoration": json.loads(notes["restoration"]), "command": notes["command"]},
        "metrics": {"result": notes["result"]},
        "data": notes["data"],
        "licence": notes.get("licence", "Apache-2.0"),
    }
