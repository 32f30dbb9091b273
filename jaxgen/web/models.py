"""A model for the page, from a run or from a bundle folder with an ONNX model."""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxgen.bundles.manifest import MANIFEST, ONNX, read_file, read_manifest
from jaxgen.errors import require
from jaxgen.web.directions import Generate

INPUTS = {
    "gan": ({"latents"}, {"latents", "condition"}),
    "restorer": ({"images", "missing"},),
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


def is_bundle(run: str) -> bool:
    """Whether it is a folder of `jaxgen export`; such a one is read without JAX."""
    return (Path(run) / MANIFEST).is_file()


def open_model(run: str) -> PageModel:
    """Reads a bundle, or makes one of a run.

    Args:
      run: run folder, `photos` or `photos-grey` for a shipped restorer, or a folder of `jaxgen export --format onnx`.

    Raises:
      InputError: no such folder, or one that is damaged or of a kind that the page does not know.
    """
    if is_bundle(run):
        return _read_bundle(Path(run))
    from jaxgen.export.bundle import export_run  # only now, as it loads JAX

    with tempfile.TemporaryDirectory() as scratch:
        export_run(run, Path(scratch) / "bundle", "onnx", "latest", None, False)
        return _read_bundle(Path(scratch) / "bundle")


def _read_bundle(folder: Path) -> PageModel:
    manifest = read_manifest(folder)
    require(ONNX in manifest.files, "runs", str(folder), "a bundle with model.onnx, as --format onnx writes")
    names, channels = {given.name for given in manifest.inputs}, manifest.image[2]
    require(names in INPUTS[manifest.kind], "runs", f"{folder}, of {sorted(names)}", "a GAN or a restorer")
    require(channels in (1, 3), "runs", f"{folder}, {channels} channels", "1 or 3 channels")
    require(("condition" in names) == bool(manifest.labels), "runs", str(folder), "labels where there is a condition")
    data = read_file(folder, manifest, ONNX)
    return PageModel(manifest.record, data, onnx_generator(data) if manifest.kind == "gan" else None)


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
