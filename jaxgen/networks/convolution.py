"""One convolution for images and volumes, whose gradients are fast in loops, under `vmap` and of second order.

On the CPU a volume is convolved as one batch of slices, by a convolution of images.
"""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float

Padding = tuple[tuple[int, int], ...]


def conv(x: Float[Array, "b *s c"], kernel: Float[Array, "*k c o"], padding: Padding | None = None) -> Array:
    """Returns the convolution (cross-correlation) of stride 1 over all spatial axes.

    On the CPU its gradients are computed by this same convolution with explicit transposes: XLA's own gradient with
    respect to the kernel loses its fast path inside any loop (`scan`, `map`) and is 20 to 50 times slower there.
    Accelerators keep XLA's gradients, which their compilers match to library kernels. In both cases the convolution
    and its two gradients have each other as gradients, so gradient penalties, which differentiate twice, stay fast.

    Under `vmap`, where the members of a population have different kernels, JAX would make a grouped convolution. On the
    CPU that was measured 14 times slower than one member after another, so there the members are computed in turn. On
    accelerators they become patches and one batched matrix product, as grouped convolutions are reported to be slow
    there; this was not measured.

    Args:
      x: (b, *spatial, c).
      kernel: (*kernel spatial, c, o), with the dtype of x.
      padding: number of zeros (before, after) for each spatial axis; None keeps the spatial size.

    Returns:
      (b, *spatial', o), spatial' = spatial + before + after - kernel + 1.
    """
    if padding is None:
        padding = tuple(((k - 1) // 2, k // 2) for k in kernel.shape[:-2])
    return _conv(padding, x, kernel)


def _plain_conv(padding: Padding, x: Array, kernel: Array) -> Array:
    spatial = "DHW"[3 - len(padding) :]
    layout = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
    return lax.conv_general_dilated(x, kernel, (1,) * len(padding), padding, dimension_numbers=layout)


def _static_on_cpu(x: Array) -> bool:
    """Returns whether x is on the CPU and of fixed size; exported programs have open sizes, and serve all platforms."""
    return jax.default_backend() == "cpu" and _is_static(x)


def _is_static(x: Array) -> bool:
    return all(isinstance(size, int) for size in x.shape)


def _is_matmul(x: Array, taps: tuple[int, ...], padding: Padding) -> bool:
    """Returns whether a matrix product is faster than the convolution: on the CPU it is for 1x1 kernels, 1.5 times."""
    return math.prod(taps) == 1 and not any(map(any, padding)) and _static_on_cpu(x)


def _convolve(padding: Padding, x: Array, kernel: Array) -> Array:
    if _is_matmul(x, kernel.shape[:-2], padding):
        return x @ kernel.reshape(kernel.shape[-2:])
    plain, slices = (functools.partial(fn, padding) for fn in (_plain_conv, _conv_of_slices))
    if len(padding) == 3 and not _is_static(x):  # whoever loads the program decides
        return lax.platform_dependent(x, kernel, cpu=slices, default=plain)
    return slices(x, kernel) if len(padding) == 3 and _static_on_cpu(x) else plain(x, kernel)


def _conv_of_slices(padding: Padding, x: Array, kernel: Array) -> Array:
    """Convolves volumes as images whose channels are those of all the slices that the kernel covers.

    On a CPU XLA convolves images several times as fast as volumes (`experiments.benchmarks.convolution`).
    """
    (b, *_), (taps, h, w, _, o) = x.shape, kernel.shape
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (*padding[0], 0), *((0, 0, 0),) * 3])
    places = x.shape[1] - taps + 1
    # few pieces: all taps of each place (for a gradient, whose kernel is a whole volume) or all places of each tap
    if isinstance(places, int) and places < taps:
        cut = jnp.stack([jnp.moveaxis(x[:, i : i + taps], 1, -2) for i in range(places)], axis=1)
    else:
        cut = jnp.stack([x[:, i : i + places] for i in range(taps)], axis=-2)
    images = cut.reshape(b * places, *x.shape[2:-1], -1)  # b d h w taps c, taps and channels in one axis
    y = _plain_conv(padding[1:], images, jnp.moveaxis(kernel, 0, 2).reshape(h, w, -1, o))
    return y.reshape(b, places, *y.shape[1:])


# <conv(x, kernel), g> is linear in each of the three arrays. Its gradients with respect to g, x and the kernel are the
# three functions below; the gradients of each are the other two.


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _conv(padding: Padding, x: Array, kernel: Array) -> Array:
    return _conv_of_members(padding)(x, kernel)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _to_x(padding: Padding, kernel: Array, g: Array) -> Array:
    """Returns the gradient of <conv(x, kernel), g> with respect to x: g correlated with the mirrored kernel."""

    def by_conv(kernel: Array, g: Array) -> Array:
        # the kernel mirrored and its channels swapped, g padded to the full size
        mirrored = jnp.flip(kernel, tuple(range(len(padding)))).swapaxes(-1, -2)
        full = tuple((k - 1 - before, k - 1 - after) for k, (before, after) in zip(kernel.shape, padding, strict=False))
        return _conv_of_members(full)(g, mirrored)

    def by_xla(kernel: Array, g: Array) -> Array:
        sizes = (n + k - 1 - sum(pads) for n, k, pads in zip(g.shape[1:-1], kernel.shape, padding, strict=False))
        x = jax.ShapeDtypeStruct((g.shape[0], *sizes, kernel.shape[-2]), g.dtype)
        return jax.linear_transpose(lambda x: _plain_conv(padding, x, kernel), x)(g)[0]

    return _gradient(by_xla, by_conv)(kernel, g)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _to_kernel(padding: Padding, x: Array, g: Array) -> Array:
    """Returns the gradient of <conv(x, kernel), g> with respect to the kernel: x correlated with g over the batch."""

    def taps_of(x: Array, g: Array) -> tuple[int, ...]:
        sizes = zip(x.shape[1:-1], g.shape[1:-1], padding, strict=True)
        return tuple(n - m + 1 + sum(pads) for n, m, pads in sizes)

    def by_conv(x: Array, g: Array) -> Array:
        taps = taps_of(x, g)
        if _is_matmul(x, taps, padding):
            axes = tuple(range(x.ndim - 1))
            return jnp.tensordot(x, g, (axes, axes)).reshape(*taps, x.shape[-1], g.shape[-1])
        # the channels of x take the place of the batch, the batch that of the channels, and g that of the kernel
        dw = _conv_of_members(padding)(x.swapaxes(0, -1), jnp.moveaxis(g, 0, -2))
        return jnp.moveaxis(dw, 0, -2)

    def by_xla(x: Array, g: Array) -> Array:
        kernel = jax.ShapeDtypeStruct((*taps_of(x, g), x.shape[-1], g.shape[-1]), x.dtype)
        return jax.linear_transpose(lambda kernel: _plain_conv(padding, x, kernel), kernel)(g)[0]

    return _gradient(by_xla, by_conv)(x, g)


def _saving_both(map_fn: Callable[..., Array]) -> Callable[..., Any]:
    return lambda padding, a, b: (map_fn(padding, a, b), (a, b))


_conv.defvjp(_saving_both(_conv), lambda pads, xk, g: (_to_x(pads, xk[1], g), _to_kernel(pads, xk[0], g)))
_to_x.defvjp(_saving_both(_to_x), lambda pads, kg, dx: (_to_kernel(pads, dx, kg[1]), _conv(pads, dx, kg[0])))
_to_kernel.defvjp(_saving_both(_to_kernel), lambda pads, xg, dw: (_to_x(pads, dw, xg[1]), _conv(pads, xg[0], dw)))


def _gradient(by_xla: Callable[..., Array], by_conv: Callable[..., Array]) -> Callable[..., Array]:
    """Returns XLA's gradient on accelerators; on the CPU and under `vmap`, the one made of the convolution itself."""
    if jax.default_backend() == "cpu":
        return by_conv
    mapped = custom_vmap(by_xla)

    @mapped.def_vmap
    def rule(_: int, is_batched: list[bool], *args: Array) -> tuple[Array, bool]:
        return jax.vmap(by_conv, [0 if batched else None for batched in is_batched])(*args), True

    return mapped


def _conv_of_members(padding: Padding) -> Callable[[Array, Array], Array]:
    """Returns the convolution with a rule for `vmap`, where arrays get a leading axis of members m."""
    single = custom_vmap(functools.partial(_convolve, padding))

    @single.def_vmap
    def rule(m: int, is_batched: list[bool], x: Array, kernel: Array) -> tuple[Array, bool]:
        if is_batched == [True, False]:  # the members share the kernel: their images form one larger batch
            y = single(x.reshape(-1, *x.shape[2:]), kernel)
            return y.reshape(m, -1, *y.shape[1:]), True
        if is_batched == [False, True]:  # the members share the batch: their kernels form more output channels
            joined = jnp.moveaxis(kernel, 0, -2)
            y = single(x, joined.reshape(*joined.shape[:-2], -1))
            return jnp.moveaxis(y.reshape(*y.shape[:-1], m, -1), -2, 0), True
        if jax.default_backend() == "cpu":
            return lax.map(lambda pair: single(*pair), (x, kernel)), True
        return _matmul_conv(padding, x, kernel), True

    return single


def _matmul_conv(padding: Padding, x: Array, kernel: Array) -> Array:
    """Convolves m members by patches and one batched matrix product: x (m, b, *s, c), kernel (m, *k, c, o)."""
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (0, 0, 0), *((*pads, 0) for pads in padding), (0, 0, 0)])
    taps = kernel.shape[1:-2]
    places = tuple(n - k + 1 for n, k in zip(x.shape[2:-1], taps, strict=True))
    # a patch for each place, cut out of x in as few slices as possible: one for each place or one for each tap
    by_place = math.prod(places) < math.prod(taps)
    corners, size = (places, taps) if by_place else (taps, places)
    starts = itertools.product(*map(range, corners))
    cut = [
        lax.slice(x, (0, 0, *at, 0), (*x.shape[:2], *map(sum, zip(at, size, strict=True)), x.shape[-1]))
        for at in starts
    ]
    patches = jnp.stack(cut, axis=2 if by_place else -2)  # m b places taps c, places or taps in one axis
    y = patches.reshape(x.shape[0], -1, math.prod(taps) * x.shape[-1]) @ kernel.reshape(
        len(kernel), -1, kernel.shape[-1]
    )
    return y.reshape(*x.shape[:2], *places, -1)
