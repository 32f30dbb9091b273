"""The program and the weights of a bundle, which are checked against the manifest and the golden outputs.

Golden outputs are those that the exporter stored for fixed inputs; the program must reproduce them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors

from jaxgen.bundles.manifest import ESTIMATOR, MODEL, Array, Estimator, Manifest, Names, read_file
from jaxgen.compilation import keep_compiled
from jaxgen.errors import InputError, require

Apply = Callable[..., jax.Array]
"""The arrays of the manifest's `inputs`, in order -> the array of its `outputs`."""
Described = Manifest | Estimator
"""What a manifest says of the inputs and outputs of a network."""
TOLERANCES = {"cpu": 1e-4, "gpu": 0.02, "tpu": 0.05}
"""Largest difference from the golden outputs, for values in [-1, 1]; accelerators may multiply with fewer bits."""


def load_model(folder: Path, manifest: Manifest) -> Apply:
    """Returns the model of a bundle; see `_load`."""
    return _load(folder, manifest, manifest, MODEL)


def load_estimator(folder: Path, manifest: Manifest) -> Apply | None:
    """Returns the estimator of levels of a bundle, None if it has none; see `_load`."""
    return None if manifest.estimator is None else _load(folder, manifest, manifest.estimator, ESTIMATOR)


def _load(folder: Path, manifest: Manifest, described: Described, names: Names) -> Apply:
    """Returns a network as a compiled function that reproduced the golden outputs.

    Args:
      folder: folder of the bundle.
      manifest: its manifest.
      described: the inputs and outputs of the network.
      names: its files.

    Raises:
      InputError: a file is damaged or does not fit the manifest, the program was not exported for this device, or its
        outputs are not the golden ones.
    """
    keep_compiled()
    weights = read_tensors(folder, manifest, names.weights)
    golden = read_tensors(folder, manifest, names.golden)
    try:
        program = export.deserialize(bytearray(read_file(folder, manifest, names.program)))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{names.program}: cannot be read ({_first_line(error)})") from None
    _require_signature(program, described, weights, names)
    _require_golden_arrays(golden, described, names)
    on_device = jax.device_put(weights)
    call = jax.jit(lambda *inputs: program.call(on_device, *inputs))
    _require_golden(call, described, golden, names)
    return call


def read_tensors(folder: Path, manifest: Manifest, name: str) -> dict[str, np.ndarray]:
    """Returns the arrays of a safetensors file of a bundle, by name.

    Raises:
      InputError: the file is damaged, or an array is not float32 or not finite.
    """
    data = read_file(folder, manifest, name)
    try:
        arrays = parse_tensors(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"{name}: cannot be read ({_first_line(error)})") from None
    for key, array in arrays.items():
        require(array.dtype == np.float32, f"{name}: {key}", str(array.dtype), "float32")
        if not np.isfinite(array).all():
            raise InputError(f"{name}: {key} holds values that are not finite")
    return arrays


def _require_signature(
    program: export.Exported, described: Described, weights: dict[str, np.ndarray], names: Names
) -> None:
    """Raises `InputError` unless the program maps these weights and the declared inputs to the declared outputs."""
    platform = {"gpu": "cuda"}.get(jax.default_backend(), jax.default_backend())
    require(platform in program.platforms, "platform", platform, ", ".join(program.platforms))
    stand_ins = (dict.fromkeys(weights, 0), *(0 for _ in described.inputs))
    expected = [weights[name].shape for name in sorted(weights)] + [array.shape for array in described.inputs]
    same_tree = program.in_tree == jax.tree.structure((stand_ins, {}))
    same = same_tree and _shapes(program.in_avals) == [_plain(shape) for shape in expected]
    if not same or _shapes(program.out_avals) != [_plain(array.shape) for array in described.outputs]:
        raise InputError(
            f"{names.program}: takes or returns other arrays than {names.weights} and the manifest declare"
        )


def _shapes(avals: Any) -> list[tuple[Any, ...] | None]:
    return [_plain(aval.shape) if aval.dtype == np.float32 else None for aval in avals]


def _plain(shape: Any) -> tuple[Any, ...]:
    return tuple(size if isinstance(size, int) else str(size) for size in shape)


def _require_golden_arrays(golden: dict[str, np.ndarray], described: Described, names: Names) -> None:
    """Raises `InputError` unless there is one golden array of the declared shape for each input and output."""
    expected = [*described.inputs, *described.outputs]
    same = set(golden) == {array.name for array in expected}
    require(same, f"{names.golden}: names", sorted(golden), "those of inputs and outputs")
    for array in expected:
        fits = _fits(golden[array.name].shape, array)
        require(fits, f"{names.golden}: {array.name}", golden[array.name].shape, f"the shape {list(array.shape)}")


def _fits(shape: tuple[int, ...], array: Array) -> bool:
    same_rank = len(shape) == len(array.shape)
    return same_rank and all(n == size for n, size in zip(shape, array.shape, strict=True) if isinstance(size, int))


def _require_golden(call: Apply, described: Described, golden: dict[str, np.ndarray], names: Names) -> None:
    (output,) = described.outputs
    try:
        found = np.asarray(call(*(golden[array.name] for array in described.inputs)))
    except Exception as error:
        raise InputError(f"{names.program}: does not run ({_first_line(error)})") from None
    wanted, tolerance = golden[output.name], TOLERANCES.get(jax.default_backend(), 0.05)
    require(found.shape == wanted.shape, f"{names.program}: output shape", found.shape, str(wanted.shape))
    if not np.isfinite(found).all():
        raise InputError(f"{names.program}: returns values that are not finite")
    error = float(np.abs(found - wanted).max())
    require(
        error <= tolerance, f"{names.golden}: difference", error, f"at most {tolerance} from what the program gives"
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
