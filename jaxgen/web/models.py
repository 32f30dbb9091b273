"""A model for the page, from a run or from a bundle folder with an ONNX model."""

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxgen.config import reject, require
from jaxgen.export.bundle import export_run
from jaxgen.web.directions import Generate

INPUTS = {
    "gan": ({"latents"}, {"latents", "condition"}),
    "restorer": ({"images", "missing"}, {"images", "missing", "iterations"}),
}
"""What the page can feed to each kind of model."""


class PageModel(NamedTuple):
    """What goes into the page.

    Attributes:
      manifest: of the bundle.
      onnx: contents of its model.onnx.
      generate: of a GAN, to find its directions; None draws them at random.
    """

    manifest: dict[str, Any]
    onnx: bytes
    generate: Generate | None = None


def open_model(run: str) -> PageModel:
    """Reads a bundle, or makes one of a run.

    Args:
      run: run folder, `photos` for the shipped restorer, or a folder that `jaxgen export --format onnx` wrote.

    Raises:
      InputError: no such folder, or one that is damaged or of a kind that the page does not know.
    """
    if (Path(run) / "manifest.json").is_file():
        return _read_bundle(Path(run))
    with tempfile.TemporaryDirectory() as scratch:
        export_run(run, Path(scratch) / "bundle", "onnx", "latest", None, False)
        return _read_bundle(Path(scratch) / "bundle")


def _read_bundle(folder: Path) -> PageModel:
    manifest = _read_manifest(folder)
    path = folder / "model.onnx"
    there = path.is_file() and "model.onnx" in manifest["files"]
    require(there, "runs", str(folder), "a bundle with model.onnx, as --format onnx writes")
    data = path.read_bytes()
    stated = manifest["files"]["model.onnx"]["sha256"]
    require(stated == hashlib.sha256(data).hexdigest(), "runs", str(path), "the file that manifest.json states")
    return PageModel(manifest, data, onnx_generator(data) if manifest["kind"] == "gan" else None)


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf8"))
        about = (manifest["format"], manifest["version"])
        files = manifest["files"]
        hashed = "model.onnx" not in files or isinstance(files["model.onnx"]["sha256"], str)
        names, kind = {given["name"] for given in manifest["inputs"]}, manifest["kind"]
        channels, labels = manifest["image"]["channels"], manifest.get("labels", [])
        whole = isinstance(manifest["name"], str) and all(isinstance(label, str) for label in labels)
        sized = kind != "gan" or (manifest["latent_dim"] >= 1 and manifest["image"]["height"] >= 1)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reject("runs", str(path), f"a bundle's manifest ({type(error).__name__}: {error})")
    require(about == ("jaxgen-bundle", 1), "runs", f"{path}, {about[0]} {about[1]}", "jaxgen-bundle 1")
    require(names in INPUTS.get(kind, ()), "runs", f"{path}, a {kind} of {sorted(names)}", "a GAN or a restorer")
    require(
        hashed and whole and sized and channels in (1, 3), "runs", str(path), "a bundle's manifest, of 1 or 3 channels"
    )
    require(("condition" in names) == bool(labels), "runs", str(path), "labels where there is a condition")
    return manifest


def onnx_generator(model: bytes) -> Generate | None:
    """The generator run by onnxruntime; None where that is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def generate(latents: np.ndarray, conditions: np.ndarray) -> np.ndarray:
        feeds = {"latents": latents} | ({"condition": conditions} if conditions.shape[1] else {})
        return session.run(["images"], feeds)[0]

    return generate
