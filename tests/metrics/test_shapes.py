"""Metrics of the shape of volumes, against volumes whose bodies are known and against SciPy and scikit-image."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance
from skimage.measure import label

from jaxgen.errors import InputError
from jaxgen.metrics.shapes import histogram_distance, largest_components, occupancies


def blank(num=1, channels=1):
    return np.zeros((num, 6, 7, 8, channels), np.uint8)


def test_the_larger_of_two_bodies_counts():
    volumes = blank(3)
    volumes[0, 0, 0, :6] = 255  # six voxels, and two that touch them by an edge alone
    volumes[0, 1, 1, 4:6] = 128
    volumes[1, 2:4, 2:4, 2:4] = 200
    assert largest_components(volumes).tolist() == [6 / 8, 1.0, 0.0]


def test_a_grey_voxel_is_occupied_in_part():
    volumes = blank(2, 3)
    volumes[0, 2:4, 2:4, 2:4] = 255
    volumes[1, 0, 0, 0] = (255, 51, 0)
    assert occupancies(volumes).tolist() == pytest.approx([8 / 336, 0.4 / 336])


def test_the_middle_is_between_127_and_128_and_of_channels_the_mean_counts():
    volumes = blank(2, 3)
    volumes[0, 0, 0, 0], volumes[1, 0, 0, 0] = (255, 127, 0), (255, 129, 0)
    assert largest_components(volumes).tolist() == [0.0, 1.0]


def test_components_of_noise_are_those_of_scikit_image():
    volumes = np.random.default_rng(0).integers(0, 190, (5, 6, 7, 8, 1)).astype(np.uint8)
    for volume, found in zip(volumes, largest_components(volumes), strict=True):
        names = label(volume[..., 0] > 127, connectivity=1)
        sizes = np.bincount(names.ravel())[1:]
        assert found == pytest.approx(sizes.max() / sizes.sum())
        assert found < 1


def test_distance_of_histograms_is_that_of_scipy():
    noise = np.random.default_rng(0)
    first, second = noise.normal(size=30), np.round(noise.normal(1, 2, 17), 1)
    assert histogram_distance(first, second) == pytest.approx(wasserstein_distance(first, second))
    assert histogram_distance(first, first[::-1]) == 0
    assert histogram_distance(first, first + 0.25) == pytest.approx(0.25)
    with pytest.raises(InputError, match="second"):
        histogram_distance(first, second * np.nan)
