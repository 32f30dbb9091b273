"""DiffAugment: what moves, what is blanked, how far colours go, and derivatives through it."""

import typing
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.losses.penalties import logits_and_squared_gradient
from jaxgen.tasks.gan.config import GanConfig
from jaxgen.tasks.gan.diffaugment import AUGMENTATIONS, augment, augment_each, color, cutout, flips, translation

NAMES = sorted(AUGMENTATIONS)


def noise_images(b: int, h: int, w: int, c: int) -> jax.Array:
    return jax.random.uniform(jax.random.key(9), (b, h, w, c), minval=-1.0, maxval=1.0)


def draw(name: str, images: jax.Array, seed: int = 0) -> np.ndarray:
    return np.asarray(jax.jit(AUGMENTATIONS[name])(jax.random.key(seed), images))


def shifted(images: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """Content moved down by dy and right by dx; zeros come in, nothing comes back on the other side."""
    _, h, w, _ = images.shape
    room = np.pad(images, ((0, 0), (h, h), (w, w), (0, 0)))
    return room[:, h - dy : 2 * h - dy, w - dx : 2 * w - dx]


def hole_of(mask: np.ndarray) -> tuple[slice, slice]:
    """The rectangle of zeros in a mask (h, w); fails if the zeros are not exactly a rectangle."""
    rows, columns = (np.flatnonzero((mask == 0).any(axis)) for axis in (1, 0))
    hole = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    rest = mask.copy()
    rest[hole] = 1
    assert not mask[hole].any()
    assert rest.all()
    return hole


def test_the_table_has_what_the_configuration_accepts() -> None:
    accepted = typing.get_args(typing.get_args(typing.get_type_hints(GanConfig)["augment"])[0])
    assert set(AUGMENTATIONS) == set(accepted)


def published_size(size: int, ratio: float) -> int:
    """Of a shift or a hole, as in the code that the authors published."""
    return int(size * ratio + 0.5)


def test_translation_shifts_whole_images_by_up_to_an_eighth_and_does_not_wrap() -> None:
    images = noise_images(256, 20, 24, 2)
    moved = draw("translation", images)
    candidates = [(dy, dx) for dy in range(-5, 6) for dx in range(-6, 7)]
    distances = [np.abs(moved - shifted(np.asarray(images), *move)).max((1, 2, 3)) for move in candidates]
    matches = np.stack(distances, 1) < 1e-6
    assert (matches.sum(1) == 1).all()
    found = [candidates[i] for i in matches.argmax(1)]
    assert published_size(20, 0.125) == published_size(24, 0.125) == 3  # 2.5 is rounded up
    assert {dy for dy, _ in found} == {dx for _, dx in found} == set(range(-3, 4))
    assert len(set(found)) > 35  # of 49: the two directions are drawn apart


@pytest.mark.parametrize("size", [4, 12, 28])
def test_the_largest_shift_is_the_published_one(size: int) -> None:
    most = published_size(size, 0.125)
    moved = draw("translation", jnp.ones((64 * (most + 1), size, size, 1)))
    gone = {int((row == 0).sum()) for row in moved.max((2, 3))}  # rows that were uncovered
    assert gone == set(range(most + 1))


def test_translation_of_one_bright_corner() -> None:
    moved = draw("translation", jnp.zeros((64, 16, 16, 1)).at[:, 0, 0, 0].set(1.0))[..., 0]
    seen = [tuple(place) for place in np.argwhere(moved)]
    assert {(y, x) for _, y, x in seen} == {(y, x) for y in range(3) for x in range(3)}
    assert 0 < len(seen) < 64  # some left through the top or the left edge, and did not come back


def test_small_images_stay_where_nothing_is_an_eighth() -> None:
    images = noise_images(4, 3, 3, 1)
    np.testing.assert_array_equal(draw("translation", images), images)


@pytest.mark.parametrize(("h", "w"), [(8, 12), (9, 7), (10, 14)])
def test_cutout_blanks_one_rectangle_of_half_the_size_around_a_centre_inside(h: int, w: int) -> None:
    images = noise_images(512, h, w, 2) + 2.0  # nowhere zero
    masked = draw("cutout", images)
    mask = (masked != 0).all(-1)
    np.testing.assert_array_equal(masked, np.where(mask[..., None], images, 0.0))  # all channels, nothing else
    holes = [hole_of(m.astype(int)) for m in mask]
    for axis, size in ((0, h), (1, w)):
        spans = [(hole[axis].start, hole[axis].stop) for hole in holes]
        width = published_size(size, 0.5)
        starts = np.arange(size + 1 - width % 2) - width // 2  # the published offset, less half of the hole
        assert set(spans) == {(max(start, 0), min(start + width, size)) for start in starts.tolist()}


def test_color_ranges() -> None:
    # a light and a dark pixel, each with a tint of opposite sign: brightness, contrast and saturation can be read off
    tint = 0.5 * np.array([1.0, -1.0, 0.0])
    pixels = np.stack([1.0 + tint, -1.0 - tint]).reshape(1, 1, 2, 3)
    result = draw("color", jnp.asarray(np.broadcast_to(pixels, (4096, 1, 2, 3)), jnp.float32)).astype(np.float64)
    light, dark = result[:, 0, 0], result[:, 0, 1]
    brightness = result.mean((1, 2, 3))
    contrast = (light.mean(1) - dark.mean(1)) / 2
    saturation = (light[:, 0] - light[:, 1]) / contrast
    np.testing.assert_allclose((dark[:, 1] - dark[:, 0]) / contrast, saturation, atol=1e-4)
    draws = {(-0.5, 0.5): brightness, (0.5, 1.5): contrast, (0.0, 2.0): saturation}
    for (low, high), values in draws.items():
        assert low - 1e-5 <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high + 1e-5
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.02 * (high - low))
        assert values.std() == pytest.approx((high - low) / 12**0.5, rel=0.03)
    assert np.abs(np.corrcoef(list(draws.values())) - np.eye(3)).max() < 0.06


def test_contrast_is_about_the_mean_of_the_whole_image() -> None:
    """A tint that all pixels share is scaled by saturation and contrast; about the means of the channels it would not
    be scaled by contrast."""
    tint = np.array([0.5, -0.5, 0.0])
    pixels = np.stack([1.0 + tint, -1.0 + tint]).reshape(1, 1, 2, 3)
    light, dark = np.moveaxis(
        draw("color", jnp.asarray(np.broadcast_to(pixels, (512, 1, 2, 3)), jnp.float32))[:, 0], 1, 0
    )
    contrast = (light - dark).mean(1) / 2
    saturation = (light[:, 0] - light[:, 1]) / contrast
    assert saturation.max() == pytest.approx(2.0, abs=0.05)
    assert abs(np.corrcoef(saturation, contrast)[0, 1]) < 0.2


@pytest.mark.parametrize("name", NAMES)
def test_each_image_has_its_own_draw_and_the_key_decides_it(name: str) -> None:
    images = jnp.broadcast_to(noise_images(1, 16, 16, 3), (32, 16, 16, 3))
    first = draw(name, images)
    np.testing.assert_array_equal(first, draw(name, images))
    assert len({image.tobytes() for image in first}) > (3 if name == "flips" else 16)
    assert sum(np.array_equal(a, b) for a, b in zip(first, draw(name, images, seed=1), strict=True)) < 16


@pytest.mark.parametrize("name", NAMES)
def test_dtype_and_shape_are_kept(name: str) -> None:
    for c in (1, 3):
        result = jax.eval_shape(AUGMENTATIONS[name], jax.random.key(0), jnp.zeros((2, 9, 8, c), jnp.bfloat16))
        assert (result.shape, result.dtype) == ((2, 9, 8, c), jnp.bfloat16)


def test_flips_mirror_half_of_the_volumes_along_each_axis() -> None:
    volume = np.asarray(noise_images(4, 5, 6, 2))
    found = draw("flips", jnp.broadcast_to(volume, (400, *volume.shape)))
    ways = [tuple(axis for axis in range(3) if which >> axis & 1) for which in range(8)]
    mirrored = [np.flip(volume, way) for way in ways]
    counts = [sum(np.array_equal(each, one) for each in found) for one in mirrored]
    assert sum(counts) == 400
    assert min(counts) > 25  # 50 are expected, and 6.6 are a standard deviation


@pytest.mark.parametrize("fn", [translation, cutout, flips])
def test_translation_cutout_and_flips_are_linear(fn: Callable[..., jax.Array]) -> None:
    fn, key, (a, b) = jax.jit(fn), jax.random.key(3), jnp.split(noise_images(16, 16, 16, 2), 2)
    np.testing.assert_allclose(fn(key, 2.0 * a - 3.0 * b), 2.0 * fn(key, a) - 3.0 * fn(key, b), atol=1e-5)


def test_color_is_affine() -> None:
    fn, key, (a, b) = jax.jit(color), jax.random.key(3), jnp.split(noise_images(16, 4, 4, 3), 2)
    np.testing.assert_allclose(fn(key, 0.3 * a + 0.7 * b), 0.3 * fn(key, a) + 0.7 * fn(key, b), atol=1e-5)


def test_augment_applies_the_names_in_turn_with_a_key_each() -> None:
    images = noise_images(32, 16, 16, 1) + 2.0
    augmented = jax.jit(augment, static_argnums=2)
    np.testing.assert_array_equal(augment(jax.random.key(0), images, ()), images)
    twice = np.asarray(augmented(jax.random.key(0), images, ("cutout", "cutout")))
    blanked = (twice == 0).mean((1, 2, 3))
    assert (blanked > 0.25).mean() > 0.5  # two holes of a quarter each, seldom the same
    # a hole blanked before the colours change is as bright as they make it; one blanked after them is zero
    assert not (np.asarray(augmented(jax.random.key(0), images, ("cutout", "color"))) == 0).any()
    assert (np.asarray(augmented(jax.random.key(0), images, ("color", "cutout"))) == 0).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("name", NAMES)
def test_gradient_penalty_passes_through(name: str) -> None:
    fn, key, size = jax.jit(AUGMENTATIONS[name]), jax.random.key(5), (1, 8, 8, 1)
    image = noise_images(*size)

    @jax.jit
    def penalty_and_slope(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        def penalty(x: jax.Array) -> jax.Array:
            score = lambda x: 0.5 * jnp.sum(jnp.square(fn(key, x)), axis=(1, 2, 3))  # noqa: E731
            return 0.5 * logits_and_squared_gradient(score, x)[1][0]

        return jax.value_and_grad(penalty)(x)

    # the map is x -> A x + b: D = |A x + b|^2 / 2 has gradient g = A'(A x + b), and d(|g|^2 / 2)/dx = A'A g
    units = jnp.eye(64).reshape(64, *size)
    offset = np.asarray(fn(key, jnp.zeros(size)), np.float64).ravel()
    matrix = np.asarray(jax.vmap(lambda x: fn(key, x))(units), np.float64).reshape(64, 64).T - offset[:, None]
    g = matrix.T @ (matrix @ np.asarray(image, np.float64).ravel() + offset)
    penalty, slope = penalty_and_slope(image)
    assert float(penalty) == pytest.approx(0.5 * g @ g, rel=1e-4)
    np.testing.assert_allclose(slope.ravel(), matrix.T @ (matrix @ g), rtol=1e-3, atol=1e-4)


def test_a_key_for_each_image_augments_it_alike_alone_and_among_others() -> None:
    images, keys = noise_images(5, 8, 8, 1), jax.random.split(jax.random.key(0), 5)
    each = np.asarray(augment_each(keys, images, tuple(NAMES)))
    for i in range(5):
        np.testing.assert_allclose(each[i], augment(keys[i], images[i : i + 1], tuple(NAMES))[0], atol=1e-6)
    same = np.asarray(augment_each(jnp.stack([keys[0], keys[1]]), images[jnp.zeros(2, int)], ("color",)))
    assert (same[0] != same[1]).all()
