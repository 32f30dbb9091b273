"""Operations counted: closed forms, XLA's own count, and loops as often as they run."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from experiments.benchmarks import common, flops
from jaxgen.networks.layers import conv
from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.tasks.gan.config import GanConfig, GanHparams

A, B = jax.ShapeDtypeStruct((5, 7), "float32"), jax.ShapeDtypeStruct((7, 3), "float32")
PRODUCT = 2 * 5 * 7 * 3


def test_products_and_loops():
    assert flops.count_flops(jnp.matmul, A, B) == PRODUCT
    assert flops.count_flops(lambda a, b: jnp.einsum("bij,bjk->bik", a[None], b[None]) + 1.0, A, B) == PRODUCT
    assert flops.count_flops(lambda a, b: lax.map(lambda i: a @ b * i, jnp.arange(4.0)), A, B) == 4 * PRODUCT
    assert flops.count_flops(lambda a, b: jax.jit(jnp.matmul)(a, b), A, B) == PRODUCT
    assert flops.count_flops(lambda a, b: lax.cond(a[0, 0] > 0, lambda: a @ b, lambda: (2 * a) @ b), A, B) == PRODUCT


def test_what_no_result_needs_is_not_counted():
    def wasteful(a, b):
        a @ b
        return a + 1.0

    assert flops.count_flops(wasteful, A, B) == 0


def test_a_loop_of_unknown_length_is_refused():
    with pytest.raises(ValueError, match="length"):
        flops.count_flops(lambda a: lax.while_loop(lambda x: x[0, 0] < 9, lambda x: x @ x, a[:5, :5]), A)


def test_convolutions_count_what_meets_a_pixel():
    x, kernel = jax.ShapeDtypeStruct((2, 6, 5, 3), "float32"), jax.ShapeDtypeStruct((3, 3, 3, 4), "float32")
    # on an axis of n pixels, zeros around: n pixels meet 3 taps each, less the two at the ends
    assert flops.count_flops(conv, x, kernel) == 2 * 2 * 3 * 4 * (3 * 6 - 2) * (3 * 5 - 2)


@pytest.mark.parametrize(
    ("strides", "lhs_dilation", "rhs_dilation", "groups"),
    [
        ((1, 1), (1, 1), (1, 1), 1),
        ((2, 2), (1, 1), (1, 1), 1),
        ((1, 1), (2, 2), (1, 2), 1),
        ((1, 1), (1, 1), (1, 1), 2),
    ],
)
def test_convolutions_count_as_xla_counts_them(strides, lhs_dilation, rhs_dilation, groups):
    layout = ("NHWC", "HWIO", "NHWC")

    def convolve(x, kernel):
        return lax.conv_general_dilated(
            x, kernel, strides, ((1, 2), (0, 1)), lhs_dilation, rhs_dilation, layout, feature_group_count=groups
        )

    x, kernel = jax.ShapeDtypeStruct((2, 6, 5, 4), "float32"), jax.ShapeDtypeStruct((3, 3, 4 // groups, 8), "float32")
    expected = jax.jit(convolve).lower(x, kernel).cost_analysis()["flops"]
    assert flops.count_flops(convolve, x, kernel) == expected


def test_a_whole_step_counts_as_xla_counts_it():
    """But for what is not a product: below 2% of a step with convolutions."""
    gan, hparams = make_gan(GanConfig(), (28, 28, 1), 4), vars(GanHparams(schedule_images=100.0))
    counted = flops.step_flops(gan, hparams, (28, 28, 1))
    state = jax.eval_shape(gan.init, jax.random.key(0), hparams)
    batch = {"images": jax.ShapeDtypeStruct((4, 28, 28, 1), "uint8")}
    expected = jax.jit(gan.step).lower(state, batch, jax.random.key(0)).cost_analysis()["flops"]
    # the optimizer's work does not grow with the batch, so it is a large part of a step of four images
    work = 20 * sum(leaf.size for leaf in jax.tree.leaves(state.params))
    assert counted <= expected <= 1.02 * counted + work


def test_share_is_that_of_the_rate_in_the_same_rounds():
    top = common.Timing(0.5, 0.4, 0.6, 1.0)
    assert flops.achieved(2.0, 3e9, top, 2e9) == {"gflops_per_second": 1.5, "share_of_matmul": 0.375}
