"""Floating-point operations of a program, and the share of the machine's matmul rate that it reaches."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Var

from experiments.benchmarks.common import Candidate, Columns, Timing
from jaxgen.doctor import rates
from jaxgen.training.step import Algorithm

CEILING = "matmul"
"""Label of the candidate that measures the matmul rate, in the same rounds as the others."""
COLUMNS: Columns = {"GFLOP/s": ("gflops_per_second", ",.0f"), "÷ matmul": ("share_of_matmul", ".2f")}


def count_flops(fn: Callable[..., Any], *arguments: Any) -> float:
    """Returns the operations of all matrix products and convolutions of a call; a multiply-add counts as two.

    It counts in the jaxpr: loops as often as they run, and recomputation by checkpointing again. Products of a
    convolution with the zeros of its padding do not count.

    Args:
      fn: a function of arrays.
      arguments: trees of arrays or of their shapes.

    Raises:
      ValueError: a loop of unknown length contains a product.
    """
    return _flops_of(jax.make_jaxpr(fn)(*arguments).jaxpr)


def _flops_of(jaxpr: Jaxpr) -> float:
    """Returns the operations of the equations that the results need; XLA drops the others too."""
    needed, total = {v for v in jaxpr.outvars if isinstance(v, Var)}, 0.0
    for equation in reversed(jaxpr.eqns):
        if not needed.isdisjoint(equation.outvars):
            needed |= {v for v in equation.invars if isinstance(v, Var)}
            total += _flops_of_equation(equation)
    return total


def _flops_of_equation(equation: Any) -> float:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        left, (out,) = equation.invars[0].aval, equation.outvars
        return 2.0 * math.prod(out.aval.shape) * math.prod(left.shape[axis] for axis in contracted)
    if name == "conv_general_dilated":
        return _flops_of_convolution(equation.invars[0].aval, equation.invars[1].aval, equation.outvars[0].aval, params)
    inner = [_flops_of(jaxpr) for jaxpr in _jaxprs_in(params)]
    if name == "cond":
        return max(inner)
    if name == "while" and any(inner):
        raise ValueError("a loop of unknown length contains a product")
    return sum(inner) * (params["length"] if name == "scan" else 1)


def _flops_of_convolution(x: Any, kernel: Any, out: Any, params: dict[str, Any]) -> float:
    """Returns 2 b c o times, for each axis, the pairs of an output position and a tap that meet a pixel of x."""
    spec = params["dimension_numbers"]
    pairs = 1
    for i, (x_axis, kernel_axis, out_axis) in enumerate(
        zip(spec.lhs_spec[2:], spec.rhs_spec[2:], spec.out_spec[2:], strict=True)
    ):
        starts = np.arange(out.shape[out_axis]) * params["window_strides"][i] - params["padding"][i][0]
        places = starts[:, None] + np.arange(kernel.shape[kernel_axis]) * params["rhs_dilation"][i]
        spread = params["lhs_dilation"][i]
        inside = (places >= 0) & (places <= (x.shape[x_axis] - 1) * spread) & (places % spread == 0)
        pairs *= int(inside.sum())
    images, features, channels = (
        out.shape[spec.out_spec[0]],
        out.shape[spec.out_spec[1]],
        kernel.shape[spec.rhs_spec[1]],
    )
    return 2.0 * images * features * channels * pairs


def _jaxprs_in(params: dict[str, Any]) -> Iterator[Jaxpr]:
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, ClosedJaxpr | Jaxpr):
                yield item.jaxpr if isinstance(item, ClosedJaxpr) else item


def step_flops(algorithm: Algorithm, hparams: dict[str, Any], shape: tuple[int, int, int]) -> float:
    """Returns the operations of one train step.

    Args:
      algorithm: an unconditional algorithm.
      hparams: hyperparameters for its `init`.
      shape: (h, w, c) of its images.
    """
    state = jax.eval_shape(algorithm.init, jax.random.key(0), hparams)
    batch = {"images": jax.ShapeDtypeStruct((algorithm.images_per_step, *shape), "uint8")}
    return count_flops(algorithm.step, state, batch, jax.random.key(0))


def ceiling(dtype: str) -> tuple[Candidate, float]:
    """Returns a candidate of large matrix products on all devices of this process, and the operations of one run."""
    work = rates.matmul(jax.local_devices(), dtype)
    return Candidate(CEILING, work.run, 1), work.amount


def achieved(seconds: float, flops: float, ceiling_timing: Timing, ceiling_flops: float) -> dict[str, float]:
    """Returns operations per second, and their share of the matmul rate that was measured in the same rounds."""
    rate, highest = flops / seconds, ceiling_flops / ceiling_timing.median
    return {"gflops_per_second": rate / 1e9, "share_of_matmul": rate / highest}
