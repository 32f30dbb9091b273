"""Gradient penalties on discriminators whose gradients are known."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.losses.penalties import interpolated_gradient_penalty, logits_and_squared_gradient

SHAPE = (4, 3, 2)
NOISE = np.random.default_rng(0)
IMAGES = jnp.asarray(NOISE.standard_normal((5, *SHAPE)), jnp.float32)
WEIGHTS = jnp.asarray(NOISE.standard_normal(SHAPE), jnp.float32)
KEYS = jax.random.split(jax.random.key(0), 5)
NORM = float(np.linalg.norm(np.asarray(WEIGHTS, np.float64)))


def linear(weights: jax.Array, images: jax.Array) -> jax.Array:
    return jnp.einsum("bhwc,hwc->b", images, weights) + 3.0


def quadratic(weights: jax.Array, images: jax.Array) -> jax.Array:
    return 0.5 * jnp.einsum("bhwc,hwc->b", jnp.square(images), weights)


def test_linear_discriminator_has_one_gradient_everywhere() -> None:
    logits, square = logits_and_squared_gradient(lambda x: linear(WEIGHTS, x), IMAGES)
    expected = np.asarray(IMAGES, np.float64).reshape(5, -1) @ np.asarray(WEIGHTS, np.float64).ravel() + 3.0
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(square, np.full(5, NORM**2), rtol=1e-5)


def test_quadratic_discriminator_has_each_image_s_own_gradient() -> None:
    _, square = logits_and_squared_gradient(lambda x: quadratic(WEIGHTS, x), IMAGES)
    slopes = np.asarray(WEIGHTS, np.float64) * np.asarray(IMAGES, np.float64)
    np.testing.assert_allclose(square, np.square(slopes).reshape(5, -1).sum(1), rtol=1e-5)


@pytest.mark.parametrize("shape", [(6,), (4, 3), (4, 3, 2), (2, 4, 3, 2)])
def test_sums_over_all_axes_but_the_batch(shape: tuple[int, ...]) -> None:
    def total(x: jax.Array) -> jax.Array:
        return jnp.sum(x, axis=tuple(range(1, x.ndim)))

    _, square = logits_and_squared_gradient(total, jnp.ones((5, *shape)))
    np.testing.assert_allclose(square, np.full(5, np.prod(shape)))


def half_square(score: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """The R1 penalty of each image, without its weight."""
    return 0.5 * logits_and_squared_gradient(score, IMAGES)[1]


def test_weight_gradients_of_the_penalty() -> None:
    by_linear = jax.grad(lambda w: jnp.mean(half_square(lambda x: linear(w, x))))(WEIGHTS)
    np.testing.assert_allclose(by_linear, WEIGHTS, rtol=1e-5)  # of |w|^2 / 2
    by_quadratic = jax.grad(lambda w: jnp.mean(half_square(lambda x: quadratic(w, x))))(WEIGHTS)
    squares = np.square(np.asarray(IMAGES, np.float64)).mean(0)
    np.testing.assert_allclose(by_quadratic, np.asarray(WEIGHTS) * squares, rtol=1e-5)  # of sum (w x)^2 / 2


def test_interpolated_penalty_of_a_linear_discriminator() -> None:
    def penalty(weights: jax.Array) -> jax.Array:
        return interpolated_gradient_penalty(lambda x: linear(weights, x), IMAGES, -IMAGES, KEYS)

    np.testing.assert_allclose(penalty(WEIGHTS), np.full(5, (NORM - 1) ** 2), rtol=1e-5)
    np.testing.assert_allclose(penalty(WEIGHTS / NORM), np.zeros(5), atol=1e-10)
    slope = jax.grad(lambda w: jnp.mean(penalty(w)))(WEIGHTS)
    np.testing.assert_allclose(slope, 2 * (NORM - 1) / NORM * np.asarray(WEIGHTS), rtol=1e-5)


def test_interpolated_penalty_is_differentiable_at_zero_gradient() -> None:
    def penalty(weights: jax.Array) -> jax.Array:
        return jnp.mean(interpolated_gradient_penalty(lambda x: linear(weights, x), IMAGES, -IMAGES, KEYS))

    value, slope = jax.value_and_grad(penalty)(jnp.zeros(SHAPE))
    assert float(value) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_array_equal(slope, np.zeros(SHAPE))


def test_interpolation_draws_one_uniform_number_per_example() -> None:
    num, size = 4096, 2 * 2
    real, fake = jnp.full((num, 2, 2, 1), 3.0), jnp.full((num, 2, 2, 1), 2.0)

    def half_square(x: jax.Array) -> jax.Array:
        return 0.5 * jnp.sum(jnp.square(x), axis=(1, 2, 3))

    penalty = interpolated_gradient_penalty(half_square, real, fake, jax.random.split(jax.random.key(0), num))
    # the gradient is the image itself, whose pixels are all 2 + e: its norm is (2 + e) sqrt(size)
    e = (np.sqrt(np.asarray(penalty, np.float64)) + 1) / np.sqrt(size) - 2
    assert e.min() > -1e-5
    assert e.max() < 1 + 1e-5
    assert abs(e.mean() - 0.5) < 0.02
    assert abs(e.std() - 12**-0.5) < 0.01  # pixels with numbers of their own would halve this
    assert len(np.unique(np.round(e, 5))) > num // 2


def test_interpolation_reaches_real_and_fake_images_in_the_right_order() -> None:
    real, fake = jnp.full((256, 1, 1, 1), 10.0), jnp.full((256, 1, 1, 1), 20.0)
    keys = jax.random.split(jax.random.key(1), 256)
    penalty = interpolated_gradient_penalty(lambda x: 0.5 * jnp.square(x)[:, 0, 0, 0], real, fake, keys)
    positions = np.sqrt(np.asarray(penalty)) + 1
    assert 10.0 <= positions.min() < 11.0
    assert 19.0 < positions.max() <= 20.0


def test_key_decides_the_interpolation() -> None:
    def penalty(keys: jax.Array, part: slice = slice(None)) -> np.ndarray:
        images = IMAGES[part]
        return np.asarray(interpolated_gradient_penalty(lambda x: quadratic(WEIGHTS, x), images, -images, keys[part]))

    np.testing.assert_array_equal(penalty(KEYS), penalty(KEYS))
    assert (penalty(KEYS) != penalty(jax.random.split(jax.random.key(1), 5))).all()
    np.testing.assert_allclose(penalty(KEYS, slice(2, 4)), penalty(KEYS)[2:4], rtol=1e-6)  # of each example alone


def test_second_derivatives_of_a_curved_discriminator_equal_finite_differences() -> None:
    def total(weights: jax.Array) -> jax.Array:
        def score(x: jax.Array) -> jax.Array:
            return jnp.sum(jnp.tanh(jnp.einsum("bhwc,hwc->bh", x, weights)), axis=1)

        r1 = half_square(score)
        return jnp.mean(r1 + interpolated_gradient_penalty(score, IMAGES, -IMAGES, KEYS))

    direction, step = jnp.asarray(NOISE.standard_normal(SHAPE), jnp.float32), 1e-2
    slope = jnp.vdot(jax.grad(total)(WEIGHTS), direction)
    difference = (total(WEIGHTS + step * direction) - total(WEIGHTS - step * direction)) / (2 * step)
    assert float(slope) == pytest.approx(float(difference), rel=1e-2)
