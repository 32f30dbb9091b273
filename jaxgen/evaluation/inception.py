"""Public weights of the Inception-v3 of the Fréchet inception distance, read from the user's file."""

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.errors import InputError, require
from jaxgen.types import Params


def load_inception(path: Path, shapes: Params) -> Params:
    """Reads the weights of `networks.inception.InceptionV3`.

    Args:
      path: pt_inception-2015-12-05-6726825d.pth of pytorch-fid (needs torch), or the same state dict as .safetensors.
      shapes: arrays or `jax.ShapeDtypeStruct` by layer and name: `networks.inception.inception_shapes()`.

    Returns:
      float32 arrays as in `shapes`, for `apply({"params": ...}, images)`.

    Raises:
      InputError: the file does not exist or holds no weights, an array is missing or has another shape, or torch is not
        installed.

    References:
      Seitzer, "pytorch-fid: FID Score for PyTorch", 2020.
    """
    readers = {".pth": _read_torch, ".pt": _read_torch, ".safetensors": _read_safetensors}
    require(path.suffix in readers, "weights", str(path), "a .pth, .pt or .safetensors file")
    require(path.is_file(), "weights", str(path), "an existing file")
    return to_params(readers[path.suffix](path), shapes)


def to_params(state_dict: Mapping[str, np.ndarray], shapes: Params) -> Params:
    """Converts arrays by public name to nested parameters; kernels (o, i, h, w) become (h, w, i, o).

    Args:
      state_dict: arrays by name, e.g. `Mixed_5b.branch1x1.conv.weight`; what `shapes` does not name is ignored.
      shapes: arrays or `jax.ShapeDtypeStruct`; the path of a leaf, joined by dots, is its name.

    Returns:
      float32 arrays as in `shapes`.

    Raises:
      InputError: arrays are missing or have another shape; the message names the first and their number.
    """
    leaves, tree = jax.tree_util.tree_flatten_with_path(shapes)
    expected = {".".join(str(key.key) for key in path): _public_shape(leaf.shape) for path, leaf in leaves}
    missing = [name for name in expected if name not in state_dict]
    if missing:
        raise InputError(f"weights: {len(missing)} of {len(expected)} arrays are missing, the first is {missing[0]}")
    wrong = [name for name, shape in expected.items() if state_dict[name].shape != shape]
    if wrong:
        first = f"{wrong[0]}: got {state_dict[wrong[0]].shape}; accepted: {expected[wrong[0]]}"
        raise InputError(f"weights: {len(wrong)} of {len(expected)} arrays have another shape, the first is {first}")
    return tree.unflatten([_to_layout(state_dict[name]) for name in expected])


def _public_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape


def _to_layout(array: np.ndarray) -> jax.Array:
    array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
    return jnp.asarray(array, jnp.float32)


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(f"weights: {path} is not a .safetensors file ({error})") from None


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError:
        remedy = "pip install torch, or give a .safetensors file of the same state dict"
        raise InputError(f"weights: reading {path} takes torch, which is not installed; {remedy}") from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {name: value.float().numpy() for name, value in state.items() if isinstance(value, torch.Tensor)}
    except Exception as error:  # torch has no common base class of what it raises for a file it cannot read
        reason = str(error).partition("\n")[0]
        raise InputError(f"weights: {path} is not a state dict saved by torch ({reason})") from None
