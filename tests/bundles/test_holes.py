"""The middle of large holes: exact on flat pictures and ramps, known pixels to the bit, near SciPy's exact solution."""

import itertools

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import spsolve

from jaxgen.bundles.holes import RIM, TENSION, fill, fill_large_holes


def ramp(*sizes: int, slopes: tuple[float, ...] = (0.6, -0.9, 0.3)) -> np.ndarray:
    """(*sizes, 2) in [-1, 1]: a linear function of the place, and a constant."""
    places = np.meshgrid(*(np.linspace(-1, 1, n) for n in sizes), indexing="ij")
    linear = sum(slope * place for slope, place in zip(slopes, places, strict=False))
    return np.stack([linear / np.abs(linear).max(), np.full(sizes, 0.3)], axis=-1).astype(np.float32)


def with_hole(sizes: tuple[int, ...], first: int, width: int) -> np.ndarray:
    known = np.ones(sizes, bool)
    known[tuple(slice(first, first + width) for _ in sizes)] = False
    return known


@pytest.mark.parametrize("first", [0, 3, 20])
@pytest.mark.parametrize(
    ("sizes", "width"), [((64, 64), 11), ((130, 121), 96), ((256, 256), 200), ((300, 40), 14), ((30, 34, 31), 11)]
)
def test_flat_pictures_and_ramps_are_continued_exactly(sizes: tuple[int, ...], width: int, first: int) -> None:
    clean, known = ramp(*sizes), with_hole(sizes, first, width)
    given = np.where(known[..., None], clean, np.float32(9))
    filled, now_known = fill_large_holes(given, known)
    depth = np.minimum.reduce(
        [
            np.broadcast_to(_depth(n, first, width).reshape([-1 if i == j else 1 for j in range(len(sizes))]), sizes)
            for i, n in enumerate(sizes)
        ]
    )
    middle = ~known & (depth > RIM)
    assert middle.any()
    np.testing.assert_array_equal(now_known, known | middle)
    np.testing.assert_allclose(filled[middle], clean[middle], atol=1e-5)
    np.testing.assert_array_equal(filled[~middle], given[~middle])


@pytest.mark.parametrize("axis", [0, 1])
def test_a_flat_picture_is_continued_from_one_line(axis: int) -> None:
    known = np.zeros((40, 50), bool)
    known[(slice(None),) * axis + (0,)] = True
    filled, _ = fill_large_holes(np.full((40, 50, 1), 200, np.uint8), known)
    np.testing.assert_array_equal(filled, np.full((40, 50, 1), 200))


def _depth(size: int, first: int, width: int) -> np.ndarray:
    """How far each place along an axis is from known ones; where the hole touches the border there are none."""
    places = np.arange(size)
    before = places - first + 1 if first > 0 else np.full(size, size)
    after = first + width - places if first + width < size else np.full(size, size)
    return np.minimum(before, after)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.8])
def test_without_large_holes_nothing_is_touched(share: float) -> None:
    noise = np.random.default_rng(0)
    pixels, known = noise.integers(0, 256, (200, 190, 3), np.uint8), noise.random((200, 190)) >= share
    known[100 : 100 + 2 * RIM, 50:90] = False  # one pixel too low
    known[99, 50:90] = known[100 + 2 * RIM, 50:90] = True
    filled, masks = fill_large_holes(pixels, known)
    assert filled is pixels
    assert masks is known


def test_nothing_known_stays_as_it_is() -> None:
    pixels, known = np.full((40, 50, 3), 7, np.uint8), np.zeros((40, 50), bool)
    assert fill_large_holes(pixels, known)[0] is pixels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_whole_numbers_are_rounded_and_stay_in_range(dtype: type) -> None:
    top = np.iinfo(dtype).max
    clean = np.broadcast_to(np.linspace(0, top, 90).round().astype(dtype)[:, None, None], (90, 80, 1))
    known = with_hole((90, 80), 30, 48)
    filled, there = fill_large_holes(np.where(known[..., None], clean, dtype(0)), known)
    assert filled.dtype == dtype
    np.testing.assert_allclose(
        filled[there], clean[there].astype(float), atol=1 + top * 5e-5
    )  # the ramp itself is rounded
    noisy = np.random.default_rng(0).choice([0, top], (90, 80, 1)).astype(dtype)
    assert fill_large_holes(noisy, known)[0].shape == noisy.shape


def energy(sizes: tuple[int, ...]) -> sparse.csr_array:
    """The matrix of |D^2 x|^2 + TENSION |D x|^2, from Kronecker products of differences."""

    def along(axis: int, matrix: sparse.csr_array, sizes: list[int]) -> sparse.csr_array:
        found = sparse.eye_array(1)
        for i, n in enumerate(sizes):
            found = sparse.kron(found, matrix if i == axis else sparse.eye_array(n))
        return found.tocsr()

    def difference(n: int) -> sparse.csr_array:
        return sparse.diags_array([-np.ones(n - 1), np.ones(n - 1)], offsets=[0, 1], shape=(n - 1, n)).tocsr()

    total = 0.0
    for i, j in itertools.product(range(len(sizes)), repeat=2):
        first = along(i, difference(sizes[i]), list(sizes))
        left = [n - (k == i) for k, n in enumerate(sizes)]
        second = along(j, difference(left[j]), left) @ first
        total = total + second.T @ second + (TENSION * first.T @ first if j == 0 else 0.0)
    return total.tocsr()


@pytest.mark.parametrize("sizes", [(48, 40), (14, 13, 12)])
def test_the_surface_is_near_that_of_a_direct_solver(sizes: tuple[int, ...]) -> None:
    """The plane bends nothing, but is under tension; beside it the rest is that of the matrix."""
    places = np.meshgrid(*(np.arange(n) / 9.0 for n in sizes), indexing="ij")
    clean = np.sin(sum(places))[..., None].astype(np.float32)
    known = with_hole(sizes, 2, min(sizes) - 5 if len(sizes) == 3 else 25)
    known[1, 3:9] = False
    terms = np.stack([np.ones(known.sum()), *(place[known] for place in places)], axis=1)
    weights = np.linalg.lstsq(terms, clean[known], rcond=None)[0]
    plane = weights[0, 0] + sum(w[0] * place for w, place in zip(weights[1:], places, strict=True))
    matrix, at, free = energy(sizes), np.flatnonzero(known), np.flatnonzero(~known)
    rest = (clean[..., 0] - plane).ravel()
    rest[free] = spsolve(matrix[free][:, free].tocsc(), -matrix[free][:, at] @ rest[at])
    exact = rest.reshape(sizes) + plane
    filled = fill(np.where(known[..., None], clean, np.float32(0)), known)[..., 0]
    assert np.abs(filled - exact).max() < 0.01 * np.abs(clean[..., 0] - plane).max()
