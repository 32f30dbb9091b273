"""What every kind of damage keeps to: the same tests over the whole table."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgen.degradations.compose import KINDS
from jaxgen.types import Observation

SIZES = {2: (24, 32), 3: (10, 11, 12)}
"""By number of spatial axes."""
KEY = jax.random.key(0)
NOTHING_DRAWN = {"defocus_blur", "jpeg", "rounding", "grey", "downsample", "centre_hole"}
MASKS = {"pixels", "boxes", "strokes", "centre_hole", "hole", "missing_slices"}


def levels_of(name: str) -> np.ndarray:
    """None at all, a low one, a middle one twice, the highest."""
    highest = 24.0 if "hole" in name else KINDS[name].highest
    return (np.array([0.0, 0.3, 0.6, 0.6, 1.0]) * highest).astype(np.float32)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_contract(name: str) -> None:
    levels, rank = jnp.asarray(levels_of(name)), min(KINDS[name].ranks)
    image = np.random.default_rng(0).uniform(-0.9, 0.9, (1, *SIZES[rank], 3)).astype(np.float32)
    all_images = jnp.asarray(np.repeat(image, len(levels), 0))

    @jax.jit
    def apply_and_slope(seed: jax.Array) -> tuple[Observation, jax.Array]:
        def total(images: jax.Array) -> tuple[jax.Array, Observation]:
            degraded = KINDS[name].apply(jax.random.key(seed), images, levels)
            return jnp.sum(degraded.images), degraded

        (_, degraded), slope = jax.value_and_grad(total, has_aux=True)(all_images)
        return degraded, slope

    (images, masks, _), slope = jax.tree.map(np.asarray, apply_and_slope(jnp.uint32(0)))
    again, other = apply_and_slope(jnp.uint32(0))[0], apply_and_slope(jnp.uint32(1))[0]
    assert (images.shape, masks.shape) == (all_images.shape, (*all_images.shape[:-1], 1))
    assert (images.dtype, masks.dtype) == (np.float32, np.float32)
    assert np.isfinite(images).all()
    # level zero is the identity to the last bit; more damages more
    np.testing.assert_array_equal(images[0], image[0])
    damage = np.square(images - image).reshape(len(levels), -1).mean(1)
    assert 0 < damage[1] < damage[4]
    # the key decides, and decides for each image apart
    np.testing.assert_array_equal(images, again.images)
    np.testing.assert_array_equal(masks, again.masks)
    drawn = name not in NOTHING_DRAWN
    both = np.stack([images, np.asarray(other.images)])
    assert np.array_equal(both[:, 2], both[:, 3]) != drawn  # of both keys, as a draw of one of three axes may agree
    assert np.array_equal(images[2:4], other.images[2:4]) != drawn
    # masks tell where pixels are gone, and nothing else does
    assert set(np.unique(masks)) <= {0.0, 1.0}
    if name in MASKS:
        np.testing.assert_array_equal(images, image * masks)
        assert masks[0].all()
        assert not masks[4].all()
    else:
        assert masks.all()
    assert np.isfinite(slope).all()
    np.testing.assert_array_equal(slope[0], 1.0)
    assert np.abs(slope[1]).max() > 0


@pytest.mark.parametrize("name", sorted(KINDS))
def test_one_channel_will_do(name: str) -> None:
    kind = KINDS[name]
    image = jax.ShapeDtypeStruct((2, *(9, 7, 8)[: min(kind.ranks)], 1), jnp.float32)
    result = jax.eval_shape(kind.apply, jax.random.key(0), image, jax.ShapeDtypeStruct((2,), jnp.float32))
    assert result.images.shape == result.masks.shape == image.shape
    assert kind.highest > 0
    assert kind.unit


def test_slices_are_missing_as_a_whole_across_an_axis_that_is_drawn() -> None:
    num, sizes = 300, (4, 5, 6)
    known = np.asarray(
        jax.jit(KINDS["missing_slices"].apply)(KEY, jnp.ones((num, *sizes, 1)), jnp.full(num, 0.5)).masks
    )
    damaged = [volume[..., 0] for volume in known if not volume.all()]
    lines = [[volume.any(tuple(j for j in range(3) if j != i)) for i in range(3)] for volume in damaged]
    for volume, (d, h, w) in zip(damaged, lines, strict=True):
        np.testing.assert_array_equal(volume, d[:, None, None] & h[:, None] & w)
        assert volume.all() or not volume.any() or [d.all(), h.all(), w.all()].count(True) == 2
    for axis in range(3):  # each axis is drawn a third of the time, and half of its slices are gone
        across = [line[axis] for line in lines if not line[axis].all() and line[axis].any()]
        assert len(across) == pytest.approx(num / 3, abs=4 * (num * 2 / 9) ** 0.5 + num / 3 * 2**-3)
        assert np.mean(across) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("thickness", [2, 3, 5])
def test_thick_slices_are_means_of_blocks_along_one_axis_interpolated_by_pillow(thickness: int) -> None:
    volume = np.random.default_rng(0).uniform(-1, 1, (30, 30, 30)).astype(np.float32)
    level = jnp.full(16, 1 - 1 / thickness, jnp.float32)
    run = jax.jit(KINDS["thick_slices"].apply)
    found = np.asarray(run(KEY, jnp.asarray(np.repeat(volume[None, ..., None], 16, 0)), level).images)[..., 0]
    expected = []
    for axis in range(3):
        means = np.moveaxis(volume, axis, 0).reshape(30 // thickness, thickness, 900).mean(1)
        flat = np.asarray(Image.fromarray(means).resize((900, 30), Image.Resampling.BICUBIC))
        expected.append(np.moveaxis(flat.reshape(30, 30, 30), 0, axis))
    errors = np.array([[np.abs(one - other).max() for other in expected] for one in found])
    assert errors.min(1).max() < 2e-5
    assert set(errors.argmin(1)) == {0, 1, 2}


def test_statistics_of_levels_by_formula() -> None:
    """What a kind does at a level is what its unit says: noise in [0, 1] units, qualities, factors, widths."""
    images, level = jnp.asarray(np.full((2, 64, 64, 3), -0.2, np.float32)), jnp.array([0.0, 0.1])

    def noise(name: str) -> float:
        return float(np.std(jax.jit(KINDS[name].apply)(jax.random.key(0), images, level).images[1] - images[1]))

    assert noise("gaussian") == pytest.approx(0.2, rel=0.03)
    assert noise("poisson") == pytest.approx(2 * (0.1 * 0.4) ** 0.5, rel=0.03)
    assert noise("speckle") == pytest.approx(0.2 * 0.4, rel=0.03)
    hole = jax.jit(KINDS["hole"].apply)(jax.random.key(0), images, jnp.array([7.0, 20.0]))
    np.testing.assert_array_equal((hole.masks == 0).sum((1, 2, 3)), [49, 400])


@pytest.mark.parametrize("name", ["gaussian_blur", "motion_blur", "defocus_blur"])
def test_blurs_spread_a_point_as_far_as_their_level_says(name: str) -> None:
    point = jnp.asarray(np.eye(41)[20][:, None] * np.eye(41)[20] * np.ones((32, 1, 1)), jnp.float32)[..., None]
    levels = np.repeat([1.5, 3.0], 16) if name == "gaussian_blur" else np.repeat([3.0, 6.0], 16)
    run = jax.jit(KINDS[name].apply)
    spread = np.asarray(run(jax.random.key(0), point, jnp.asarray(levels, jnp.float32)).images, np.float64)[..., 0]
    y, x = np.mgrid[:41, :41] - 20
    yy, xy, xx = ((spread * value).sum((1, 2)) for value in (y * y, x * y, x * x))
    short, long = np.linalg.eigvalsh(np.array([[yy, xy], [xy, xx]]).transpose(2, 0, 1)).T
    variance = {
        "gaussian_blur": levels**2,
        # a line that ends in the soft edge of a pixel, of weight 1 - t at t beyond the end
        "motion_blur": (levels**3 / 12 + levels**2 / 4 + levels / 3 + 1 / 6) / (levels + 1),
        "defocus_blur": levels**2 / 4 + 0.1,
    }
    np.testing.assert_allclose(long, variance[name], rtol=0.15)
    if name == "gaussian_blur":
        assert (short[16:] < 0.95 * long[16:]).sum() > 10
        assert (short[16:] > (0.2 * 3) ** 2).all()
        assert np.ptp(np.arctan2(xy, xx - yy)) > 1
