"""The inverse networks: any size, exact reach, what is told and what is kept; and restorers by name."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.errors import InputError
from jaxgen.networks.initial_fill import fill
from jaxgen.networks.inverse import (
    DenseInverseNetwork,
    InverseNetwork,
    estimated_levels,
    join_planes,
    pad_to_multiple,
)
from jaxgen.networks.recurrent import RecurrentRestorer
from jaxgen.tasks.restoration.config import RestorationConfig
from jaxgen.tasks.restoration.restorers import make_restorer
from jaxgen.types import Observation

TINY = InverseNetwork(widths=(2, 3), depth=1)
DENSE = DenseInverseNetwork((5, 7, 2))


def noise(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).uniform(-1.0, 1.0, shape), jnp.float32)


def some_masks(b: int, h: int, w: int, seed: int = 1) -> jax.Array:
    return (noise(b, h, w, 1, seed=seed) > 0.0).astype(jnp.float32)


@functools.cache
def params_of(network: Any, shape: tuple[int, int, int]) -> Any:
    """Parameters moved off their small or zero beginnings, so that everything has an effect."""
    params = jax.eval_shape(network.init, jax.random.key(0), Observation(jnp.zeros((1, *shape))))["params"]
    draws = np.random.default_rng(0)
    return jax.tree.map(lambda a: jnp.asarray(0.3 * draws.standard_normal(a.shape), jnp.float32), params)


@functools.cache
def compiled(network: Any) -> Any:
    return jax.jit(lambda params, *inputs: network.apply({"params": params}, Observation(*inputs)))


def restore(network: Any, images: jax.Array, *told: Any) -> np.ndarray:
    return np.asarray(compiled(network)(params_of(network, images.shape[1:]), images, *told))


def test_planes_say_where_pixels_are_missing() -> None:
    images, masks = noise(2, 3, 4, 2), some_masks(2, 3, 4)
    planes = np.asarray(join_planes(Observation(images, masks)))
    np.testing.assert_array_equal(planes[..., :2], images)
    np.testing.assert_array_equal(planes[..., 2:3], 1 - np.asarray(masks))
    np.testing.assert_array_equal(planes[..., 3], 0.0)
    np.testing.assert_array_equal(np.asarray(join_planes(Observation(images)))[..., 2:], 0.0)


@pytest.mark.parametrize(("size", "padded"), [((1, 1), (4, 4)), ((5, 8), (8, 8)), ((4, 7), (4, 8))])
def test_padding_repeats_the_last_row_and_column(size: tuple[int, int], padded: tuple[int, int]) -> None:
    x = noise(2, *size, 3)
    rows, columns = (np.minimum(np.arange(n), edge - 1) for n, edge in zip(padded, size, strict=True))
    np.testing.assert_array_equal(pad_to_multiple(x, 4), np.asarray(x)[:, rows][:, :, columns])


@pytest.mark.parametrize("size", [(17, 23), (1, 1), (8, 3), (16, 8)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_any_size_and_one_to_four_channels(size: tuple[int, int], dtype: str) -> None:
    for c in (1, 2, 3, 4):
        network, images = TINY.clone(dtype=dtype), jnp.zeros((2, *size, c))
        out, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), Observation(images))
        assert (out.shape, out.dtype) == (images.shape, jnp.float32)
        assert set(variables) == {"params"}
        assert {a.dtype for a in jax.tree.leaves(variables)} == {np.dtype("float32")}


@pytest.mark.parametrize("size", [(6, 7), (1, 1)])
def test_odd_sizes_are_the_same_image_with_its_edge_repeated(size: tuple[int, int]) -> None:
    h, w = size
    images, masks = noise(2, h, w, 3), some_masks(2, h, w)
    pad = ((0, 0), (0, -h % 4), (0, -w % 4), (0, 0))
    larger = restore(TINY, *(jnp.asarray(np.pad(x, pad, mode="edge")) for x in (images, masks)))
    result = restore(TINY, images, masks)
    assert np.isfinite(result).all()
    np.testing.assert_allclose(result, larger[:, :h, :w], atol=1e-5)


STRUCTURES = {
    "one grid": InverseNetwork(widths=(2,), depth=2),
    "two grids": TINY,
    "two blocks": InverseNetwork(widths=(2, 2), blocks=2, depth=1),
    "three grids": InverseNetwork(widths=(2, 2, 2), depth=2),
    "recurrent": RecurrentRestorer(widths=(2,), blocks=1, iterations=2),
    "recurrent, two grids": RecurrentRestorer(widths=(2, 2), blocks=1, iterations=2),
}


SMALL = ("one grid", "recurrent")


@pytest.mark.parametrize(
    "network",
    [pytest.param(STRUCTURES[name], marks=() if name in SMALL else pytest.mark.slow, id=name) for name in STRUCTURES],
)
def test_halo_is_the_reach_and_hardly_more(network: Any) -> None:
    """Slopes of single pixels of a tall strip by all inputs; with positive weights no path cancels another."""
    middle, width = 64 if network.halo < 60 else 128, network.multiple
    height = 2 * middle
    params = jax.tree.map(lambda a: 0.1 * jnp.abs(a), params_of(network, (height, width, 1)))
    inputs = 0.1 * jnp.abs(noise(1, height, width, 1)), some_masks(1, height, width)

    def pixel(row: jax.Array, images: jax.Array, masks: jax.Array) -> jax.Array:
        return jnp.sum(network.apply({"params": params}, Observation(images, masks))[0, row, 0])

    rows = middle + jnp.arange(network.multiple)  # every place within the smallest grid
    slopes = jax.jit(jax.vmap(jax.grad(pixel, argnums=(1, 2)), in_axes=(0, None, None)))(rows, *inputs)
    for slope in slopes:
        place, seen, *_ = np.nonzero(np.asarray(slope)[:, 0])
        reach = np.abs(seen - np.asarray(rows)[place]).max()
        assert network.halo / 2 <= reach <= network.halo
        assert len(set(place)) == len(rows)


def test_nothing_changes_beyond_the_halo() -> None:
    images = noise(1, 96, 8, 1)
    before, after = restore(TINY, images), restore(TINY, images.at[0, 48].add(5.0))
    changed = np.flatnonzero((before != after)[0].any(axis=(1, 2)))
    assert np.abs(changed - 48).max() <= TINY.halo
    assert {48 - TINY.halo // 3, 48, 48 + TINY.halo // 3} <= set(changed)


def test_shifting_by_the_multiple_shifts_the_result() -> None:
    size = 2 * TINY.halo + 40
    strip = noise(1, size + 8, 4, 1)
    results = {start: restore(TINY, strip[:, start : start + size]) for start in (0, 1, TINY.multiple)}
    inside = slice(TINY.halo + TINY.multiple, size - TINY.halo)
    moved = {start: result[0, inside.start - start : inside.stop - start] for start, result in results.items()}
    np.testing.assert_allclose(moved[TINY.multiple], moved[0], atol=1e-5)
    assert np.abs(moved[1] - moved[0]).max() > 1e-2


@pytest.mark.parametrize("network", [TINY, DENSE], ids=["inverse", "dense"])
def test_without_masks_all_is_known(network: Any) -> None:
    images = noise(2, 5, 7, 2)
    without = restore(network, images, None, None)
    np.testing.assert_array_equal(restore(network, images, jnp.ones((2, 5, 7, 1)), None), without)
    assert (np.abs(restore(network, images, jnp.zeros((2, 5, 7, 1)), None) - without).max((1, 2, 3)) > 1e-3).all()


TOLD = InverseNetwork(widths=(4, 4), depth=1, repairs=("noise", "salt_and_pepper"))


def test_a_told_network_does_what_each_image_is_told() -> None:
    images = noise(3, 8, 8, 1)
    unknown = restore(TOLD, images, None, None)
    np.testing.assert_array_equal(restore(TOLD, images, None, jnp.full((3, 2), -1.0)), unknown)
    levels = jnp.array([[-1.0, -1.0], [0.1, -1.0], [0.1, 0.0]])
    told = np.abs(restore(TOLD, images, None, levels) - unknown).max((1, 2, 3))
    assert told[0] == 0.0
    assert (told[1:] > 1e-3).all()


def test_impulses_are_suspected_only_where_they_are_to_be_repaired() -> None:
    """At first a network returns the initial fill: of a white pixel in grey, what is around, or the pixel itself."""
    images = jnp.zeros((2, 8, 8, 1)).at[:, 3, 4].set(1.0)
    params = jax.tree.map(jnp.zeros_like, params_of(TOLD, (8, 8, 1)))
    restored = np.asarray(compiled(TOLD)(params, images, None, jnp.array([[0.1, 1.0], [0.1, 0.0]])))
    assert restored[0, 3, 4] < 0.2
    np.testing.assert_array_equal(restored[1], images[1])
    blind_to_them = TOLD.clone(repairs=("noise",))
    params = jax.tree.map(jnp.zeros_like, params_of(blind_to_them, (8, 8, 1)))
    np.testing.assert_array_equal(compiled(blind_to_them)(params, images, None, None), images)


def test_levels_are_estimated_for_each_image_alone() -> None:
    params, images = params_of(TOLD, (8, 8, 1)), noise(3, 16, 16, 1)
    estimate = jax.jit(functools.partial(estimated_levels, TOLD))
    together = np.asarray(estimate(params, images))
    assert together.shape == (3, 2)
    for i in range(3):
        np.testing.assert_allclose(estimate(params, images[i : i + 1])[0], together[i], rtol=1e-4, atol=1e-5)
    assert np.abs(together[0] - together[1]).max() > 1e-4


@pytest.mark.parametrize("network", [TINY, DENSE], ids=["inverse", "dense"])
def test_images_of_a_batch_do_not_meet(network: Any) -> None:
    images, masks = noise(3, 5, 7, 2), some_masks(3, 5, 7)
    together = restore(network, images, masks)
    order = jnp.array([2, 0, 1])
    np.testing.assert_allclose(restore(network, images[order], masks[order]), together[order], atol=1e-5)
    other = restore(network, images.at[0].set(0.0), masks.at[0].set(0.0))
    np.testing.assert_allclose(other[1:], together[1:], atol=1e-6)


@pytest.mark.parametrize("network", [TINY, DENSE], ids=["inverse", "dense"])
def test_known_pixels_are_kept_to_the_bit_and_the_others_restored(network: Any) -> None:
    images, masks, keeping = noise(2, 5, 7, 2), some_masks(2, 5, 7), network.clone(keeps_known=True)
    kept, usual = restore(keeping, images, masks), restore(network, images, masks)
    known = np.broadcast_to(np.asarray(masks) > 0, images.shape)
    assert 0 < known.sum() < known.size
    np.testing.assert_array_equal(kept[known], np.asarray(images)[known])
    np.testing.assert_allclose(kept[~known], usual[~known], atol=1e-6)
    assert (usual != np.asarray(images)).all()
    np.testing.assert_allclose(restore(keeping, images), restore(network, images), atol=1e-6)  # no mask: nothing known


def test_a_half_trusted_pixel_is_seen_and_not_kept() -> None:
    """As in the noise phase of a network that keeps known pixels."""
    keeping, images, half = TINY.clone(keeps_known=True), noise(2, 5, 7, 2), jnp.full((2, 5, 7, 1), 0.5)
    result = restore(keeping, images, half)
    assert (result != np.asarray(images)).all()
    assert (np.abs(restore(keeping, 0.5 * images, half) - result).max((1, 2, 3)) > 1e-2).all()


def test_training_starts_nearer_to_the_damaged_image_than_to_nothing() -> None:
    network, images = InverseNetwork(widths=(8, 8, 8), depth=1), noise(2, 8, 8, 3)
    out, _ = jax.jit(network.init_with_output)(jax.random.key(0), Observation(images))
    change = float(jnp.sqrt(jnp.mean(jnp.square(out - images)) / jnp.mean(jnp.square(images))))
    assert 0.0 < change < 0.8


def test_with_nothing_learned_missing_pixels_are_filled_and_black_and_white_ones_nearly() -> None:
    """All weights 0: no change, and the share sigmoid(-4) of what a pixel that may be salt or pepper is."""
    images = (
        noise(1, 16, 16, 2).at[0, 2, 3].set(1.0).at[0, 5, 5].set(-1.0).at[0, 6, 1, 0].set(1.0)
    )  # the last: one channel
    masks = jnp.ones((1, 16, 16, 1)).at[0, 1, 6].set(0.0)
    images = images * masks
    params = jax.tree.map(jnp.zeros_like, params_of(TINY, (16, 16, 2)))
    result = np.asarray(compiled(TINY)(params, images, masks))
    unknown = np.zeros((16, 16), bool)
    unknown[[2, 5, 1], [3, 5, 6]] = True
    np.testing.assert_array_equal(result[0][~unknown], np.asarray(images)[0][~unknown])
    known = jnp.asarray(~unknown, jnp.float32)[None, ..., None]
    filled = np.asarray(jax.jit(functools.partial(fill, levels=3))(images, known))[0]
    np.testing.assert_allclose(result[0, 1, 6], filled[1, 6], atol=1e-6)
    share = 1.0 / (1.0 + np.exp(4.0))
    np.testing.assert_allclose(result[0, 2, 3], share + (1 - share) * filled[2, 3], atol=1e-6)
    np.testing.assert_allclose(result[0, 5, 5], -share + (1 - share) * filled[5, 5], atol=1e-6)


def test_size_and_grids_of_the_dense_form() -> None:
    network, images = DenseInverseNetwork((28, 28, 1)), jnp.zeros((2, 28, 28, 1))

    def run(key: jax.Array) -> Any:
        return network.init_with_output(key, Observation(images), capture_intermediates=True)[1]

    found = jax.eval_shape(run, jax.random.key(0))
    convolutions = (3 * 3 * 3 + 1) * 32 + (3 * 3 * 128 + 1) * 64 + (3 * 3 * 256 + 1) * 128 + (3 * 3 * 512 + 1) * 256
    dense = (4 * 4 * 256 + 1) * 1024 + (1024 + 1) * 784
    assert sum(a.size for a in jax.tree.leaves(found["params"])) == convolutions + dense
    shapes = [found["intermediates"][f"Conv_{i}"]["__call__"][0].shape for i in range(4)]
    assert shapes == [(2, 28, 28, 32), (2, 14, 14, 64), (2, 7, 7, 128), (2, 4, 4, 256)]


def test_the_dense_form_fills_its_range_and_does_not_leave_it() -> None:
    calm, wild = restore(DENSE, noise(2, 5, 7, 2)), restore(DENSE, 1e3 * noise(2, 5, 7, 2))
    assert (calm.shape, calm.dtype) == ((2, 5, 7, 2), np.float32)
    assert wild.min() == -1.0
    assert wild.max() == 1.0


STRUCTURE = {"widths": (4, 6), "blocks": 2, "depth": 5, "iterations": 7}


@pytest.mark.parametrize("keep_known", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_restorers_by_name(keep_known: bool, dtype: Any) -> None:
    common: dict[str, Any] = {"keeps_known": keep_known, "dtype": dtype}
    expected = {
        "inverse": InverseNetwork(widths=(4, 6), blocks=2, depth=5, **common),
        "dense": DenseInverseNetwork(shape=(8, 9, 3), **common),
        "recurrent": RecurrentRestorer(widths=(4, 6), blocks=2, iterations=7, **common),
    }
    for name, network in expected.items():
        config = RestorationConfig(architecture=name, keep_known=keep_known, dtype=dtype, **STRUCTURE)
        assert make_restorer(config, (8, 9, 3)) == network


@pytest.mark.parametrize("channels", [0, 5])
def test_more_than_four_channels_are_refused(channels: int) -> None:
    with pytest.raises(InputError, match=f"channels: got {channels}; accepted: 1 to 4"):
        make_restorer(RestorationConfig(), (8, 8, channels))


def test_large_images_are_refused_for_the_dense_form_alone() -> None:
    dense = RestorationConfig(architecture="dense")
    make_restorer(dense, (64, 64, 1))
    with pytest.raises(InputError, match=r"image_size: got \(64, 65\); accepted: at most 64 x 64 for .*dense"):
        make_restorer(dense, (64, 65, 1))
    make_restorer(RestorationConfig(), (1000, 1000, 1))
