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

from jaxgen.bundles.manifest import GOLDEN, PROGRAM, WEIGHTS, Array, Manifest, read_file
from jaxgen.compilation import keep_compiled
from jaxgen.errors import InputError, require

Apply = Callable[..., jax.Array]
"""The arrays of the manifest's `inputs`, in order -> the array of its `outputs`."""
TOLERANCES = {"cpu": 1e-4, "gpu": 0.02, "tpu": 0.05}
"""Largest difference from the golden outputs, for values in [-1, 1]; accelerators may multiply with fewer bits."""


def load_program(folder: Path, manifest: Manifest) -> Apply:
    """Returns the model of a bundle as a compiled function that reproduced the golden outputs.

    Raises:
      InputError: a file is damaged or does not fit the manifest, the program was not exported for this device, or its
        outputs are not the golden ones.
    """
    keep_compiled()
    weights = read_tensors(folder, manifest, WEIGHTS)
    golden = read_tensors(folder, manifest, GOLDEN)
    try:
        program = export.deserialize(bytearray(read_file(folder, manifest, PROGRAM)))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{PROGRAM}: cannot be read ({_first_line(error)})") from None
    _require_signature(program, manifest, weights)
    _require_golden_arrays(golden, manifest)
    on_device = jax.device_put(weights)
    call = jax.jit(lambda *inputs: program.call(on_device, *inputs))
    _require_golden(call, manifest, golden)
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


def _require_signature(program: export.Exported, manifest: Manifest, weights: dict[str, np.ndarray]) -> None:
    """Raises `InputError` unless the program maps these weights and the declared inputs to the declared outputs."""
    platform = {"gpu": "cuda"}.get(jax.default_backend(), jax.default_backend())
    require(platform in program.platforms, "platform", platform, ", ".join(program.platforms))
    stand_ins = (dict.fromkeys(weights, 0), *(0 for _ in manifest.inputs))
    expected = [weights[name].shape for name in sorted(weights)] + [array.shape for array in manifest.inputs]
    same_tree = program.in_tree == jax.tree.structure((stand_ins, {}))
    same = same_tree and _shapes(program.in_avals) == [_plain(shape) for shape in expected]
    if not same or _shapes(program.out_avals) != [_plain(array.shape) for array in manifest.outputs]:
        raise InputError(f"{PROGRAM}: takes or returns other arrays than {WEIGHTS} and the manifest declare")


def _shapes(avals: Any) -> list[tuple[Any, ...] | None]:
    return [_plain(aval.shape) if aval.dtype == np.float32 else None for aval in avals]


def _plain(shape: Any) -> tuple[Any, ...]:
    return tuple(size if isinstance(size, int) else str(size) for size in shape)


def _require_golden_arrays(golden: dict[str, np.ndarray], manifest: Manifest) -> None:
    """Raises `InputError` unless there is one golden array of the declared shape for each input and output."""
    expected = [*manifest.inputs, *manifest.outputs]
    require(
        set(golden) == {a.name for a in expected}, f"{GOLDEN}: names", sorted(golden), "those of inputs and outputs"
    )
    for array in expected:
        fits = _fits(golden[array.name].shape, array)
        require(fits, f"{GOLDEN}: {array.name}", golden[array.name].shape, f"the shape {list(array.shape)}")


def _fits(shape: tuple[int, ...], array: Array) -> bool:
    same_rank = len(shape) == len(array.shape)
    return same_rank and all(n == size for n, size in zip(shape, array.shape, strict=True) if isinstance(size, int))


def _require_golden(call: Apply, manifest: Manifest, golden: dict[str, np.ndarray]) -> None:
    (output,) = manifest.outputs
    try:
        found = np.asarray(call(*(golden[array.name] for array in manifest.inputs)))
    except Exception as error:
        raise InputError(f"{PROGRAM}: does not run ({_first_line(error)})") from None
    wanted, tolerance = golden[output.name], TOLERANCES.get(jax.default_backend(), 0.05)
    require(found.shape == wanted.shape, f"{PROGRAM}: output shape", found.shape, str(wanted.shape))
    if not np.isfinite(found).all():
        raise InputError(f"{PROGRAM}: returns values that are not finite")
    error = float(np.abs(found - wanted).max())
    require(error <= tolerance, f"{GOLDEN}: difference", error, f"at most {tolerance} from what the program gives")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
