"""Quality of restoration against scikit-image and closed forms."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from jaxgen.errors import InputError
from jaxgen.metrics.quality import psnr, ssim


def make_pair(shape: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Smooth images, float64 in [0, 1], and the same with noise that grows from image to image and with the channel."""
    generator = np.random.default_rng(seed)
    clean = np.cumsum(np.cumsum(generator.standard_normal(shape), axis=1), axis=2)
    clean = (clean - clean.min()) / np.ptp(clean)
    level = 0.05 * np.arange(1, shape[0] + 1)[:, None, None, None] * np.arange(1, shape[-1] + 1)
    return (clean + level * generator.standard_normal(shape)).clip(0, 1), clean


def to_bytes(images: np.ndarray) -> np.ndarray:
    return np.rint(255 * images).astype(np.uint8)


def reference_ssim(restored: np.ndarray, clean: np.ndarray, peak: float) -> list[float]:
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": -1}
    return [structural_similarity(a, b, data_range=peak, **options) for a, b in zip(restored, clean, strict=True)]


def test_psnr_of_a_known_difference() -> None:
    clean = np.full((3, 4, 5, 2), 0.25)
    restored = clean + np.array([0.1, -0.01, 0.0])[:, None, None, None]
    np.testing.assert_allclose(psnr(restored, clean), [20, 40, np.inf])
    one_pixel = clean.astype(np.float32)
    one_pixel[:, 0, 0, 0] = 1.0
    np.testing.assert_allclose(psnr(one_pixel, clean), 10 * np.log10(40 / 0.75**2), rtol=1e-6)


def test_psnr_of_uint8_has_the_peak_255_and_does_not_wrap_around() -> None:
    dark, light = np.zeros((1, 2, 2, 1), np.uint8), np.full((1, 2, 2, 1), 255, np.uint8)
    np.testing.assert_allclose(psnr(dark, light), [0.0], atol=1e-12)
    np.testing.assert_allclose(psnr(dark, dark + np.uint8(1)), [20 * np.log10(255)])


@pytest.mark.parametrize("shape", [(3, 12, 17, 1), (2, 11, 11, 3)])
@pytest.mark.parametrize("integer", [True, False])
def test_both_against_scikit_image(shape: tuple[int, ...], integer: bool) -> None:
    restored, clean = map(to_bytes, make_pair(shape)) if integer else make_pair(shape)
    peak = 255 if integer else 1
    expected = [peak_signal_noise_ratio(b, a, data_range=peak) for a, b in zip(restored, clean, strict=True)]
    np.testing.assert_allclose(psnr(restored, clean), expected, rtol=1e-10)
    similar = reference_ssim(restored, clean, peak)
    assert max(similar) < 0.97
    np.testing.assert_allclose(ssim(restored, clean), similar, atol=1e-9)


def test_ssim_of_constant_images() -> None:
    dark, light = np.full((1, 11, 11, 1), 0.2), np.full((1, 11, 11, 1), 0.6)
    np.testing.assert_allclose(ssim(dark, light), [(2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4)], rtol=1e-9)


def test_ssim_of_equal_images_is_one_and_of_a_negative_below_zero() -> None:
    noisy, clean = make_pair((2, 16, 16, 3))
    np.testing.assert_allclose(ssim(clean, clean), 1.0)
    assert (ssim(noisy, 1.0 - noisy) < 0).all()


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_bad_input_is_named(metric) -> None:
    image = np.full((1, 12, 12, 1), 0.5)
    with pytest.raises(InputError, match=r"^restored: got float64 from -1 to 1; accepted"):
        metric(np.linspace(-1, 1, 144).reshape(1, 12, 12, 1), image)
    with pytest.raises(InputError, match=r"^clean: got nan at \[0, 0, 0, 0\]"):
        metric(image, image * np.nan)
    with pytest.raises(InputError, match=r"restored, clean: got float64 .* and uint8 .* both uint8 or both float"):
        metric(image, to_bytes(image))
    for other in (image[:, :1], np.concatenate([image, image]), np.concatenate([image, image], axis=-1)):
        with pytest.raises(InputError, match="accepted: equal shapes"):
            metric(image, other)


def test_ssim_refuses_images_smaller_than_its_window() -> None:
    small = np.full((1, 11, 10, 3), 0.5)
    with pytest.raises(InputError, match=r"got images of shape \[1, 11, 10, 3\]; accepted: h and w 11 or more"):
        ssim(small, small)
