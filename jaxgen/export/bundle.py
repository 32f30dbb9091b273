"""Export of a bundle, whose files are created in memory, checked, and then all written or none."""

import hashlib
import json
import os
import platform
import secrets
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export
from safetensors.numpy import save as tensors

from jaxgen.bundles.manifest import ESTIMATOR, FILES, FORMAT, MANIFEST, MODEL, VERSION, Names, parse_manifest
from jaxgen.bundles.model import load
from jaxgen.errors import InputError, require
from jaxgen.export.model import open_model
from jaxgen.tasks.base import NO_CHOICE, Exportable, ExportChoices

PLATFORMS = ("cpu", "cuda", "tpu")
FORMATS = ("stablehlo", "onnx", "safetensors")
ONNX_TOLERANCE = 1e-4
MEANINGS = {
    "latents": "standard normal numbers",
    "condition": "class weights: one-hot, or a mixture that adds up to 1",
    "images": "pixels in [-1, 1]",
    "missing": "1 where a pixel is missing or to be filled in, 0 elsewhere",
    "levels": "of each of `repairs`: 0 for nothing to repair, -1 unknown; noise in [0, 1], JPEG 1 - quality / 100",
    "found": "level of each of the estimator's `repairs` in the image, 0 or more",
    "enlarged": "pixels, near [-1, 1] and not clipped",
    "restored": "pixels, near [-1, 1] and not clipped",
}


def export_run(
    run: str,
    out: Path,
    form: str,
    checkpoint: str = "latest",
    choices: ExportChoices = NO_CHOICE,
    force: bool = False,
) -> str:
    """Writes a bundle and returns a line that describes it.

    Args:
      run: a run folder, or the name of pretrained weights.
      out: folder to write the bundle to.
      form: "stablehlo", "onnx" (model.onnx as well) or "safetensors" (weights and manifest alone).
      checkpoint: "latest", "best" or a step.
      choices: see `ExportChoices`.
      force: replace an existing bundle.

    Raises:
      InputError: no such run or checkpoint, an `out` that may not be replaced, a missing package, or an ONNX model with
        other results than the network.
    """
    require(form in FORMATS, "format", form, ", ".join(FORMATS))
    _require_free(out, force)
    if form == "onnx":
        require_onnx()
    model = open_model(run, checkpoint, choices)
    files = _files_of(model, MODEL, form, run)
    if model.estimator is not None:
        files |= _files_of(model.estimator, ESTIMATOR, form, run)
    record = manifest_of(model, files)
    parse_manifest(record)
    _write(out, {**files, MANIFEST: (json.dumps(record, indent=2) + "\n").encode()}, check=form != "safetensors")
    total = sum(map(len, files.values()))
    return f"{out}: {record['kind']} {record['name']}, {', '.join(sorted(files))}, {total / 1e6:.2f} MB"


def _files_of(model: Exportable, names: Names, form: str, run: str) -> dict[str, bytes]:
    """Returns the files of a network by name; raises `InputError` like `export_run`."""
    for name, array in model.weights.items():
        if not np.isfinite(array).all():
            raise InputError(f"run: {run} has weights that are not finite ({name})")
    files = {names.weights: tensors(model.weights)}
    if form != "safetensors":
        files[names.program] = stablehlo(model)
        files[names.golden] = tensors({**model.golden, model.output: _result(model, model.golden)})
    if form == "onnx":
        files[names.onnx] = onnx_model(model)
    return files


def stablehlo(model: Exportable) -> bytes:
    """Returns the serialized program for CPU, CUDA and TPU, whose first argument is the weights."""
    weights = {name: jax.ShapeDtypeStruct(a.shape, a.dtype) for name, a in model.weights.items()}
    return bytes(export.export(jax.jit(model.apply), platforms=PLATFORMS)(weights, *model.inputs.values()).serialize())


def require_onnx() -> None:
    """Raises `InputError` unless the packages for ONNX are installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise InputError(f"format: onnx needs the package {error.name}: pip install 'jaxgen[onnx]'") from None


def onnx_model(model: Exportable) -> bytes:
    """Returns the network and its weights as an ONNX model, compared at the golden inputs and at further sizes.

    Raises:
      InputError: the results of onnxruntime differ from those of the network.
    """
    import onnxruntime

    from jaxgen.export.onnx_model import to_onnx

    notes = {name: model.about[name] for name in ("name", "licence") if name in model.about}
    weights = jax.device_put(model.weights)
    data = to_onnx(lambda *arrays: model.apply(weights, *arrays), model.inputs, model.output, notes)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    for arrays in (model.golden, *(_resized_inputs(model, sizes) for sizes in model.sizes)):
        (found,) = session.run([model.output], arrays)
        error = float(np.abs(found - _result(model, arrays)).max())
        shapes = [a.shape for a in arrays.values()]
        require(error <= ONNX_TOLERANCE, f"onnx: difference at {shapes}", error, f"at most {ONNX_TOLERANCE}")
    return data


def manifest_of(model: Exportable, files: Mapping[str, bytes]) -> dict[str, Any]:
    """Returns the manifest of the bundle as a JSON value."""
    about, estimator = model.about, model.estimator
    return {
        "format": FORMAT,
        "version": VERSION,
        **about,
        "weights": "ema",
        **_arrays(model),
        **({} if estimator is None else {"estimator": {**estimator.about, **_arrays(estimator)}}),
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()
        },
        "config_sha256": hashlib.sha256(json.dumps(about["config"], sort_keys=True).encode()).hexdigest(),
        "versions": {name: version(name) for name in ("jaxgen", "jax", "numpy")}
        | {"python": platform.python_version()},
    }


def _arrays(model: Exportable) -> dict[str, Any]:
    """Returns the inputs and outputs of a network as the manifest has them."""
    (result,) = jax.tree.leaves(jax.eval_shape(model.apply, model.weights, *model.inputs.values()))
    inputs = [_described(name, array.shape) for name, array in model.inputs.items()]
    return {"inputs": inputs, "outputs": [_described(model.output, result.shape)]}


def _described(name: str, shape: Any) -> dict[str, Any]:
    sizes = [size if isinstance(size, int) else str(size) for size in shape]
    return {"name": name, "shape": sizes, "dtype": "float32", "meaning": MEANINGS[name]}


def _result(model: Exportable, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.asarray(jax.jit(model.apply)(model.weights, *arrays.values()))


def _resized_inputs(model: Exportable, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Returns inputs of other sizes, which repeat or cut the golden ones."""
    arrays = {}
    for name, argument in model.inputs.items():
        shape = [n if isinstance(n, int) else _evaluate_size(str(n), sizes) for n in argument.shape]
        golden = model.golden[name]
        for axis, size in enumerate(shape):
            golden = np.take(golden, np.arange(size) % golden.shape[axis], axis)
        arrays[name] = np.ascontiguousarray(golden)
    return arrays


def _evaluate_size(size: str, sizes: Mapping[str, int]) -> int:
    multiple, _, letter = size.rpartition("*")
    return int(multiple or 1) * sizes[letter]


def _require_free(out: Path, force: bool) -> None:
    """Raises `InputError` if `out` exists and may not be replaced."""
    if not os.path.lexists(out):
        return
    require(out.is_dir() and not out.is_symlink(), "out", str(out), "a folder")
    names = {path.name for path in out.iterdir()}
    require(not names or force, "out", str(out), "a folder that is not there yet; overwritten only with --force")
    foreign = sorted(names - {MANIFEST, *FILES})
    require(not foreign, "out", str(out), f"a folder with a bundle alone; {', '.join(foreign[:3])} would be lost")


def _write(out: Path, files: Mapping[str, bytes], check: bool) -> None:
    """Writes the files to a temporary folder, loads them if `check`, and renames it to `out`."""
    partial = out.parent / f".{out.name}.{secrets.token_hex(4)}.part"
    try:
        partial.mkdir(parents=True)
        for name, data in files.items():
            (partial / name).write_bytes(data)
        if check:
            load(partial)
        if out.is_dir():
            old = partial.with_suffix(".old")
            out.rename(old)
            partial.rename(out)
            shutil.rmtree(old)
        else:
            partial.rename(out)
    except OSError as error:
        raise InputError(f"out: got {str(out)!r}; accepted: a folder that can be written ({error.strerror})") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
