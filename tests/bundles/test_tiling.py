"""Tiles: the result of the whole image at every size, and few window shapes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.bundles.tiling import (
    GRAIN,
    choose_window,
    in_windows,
    restore_tiled,
    restored_tiles,
    spans,
    windows,
)
from jaxgen.bundles.volume_tiles import largest_tile
from jaxgen.errors import InputError
from jaxgen.networks.layers import conv, depth_to_space, leaky_relu, space_to_depth

MULTIPLE = 4
HALO = 13
"""Radii of the convolutions in pixels, 1 + 2 + 4 + 2 + 1, and 3 as a pixel may lie anywhere in a block of 4."""


SHAPES = [(4, 4), (16, 4), (16, 16), (4, 12), (3, 3)]
"""Channels: image and known 4 -> 4; halved 16 -> 4; halved again 16 -> 16; doubled 4 -> 12; doubled again 3 -> 3."""
NOISE = np.random.default_rng(1)
KERNELS = [(NOISE.normal(size=(3, 3, *shape)) / (9 * shape[0]) ** 0.5).astype(np.float32) for shape in SHAPES]


@jax.jit
def network(images: jax.Array, known: jax.Array) -> jax.Array:
    """A little U on two coarser grids; sizes that are no multiples are continued by edge values and cut again."""
    _, h, w, _ = images.shape
    x = jnp.concatenate([images, known], axis=-1)
    x = jnp.pad(x, ((0, 0), (0, -h % MULTIPLE), (0, -w % MULTIPLE), (0, 0)), mode="edge")
    first, second, third, fourth, last = map(jnp.asarray, KERNELS)
    x = leaky_relu(conv(x, first) + 0.3)
    x = leaky_relu(conv(space_to_depth(x), second) - 0.2)
    x = leaky_relu(conv(space_to_depth(x), third) + 0.1)
    x = leaky_relu(conv(depth_to_space(x), fourth))
    return (images + conv(depth_to_space(x), last)[:, :h, :w]).clip(-2.0, 2.0)


def example(height: int, width: int, dtype: type = np.uint8) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(height * 1000 + width)
    pixels = generator.integers(0, np.iinfo(dtype).max, (height, width, 3), dtype, endpoint=True)
    return pixels, generator.random((height, width)) < 0.5


@functools.cache
def whole(height: int, width: int) -> np.ndarray:
    """The network on all of the image at once."""
    pixels, known = example(height, width)
    image = pixels[None].astype(np.float32) / 127.5 - 1.0
    return np.asarray(network(jnp.asarray(image), jnp.asarray(known[None, ..., None], jnp.float32)))[0]


def assembled(height: int, width: int, halo: int, tile: int = 24) -> np.ndarray:
    pixels, known = example(height, width)
    result = np.full(pixels.shape, np.nan, np.float32)
    for place, values in restored_tiles(network, pixels, known, tile=tile, halo=halo, multiple=MULTIPLE):
        assert np.isnan(result[place]).all(), "given twice"
        result[place] = values
    return result


SIZES = [(150, 201), (129, 64), (1, 190), (177, 1), (5, 3), (100, 98), (128, 131)]


@pytest.mark.parametrize("size", SIZES)
def test_tiles_equal_the_whole_image(size: tuple[int, int]) -> None:
    np.testing.assert_allclose(assembled(*size, HALO), whole(*size), rtol=0, atol=1e-5)


def test_the_whole_image_was_not_simply_taken_whole() -> None:
    shapes = []

    def apply_fn(images: np.ndarray, known: np.ndarray) -> np.ndarray:
        shapes.append(images.shape)
        assert known.shape == (*images.shape[:3], 1)
        assert images.dtype == known.dtype == np.float32
        return images

    restore_tiled(apply_fn, *example(150, 201), tile=24, halo=HALO, multiple=MULTIPLE)
    assert len(shapes) > 8
    assert set(shapes) == {(1, 64, 64, 3)}


@pytest.mark.parametrize("halo", [0, 4, 8])
def test_too_small_a_halo_differs(halo: int) -> None:
    """So the network does look that far, and the comparison above can fail."""
    assert np.abs(assembled(150, 201, halo, tile=64) - whole(150, 201)).max() > 1e-4


def test_a_wrong_multiple_differs() -> None:
    pixels, known = example(150, 201)
    tiles = restored_tiles(network, pixels, known, tile=38, halo=HALO, multiple=1)
    assert max(np.abs(values - whole(150, 201)[place]).max() for place, values in tiles) > 1e-3


@settings(deadline=None, max_examples=300)
@given(
    size=st.integers(1, 3000),
    tile=st.integers(1, 700),
    halo=st.integers(0, 150),
    multiple=st.sampled_from([1, 2, 4, 8, 6, 128]),
)
def test_spans(size: int, tile: int, halo: int, multiple: int) -> None:
    found = spans(size, tile=tile, halo=halo, multiple=multiple)
    padded = -(-size // multiple) * multiple
    assert [span.first for span in found] == [0, *[span.last for span in found[:-1]]]
    assert found[-1].last == size
    assert len({span.stop - span.start for span in found}) == 1
    for span in found:
        assert span.first < span.last
        assert 0 <= span.start <= span.first
        assert span.last <= span.stop <= padded
        assert span.start % multiple == span.stop % multiple == 0
        assert span.start == 0 or span.first - span.start >= halo
        assert span.stop == padded or span.stop - span.last >= halo
    grain = -(-GRAIN // multiple) * multiple
    assert found[0].stop - found[0].start <= tile + 2 * (halo + multiple) + grain


def test_photos_of_all_sizes_share_few_windows() -> None:
    """A window that is not whole lies on the grain; whole ones are small."""
    windows = {span.stop - span.start for size in range(1, 5000) for span in spans(size, tile=512, halo=62, multiple=2)}
    large = {window for window in windows if window > 2 * 62 + 2 * GRAIN}
    assert large <= set(range(0, 640 + 1, GRAIN))
    assert len(windows) - len(large) <= (2 * 62 + 2 * GRAIN) // 2


def test_small_pictures_share_one_window_and_large_ones_few() -> None:
    layout = {"tile": 512, "halo": 137, "multiple": 8}
    edges = {size: choose_window((size, size), **layout) for size in range(1, 3000, 7)}
    assert len({edge for size, edge in edges.items() if 190 <= size <= 270}) == 1
    assert len(set(edges.values())) <= 5
    assert all(edge >= size or edge > 2 * 137 for size, edge in edges.items())
    assert max(edges.values()) <= 512 + 2 * 137 + GRAIN
    with pytest.raises(InputError, match="tile: got 0"):
        choose_window((4, 4), tile=0, halo=0, multiple=1)


@pytest.mark.parametrize("size", [(150, 70), (5, 3), (64, 64)])
def test_the_windows_of_one_size_hold_the_whole_image(size: tuple[int, int]) -> None:
    """The network is told where the image ends; here it is cut there, which is what it must do."""
    pixels, known = example(*size)
    shapes = set()

    def apply_fn(images: np.ndarray, known: np.ndarray, extent: np.ndarray) -> np.ndarray:
        shapes.add(images.shape)
        h, w = extent
        return np.pad(network(images[:, :h, :w], known[:, :h, :w]), ((0, 0), (0, 64 - h), (0, 64 - w), (0, 0)))

    layout = {"tile": 24, "halo": HALO, "multiple": MULTIPLE, "window": 64}
    for place, values in restored_tiles(in_windows(apply_fn, 64), pixels, known, **layout):
        np.testing.assert_allclose(values, whole(*size)[place], rtol=0, atol=1e-5)
    assert shapes == {(1, 64, 64, 3)}


@pytest.mark.parametrize("sizes", [(150, 70), (90, 40, 131), (400, 300, 350)])
def test_the_largest_tile_whose_windows_fit(sizes: tuple[int, ...]) -> None:
    layout, most = {"halo": 12, "multiple": 4, "grain": 1}, 64 ** len(sizes)

    def pixels(tile: int) -> int:
        return max(np.prod([s.stop - s.start for s in w]) for w in windows(sizes, tile=tile, **layout))

    tile = largest_tile(sizes, most, **layout)
    assert pixels(tile) <= most < pixels(tile + 4)
    assert len(windows(sizes, tile=largest_tile(sizes, 10**9, **layout), **layout)) == 1
    assert largest_tile(sizes, 1, **layout) == 12


def test_tiles_cover_a_volume_once_and_floats_are_not_rounded() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (21, 18, 25, 2)).astype(np.float32)
    known = np.random.default_rng(1).random((21, 18, 25)) < 0.5
    counts = np.zeros(x.shape, int)
    for place, values in restored_tiles(lambda x, k: x * k, x, known, tile=5, halo=2, multiple=4, grain=1):
        counts[place] += 1
        np.testing.assert_array_equal(values, (x * known[..., None])[place])
    assert (counts == 1).all()
    found = restore_tiled(lambda x, k: 2 * x, x, tile=5, halo=2, multiple=4, grain=1)
    np.testing.assert_array_equal(found, 2 * x)


def test_large_photos_are_not_computed_twice() -> None:
    """The windows of 6000 pixels hold at most a third more than tile and halo ask for."""
    found = spans(6000, tile=512, halo=62, multiple=2)
    assert sum(span.stop - span.start for span in found) <= 6000 * (512 + 2 * 62) / 512 * 1.1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_value_comes_back(dtype: type) -> None:
    largest = np.iinfo(dtype).max
    pixels = np.arange(largest + 1, dtype=dtype).reshape(-1, 128, 1)
    restored = restore_tiled(lambda images, known: images, pixels, tile=64, halo=0, multiple=1)
    assert restored.dtype == dtype
    np.testing.assert_array_equal(restored, pixels)
    mirrored = restore_tiled(lambda images, known: -images, pixels, tile=64, halo=0, multiple=1)
    np.testing.assert_array_equal(mirrored, largest - pixels)


def test_values_beyond_the_range_are_clipped_and_rounded() -> None:
    pixels = np.zeros((1, 4, 1), np.uint8)
    values = np.array([-1.5, 1.5, 0.0039, -0.005], np.float32).reshape(1, 1, 4, 1)  # 127.997 and 126.86 of 255
    restored = restore_tiled(lambda images, known: values, pixels, tile=64, halo=0, multiple=1)
    np.testing.assert_array_equal(restored[0, :, 0], [0, 255, 128, 127])


def test_all_is_known_where_nothing_is_given_and_masks_are_continued_at_the_edge() -> None:
    pixels, known = example(3, 5)
    seen = []

    def apply_fn(images: np.ndarray, known: np.ndarray) -> np.ndarray:
        seen.append(known)
        return images

    restore_tiled(apply_fn, pixels, tile=8, halo=1, multiple=4)
    restore_tiled(apply_fn, pixels, known, tile=8, halo=1, multiple=4)
    assert seen[0].all()
    np.testing.assert_array_equal(seen[1][0, :3, :5, 0], known)
    np.testing.assert_array_equal(seen[1][0, 3, :5, 0], known[2])
    np.testing.assert_array_equal(seen[1][0, :3, 6, 0], known[:, 4])


def test_watch_counts_to_the_end() -> None:
    seen = []
    pixels, _ = example(150, 201)
    restore_tiled(
        lambda images, known: images, pixels, tile=24, halo=4, multiple=4, watch=lambda *marks: seen.append(marks)
    )
    total = seen[0][1]
    assert total > 4
    assert seen == [(done, total) for done in range(1, total + 1)]


def test_refusals() -> None:
    pixels, _ = example(2, 2)
    with pytest.raises(FloatingPointError, match="rows 0 to 2"):
        restore_tiled(lambda images, known: images * np.float32(np.nan), pixels, tile=8, halo=0, multiple=1)
    with pytest.raises(InputError, match="tile: got 0"):
        restore_tiled(lambda images, known: images, pixels, tile=0, halo=0, multiple=1)
