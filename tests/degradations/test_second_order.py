"""Damage of the second order: places of pixels, the undamaged case against Pillow, noise, and shares of the draws."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgen.degradations import second_order as module
from jaxgen.degradations.resizing import AREA, CUBIC, LINEAR
from jaxgen.errors import InputError

NUM, SIZE, SCALE, MARGIN = 8, 96, 4, 3
LOW = SIZE // SCALE - 2 * MARGIN
NUM_DRAWS = 4000

second_order = jax.jit(module.second_order, static_argnums=(2, 3))
degrade_by = jax.jit(module.degrade_by, static_argnums=(3, 4))
draw = jax.jit(module.draw, static_argnums=1)


@pytest.fixture
def images() -> jax.Array:
    """Smooth coloured images of 8-bit values."""
    noise = np.random.default_rng(0).random((NUM, 3, 12, 12), np.float32)
    enlarged = [
        [np.asarray(Image.fromarray(c).resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for c in i] for i in noise
    ]
    levels = np.clip(np.moveaxis(np.array(enlarged), 1, -1) * 255, 0, 255).round()
    return jnp.asarray(levels.round() / 127.5 - 1, jnp.float32)


@pytest.fixture(scope="module")
def draws() -> module.Draws:
    return draw(jax.random.key(5), NUM_DRAWS)


def nothing(**changes: object) -> module.Draws:
    """Draws that only reduce the size, by bicubic interpolation, but for `changes`."""
    off = module.no_order(NUM)
    after = jnp.ones(NUM, bool)
    return module.Draws(off, off, off.kernels, off.method, after)._replace(**changes)


def order(**values: object) -> module.Order:
    """An order that does nothing, but for one number for all images in each of `values`."""
    off = module.no_order(NUM)
    return off._replace(**{name: jnp.full_like(getattr(off, name), value) for name, value in values.items()})


def is_within(share: float, expected: float, num: int) -> bool:
    """Whether a share is within four standard deviations of the expected one."""
    return abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / num)


def test_shape_range_and_8_bit_values(key: jax.Array, images: jax.Array) -> None:
    result = np.asarray(second_order(key, images, SCALE, MARGIN))
    assert result.shape == (NUM, LOW, LOW, 3)
    levels = (result + 1) * 127.5
    np.testing.assert_allclose(levels, levels.round(), atol=1e-4)
    assert levels.min() > -1e-3
    assert levels.max() < 255.001


def test_another_scale_one_channel_and_no_square(key: jax.Array, images: jax.Array) -> None:
    result = second_order(key, images[:2, :36, :48, :1], 3, 1)
    assert result.shape == (2, 10, 14, 1)
    assert np.isfinite(np.asarray(result)).all()


def test_the_key_decides(key: jax.Array, images: jax.Array) -> None:
    first, again = (np.asarray(second_order(key, images, SCALE, MARGIN)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = np.asarray(second_order(jax.random.key(1), images, SCALE, MARGIN))
    assert (np.abs(first - other).max(axis=(1, 2, 3)) > 0).sum() >= NUM - 1  # plain ones may agree


def test_without_damage_it_is_bicubic_interpolation(key: jax.Array, images: jax.Array) -> None:
    result = np.asarray(degrade_by(key, images, nothing(), SCALE, MARGIN))
    for low, image in zip(result, np.asarray(images), strict=True):
        for channel in range(3):
            plane = Image.fromarray(image[..., channel])
            expected = np.asarray(plane.resize((SIZE // SCALE,) * 2, Image.Resampling.BICUBIC))
            error = low[..., channel] - expected[MARGIN:-MARGIN, MARGIN:-MARGIN].clip(-1, 1)
            assert np.abs(error).max() < 0.51 / 127.5


def test_without_damage_but_by_areas_it_is_the_mean_of_blocks(key: jax.Array, images: jax.Array) -> None:
    result = np.asarray(degrade_by(key, images, nothing(second=order(method=AREA)), SCALE, MARGIN))
    blocks = np.asarray(images).reshape(NUM, SIZE // SCALE, SCALE, SIZE // SCALE, SCALE, 3).mean((2, 4))
    assert np.abs(result - blocks[:, MARGIN:-MARGIN, MARGIN:-MARGIN]).max() < 0.51 / 127.5


@pytest.mark.parametrize("method", [AREA, LINEAR, CUBIC])
@pytest.mark.parametrize("smooth", [False, True])
def test_nothing_moves(key: jax.Array, method: int, smooth: bool) -> None:
    kernels = draw(key, NUM)
    sizes = jnp.asarray([1.5, 0.9, 0.77, 0.61, 0.5, 0.43, 0.35, 0.8], jnp.float32)
    common = order(method=method, smooth=smooth)
    first = common._replace(factor=sizes, kernels=kernels.first.kernels)
    second = common._replace(factor=sizes[::-1], kernels=kernels.second.kernels)
    place = np.arange(SIZE) - (SIZE - 1) / 2
    ramp = np.broadcast_to((place[:, None] - 0.7 * place)[None, ..., None] / SIZE, (NUM, SIZE, SIZE, 3))
    damage = nothing(first=first, second=second, method=common.method)
    result = np.asarray(degrade_by(key, jnp.asarray(ramp, jnp.float32), damage, SCALE, MARGIN), np.float64)
    result = result[:, 8 - MARGIN : 16 - MARGIN, 8 - MARGIN : 16 - MARGIN, 0]  # the middle
    centre = SCALE * (np.arange(8, 16) + 0.5) - 0.5 - (SIZE - 1) / 2
    error = (result - (centre[:, None] - 0.7 * centre) / SIZE) * SIZE  # in pixels of the clean image, down the ramp
    along = np.linspace(-1, 1, 8)
    assert np.abs(error).max() < (8.0 if method == AREA else 2.5)  # an area enlarges by repeating pixels
    assert np.abs(error.mean(axis=(1, 2))).max() < 0.25
    stretched = [(error * along[:, None]).mean(), (error * along[None, :]).mean()]
    assert np.abs(stretched).max() < 0.1


def test_gaussian_noise_has_its_deviation_and_is_averaged_by_a_reduction(key: jax.Array) -> None:
    grey = jnp.zeros((NUM, SIZE, SIZE, 3), jnp.float32)
    late = degrade_by(key, grey, nothing(second=order(gaussian=0.1, grey=False)), SCALE, MARGIN)
    early = nothing(first=order(gaussian=0.1, grey=False), second=order(method=AREA))
    early = degrade_by(key, grey, early, SCALE, MARGIN)
    assert np.std(np.asarray(late)) == pytest.approx(0.2, rel=0.05)
    assert np.std(np.asarray(early)) == pytest.approx(0.2 / SCALE, rel=0.05)


def test_poisson_noise_has_a_variance_in_proportion_to_the_intensity(key: jax.Array) -> None:
    intensity = jnp.tile(jnp.asarray([0.1, 0.6], jnp.float32), NUM // 2)
    flat = jnp.broadcast_to((2.0 * intensity - 1.0)[:, None, None, None], (NUM, SIZE, SIZE, 3))
    result = np.asarray(degrade_by(key, flat, nothing(second=order(poisson=0.01, grey=False)), SCALE, MARGIN))
    assert np.std(result[1::2]) == pytest.approx(2 * math.sqrt(0.006), rel=0.05)
    assert np.std(result[::2]) == pytest.approx(2 * math.sqrt(0.001), rel=0.05)


def test_grey_images_stay_grey_where_the_noise_is(key: jax.Array, images: jax.Array) -> None:
    grey = jnp.repeat(images[..., :1], 3, axis=3)
    drawn = draw(key, NUM)
    alike = jnp.asarray([True, False] * (NUM // 2))
    noisy = [o._replace(gaussian=jnp.full(NUM, 0.1), grey=alike) for o in (drawn.first, drawn.second)]
    result = np.asarray(degrade_by(key, grey, drawn._replace(first=noisy[0], second=noisy[1]), SCALE, MARGIN))
    np.testing.assert_array_equal(result[::2, ..., 1:], np.repeat(result[::2, ..., :1], 2, axis=3))
    assert (np.ptp(result[1::2], axis=3).max(axis=(1, 2)) > 0.02).all()


@pytest.mark.parametrize("last", [False, True])
def test_jpeg_is_worse_at_a_lower_quality(key: jax.Array, images: jax.Array, last: bool) -> None:
    images = jnp.repeat(images[..., :1], 3, axis=3)  # so that it is not all the loss of colour
    clean = np.asarray(degrade_by(key, images, nothing(), SCALE, MARGIN))

    def error(quality: float) -> float:
        damage = nothing(second=order(quality=quality), jpeg_last=jnp.full(NUM, last))
        return float(np.abs(np.asarray(degrade_by(key, images, damage, SCALE, MARGIN)) - clean).mean())

    assert error(module.NO_JPEG) == 0.0
    assert 0.0 < error(95.0) < 0.6 * error(30.0)


def test_shares_of_the_versions(draws: module.Draws) -> None:
    first, second = (np.asarray(o.quality) < module.NO_JPEG for o in draws[:2])
    assert is_within((~first & ~second).mean(), 1 / 8, NUM_DRAWS)
    assert is_within((first & second).mean(), 7 / 16, NUM_DRAWS)
    assert is_within((~first & second).mean(), 7 / 16 * 3 / 4, NUM_DRAWS)


def test_plain_images_are_left_alone(draws: module.Draws) -> None:
    first, second = (np.asarray(o.quality) < module.NO_JPEG for o in draws[:2])
    plain = ~first & ~second
    for name, value in module.no_order(NUM_DRAWS)._asdict().items():
        for drawn in draws[:2]:
            np.testing.assert_array_equal(np.asarray(getattr(drawn, name))[plain], np.asarray(value)[plain])
    assert (np.asarray(draws.method)[plain] == CUBIC).all()
    assert (np.asarray(draws.ringing)[plain, 10, 10] == 1).all()


def test_draws_of_both_orders_are_those_of_real_esrgan(draws: module.Draws) -> None:
    both = (np.asarray(draws.first.quality) < module.NO_JPEG) & (np.asarray(draws.second.quality) < module.NO_JPEG)
    num = both.sum()
    first, second = (jax.tree.map(lambda x: np.asarray(x)[both], drawn) for drawn in draws[:2])
    for drawn, up, down, low, high in ((first, 0.2, 0.7, 0.15, 1.5), (second, 0.3, 0.4, 0.3, 1.2)):
        assert is_within((drawn.factor > 1).mean(), up, num)
        assert is_within((drawn.factor < 1).mean(), down, num)
        assert low <= drawn.factor.min() < low + 0.02
        assert high - 0.02 < drawn.factor.max() <= high
        assert is_within((drawn.gaussian > 0).mean(), 0.5, num)
        assert ((drawn.gaussian > 0) ^ (drawn.poisson > 0)).all()
        assert is_within(drawn.grey.mean(), 0.4, num)
        assert is_within((~drawn.smooth).mean(), 0.5, num)
        assert 30 <= drawn.quality.min() < drawn.quality.max() <= 95
        assert all(is_within((drawn.method == i).mean(), 1 / 3, num) for i in (AREA, LINEAR, CUBIC))
    assert 29 / 255 < first.gaussian.max() <= 30.001 / 255
    assert 2.9**2 / 256 < first.poisson.max() <= 9.001 / 256
    ringing = np.asarray(draws.ringing)[both]
    assert is_within((ringing.min(axis=(1, 2)) < 0).mean(), 0.8, num)
    assert is_within((second.kernels[:, 10, 10] == 1).mean(), 0.2, num)


def test_light_versions_are_within_their_ranges(draws: module.Draws) -> None:
    first, second = (np.asarray(o.quality) < module.NO_JPEG for o in draws[:2])
    for drawn, light in ((draws.first, first & ~second), (draws.second, second & ~first)):
        one = jax.tree.map(lambda x, light=light: np.asarray(x)[light], drawn)
        assert one.smooth.all()
        assert 0.6 <= one.factor.min() < one.factor.max() <= 1.2
        assert one.gaussian.max() <= 8.001 / 255
        assert 60 <= one.quality.min() < one.quality.max() <= 95
    assert (np.asarray(draws.ringing)[first ^ second, 10, 10] == 1).all()


@pytest.mark.parametrize(
    ("shape", "scale", "margin", "field"),
    [((1, 46, 48, 3), 4, 0, "images"), ((1, 48, 48, 3), 4, 6, "margin"), ((1, 8, 8, 8, 3), 4, 0, "images")],
)
def test_bad_input_is_named(key: jax.Array, shape: tuple[int, ...], scale: int, margin: int, field: str) -> None:
    with pytest.raises(InputError, match=f"^{field}"):
        second_order(key, jnp.zeros(shape, jnp.float32), scale, margin)
