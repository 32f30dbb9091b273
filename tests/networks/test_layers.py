"""The convolution against plain `lax` and SciPy, up to second derivatives; the layer's parameters and start."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from scipy.signal import correlate

from jaxgen.networks import layers
from jaxgen.networks.extent import ends_at
from jaxgen.networks.layers import Conv, conv

Padding = tuple[tuple[int, int], ...] | None

# spatial sizes, kernel sizes, channels in and out, padding
CASES: list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, int], Padding]] = [
    ((6,), (4,), (3, 4), ((0, 3),)),
    ((6, 5), (3, 3), (3, 4), None),
    ((6, 5), (4, 2), (4, 2), None),
    ((6, 5), (3, 3), (1, 8), None),  # grey images in
    ((6, 5), (3, 3), (8, 1), None),  # grey images out
    ((4, 5), (3, 2), (3, 4), ((4, 3), (0, 5))),  # wider than the kernel: the gradient's padding is negative
    ((4, 5), (3, 2), (1, 8), ((4, 3), (0, 5))),
    ((3, 4, 5), (3, 2, 3), (3, 4), None),
    ((4, 4, 4), (3, 3, 3), (1, 2), None),  # grey volumes
    ((3, 4, 5), (1, 1, 1), (3, 4), None),
    ((6, 5), (1, 1), (3, 4), None),  # a product of matrices
    ((6, 5), (1, 1), (3, 4), ((1, 0), (0, 2))),
]


def case_name(case: tuple[Any, ...]) -> str:
    return str(case).replace(" ", "")


def plain_conv(x: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    """`lax` with its own gradients; None is "SAME", whose definition of the sides is XLA's."""
    spatial = "DHW"[5 - x.ndim :]
    layout = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
    pads = "SAME" if padding is None else padding
    return lax.conv_general_dilated(x, kernel, (1,) * (x.ndim - 2), pads, dimension_numbers=layout)


def make_inputs(
    spatial: tuple[int, ...], size: tuple[int, ...], channels: tuple[int, int] = (3, 4)
) -> tuple[jax.Array, jax.Array]:
    noise = np.random.default_rng(1)
    x = noise.standard_normal((2, *spatial, channels[0]), np.float32)
    kernel = noise.standard_normal((*size, *channels), np.float32) / np.float32(np.prod(size) ** 0.5)
    return jnp.asarray(x), jnp.asarray(kernel)


def derivatives(conv_fn: Callable[..., jax.Array], x: jax.Array, kernel: jax.Array) -> dict[str, Any]:
    """Value, both gradients of a curved function, and both gradients of each squared gradient norm."""

    def curved(x: jax.Array, kernel: jax.Array) -> jax.Array:
        y = conv_fn(x, kernel)
        return jnp.sum(jnp.sin(y) * jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))

    def penalty(wrt: int, x: jax.Array, kernel: jax.Array) -> jax.Array:
        return jnp.sum(jnp.square(jax.grad(curved, wrt)(x, kernel)))

    return {
        "value": conv_fn(x, kernel),
        "first": jax.grad(curved, (0, 1))(x, kernel),
        "second through dx": jax.grad(functools.partial(penalty, 0), (0, 1))(x, kernel),
        "second through dw": jax.grad(functools.partial(penalty, 1), (0, 1))(x, kernel),
    }


def assert_trees_close(actual: Any, expected: Any, rtol: float) -> None:
    """Relative to the largest entry of each array."""

    def compare(path: Any, a: jax.Array, e: jax.Array) -> None:
        scale = float(jnp.max(jnp.abs(e)))
        np.testing.assert_allclose(a / scale, e / scale, rtol=0, atol=rtol, err_msg=jax.tree_util.keystr(path))

    jax.tree_util.tree_map_with_path(compare, actual, expected)


@pytest.mark.parametrize(("spatial", "size", "channels", "padding"), CASES, ids=map(case_name, CASES))
def test_value_and_two_derivatives_equal_those_of_lax(
    spatial: tuple[int, ...], size: tuple[int, ...], channels: tuple[int, int], padding: Padding
) -> None:
    x, kernel = make_inputs(spatial, size, channels)
    actual = jax.jit(lambda x, k: derivatives(lambda x, k: conv(x, k, padding), x, k))(x, kernel)
    expected = jax.jit(lambda x, k: derivatives(lambda x, k: plain_conv(x, k, padding), x, k))(x, kernel)
    assert_trees_close(actual, expected, 2e-6)


@pytest.mark.parametrize(
    ("spatial", "size"), [((7,), (3,)), ((6, 5), (3, 3)), ((5, 6), (4, 2)), ((3, 4, 5), (3, 2, 3))]
)
def test_value_equals_scipy(spatial: tuple[int, ...], size: tuple[int, ...]) -> None:
    x, kernel = (np.asarray(a, np.float64) for a in make_inputs(spatial, size))
    before, after = [(k - 1) // 2 for k in size], [k // 2 for k in size]
    padded = np.pad(x, [(0, 0), *zip(before, after, strict=True), (0, 0)])
    expected = np.zeros((2, *spatial, 4))
    for b in range(2):
        for o in range(4):
            expected[b, ..., o] = sum(correlate(padded[b, ..., c], kernel[..., c, o], "valid") for c in range(3))
    actual = conv(jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)


def test_bfloat16_stays_bfloat16_in_value_and_gradients() -> None:
    x, kernel = make_inputs((6, 5), (3, 3))

    def all_of(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, ...]:
        y, pullback = jax.vjp(conv, x, kernel)
        return (y, *pullback(jnp.ones_like(y)))

    half = jax.jit(all_of)(x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16))
    assert [a.dtype for a in half] == [jnp.bfloat16] * 3
    assert_trees_close([a.astype(jnp.float32) for a in half], list(jax.jit(all_of)(x, kernel)), 0.02)


def equations(jaxpr: Any) -> Iterator[Any]:
    """All equations, those of inner programs (scan, jit, custom gradients) included."""
    for equation in jaxpr.eqns:
        yield equation
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda v: hasattr(v, "eqns")):
            if inner := getattr(value, "jaxpr", value if hasattr(value, "eqns") else None):
                yield from equations(inner)


def is_fast(equation: Any) -> bool:
    """Stride 1, no dilation, no groups, and the layout NHWC x HWIO -> NHWC: the one that XLA's loops keep fast."""
    p = equation.params
    ones = (
        *p["window_strides"],
        *p["lhs_dilation"],
        *p["rhs_dilation"],
        p["feature_group_count"],
        p["batch_group_count"],
    )
    numbers = p["dimension_numbers"]
    standard = numbers.lhs_spec == numbers.out_spec == (0, 3, 1, 2) and numbers.rhs_spec == (3, 2, 0, 1)
    return standard and set(ones) == {1}


def penalised_training(conv_fn: Callable[..., jax.Array], kernel: jax.Array) -> jax.Array:
    """Two steps of descent on a loss with a gradient penalty, in a loop."""
    x = jnp.ones((2, 6, 6, 2))

    def loss(kernel: jax.Array) -> jax.Array:
        value, pullback = jax.vjp(lambda x: jnp.sum(jnp.sin(conv_fn(conv_fn(x, kernel), kernel))), x)
        return value + jnp.sum(jnp.square(pullback(jnp.ones(()))[0]))

    return lax.scan(lambda k, _: (k - jax.grad(loss)(k), None), kernel, length=2)[0]


def convolutions(conv_fn: Callable[..., jax.Array]) -> list[Any]:
    jaxpr = jax.make_jaxpr(functools.partial(penalised_training, conv_fn))(jnp.ones((3, 3, 2, 2))).jaxpr
    return [e for e in equations(jaxpr) if e.primitive.name == "conv_general_dilated"]


def test_gradients_in_a_loop_are_made_of_fast_convolutions_only() -> None:
    own, plain = convolutions(conv), convolutions(lambda x, k: plain_conv(x, k, None))
    assert len(own) >= 10
    assert all(map(is_fast, own))
    assert not all(map(is_fast, plain))  # what the convolution's own gradient is for


def kernel_gradient_is_fast() -> bool:
    """Whether the gradient is the convolution itself, and not XLA's, whose layout is another."""
    x, kernel = make_inputs((6, 5), (3, 3))
    jaxpr = jax.make_jaxpr(jax.grad(lambda kernel: jnp.sum(jnp.sin(conv(x, kernel)))))(kernel).jaxpr
    return all(is_fast(e) for e in equations(jaxpr) if e.primitive.name == "conv_general_dilated")


def test_own_gradient_is_used_on_the_cpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernel_gradient_is_fast()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert not kernel_gradient_is_fast()


def penalised(conv_fn: Callable[..., jax.Array], padding: Padding, x: jax.Array, kernel: jax.Array) -> Any:
    """Value and gradients of a curved function plus its squared gradient norm, so with second derivatives."""

    def loss(x: jax.Array, kernel: jax.Array) -> jax.Array:
        value, pullback = jax.vjp(lambda x, kernel: jnp.sum(jnp.sin(conv_fn(x, kernel, padding))), x, kernel)
        return value + sum(jnp.sum(jnp.square(g)) for g in pullback(jnp.ones(())))

    return jax.value_and_grad(loss, (0, 1))(x, kernel)


MEMBERS = 3


def members_inputs(axes: tuple[int | None, ...], case: tuple[Any, ...]) -> tuple[jax.Array, ...]:
    """x and kernel, with members in front where the axis is 0."""
    noise = np.random.default_rng(1)
    alone = make_inputs(case[0], case[1], case[2])
    parts = [a if axis is None else noise.standard_normal((MEMBERS, *a.shape), np.float32) / 3 for a, axis in
             zip(alone, axes, strict=True)]  # fmt: skip
    return tuple(map(jnp.asarray, parts))


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize("case", [CASES[5], CASES[8]], ids=case_name)
@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0)], ids=["images", "kernels", "both"])
def test_members_under_vmap_equal_one_after_another_to_second_derivatives(
    backend: str, axes: tuple[int | None, ...], case: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, padding = members_inputs(axes, case), case[3]
    alone = jax.jit(functools.partial(penalised, plain_conv, padding))
    each = [[a if axis is None else a[i] for a, axis in zip(inputs, axes, strict=True)] for i in range(MEMBERS)]
    expected = jax.tree.map(lambda *parts: jnp.stack(parts), *[alone(*args) for args in each])
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    together = jax.jit(jax.vmap(functools.partial(penalised, conv, padding), axes))(*inputs)
    assert_trees_close(together, expected, 3e-6)


@pytest.mark.parametrize(("backend", "num_in_turn"), [("cpu", True), ("gpu", False)])
def test_members_kernels_never_become_groups(backend: str, num_in_turn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = members_inputs((0, 0), CASES[2])

    def names(conv_fn: Callable[..., jax.Array]) -> tuple[set[str], set[int]]:
        found = list(equations(jax.make_jaxpr(jax.vmap(functools.partial(penalised, conv_fn, None)))(*inputs).jaxpr))
        groups = {g for e in found if e.primitive.name == "conv_general_dilated"
                  for g in (e.params["feature_group_count"], e.params["batch_group_count"])}  # fmt: skip
        return {e.primitive.name for e in found}, groups

    assert MEMBERS in names(plain_conv)[1]
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    primitives, groups = names(conv)
    assert groups <= {1}
    assert ("scan" in primitives) == ("conv_general_dilated" in primitives) == num_in_turn


@pytest.mark.parametrize("spatial", [(6,), (6, 5), (3, 4, 5)])
@pytest.mark.parametrize("use_bias", [True, False])
def test_conv_layer_keeps_size_and_adds_its_bias(spatial: tuple[int, ...], use_bias: bool) -> None:
    x, _ = make_inputs(spatial, (3,) * len(spatial))
    layer = Conv(5, kernel_size=3, use_bias=use_bias)
    params = jax.jit(layer.init)(jax.random.key(0), x)["params"]
    shapes = {"kernel": (*(3,) * len(spatial), 3, 5), "bias": (5,)}
    assert {name: value.shape for name, value in params.items()} == {n: shapes[n] for n in sorted(params, reverse=True)}
    assert ("bias" in params) == use_bias
    expected = plain_conv(x, params["kernel"], None)
    if use_bias:
        bias = jnp.arange(5, dtype=jnp.float32)
        params = {**params, "bias": bias}
        expected = expected + bias.reshape((1,) * (x.ndim - 1) + (5,))
    actual = jax.jit(layer.apply)({"params": params}, x)
    assert actual.shape == (2, *spatial, 5)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)


def test_conv_layer_computes_in_its_dtype_with_float32_parameters() -> None:
    x, _ = make_inputs((6, 5), (3, 3))
    y, variables = jax.eval_shape(Conv(5, dtype=jnp.bfloat16).init_with_output, jax.random.key(0), x)
    assert y.dtype == jnp.bfloat16
    assert {a.dtype for a in jax.tree.leaves(variables)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_initial_kernels_keep_the_second_moment_through_leaky_relu(scale: float) -> None:
    init = layers.he_init if scale == 1.0 else layers.scaled_init(scale)
    kernel = init(jax.random.key(3), (3, 3, 32, 128), jnp.float32)
    expected = scale * (2.0 / (1.0 + 0.2**2) / (3 * 3 * 32)) ** 0.5  # He et al. 2015, equation 15, fan in
    assert abs(float(jnp.std(kernel)) / expected - 1.0) < 0.02  # 36,864 draws: 0.4 % is one standard error
    assert abs(float(jnp.mean(kernel))) < 0.02 * expected


def test_leaky_relu() -> None:
    np.testing.assert_allclose(layers.leaky_relu(jnp.array([-2.0, 0.0, 3.0])), [-0.4, 0.0, 3.0])


@pytest.mark.parametrize("open_sizes", ["b", "b,d,h,w"])
@pytest.mark.parametrize("size", [1, 3])
def test_exported_volumes_of_open_sizes_are_convolved_by_slices_on_the_cpu_alone(open_sizes: str, size: int) -> None:
    x, kernel = make_inputs((4, 5, 6), (size,) * 3)
    sizes = {"b": x.shape[0], "d": 4, "h": 5, "w": 6}
    named = dict(zip(open_sizes.split(","), jax.export.symbolic_shape(open_sizes), strict=True))
    shape = (*(named.get(name, number) for name, number in sizes.items()), x.shape[-1])
    both = jax.export.export(jax.jit(lambda x: conv(x, kernel)), platforms=("cpu", "cuda"))
    program = both(jax.ShapeDtypeStruct(shape, jnp.float32))
    np.testing.assert_allclose(program.call(x), plain_conv(x, kernel, None), rtol=0, atol=1e-5)
    text = program.mlir_module()
    assert "[b, 0, 1, f]" in text  # of images
    assert "[b, 0, 1, 2, f]" in text  # of volumes


def test_volumes_within_a_larger_array_end_where_they_end() -> None:
    x, kernel = make_inputs((4, 5, 6), (3, 3, 3))
    layer, params = Conv(4, use_bias=False), {"params": {"kernel": kernel}}
    wide = jnp.pad(x, ((0, 0), (0, 2), (0, 3), (0, 2), (0, 0)), constant_values=7.0)
    with ends_at(wide.shape[1:-1], jnp.array([4, 5, 6])):
        found = jax.jit(layer.apply)(params, wide)[:, :4, :5, :6]
    np.testing.assert_allclose(found, plain_conv(x, kernel, None), rtol=0, atol=1e-5)
