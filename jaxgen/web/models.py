"""A model of the page, read from a run or from a bundle with an ONNX model."""

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from jaxgen.bundles.manifest import ESTIMATOR, MANIFEST, MODEL, Manifest, read_file, read_manifest
from jaxgen.errors import require
from jaxgen.web.directions import Generate

INPUTS = {
    "gan": ({"latents"}, {"latents", "condition"}),
    "restorer": ({"images", "missing"}, {"images", "missing", "levels"}),
    "upscaler": ({"images"},),
}
"""Sets of inputs that the page can provide, by kind of model."""


class PageModel(NamedTuple):
    """A model of the page.

    Attributes:
      manifest: manifest of its bundle.
      onnx: content of its model.onnx.
      generate: the generator of a GAN, to compute directions; with None they are random.
      estimator: content of its estimator.onnx, which sees what is damaged; None if there is none.
      others: of a network that enlarges, the content of model.onnx for further factors, by factor.
    """

    manifest: dict[str, Any]
    onnx: bytes
    generate: Generate | None = None
    estimator: bytes | None = None
    others: Mapping[int, bytes] = MappingProxyType({})


def is_bundle(run: str) -> bool:
    """Returns whether `run` is a bundle, which is read without JAX."""
    return (Path(run) / MANIFEST).is_file()


def open_model(run: str) -> PageModel:
    """Returns a model from a bundle, or from a run, which is exported first.

    A bundle of a network that enlarges has one factor, a run all that the network has heads for.

    Args:
      run: run folder, a file of weights, a name of pretrained weights, or a bundle of `--format onnx`.

    Raises:
      InputError: no such folder, a damaged one, or a model that the page does not support.
    """
    if is_bundle(run):
        return _read_bundle(Path(run))
    print(f"exporting {run} to ONNX", file=sys.stderr, flush=True)
    model = _exported(run)
    if model.manifest["kind"] != "upscaler":
        return model
    scales = model.manifest["config"]["super_resolution"]["scale"]
    others = {scale: _exported(run, scale).onnx for scale in scales if scale != model.manifest["scale"]}
    return model._replace(others=others)


def _exported(run: str, scale: int | None = None) -> PageModel:
    from jaxgen.export.bundle import export_run  # only now, as these load JAX
    from jaxgen.tasks.base import ExportChoices

    with tempfile.TemporaryDirectory() as scratch:
        export_run(run, Path(scratch) / "bundle", "onnx", choices=ExportChoices(scale=scale))
        return _read_bundle(Path(scratch) / "bundle")


def _read_bundle(folder: Path) -> PageModel:
    manifest = read_manifest(folder)
    require(MODEL.onnx in manifest.files, "runs", str(folder), "a bundle with model.onnx, as --format onnx writes")
    _require_shown(folder, manifest)
    data = read_file(folder, manifest, MODEL.onnx)
    if manifest.kind == "gan":
        return PageModel(manifest.record, data, onnx_generator(data))
    seen = None if manifest.estimator is None else read_file(folder, manifest, ESTIMATOR.onnx)
    return PageModel(manifest.record, data, estimator=seen)


def _require_shown(folder: Path, manifest: Manifest) -> None:
    """Raises `InputError` if the page cannot provide the inputs of a model or show its images."""
    names, (*sizes, channels) = {given.name for given in manifest.inputs}, manifest.image
    accepted = "a GAN, a restorer or a network that enlarges"
    require(names in INPUTS.get(manifest.kind, ()), "runs", f"{folder}, of {sorted(names)}", accepted)
    able = (1, 3) if len(sizes) == 2 else (1,)
    require(channels in able, "runs", f"{folder}, {channels} channels", f"{' or '.join(map(str, able))} channels")
    fits = manifest.kind != "upscaler" or (sizes == [None, None] and channels == 3)
    require(fits, "runs", f"{folder}, of images {manifest.image}", "colour pictures of any size to enlarge")
    require(("condition" in names) == bool(manifest.labels), "runs", str(folder), "labels where there is a condition")


def onnx_generator(model: bytes) -> Generate | None:
    """Returns the generator as run by onnxruntime; None if that is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def generate(latents: np.ndarray, conditions: np.ndarray) -> np.ndarray:
        feeds = {"latents": latents} | ({"condition": conditions} if conditions.shape[1] else {})
        return session.run(["images"], feeds)[0]

    return generate
