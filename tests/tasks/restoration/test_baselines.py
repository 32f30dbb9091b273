"""Classical baselines: closed forms on small images, direct loops, and scikit-image where it has the same filter."""

import numpy as np
import pytest
from scipy import ndimage, stats
from skimage import restoration

from jaxgen.errors import InputError
from jaxgen.tasks.restoration.evaluation import baselines, deconvolution, denoising

FILLS = [baselines.normalised_mean, baselines.delaunay, baselines.biharmonic]
KERNEL = np.array([[0.05, 0.1, 0.0], [0.3, 0.25, 0.05], [0.1, 0.0, 0.15]])
"""Of sum 1, and with no symmetry."""


def make_image(shape: tuple[int, ...] = (16, 19, 2), seed: int = 0) -> np.ndarray:
    """Smooth, in 0.1 to 0.9; channels differ."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    smooth = ndimage.gaussian_filter(noise, 1.5, mode="wrap", axes=(0, 1))
    return 0.1 + 0.8 * (smooth - smooth.min()) / np.ptp(smooth)


def make_mask(shape: tuple[int, ...], share: float = 0.5) -> np.ndarray:
    return np.random.default_rng(1).random(shape) < share


def make_ramp(h: int = 12, w: int = 15) -> np.ndarray:
    """Linear in both directions, another slope in the second channel."""
    y, x = np.mgrid[:h, :w]
    return np.stack([0.1 + 0.02 * y + 0.03 * x, 0.9 - 0.04 * y - 0.01 * x], axis=-1)


def blur(image: np.ndarray) -> np.ndarray:
    return np.stack([ndimage.convolve(plane, KERNEL, mode="wrap") for plane in np.moveaxis(image, -1, 0)], axis=-1)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("channels", [1, 2])
def test_known_pixels_are_kept_and_unknown_values_do_not_matter(fill, channels: int) -> None:
    image = make_image().astype(np.float32)
    mask = make_mask((16, 19, channels))
    restored = fill(np.where(mask, image, np.float32(0)), mask)
    assert restored.dtype == np.float32
    assert restored.shape == image.shape
    known = np.broadcast_to(mask, image.shape)
    np.testing.assert_array_equal(restored[known], image[known])
    np.testing.assert_array_equal(restored, fill(np.where(mask, image, np.float32(1)), mask))
    error, spread = np.abs(restored - image)[~known], image.std()
    assert 0 < error.mean() < 0.5 * spread


@pytest.mark.parametrize("fill", FILLS)
def test_a_constant_is_filled_with_itself_also_from_few_pixels(fill) -> None:
    image = np.full((12, 14, 2), [0.3, 0.6])
    for share in (0.5, 0.05):
        mask = make_mask((12, 14, 1), share)
        np.testing.assert_allclose(fill(image * mask, mask), image, atol=1e-9)


@pytest.mark.parametrize("fill", FILLS)
def test_nothing_unknown_changes_nothing(fill) -> None:
    image = make_image()
    np.testing.assert_array_equal(fill(image, np.ones(image.shape, bool)), image)


@pytest.mark.parametrize("fill", FILLS)
def test_a_mask_of_one_channel_holds_for_all_and_channels_do_not_mix(fill) -> None:
    image, mask = make_image(), make_mask((16, 19, 2))
    each = [fill(image[..., c : c + 1], mask[..., c : c + 1]) for c in range(2)]
    np.testing.assert_allclose(fill(image, mask), np.concatenate(each, axis=-1), atol=1e-12)
    np.testing.assert_array_equal(fill(image, mask[..., :1]), fill(image, mask[..., :1].repeat(2, axis=-1)))


def test_one_known_pixel_fills_the_image() -> None:
    image = np.full((6, 5, 1), 0.4)
    mask = np.zeros((6, 5, 1), bool)
    mask[1, 3] = True
    for fill in (baselines.normalised_mean, baselines.delaunay):
        np.testing.assert_allclose(fill(image * mask, mask), image, atol=1e-12)


def test_normalised_mean_weighs_by_distance() -> None:
    """Known in both columns beside the unknown one, of which the left is one further away."""
    image = np.full((41, 6, 1), 0.0)
    image[:, 5] = 1.0
    mask = np.zeros((41, 6, 1), bool)
    mask[:, [1, 5]] = True
    left, right = baselines.normalised_mean(image, mask)[20, [2, 4], 0]
    assert 0 < left < 0.1
    assert left == pytest.approx(1 - right, abs=1e-9)
    nearer = baselines.normalised_mean(image, mask)[20, :, 0]
    assert nearer[0] < nearer[2] < 0.5 == pytest.approx(nearer[3], abs=1e-9)


def gaussian(distance: np.ndarray, sigma: float) -> np.ndarray:
    """As scipy's filter has it, cut off at 4 sigma and normalised on the grid, but with the height of the function."""
    radius = int(4 * sigma + 0.5)
    total = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2)).sum()
    height = np.sqrt(2 * np.pi) * sigma / total
    return np.where(abs(distance) <= radius, height * np.exp(-(distance**2) / (2 * sigma**2)), 0)


def test_normalised_mean_is_the_mean_under_the_first_gaussian_that_holds_enough() -> None:
    image, mask = make_image((9, 8, 1)), make_mask((9, 8, 1), 0.3)
    y, x, _ = np.nonzero(mask)
    restored = baselines.normalised_mean(image, mask)
    sigmas = []
    for row, column in np.argwhere(~mask[..., 0]):
        sigma = 0.5
        while (weights := gaussian(y - row, sigma) * gaussian(x - column, sigma)).sum() < 0.8:
            sigma *= 1.1
        assert restored[row, column, 0] == pytest.approx((weights * image[y, x, 0]).sum() / weights.sum(), abs=1e-9)
        sigmas.append(sigma)
    assert max(sigmas) > 1.5 * min(sigmas)


def test_delaunay_restores_a_ramp_within_the_hull_and_takes_the_nearest_outside() -> None:
    image = make_ramp()
    mask = make_mask((12, 15, 1), 0.3)
    corners = mask.copy()
    corners[[0, 0, -1, -1], [0, -1, 0, -1]] = True
    np.testing.assert_allclose(baselines.delaunay(image * corners, corners), image, atol=1e-9)
    inside = np.zeros_like(mask)
    inside[4:8, 4:8] = True
    expected = image[np.arange(12).clip(4, 7)][:, np.arange(15).clip(4, 7)]
    np.testing.assert_allclose(baselines.delaunay(image * inside, inside), expected, atol=1e-9)


def test_delaunay_takes_the_nearest_of_pixels_on_a_line() -> None:
    image, mask = make_ramp(), np.zeros((12, 15, 1), bool)
    mask[6] = True
    np.testing.assert_allclose(baselines.delaunay(image * mask, mask), image[6][None].repeat(12, axis=0))


def test_biharmonic_restores_a_cubic() -> None:
    """(x - 7)(y - 6)^2 has no fourth derivatives at all, and the differences of a cubic are exact."""
    y, x = np.mgrid[:13, :15]
    image = (0.5 + (x - 7) * (y - 6) ** 2 / 600)[..., None]
    mask = np.ones((13, 15, 1), bool)
    mask[4:9, 5:10] = False
    np.testing.assert_allclose(baselines.biharmonic(image * mask, mask), image, atol=1e-9)


def adaptive_median_by_loop(plane: np.ndarray, max_size: int) -> np.ndarray:
    restored = plane.copy()
    for row, column in np.ndindex(plane.shape):
        for radius in range(1, max_size // 2 + 1):
            if 0 < restored[row, column] < 1:
                break
            window = np.pad(plane, radius, mode="symmetric")[
                row : row + 2 * radius + 1, column : column + 2 * radius + 1
            ]
            restored[row, column] = np.median(window)
    return restored


@pytest.mark.parametrize("max_size", [3, 7])
def test_adaptive_median_by_loop(max_size: int) -> None:
    image, draws = make_image((10, 12, 2)), np.random.default_rng(3).random((10, 12, 2))
    noisy = np.where(draws < 0.35, 0.0, np.where(draws < 0.7, 1.0, image))
    expected = np.stack([adaptive_median_by_loop(plane, max_size) for plane in np.moveaxis(noisy, -1, 0)], axis=-1)
    np.testing.assert_array_equal(baselines.adaptive_median(noisy, max_size), expected)
    assert (expected % 1 == 0).any()  # here and there the largest window does not help either


def test_adaptive_median_leaves_an_image_without_extremes_and_clears_lone_pixels() -> None:
    image = make_image()
    np.testing.assert_array_equal(baselines.adaptive_median(image), image)
    constant = np.full((9, 9, 1), 0.25, np.float32)
    noisy = constant.copy()
    noisy[::4, ::4], noisy[2::4, 2::4] = 0, 1
    restored = baselines.adaptive_median(noisy)
    assert restored.dtype == np.float32
    np.testing.assert_array_equal(restored, constant)


@pytest.mark.parametrize("size", [(16, 18), (15, 17)])
def test_deblurring_a_circular_blur_that_has_no_symmetry(size: tuple[int, int]) -> None:
    image = make_image((*size, 2))
    blurred = blur(image)
    before = np.abs(blurred - image).mean()
    assert np.abs(deconvolution.wiener(blurred, KERNEL, 1e-9) - image).max() < 1e-4
    assert np.abs(deconvolution.richardson_lucy(blurred, KERNEL, 100) - image).mean() < 0.15 * before


def test_richardson_lucy_against_scikit_image_far_from_the_border() -> None:
    """Each iteration takes two convolutions of radius 1; scikit-image does not wrap around."""
    blurred = blur(make_image((20, 21, 2)))
    restored = deconvolution.richardson_lucy(blurred, KERNEL, 3)
    for c in range(2):
        expected = restoration.richardson_lucy(blurred[..., c], KERNEL, 3)
        np.testing.assert_allclose(restored[6:-6, 6:-6, c], expected[6:-6, 6:-6], rtol=1e-8)
        assert restored[..., c].mean() == pytest.approx(blurred[..., c].mean())  # each iteration keeps the sum


def test_wiener_with_much_balance_leaves_only_the_mean() -> None:
    image = make_image()
    restored = deconvolution.wiener(image, KERNEL, 1e9)
    np.testing.assert_allclose(restored, np.broadcast_to(image.mean(axis=(0, 1)), image.shape), atol=1e-6)


@pytest.mark.parametrize("factor", [2, 3])
def test_bicubic_restores_a_ramp_between_pixel_centres(factor: int) -> None:
    y, x = np.mgrid[: 12 * factor, : 15 * factor]
    y, x = (y + 0.5) / factor - 0.5, (x + 0.5) / factor - 0.5
    expected = np.stack([0.1 + 0.02 * y + 0.03 * x, 0.9 - 0.04 * y - 0.01 * x], axis=-1)
    enlarged, border = baselines.bicubic(make_ramp(), factor), 2 * factor
    assert enlarged.shape == (12 * factor, 15 * factor, 2)
    np.testing.assert_allclose(
        enlarged[border:-border, border:-border], expected[border:-border, border:-border], atol=1e-6
    )


def test_bicubic_of_an_edge_has_the_weights_of_keys_and_stays_in_range() -> None:
    """At a quarter from a pixel: -9/128, 111/128, 29/128, -3/128."""
    step = np.repeat([0.0, 1.0], 4)[None, :, None].repeat(8, axis=0)
    values = baselines.bicubic(0.5 * step, 2)[8, 5:11, 0]
    np.testing.assert_allclose(values, np.array([0, 0, 26, 102, 137, 131]).clip(0) / 256, atol=1e-6)
    assert baselines.bicubic(step, 2).max() == 1.0


@pytest.mark.parametrize("channels", [1, 3])
def test_nl_means_removes_noise_of_the_level_that_it_is_given(channels: int) -> None:
    clean = np.array([[0.2, 0.5], [0.8, 0.6]]).repeat(12, axis=0).repeat(12, axis=1)[..., None].repeat(channels, axis=2)
    noisy = clean + 0.1 * np.random.default_rng(0).standard_normal(clean.shape)
    restored = denoising.nl_means(noisy.astype(np.float32), 0.1)
    assert restored.shape == clean.shape
    assert restored.dtype == np.float32
    assert restored.min() >= 0
    assert restored.max() <= 1
    assert np.std(restored - clean) < 0.04
    assert np.std(denoising.nl_means(noisy, 0.01) - clean) > 0.08


def test_every_baseline_takes_grey_images() -> None:
    image, mask = make_image((8, 7, 1)).astype(np.float32), make_mask((8, 7, 1))
    calls = [*(lambda x, fill=fill: fill(x, mask) for fill in FILLS), baselines.adaptive_median]
    calls += [lambda x: deconvolution.richardson_lucy(x, KERNEL, 2), lambda x: deconvolution.wiener(x, KERNEL, 0.1)]
    for call in [*calls, lambda x: baselines.bicubic(x, 1), lambda x: denoising.nl_means(x, 0.1)]:
        restored = call(image)
        assert restored.shape == image.shape
        assert restored.dtype == np.float32


def test_bad_input_is_named() -> None:
    image, mask = make_image(), make_mask((16, 19, 1))
    with pytest.raises(InputError, match=r"^image: got \(-1\.0, .* values in 0 to 1"):
        baselines.adaptive_median(np.linspace(-1, 1, 16).reshape(4, 4, 1))
    with pytest.raises(InputError, match=r"^image: got float64 \[16, 19, 2\]; accepted: finite"):
        denoising.nl_means(image * np.nan, 0.1)
    with pytest.raises(
        InputError, match=r"^mask: got bool \[15, 19, 1\]; accepted: bool \[16, 19, 1\] or \[16, 19, 2\]"
    ):
        baselines.delaunay(image, mask[1:])
    with pytest.raises(InputError, match=r"^mask: got \[True, False\]; accepted: a known pixel"):
        baselines.normalised_mean(image, mask & np.array([True, False]))
    for kernel in (np.ones((2, 2)) / 4, np.ones((3, 3)), np.ones((17, 1)) / 17, np.array([[1.5, -1.0, 0.5]])):
        with pytest.raises(InputError, match=r"^kernel: got shape"):
            deconvolution.wiener(image, kernel, 0.1)
        with pytest.raises(InputError, match=r"^kernel: got shape"):
            deconvolution.richardson_lucy(image, kernel, 1)


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda image: baselines.adaptive_median(image, 4), "max_size"),
        (lambda image: baselines.adaptive_median(image, 1), "max_size"),
        (lambda image: deconvolution.richardson_lucy(image, KERNEL, 0), "num_iter"),
        (lambda image: deconvolution.wiener(image, KERNEL, 0.0), "balance"),
        (lambda image: baselines.bicubic(image, 0), "factor"),
        (lambda image: denoising.nl_means(image, 0.0), "sigma"),
    ],
)
def test_numbers_out_of_range_are_named(call, field: str) -> None:
    with pytest.raises(InputError, match=f"^{field}: got"):
        call(make_image())


# volumes


def test_fills_of_volumes_keep_constants_and_ramps() -> None:
    d, h, w = np.mgrid[:7, :8, :9]
    ramp = (0.1 + 0.02 * d + 0.03 * h + 0.01 * w)[..., None]
    mask = np.random.default_rng(0).random(ramp.shape) > 0.1
    np.testing.assert_allclose(baselines.normalised_mean(np.where(mask, 0.4, 0.0), mask), 0.4, atol=1e-9)
    inside = (slice(2, -2),) * 3
    np.testing.assert_allclose(baselines.biharmonic(ramp * mask, mask)[inside], ramp[inside], atol=1e-3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_missing_slices_are_filled_along_their_axis_as_numpy_interpolates(axis: int) -> None:
    volume = np.random.default_rng(0).random((6, 7, 8, 2))
    places = [1, 2, 4]
    mask = np.zeros((6, 7, 8, 1), bool)
    np.moveaxis(mask, axis, 0)[places] = True
    filled = np.moveaxis(baselines.linear_slices(volume * mask, mask), axis, 0)
    known = np.moveaxis(volume, axis, 0)[places]
    expected = np.apply_along_axis(lambda line: np.interp(np.arange(6 + axis), places, line), 0, known)
    np.testing.assert_allclose(filled, expected, atol=1e-12)
    mask[0, 0, 0] ^= True
    with pytest.raises(InputError, match=r"mask: got .*% missing'; accepted: whole slices"):
        baselines.linear_slices(volume, mask)


def test_thick_slices_are_interpolated_linearly_between_their_middles() -> None:
    volume = np.random.default_rng(0).random((9, 4, 5, 1))
    found = baselines.linear_thick_slices(volume, 3)
    expected = np.apply_along_axis(lambda line: np.interp(np.arange(9), [1, 4, 7], line), 0, volume[1::3])
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("method", [denoising.nl_means, denoising.adaptive_wiener])
def test_noise_of_volumes_is_removed(method) -> None:
    clean = np.full((14, 14, 14, 1), 0.3)
    clean[:7] = 0.7
    noisy = clean + 0.1 * np.random.default_rng(0).standard_normal(clean.shape)
    restored = method(noisy.astype(np.float32), 0.1)
    assert (restored.shape, restored.dtype) == (clean.shape, np.float32)
    assert np.std(restored - clean) < 0.07


def test_adaptive_wiener_by_its_formula() -> None:
    image, sigma = make_image((9, 10, 1)), 0.1
    mean, square = (ndimage.uniform_filter(x, (3, 3, 1), mode="constant") for x in (image, image**2))
    variance = square - mean**2
    expected = mean + np.maximum(variance - sigma**2, 0) / np.maximum(variance, sigma**2) * (image - mean)
    np.testing.assert_allclose(denoising.adaptive_wiener(image, sigma), expected.clip(0, 1), atol=1e-12)


def test_the_bias_of_rician_means_is_removed() -> None:
    sigma, signals = 0.07, np.array([0.0, 0.02, 0.1, 0.3, 0.8, 0.95])
    means = stats.rice.mean(signals / sigma, scale=sigma).reshape(1, 1, -1)
    np.testing.assert_allclose(denoising.without_rician_bias(means, sigma).ravel(), signals, atol=5e-4)
    assert denoising.without_rician_bias(np.full((1, 1, 1), 0.01), sigma) == 0
