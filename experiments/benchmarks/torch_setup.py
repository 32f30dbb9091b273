"""Whether PyTorch is measured, where, and its settings for speed; imports torch only if it is."""

import importlib.util
from typing import Literal

import jax

from jaxgen.errors import require
from jaxgen.training import parallel


def wanted(asked_for: bool = True) -> bool:
    """Returns whether PyTorch is measured: asked for, installed, and on a device that both use."""
    return asked_for and importlib.util.find_spec("torch") is not None and jax.default_backend() != "tpu"


def usable() -> bool:
    """Returns whether PyTorch can be measured: `wanted`, it can be imported, and it finds a GPU if JAX does."""
    if not wanted():
        return False
    try:
        import torch
    except (ImportError, OSError):  # libraries of another CUDA version, for instance
        return False
    return jax.default_backend() != "gpu" or torch.cuda.is_available()


def prepare(asked_for: bool = True) -> tuple[int | None, str | None]:
    """Sets PyTorch up for speed; returns its threads and version, or None twice if it is not measured."""
    if not wanted(asked_for):
        return None, None
    import torch

    torch.set_num_threads(parallel.num_cores())
    torch.set_flush_denormal(True)
    torch.set_float32_matmul_precision("high")  # on GPUs JAX multiplies float32 in TF32 too
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    device()
    return torch.get_num_threads(), torch.__version__


def device() -> Literal["cpu", "cuda"]:
    """Returns the device of PyTorch, of the same kind as that of JAX.

    Raises:
      InputError: JAX uses a GPU that PyTorch does not find.
    """
    import torch

    cuda = jax.default_backend() == "gpu"
    require(not cuda or torch.cuda.is_available(), "torch", True, "--no-torch, since this PyTorch finds no GPU")
    return "cuda" if cuda else "cpu"
