"""Blur: kernels by formula, the convolution against SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from jaxgen.degradations import blur as module

gaussian_kernels = jax.jit(module.gaussian_kernels, static_argnums=3)
motion_kernels = jax.jit(module.motion_kernels, static_argnums=2)
defocus_kernels = jax.jit(module.defocus_kernels, static_argnums=1)
blur = jax.jit(module.blur)


def floats(*values: float) -> jax.Array:
    return jnp.array(values, jnp.float32)


def moments(kernel: np.ndarray) -> tuple[float, float, float, float, float]:
    """Means of x and y, and means of x^2, y^2 and x y about the centre pixel; x to the right, y down."""
    y, x = np.mgrid[: len(kernel), : len(kernel)] - (len(kernel) - 1) / 2
    return tuple(float((kernel * value).sum()) for value in (x, y, x * x, y * y, x * y))


def test_isotropic_gaussian_is_the_product_of_two_normals() -> None:
    kernels = np.asarray(gaussian_kernels(floats(0.8, 1.7), floats(0.8, 1.7), floats(0.4, 2), 13))
    for kernel, sigma in zip(kernels, (0.8, 1.7), strict=True):
        line = np.exp(-((np.arange(13) - 6) ** 2) / (2 * sigma**2))
        np.testing.assert_allclose(kernel, np.outer(line, line) / line.sum() ** 2, rtol=1e-4, atol=1e-8)


def test_anisotropic_gaussian_has_its_covariance() -> None:
    angles = floats(0.0, np.pi / 6, np.pi / 2, 2.5)
    kernels = np.asarray(gaussian_kernels(floats(2, 2, 2, 3), floats(1, 1, 1, 1.5), angles, 31), np.float64)
    for kernel, long, short, angle in zip(kernels, (2, 2, 2, 3), (1, 1, 1, 1.5), angles, strict=True):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        covariance = turn @ np.diag([long**2, short**2]) @ turn.T
        expected = (0, 0, covariance[0, 0], covariance[1, 1], covariance[0, 1])
        np.testing.assert_allclose(moments(kernel), expected, atol=2e-3)
        assert kernel.sum() == pytest.approx(1, abs=1e-5)


def test_level_motion_covers_length_plus_one_pixels() -> None:
    kernels = np.asarray(motion_kernels(floats(4, 1, 3, 4), floats(0, 0, 0, np.pi / 2), 7))
    rows = [[0, 1, 1, 1, 1, 1, 0], [0, 0, 0.5, 1, 0.5, 0, 0], [0, 0.5, 1, 1, 1, 0.5, 0], [0, 1, 1, 1, 1, 1, 0]]
    for i, (row, length) in enumerate(zip(rows, (4, 1, 3, 4), strict=True)):
        expected = np.zeros((7, 7))
        expected[3] = np.array(row) / (length + 1)
        np.testing.assert_allclose(kernels[i], expected.T if i == 3 else expected, atol=1e-6)


def test_oblique_motion_is_one_minus_the_distance_to_the_segment() -> None:
    lengths, angles = (6.0, 5.3, 9.0), (np.pi / 4, 2.0, 0.3)
    kernels = np.asarray(motion_kernels(floats(*lengths), floats(*angles), 11))
    y, x = np.mgrid[-5:6, -5:6]
    for kernel, length, angle in zip(kernels, lengths, angles, strict=True):
        along = np.linspace(-length / 2, length / 2, 4001)
        points = np.hypot(x[..., None] - along * np.cos(angle), y[..., None] - along * np.sin(angle))
        weight = np.maximum(1 - points.min(-1), 0)
        np.testing.assert_allclose(kernel, weight / weight.sum(), atol=1e-4)


def test_defocus_is_a_disk() -> None:
    kernels = np.asarray(defocus_kernels(floats(1, 4.3), 11), np.float64)
    corner = 1.5 - 2**0.5
    small = np.array([[corner, 0.5, corner], [0.5, 1, 0.5], [corner, 0.5, corner]])
    np.testing.assert_allclose(kernels[0, 4:7, 4:7], small / small.sum(), atol=1e-6)
    assert kernels[0, 4:7, 4:7].sum() == pytest.approx(1, abs=1e-6)
    # the share of each pixel that lies in the disk, from 40 x 40 points a pixel
    place = (np.arange(11 * 40) + 0.5) / 40 - 5.5
    inside = np.hypot(place[:, None], place[None]) <= 4.3
    share = inside.reshape(11, 40, 11, 40).mean((1, 3))
    np.testing.assert_allclose(kernels[1], share / share.sum(), atol=0.15 / share.sum())
    assert 1 / kernels[1].max() == pytest.approx(np.pi * 4.3**2, rel=0.01)


@pytest.mark.parametrize("size", [1, 15])
def test_level_zero_is_a_delta(size: int) -> None:
    zero, angle = floats(0, 0), floats(0.7, 2)
    delta = np.zeros((2, size, size))
    delta[:, size // 2, size // 2] = 1
    for kernels in (
        gaussian_kernels(zero, zero, angle, size), motion_kernels(zero, angle, size), defocus_kernels(zero, size),
    ):  # fmt: skip
        np.testing.assert_array_equal(kernels, delta)


def test_kernels_have_derivatives_by_their_levels() -> None:
    def spread(level: jax.Array) -> jax.Array:
        angle = jnp.full_like(level, 0.3)
        kernels = (
            gaussian_kernels(level, level, angle, 7), motion_kernels(level, angle, 7), defocus_kernels(level, 7),
        )  # fmt: skip
        return jnp.stack([jnp.sum(k[:, 3, 4]) for k in kernels])

    slopes = np.asarray(jax.jit(jax.jacobian(spread))(floats(0, 1.2)))
    assert np.isfinite(slopes).all()
    assert (slopes[:, 1] != 0).all()


@pytest.mark.parametrize(("h", "w", "size"), [(16, 16, 5), (9, 14, 7), (5, 8, 15)])
def test_blur_is_scipys_convolution_with_reflected_edges(h: int, w: int, size: int) -> None:
    generator = np.random.default_rng(0)
    images = generator.uniform(-1, 1, (3, h, w, 2)).astype(np.float32)
    kernels = generator.uniform(-0.1, 0.3, (3, size, size)).astype(np.float32)  # of no symmetry, one an image
    blurred = blur(jnp.asarray(images), jnp.asarray(kernels))
    for i in range(3):
        for c in range(2):
            expected = scipy.ndimage.convolve(images[i, ..., c].astype(np.float64), kernels[i], mode="reflect")
            np.testing.assert_allclose(blurred[i, ..., c], expected, atol=2e-5)


def test_a_delta_and_a_flat_image_stay() -> None:
    images = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (2, 11, 10, 3)), jnp.float32)
    np.testing.assert_allclose(blur(images, defocus_kernels(floats(0, 0), 9)), images, atol=2e-6)
    kernels = gaussian_kernels(floats(2, 0.5), floats(1, 3), floats(0, 1), 9)
    np.testing.assert_allclose(blur(jnp.full((2, 11, 10, 3), 0.7), kernels), 0.7, atol=2e-6)
