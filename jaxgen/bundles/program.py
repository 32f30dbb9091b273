"""The program and the weights of a bundle: read, compared with the manifest, and tried on the golden inputs."""

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
"""The arrays of the manifest's `inputs`, in order -> that of `outputs`."""
TOLERANCES = {"cpu": 1e-4, "gpu": 0.02, "tpu": 0.05}
"""Largest difference from the golden outputs, of values in [-1, 1]: accelerators may multiply in fewer bits."""


def load_program(folder: Path, manifest: Manifest) -> Apply:
    """The model of a bundle as a compiled function, after it has given the golden outputs.

    Raises:
      InputError: a file is damaged or does not fit the manifest, this machine is none of those exported for, or the
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
    """The arrays of a safetensors file of a bundle, by name.

    Raises:
      InputError: damaged, of another type than float32, or with values that are no numbers.
    """
    data = read_file(folder, manifest, name)
    try:
        arrays = parse_tensors(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"{name}: cannot be read ({_first_line(error)})") from None
    for key, array in arrays.items():
        require(array.dtype == np.float32, f"{name}: {key}", str(array.dtype), "float32")
        if not np.isfinite(array).all():
            raise InputError(f"{name}: {key} holds values that are no numbers")
    return arrays


def _require_signature(program: export.Exported, manifest: Manifest, weights: dict[str, np.ndarray]) -> None:
    """Raises `InputError` unless the program takes these weights and what the manifest says, and gives it."""
    platform = {"gpu": "cuda"}.get(jax.default_backend(), jax.default_backend())
    require(platform in program.platforms, "platform", platform, ", ".join(program.platforms))
    stand_ins = (dict.fromkeys(weights, 0), *(0 for _ in manifest.inputs))
    expected = [weights[name].shape for name in sorted(weights)] + [array.shape for array in manifest.inputs]
    same_tree = program.in_tree == jax.tree.structure((stand_ins, {}))
    same = same_tree and _shapes(program.in_avals) == [_plain(shape) for shape in expected]
    if not same or _shapes(program.out_avals) != [_plain(array.shape) for array in manifest.outputs]:
        raise InputError(f"{PROGRAM}: takes and gives other arrays than {WEIGHTS} and the manifest say")


def _shapes(avals: Any) -> list[tuple[Any, ...] | None]:
    return [_plain(aval.shape) if aval.dtype == np.float32 else None for aval in avals]


def _plain(shape: Any) -> tuple[Any, ...]:
    return tuple(size if isinstance(size, int) else str(size) for size in shape)


def _require_golden_arrays(golden: dict[str, np.ndarray], manifest: Manifest) -> None:
    """Raises `InputError` unless there is one array for each input and output, of a shape that fits."""
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
    if found.shape != wanted.shape or not np.isfinite(found).all():
        raise InputError(f"{PROGRAM}: gives {found.shape} with values that are no numbers, or not {wanted.shape}")
    error = float(np.abs(found - wanted).max())
    require(error <= tolerance, f"{GOLDEN}: difference", error, f"at most {tolerance} from what the program gives")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
