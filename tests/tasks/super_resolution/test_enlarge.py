"""Enlargement by any factor: tiles, reduction, strength, grey, depth."""

import numpy as np
import pytest
from PIL import Image

from jaxgen.errors import InputError
from jaxgen.tasks.super_resolution import enlarge
from jaxgen.tasks.super_resolution.apply import heads_for, make_enlarger
from jaxgen.tasks.super_resolution.enlarge import enlarged_sizes, enlarged_tiles, make_enlarge, require_factor
from tests.upscalers import upscaler_of, whole

MODEL = upscaler_of()
GREYS = np.float32((0.299, 0.587, 0.114))
"""The luma of ITU-R 601."""


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def floats(pixels: np.ndarray) -> np.ndarray:
    return (pixels / (np.iinfo(pixels.dtype).max / 2) - 1).astype(np.float32)


def in_tiles(pixels: np.ndarray, scale: float, strength: float = 1.0, tile: int = 9) -> tuple[np.ndarray, int]:
    """The enlarged floats from small tiles, and their number."""
    enlarger, sizes = make_enlarger(MODEL, scale), enlarged_sizes(pixels.shape[:2], scale)
    layout = {"tile": tile, "halo": enlarger.halo + enlarge.REACH, "multiple": 1, "window": 64}
    result, num = np.full((*sizes, pixels.shape[-1]), np.nan, np.float32), 0
    for (rows, columns), values in enlarged_tiles(enlarger, pixels, sizes, strength, layout):
        assert np.isnan(result[rows, columns]).all(), "given twice"
        result[rows, columns], num = values, num + 1
    return result, num


def keys(x: np.ndarray) -> np.ndarray:
    """Keys' cubic of a = -1/2, in the other form of its polynomial."""
    x = np.abs(x)
    outer = -0.5 * (x - 1) * (x - 2) ** 2
    return np.where(x < 1, (1 - x) * (1 + x - 1.5 * x * x), np.where(x < 2, outer, 0))


def resized(image: np.ndarray, sizes: tuple[int, int]) -> np.ndarray:
    """Bicubic resizing by plain sums over all pixels of the mirrored image."""
    for axis, new in enumerate(sizes):
        old = image.shape[axis]
        shrink = min(1.0, new / old)
        mirrored = np.concatenate([np.flip(image, axis), image, np.flip(image, axis)], axis)
        at = np.arange(-old, 2 * old)
        weights = keys(shrink * ((np.arange(new)[:, None] + 0.5) * old / new - 0.5 - at))
        image = np.moveaxis(np.tensordot(weights / weights.sum(1, keepdims=True), mirrored, (1, axis)), 0, axis)
    return image


@pytest.mark.parametrize("scale", [2, 4])
def test_tiles_equal_the_whole(scale: int) -> None:
    pixels = noise(101, 83, 3)
    found, num = in_tiles(pixels, scale)
    assert num >= 4
    np.testing.assert_allclose(found, whole(MODEL, floats(pixels)[None], scale)[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("scale", "heads"), [(2.5, (3,)), (1.25, (2,)), (5, (2, 3)), (8, (2, 4))])
def test_other_factors_reduce_what_the_next_larger_heads_make(scale: float, heads: tuple[int, ...]) -> None:
    pixels = noise(75, 90, 3)
    found, num = in_tiles(pixels, scale)
    large = floats(pixels)[None]
    for head in heads:
        large = whole(MODEL, large, head)
    expected = resized(large[0].astype(np.float64), (round(75 * scale), round(90 * scale)))
    assert num >= 4
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


def test_too_small_a_halo_differs(monkeypatch) -> None:
    """So a tile does depend on pixels that far away, and the comparisons above can fail."""
    monkeypatch.setattr(enlarge, "REACH", -3)
    pixels = noise(101, 83, 3)
    assert np.abs(in_tiles(pixels, 2, tile=60)[0] - whole(MODEL, floats(pixels)[None], 2)[0]).max() > 1e-4


def test_heads() -> None:
    found = {f: heads_for((4, 2, 3), f) for f in (1.5, 2, 2.1, 3.5, 4, 4.5, 6, 6.1, 8)}
    assert found == {
        1.5: (2,), 2: (2,), 2.1: (3,), 3.5: (4,), 4: (4,), 4.5: (2, 3), 6: (2, 3), 6.1: (2, 4), 8: (2, 4),
    }  # fmt: skip
    assert heads_for((2,), 8) == (2, 2, 2)
    assert heads_for((4,), 8) == (4, 4)
    assert heads_for((2, 8), 5) == (8,)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_of_each_kind(dtype: type, channels: int) -> None:
    pixels = noise(9, 11, channels, dtype=dtype)
    found = make_enlarge(MODEL, 3, 1.0)(pixels)
    expected = whole(MODEL, np.broadcast_to(floats(pixels), (9, 11, 3))[None], 3)[0]
    expected = (expected @ GREYS)[..., None] if channels == 1 else expected
    half = np.iinfo(dtype).max / 2
    assert (found.dtype, found.shape) == (dtype, (27, 33, channels))
    np.testing.assert_allclose(found, (expected.astype(np.float64) + 1) * half, rtol=0, atol=0.5 + half * 1e-5)


def test_a_picture_whose_channels_are_alike_stays_grey() -> None:
    grey = noise(8, 7, 1)
    found = make_enlarge(MODEL, 2, 1.0)(np.repeat(grey, 3, axis=-1))
    np.testing.assert_array_equal(found, np.repeat(make_enlarge(MODEL, 2, 1.0)(grey), 3, axis=-1))


@pytest.mark.parametrize("scale", [2, 2.5, 4])
def test_without_strength_it_is_the_bicubic_enlargement(scale: float) -> None:
    pixels = noise(30, 26, 3)
    found = make_enlarge(MODEL, scale, 0.0)(pixels)
    expected = np.clip(resized(pixels.astype(np.float64), (round(30 * scale), round(26 * scale))), 0, 255)
    assert np.abs(found - expected).max() <= 0.501


def test_strength_blends() -> None:
    pixels = noise(40, 33, 3)
    plain = resized(floats(pixels).astype(np.float64), (100, 82))
    full, part = (in_tiles(pixels, 2.5, strength)[0] for strength in (1.0, 0.25))
    np.testing.assert_allclose(part, 0.75 * plain + 0.25 * full, rtol=0, atol=1e-5)


def test_plain_enlargement_is_that_of_pillow_away_from_the_border() -> None:
    image = Image.fromarray(noise(40, 40) // 2 + 64)  # Pillow clips between rows and columns
    expected = np.asarray(image.resize((100, 100), Image.Resampling.BICUBIC)).astype(int)
    found = make_enlarge(None, 2.5)(np.asarray(image)[..., None])[..., 0]
    assert np.abs(found - expected)[8:-8, 8:-8].max() <= 1


def test_sizes_are_rounded_and_a_factor_of_one_gives_the_very_same() -> None:
    pixels = noise(5, 7, 3)
    assert make_enlarge(MODEL, 1, 1.0)(pixels) is pixels
    assert make_enlarge(MODEL, 1.1, 1.0)(pixels).shape == (6, 8, 3)  # 5.5 to the even, 7.7
    assert make_enlarge(MODEL, 2, 1.0)(pixels[:1, :1]).shape == (2, 2, 3)


def test_pictures_of_many_sizes_share_one_program() -> None:
    program = make_enlarger(MODEL, 2).apply.func
    make_enlarge(MODEL, 2, 1.0)(noise(50, 60, 3))
    num = program._cache_size()
    for size in ((5, 9), (100, 30), (64, 64), (120, 128)):
        make_enlarge(MODEL, 2, 0.5)(noise(*size, 3))
    assert program._cache_size() == num


@pytest.mark.parametrize("scale", [0, -1, float("nan"), 8.01, 0.5, float("inf")])
def test_factors_that_are_not_accepted(scale: float) -> None:
    with pytest.raises(InputError, match=r"\Ascale: got .*; accepted: a number from 1 to 8[^\n]*\Z"):
        require_factor(scale)
