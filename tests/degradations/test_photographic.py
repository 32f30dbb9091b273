"""Grain, cameras, shifted JPEG, rounding, dust and film lines, by formulae and Pillow's JPEG."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgen.degradations.kinds import KINDS


def apply(name: str, images: np.ndarray, level: float, seed: int = 0) -> np.ndarray:
    levels = jnp.full((len(images),), level, jnp.float32)
    return np.asarray(jax.jit(KINDS[name].apply)(jax.random.key(seed), jnp.asarray(images, jnp.float32), levels).images)


def test_grain_is_as_strong_as_its_level_says_and_correlated_by_its_radius() -> None:
    flat = np.zeros((64, 48, 48, 3), np.float32)
    noise = apply("grain", flat, 0.1) / 2
    strengths = noise.std((1, 2, 3))
    np.testing.assert_allclose(strengths, 0.1, rtol=0.2)
    assert strengths.mean() == pytest.approx(0.1, rel=0.02)
    # neighbours of a Gaussian of radius r correlate by exp(-1 / (4 r^2)), r uniform in 0.2 to 1.4
    near = (noise[:, 1:] * noise[:, :-1]).mean((1, 2, 3)) / strengths**2
    radii = 0.2 + 1.2 * (np.arange(100) + 0.5) / 100
    assert near.mean() == pytest.approx(np.exp(-1 / (4 * radii**2)).mean(), abs=0.08)
    common = (noise[..., 0] * noise[..., 1]).mean((1, 2)) / strengths**2
    assert (common > 0.95).mean() == pytest.approx(0.5, abs=0.2)
    assert (common < 0.1).mean() == pytest.approx(0.25, abs=0.2)


def test_grain_fades_in_half_of_the_images_towards_white() -> None:
    middle, white = np.zeros((64, 32, 32, 1), np.float32), np.ones((64, 32, 32, 1), np.float32)
    ratio = (apply("grain", white, 0.1) - 1).std((1, 2, 3)) / apply("grain", middle, 0.1).std((1, 2, 3))
    assert (ratio > 0.999).mean() == pytest.approx(0.5, abs=0.2)
    assert ratio.min() < 0.3


def test_a_camera_counts_photons_in_linear_light() -> None:
    """Without a mosaic the linear light u has the variance level * u plus that of reading, (2 level)^2."""
    level, light = 0.002, 0.25
    grey = np.full((4, 64, 64, 1), 2 * light ** (1 / 2.2) - 1, np.float32)
    found = ((apply("camera", grey, level) + 1) / 2) ** 2.2
    assert found.mean() == pytest.approx(light, rel=0.01)
    assert found.var() == pytest.approx(level * light + (2 * level) ** 2, rel=0.1)


def test_a_mosaic_keeps_flat_colours_and_counts_each_pixel_once() -> None:
    flat = np.broadcast_to(np.float32([0.6, 0.0, -0.4]), (8, 32, 32, 3))
    seen = apply("camera", flat, 1e-6)
    np.testing.assert_allclose(seen, flat, atol=0.02)
    edge = np.full((8, 32, 32, 3), -0.5, np.float32)
    edge[:, :, 16:] = 0.5
    blurred = np.abs(apply("camera", edge, 1e-6) - edge).max((0, 1))
    assert blurred[14:18].max() > 0.1  # what was not counted is a mean over the edge
    assert blurred[2:12].max() < 0.02


def test_shifted_jpeg_is_that_of_a_picture_cropped_before() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1, 48, 48, 1)).astype(np.float32)
    found = np.rint(apply("shifted_jpeg", noise / 127.5 - 1, 0.5) * 127.5 + 127.5)[0, ..., 0]

    def by_pillow(dy: int, dx: int) -> np.ndarray:
        wide = np.pad(noise[0, ..., 0], 16, mode="edge")[16 - dy :, 16 - dx :][: 48 + 15, : 48 + 15]
        buffer = io.BytesIO()
        Image.fromarray(wide.astype(np.uint8)).save(buffer, "JPEG", quality=50)
        return np.asarray(Image.open(buffer))[dy : dy + 48, dx : dx + 48]

    errors = [np.abs(by_pillow(dy, dx) - found).mean() for dy in range(16) for dx in range(16)]
    assert min(errors) < 1  # noise has many values half way between two steps
    assert np.median(errors) > 5


@pytest.mark.parametrize("step", [1.0, 5.0])
def test_rounding_leaves_multiples_of_its_step(step: float) -> None:
    images = np.random.default_rng(0).uniform(-1.2, 1.2, (2, 8, 8, 1)).astype(np.float32)
    values = (apply("rounding", images, step) + 1) * 127.5
    np.testing.assert_allclose(values / step, np.rint(values / step), atol=1e-3)
    np.testing.assert_allclose(values, (np.clip(images, -1, 1) + 1) * 127.5, atol=step / 2 + 1e-3)


@pytest.mark.parametrize("name", ["dust", "film_lines"])
def test_marks_cover_their_share_in_one_colour(name: str) -> None:
    images = np.full((64, 64, 64, 3), -0.1, np.float32)
    found = apply(name, images, 0.05)
    covered = (found != images).any(-1)
    assert covered.mean() == pytest.approx(0.05, abs=0.01)
    for picture, mark in zip(found[:8], covered[:8], strict=True):
        assert len(np.unique(picture[mark], axis=0)) <= 1


def test_film_lines_run_from_edge_to_edge() -> None:
    found = apply("film_lines", np.full((16, 40, 64, 1), 0.123, np.float32), 0.05)
    lines = (found != np.float32(0.123))[..., 0]
    assert all(row.any() for picture in lines if picture.any() for row in picture)
