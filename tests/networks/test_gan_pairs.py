"""Every generator and discriminator: shapes, ranges, dtypes, independence of examples, accepted and refused sizes."""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.errors import InputError
from jaxgen.networks.resnet import ResidualBlock, stage_channels, stages
from jaxgen.tasks.gan.config import GanConfig
from jaxgen.tasks.gan.pairs import architecture_for, make_gan_pair

LATENT_DIM = 5
SIZES = {
    "mlp": [(5, 7), (1, 1)],
    "dcgan": [(28, 28), (32, 32), (28, 32)],
    "resnet": [*((n, n) for n in (8, 12, 28, 36, 64, 256)), (8, 12), (28, 32), (256, 8), (100, 48)],
}
ACCEPTED = [(name, (*size, c)) for name, sizes in SIZES.items() for size in sizes for c in (1, 2, 3, 4)]
RUN = [("mlp", (5, 7, 3)), ("dcgan", (28, 28, 1)), ("resnet", (16, 8, 3))]
"""Those that are run and not only traced."""


def make_pair(architecture: Any, shape: tuple[int, int, int], dtype: Any = "float32") -> tuple[Any, Any]:
    config = GanConfig(architecture=architecture, base_channels=2, latent_dim=LATENT_DIM, dtype=dtype)
    return make_gan_pair(config, shape)


@functools.cache
def initialised(architecture: str, shape: tuple[int, int, int]) -> tuple[Any, Any, Any, Any]:
    """The two networks as functions of (params, input), and their parameters moved off the zeros they start with."""

    def prepare(network: Any, example: jax.Array) -> tuple[Any, Any]:
        params = jax.jit(network.init)(jax.random.key(0), example)["params"]
        leaves, tree = jax.tree.flatten(params)
        noise = np.random.default_rng(0)
        params = tree.unflatten([a + 0.1 * noise.standard_normal(a.shape, np.float32) for a in leaves])
        return jax.jit(lambda params, x: network.apply({"params": params}, x)), params

    generator, discriminator = make_pair(architecture, shape)
    return *prepare(generator, jnp.zeros((1, LATENT_DIM))), *prepare(discriminator, jnp.zeros((1, *shape)))


def shapes_and_dtypes(network: Any, example: tuple[int, ...]) -> tuple[Any, Any]:
    out, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), jnp.zeros(example))
    assert set(variables) == {"params"}  # no batch statistics: no state but the parameters
    return (out.shape, out.dtype), {a.dtype for a in jax.tree.leaves(variables)}


@pytest.mark.parametrize(("architecture", "shape"), ACCEPTED)
def test_shapes_and_dtypes(architecture: str, shape: tuple[int, int, int]) -> None:
    for dtype in ("float32", "bfloat16"):
        generator, discriminator = make_pair(architecture, shape, dtype)
        assert shapes_and_dtypes(generator, (3, LATENT_DIM)) == (((3, *shape), jnp.float32), {np.dtype(np.float32)})
        assert shapes_and_dtypes(discriminator, (3, *shape)) == (((3,), jnp.float32), {np.dtype(np.float32)})


@pytest.mark.parametrize("base", [1, 3])
@pytest.mark.parametrize("architecture", ["mlp", "dcgan", "resnet"])
def test_any_width_is_accepted(architecture: Any, base: int) -> None:
    shape = (28, 28, 1)
    generator, discriminator = make_gan_pair(GanConfig(architecture, base_channels=base), shape)
    assert shapes_and_dtypes(generator, (3, 64))[0] == ((3, *shape), jnp.float32)
    assert shapes_and_dtypes(discriminator, (3, *shape))[0] == ((3,), jnp.float32)


@pytest.mark.parametrize("architecture", ["mlp", "dcgan", "resnet"])
def test_dtype_of_the_config_is_that_of_the_matrix_products(architecture: str) -> None:
    for dtype in ("float32", "bfloat16"):
        for network, example in zip(make_pair(architecture, (28, 28, 1), dtype), ((2, 5), (2, 28, 28, 1)), strict=True):
            x = jnp.zeros(example)
            params = jax.eval_shape(network.init, jax.random.key(0), x)
            text = str(jax.make_jaxpr(network.apply)(params, x))
            products = [line for line in text.splitlines() if "= dot_general[" in line or "= conv_general" in line]
            assert any(f":{'bf16' if dtype == 'bfloat16' else 'f32'}[" in line for line in products)
            assert dtype == "bfloat16" or "bf16" not in text


@pytest.mark.parametrize(("architecture", "shape"), RUN)
def test_images_fill_their_range_and_do_not_leave_it(architecture: str, shape: tuple[int, int, int]) -> None:
    render, params, _, _ = initialised(architecture, shape)
    wild = np.asarray(render(params, 1e3 * jax.random.normal(jax.random.key(1), (3, LATENT_DIM))))
    assert wild.min() < -0.95
    assert wild.max() > 0.95
    assert np.abs(wild).max() <= 1.0
    calm = np.asarray(render(params, jax.random.normal(jax.random.key(1), (3, LATENT_DIM))))
    assert calm.min() < 0.0 < calm.max()


@pytest.mark.parametrize(("architecture", "shape"), RUN)
def test_no_example_influences_another(architecture: str, shape: tuple[int, int, int]) -> None:
    render, g_params, score, d_params = initialised(architecture, shape)
    for network_fn, params, size in ((render, g_params, (LATENT_DIM,)), (score, d_params, shape)):
        x = jax.random.normal(jax.random.key(2), (3, *size))
        changed = x.at[1:].set(3.0)
        before, after = network_fn(params, x), network_fn(params, changed)
        np.testing.assert_array_equal(before[0], after[0])
        assert (np.asarray(before[1:]) != np.asarray(after[1:])).any(axis=tuple(range(1, before.ndim))).all()


@pytest.mark.parametrize(("architecture", "shape"), RUN)
def test_every_pixel_and_every_latent_matters(architecture: str, shape: tuple[int, int, int]) -> None:
    render, g_params, score, d_params = initialised(architecture, shape)
    image = 0.1 * jax.random.normal(jax.random.key(3), (1, *shape))
    slopes = jax.jit(jax.grad(lambda x: jnp.sum(score(d_params, x))))(image)
    assert float(np.mean(np.asarray(slopes) == 0)) < 0.01
    latents = jax.random.normal(jax.random.key(4), (1, LATENT_DIM))
    grads = jax.jit(jax.grad(lambda z: jnp.sum(jnp.sin(render(g_params, z)))))(latents)
    assert (np.asarray(grads) != 0).all()


def test_residual_block_starts_as_the_identity_and_can_leave_it() -> None:
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
    block = ResidualBlock(num_blocks=3)
    y, variables = jax.jit(block.init_with_output)(jax.random.key(1), x)
    np.testing.assert_array_equal(y, x)
    last = variables["params"]["Conv_1"]
    assert not np.any(last["kernel"])
    assert np.any(variables["params"]["Conv_0"]["kernel"])
    moved = {"params": {**variables["params"], "Conv_1": {**last, "bias": last["bias"] + 2.0}}}
    np.testing.assert_allclose(jax.jit(block.apply)(moved, x), x + 2.0, rtol=1e-6)


def test_stage_channels_double_at_each_halving_up_to_eight_times() -> None:
    assert stage_channels(4, 3) == (16, 8, 4)
    assert stage_channels(2, 6) == (16, 16, 16, 8, 4, 2)


def test_mlp_is_the_pair_of_the_source() -> None:
    generator, discriminator = make_gan_pair(
        GanConfig(architecture="mlp", latent_dim=64, base_channels=32), (28, 28, 1)
    )

    def layout(network: Any, example: tuple[int, ...]) -> dict[str, Any]:
        variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros(example))
        return jax.tree.map(lambda a: a.shape, variables["params"])

    assert layout(generator, (1, 64)) == {
        "Dense_0": {"kernel": (64, 1024), "bias": (1024,)},
        "Dense_1": {"kernel": (1024, 784), "bias": (784,)},
    }
    assert layout(discriminator, (1, 28, 28, 1)) == {
        "Dense_0": {"kernel": (784, 1024), "bias": (1024,)},
        "Dense_1": {"kernel": (1024, 1), "bias": (1,)},
    }


def test_mlp_equals_its_formula() -> None:
    shape = (5, 7, 3)
    render, g_params, score, d_params = initialised("mlp", shape)

    def hidden_then_linear(params: Any, x: np.ndarray) -> np.ndarray:
        p = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
        hidden = np.maximum(x @ p["Dense_0"]["kernel"] + p["Dense_0"]["bias"], 0.0)
        return hidden @ p["Dense_1"]["kernel"] + p["Dense_1"]["bias"]

    noise = np.random.default_rng(0)
    latents = noise.standard_normal((4, LATENT_DIM))
    images = 2.0 / (1.0 + np.exp(-hidden_then_linear(g_params, latents))) - 1.0  # sigmoid, from [0, 1] to [-1, 1]
    np.testing.assert_allclose(
        render(g_params, jnp.asarray(latents, jnp.float32)), images.reshape(4, *shape), atol=1e-5
    )
    inputs = noise.standard_normal((4, *shape))
    logits = hidden_then_linear(d_params, inputs.reshape(4, -1))[:, 0]
    np.testing.assert_allclose(score(d_params, jnp.asarray(inputs, jnp.float32)), logits, rtol=1e-4, atol=1e-4)


REFUSED = [
    *itertools.product(["dcgan"], [(20, 20, 1), (64, 64, 3), (28, 36, 1), (30, 28, 1)]),
    *itertools.product(["resnet"], [(4, 4, 1), (10, 10, 1), (30, 30, 3), (260, 260, 3), (8, 14, 1)]),
]


@pytest.mark.parametrize(("architecture", "shape"), REFUSED)
def test_refused_sizes_are_named_with_the_pairs_that_take_them(architecture: str, shape: tuple[int, int, int]) -> None:
    able = "mlp" if architecture == "resnet" or shape[0] == 30 else "resnet or mlp"
    said = rf"^image_size: got \({shape[0]}, {shape[1]}\); accepted: .*{architecture}; this size is for {able}$"
    with pytest.raises(InputError, match=said):
        make_pair(architecture, shape)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((28, 28), "dcgan"), ((32, 28), "dcgan"), ((48, 48), "resnet"), ((64, 96), "resnet"), ((30, 30), "mlp")],
)
def test_auto_is_the_first_that_fits(size: tuple[int, int], expected: str) -> None:
    assert architecture_for((*size, 3)) == expected
    pairs = make_pair("auto", (*size, 3)), make_pair(expected, (*size, 3))
    assert pairs[0] == pairs[1]


def test_auto_takes_no_network_beyond_256_px() -> None:
    with pytest.raises(InputError, match=r"^image_size: got \(512, 8\); accepted: .*256 px.*--architecture mlp"):
        architecture_for((512, 8, 3))


def test_sides_are_halved_together() -> None:
    for size, expected in {(28, 28): (3, (7, 7)), (28, 32): (3, (7, 8)), (8, 256): (2, (4, 128))}.items():
        assert stages(size) == expected


@pytest.mark.parametrize("architecture", ["mlp", "dcgan", "resnet"])
@pytest.mark.parametrize("channels", [0, 5])
def test_refused_channels_are_named(architecture: str, channels: int) -> None:
    with pytest.raises(InputError, match=f"^channels: got {channels}; accepted: 1 to 4"):
        make_pair(architecture, (28, 28, channels))
