"""Rearrangement and blurred resampling against hand-made examples, ramps and the dot-product test."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.networks import layers
from jaxgen.networks.layers import stage_sizes

space_to_depth, depth_to_space, upsample, downsample = map(
    jax.jit, (layers.space_to_depth, layers.depth_to_space, layers.upsample, layers.downsample)
)

SPATIAL = [(6,), (2, 4), (2, 4, 6)]


def test_space_to_depth_by_hand() -> None:
    image = jnp.arange(16.0).reshape(1, 4, 4, 1)
    blocks = [[[0, 1, 4, 5], [2, 3, 6, 7]], [[8, 9, 12, 13], [10, 11, 14, 15]]]
    np.testing.assert_array_equal(space_to_depth(image)[0], blocks)
    np.testing.assert_array_equal(depth_to_space(jnp.asarray([blocks], jnp.float32)), image)


def test_channels_of_one_pixel_stay_together() -> None:
    image = jnp.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], jnp.float32)[None]  # 2 x 2 pixels of 2 channels
    np.testing.assert_array_equal(space_to_depth(image), np.arange(1, 9).reshape(1, 1, 1, 8))


def test_space_to_depth_of_a_volume_by_hand() -> None:
    volume = jnp.zeros((1, 4, 2, 2, 1)).at[0, 2, 1, 0, 0].set(1.0).at[0, 1, 0, 1, 0].set(2.0)
    expected = np.zeros((1, 2, 1, 1, 8))
    expected[0, 1, 0, 0, 0b010] = 1.0  # time 2 = block 1, offset 0; height offset 1; width offset 0
    expected[0, 0, 0, 0, 0b101] = 2.0
    np.testing.assert_array_equal(space_to_depth(volume), expected)
    np.testing.assert_array_equal(depth_to_space(jnp.asarray(expected, jnp.float32)), volume)


@settings(max_examples=15, deadline=None)
@given(blocks=st.lists(st.integers(1, 3), min_size=1, max_size=3), b=st.integers(1, 2), c=st.integers(1, 3))
def test_rearrangements_undo_each_other(blocks: list[int], b: int, c: int) -> None:
    n = len(blocks)
    x = np.arange(b * c * 2**n * np.prod(blocks), dtype=np.float32).reshape(b, *(2 * s for s in blocks), c)
    deep = space_to_depth(jnp.asarray(x))
    assert deep.shape == (b, *blocks, c * 2**n)
    np.testing.assert_array_equal(depth_to_space(deep), x)
    y = x.reshape(b, *blocks, c * 2**n)
    np.testing.assert_array_equal(space_to_depth(depth_to_space(jnp.asarray(y))), y)


def test_upsample_by_hand() -> None:
    x = jnp.array([0.0, 4.0, 12.0]).reshape(1, 3, 1)
    np.testing.assert_allclose(upsample(x).ravel(), [0.0, 1.0, 3.0, 6.0, 10.0, 12.0])


def test_downsample_by_hand() -> None:
    x = jnp.array([8.0, 0.0, 16.0, 24.0, 0.0, 40.0]).reshape(1, 6, 1)
    # [1, 3, 3, 1] / 8 with the edges repeated: (8, 8, 0, 16), (0, 16, 24, 0), (24, 0, 40, 40)
    np.testing.assert_allclose(downsample(x).ravel(), [48.0 / 8, 120.0 / 8, 184.0 / 8])


@pytest.mark.parametrize("spatial", SPATIAL)
def test_constants_are_kept(spatial: tuple[int, ...]) -> None:
    x = jnp.full((2, *spatial, 3), 1.5)
    np.testing.assert_allclose(upsample(x), np.full((2, *(2 * s for s in spatial), 3), 1.5))
    np.testing.assert_allclose(downsample(x), np.full((2, *(s // 2 for s in spatial), 3), 1.5))


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_ramps_are_kept_in_the_interior(axis: int) -> None:
    def ramp(size: int, offset: float, slope: float) -> np.ndarray:
        shape = np.ones(5, int)
        shape[axis] = size
        return (offset + slope * np.arange(size, dtype=np.float32)).reshape(shape)

    inside = [slice(None)] * 5
    inside[axis] = slice(1, -1)
    x = jnp.asarray(np.broadcast_to(ramp(8, 0.0, 1.0), [1, *(8 if a == axis else 2 for a in (1, 2, 3)), 1]))
    # pixel centres: fine pixel j sits at (j - 1/2) / 2 on the coarse grid, coarse pixel i at 2 i + 1/2 on the fine one
    finer, coarser = np.asarray(upsample(x)), np.asarray(downsample(x))
    np.testing.assert_allclose(finer[tuple(inside)], np.broadcast_to(ramp(16, -0.25, 0.5), finer.shape)[tuple(inside)])
    np.testing.assert_allclose(coarser[tuple(inside)], np.broadcast_to(ramp(4, 0.5, 2.0), coarser.shape)[tuple(inside)])


@pytest.mark.parametrize("spatial", [(3,), (4, 1), (2, 1, 3)])
def test_downsample_is_the_scaled_transpose_of_upsample(spatial: tuple[int, ...]) -> None:
    key_x, key_y = jax.random.split(jax.random.key(0))
    x = jax.random.normal(key_x, (2, *spatial, 3))
    y = jax.random.normal(key_y, (2, *(2 * s for s in spatial), 3))
    products = jax.jit(lambda x, y: (jnp.vdot(upsample(x), y), 2 ** len(spatial) * jnp.vdot(x, downsample(y))))
    left, right = products(x, y)
    assert float(left) == pytest.approx(float(right), rel=1e-4, abs=1e-4)


def test_resampling_acts_on_each_channel_alone_and_keeps_bfloat16() -> None:
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 2))
    for resample in (upsample, downsample):
        assert resample(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
        np.testing.assert_allclose(resample(x)[..., 1:], resample(x[..., 1:]))


@pytest.mark.parametrize(
    ("image_size", "sizes"),
    [
        (8, (4, 8)),
        (12, (6, 12)),
        (20, (5, 10, 20)),
        (28, (7, 14, 28)),
        (32, (4, 8, 16, 32)),
        (36, (9, 18, 36)),
        (5, (5,)),
    ],
)
def test_stage_sizes(image_size: int, sizes: tuple[int, ...]) -> None:
    assert tuple(stage_sizes(image_size)) == sizes


def test_stage_sizes_stop_at_the_smallest() -> None:
    assert tuple(stage_sizes(32, smallest=8)) == (8, 16, 32)
