"""Clipped sums of per-example gradients: the contribution of each example has at most a given norm.

The gradient of one example by the kernel of a dense layer or a convolution is patches^T g, where g is the gradient by
the layer's output. Taps, zeros that are added to these outputs, give g of all examples in one backward pass, without a
gradient by weights. From patches and g follow the norms, and the weighted sum. Weights of any other kind are
differentiated for each example by `vmap(grad)`. What is summed is what was measured, so no example gets past the clip.

References:
  Goodfellow, "Efficient Per-Example Gradient Computations", 2015; Bu et al., "Scalable and Efficient Training of Large
  Convolutional Neural Networks with Differential Privacy", 2022 (mixed ghost norm) and "Differentially Private
  Optimization on Large Model at Small Cost", 2023 (book-keeping).
"""

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import lax
from jaxtyping import Array, Float

from jaxgen.networks.layers import Conv
from jaxgen.training.step import LossFn
from jaxgen.types import Params, per_image

Flat = dict[tuple[str, ...], Array]
AT_ONCE = 128
"""Examples whose gradients are in memory at a time."""
ROUNDING = 1e-6
"""Share of the terms of a sum that float32 may lose."""


class Call(NamedTuple):
    """A call of a tapped layer: paths of its kernel and its bias (or None), its kernel, and input and output."""

    kernel: tuple[str, ...]
    bias: tuple[str, ...] | None
    shape: tuple[int, ...]
    x: Any
    y: Any


def clipped_sum(
    loss_fn: LossFn,
    params: Params,
    examples: Any,
    mask: Float[Array, " b"],
    clip: jax.Array | float,
    *,
    taps: bool = True,
    at_once: int = AT_ONCE,
) -> Params:
    """Returns the sum of the gradients of all examples, each scaled down to a norm of at most `clip`.

    Args:
      loss_fn: (params, examples) -> (mean loss, metrics); the loss of an example must not depend on the others. It is
        called with one example at a time. The metrics are dropped, as they are not private.
      params: parameters, a nested dict.
      examples: a pytree of arrays (b, ...).
      mask: 1 for an example, 0 for padding, which adds nothing; nor does an example whose gradient is not finite.
      clip: largest norm over all parameters together, above 0.
      taps: False computes all gradients by `vmap(grad)`. That is needed if the loss uses a weight in other ways than by
        calling its layer, as a penalty on the gradient by the input does (taps raise an `UnexpectedTracerError` there).
      at_once: examples whose gradients are in memory at a time; such a part without an example is skipped.

    Returns:
      Gradients by parameter, of the same structure.
    """
    num = num_parts(len(mask), at_once)
    # examples i, i + num, ... form part i, so that none moves between devices
    parts = jax.tree.map(lambda x: x.reshape(-1, num, *x.shape[1:]).swapaxes(0, 1), (examples, mask))
    zeros = jax.tree.map(jnp.zeros_like, params)

    def add(total: Params, part: Any) -> tuple[Params, None]:
        found = lax.cond(jnp.any(part[1] > 0), lambda: _clipped_sum(loss_fn, params, *part, clip, taps), lambda: zeros)
        return jax.tree.map(jnp.add, total, found), None

    with jax.default_matmul_precision("highest"):  # a norm in lower precision would not bound the sum
        return lax.scan(add, zeros, parts)[0]


def num_parts(size: int, at_once: int = AT_ONCE) -> int:
    """Returns the number of parts of at most `at_once` examples into which so many are cut; it divides them."""
    return next(n for n in range(max(1, -(-size // at_once)), size + 1) if size % n == 0)


def _clipped_sum(
    loss_fn: LossFn, params: Params, examples: Any, mask: Array, clip: jax.Array | float, taps: bool
) -> Params:
    """Returns the clipped sum of examples that are in memory together."""
    calls, rest, loss_of = _differentiable(loss_fn, params, examples, taps)
    zeros = [jnp.zeros(call.y.shape, call.y.dtype) for call in calls]
    (by_output, by_rest), inputs = jax.vmap(jax.grad(loss_of, (0, 1), has_aux=True), (None, None, 0))(
        zeros, rest, examples
    )
    flat = {path: (lambda w, g=g: jnp.tensordot(w, _kept(w, g), 1)) for path, g in by_rest.items()}
    squares = [jnp.sum(jnp.square(g), range(1, g.ndim)) for g in by_rest.values()]
    for path, (patches, g, shape) in _layers(calls, inputs, by_output).items():
        square, flat[path] = _dense(patches, g, shape) if len(shape) > 1 else _bias(g)
        squares.append(square)
    norms = jnp.sqrt(sum(squares))
    weights = mask * jnp.minimum(1.0, clip / jnp.maximum(norms, jnp.finfo(norms.dtype).tiny))
    weights = jnp.where(jnp.isfinite(norms), weights, 0.0)
    return unflatten_dict({path: weighted(weights) for path, weighted in flat.items()})


def _differentiable(
    loss_fn: LossFn, params: Params, examples: Any, taps: bool
) -> tuple[list[Call], Flat, Callable[..., Any]]:
    """Returns the tapped calls for one example, the weights that no tap covers, and the loss to differentiate.

    The loss is (taps, rest, example) -> (loss, inputs of the calls).
    """
    flat = flatten_dict(params)
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), examples)
    calls: list[Call] = []

    def trace(example: Any) -> Array:
        loss, calls[:] = _tapped(loss_fn, flat, example, None)
        return loss

    jax.eval_shape(trace, one)
    calls = calls if taps else []
    covered = {path for call in calls for path in (call.kernel, call.bias)}
    rest = {path: leaf for path, leaf in flat.items() if path not in covered}

    def loss_of(outputs: list[Array], own: Flat, example: Any) -> tuple[Array, list[Array]]:
        loss, made = _tapped(loss_fn, {**flat, **own}, example, outputs)
        return loss, [call.x for call in made[: len(outputs)]]

    return calls, rest, loss_of


def _tapped(loss_fn: LossFn, flat: Flat, example: Any, taps: list[Array] | None) -> tuple[Array, list[Call]]:
    """Returns the loss of one example and the calls of layers with these very weights; adds `taps` to their outputs."""
    paths = {id(leaf): path for path, leaf in flat.items()}
    calls: list[Call] = []

    def intercept(next_fn: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        y, module = next_fn(*args, **kwargs), context.module
        if context.method_name != "__call__" or type(module) not in (nn.Dense, Conv):
            return y
        own = module.variables["params"]
        kernel = paths.get(id(own["kernel"]))
        if kernel is None:  # a layer of another network, such as the generator
            return y
        bias = paths[id(own["bias"])] if "bias" in own else None
        calls.append(Call(kernel, bias, own["kernel"].shape, args[0], y))
        return y if not taps else y + taps[len(calls) - 1]

    with nn.intercept_methods(intercept):
        loss, _ = loss_fn(unflatten_dict(flat), jax.tree.map(lambda x: x[None], example))
    return loss, calls


def _layers(
    calls: list[Call], inputs: list[Array], by_output: list[Array]
) -> dict[tuple[str, ...], tuple[Array | None, Array, tuple[int, ...]]]:
    """Returns patches (b, t, i), gradients (b, t, o) and shape of each kernel and bias, from all calls of its layer."""
    found: dict[tuple[str, ...], list[Any]] = {}
    for call, x, g in zip(calls, inputs, by_output, strict=True):
        flat = g.reshape(len(g), -1, g.shape[-1])
        found.setdefault(call.kernel, []).append((_patches(x, call.shape), flat, call.shape))
        if call.bias is not None:
            found.setdefault(call.bias, []).append((None, flat, call.shape[-1:]))
    return {
        path: (
            None if parts[0][0] is None else jnp.concatenate([patches for patches, _, _ in parts], 1),
            jnp.concatenate([g for _, g, _ in parts], 1),
            parts[0][2],
        )
        for path, parts in found.items()
    }


def _patches(x: Array, shape: tuple[int, ...]) -> Array:
    """Returns what the kernel (*k, c, o) sees at each place of x (b, 1, *spatial, c), as (b, places, k c)."""
    *taps, channels, _ = shape
    x = x.astype(jnp.float32)
    if not taps:
        return x.reshape(len(x), -1, channels)
    sizes = x.shape[2:-1]
    x = lax.pad(
        x, jnp.zeros((), x.dtype), [(0, 0, 0), (0, 0, 0), *(((k - 1) // 2, k // 2, 0) for k in taps), (0, 0, 0)]
    )
    cut = [
        lax.slice(x, (0, 0, *at, 0), (*x.shape[:2], *(a + n for a, n in zip(at, sizes, strict=True)), channels))
        for at in itertools.product(*map(range, taps))
    ]
    return jnp.concatenate(cut, -1).reshape(len(x), -1, math.prod(taps) * channels)


def _dense(patches: Array, g: Array, shape: tuple[int, ...]) -> tuple[Array, Callable[[Array], Array]]:
    """Returns the squared norms (b,) of patches^T g, and a function of weights (b,) to their weighted sum."""
    (_, t, i), o = patches.shape, g.shape[-1]
    if t * (i + o) < i * o:  # fewer products than the gradients themselves
        gram = jnp.einsum("bti,bsi->bts", patches, patches) * jnp.einsum("bto,bso->bts", g, g)
        # where real and generated nearly cancel, rounding must not make a norm smaller than it is
        square = jnp.maximum(jnp.sum(gram, (1, 2)), 0.0) + ROUNDING * jnp.sum(jnp.abs(gram), (1, 2))
        return square, lambda w: jnp.einsum("bti,bto->io", _kept(w, patches), w[:, None, None] * _kept(w, g)).reshape(
            shape
        )
    own = jnp.einsum("bti,bto->bio", patches, g)
    return jnp.sum(jnp.square(own), (1, 2)), lambda w: jnp.tensordot(w, _kept(w, own), 1).reshape(shape)


def _bias(g: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Returns the same for a bias."""
    own = jnp.sum(g, 1)
    return jnp.sum(jnp.square(own), 1), lambda w: jnp.tensordot(w, _kept(w, own), 1)


def _kept(weights: Array, x: Array) -> Array:
    """Returns x (b, ...) with zeros where the weight is 0, also in place of what is not finite."""
    return jnp.where(per_image(weights, x) > 0, x, 0.0)
