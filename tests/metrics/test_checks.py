"""Images and features that metrics accept, and the one line that says why others are refused."""

import numpy as np
import pytest

from jaxgen.errors import InputError
from jaxgen.metrics.checks import require_features, require_images, require_same_width


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("num", [1, 3])
def test_bytes_and_floats_in_zero_to_one_are_accepted(num: int, channels: int) -> None:
    ramp = np.linspace(0, 1, num * 4 * channels).reshape(num, 2, 2, channels)
    for images in (ramp, ramp.astype(np.float32), ramp.astype(np.float16), (255 * ramp).astype(np.uint8)):
        require_images(images, "fake")


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [(-1.0, 1.0, "float32 from -1 to 1"), (0.0, 255.0, "float32 from 0 to 255"), (0.0, 1.5, "float32 from 0 to 1.5")],
)
def test_a_wrong_range_is_told(low: float, high: float, found: str) -> None:
    images = np.linspace(low, high, 24, dtype=np.float32).reshape(2, 2, 2, 3)
    with pytest.raises(InputError) as error:
        require_images(images, "fake")
    assert str(error.value) == (
        f"fake: got {found}; accepted: uint8, or floats in 0 to 1, of shape [n, h, w, c] with n 1 or more and c 1 to 4"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_value_that_is_not_finite_is_found(value: float) -> None:
    images = np.zeros((3, 4, 4, 1))
    images[1, 2, 3, 0] = images[2, 0, 0, 0] = value
    with pytest.raises(InputError, match=rf"fake: got {value} at \[1, 2, 3, 0\]; accepted: "):
        require_images(images, "fake")
    with pytest.raises(InputError, match=rf"features: got {value} at \[1, 11\]; accepted: "):
        require_features(images.reshape(3, 16), "features")


@pytest.mark.parametrize("shape", [(0, 8, 8, 1), (8, 8, 1), (2, 8, 8, 5), (2, 0, 8, 1), (2, 3, 8, 8), (2, 8, 8, 0)])
def test_a_wrong_shape_is_told(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as error:
        require_images(np.zeros(shape, np.uint8), "real")
    assert str(error.value).startswith(f"real: got uint8 of shape {list(shape)}; accepted: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.bool_, np.complex64])
def test_a_wrong_dtype_is_told(dtype: type) -> None:
    with pytest.raises(InputError, match=rf"got {np.dtype(dtype)} of shape \[1, 2, 2, 1\]"):
        require_images(np.zeros((1, 2, 2, 1), dtype), "real")
    with pytest.raises(InputError, match=rf"got {np.dtype(dtype)} of shape \[1, 2\]"):
        require_features(np.zeros((1, 2), dtype), "real")


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3,), (2, 3, 4)])
def test_features_are_a_table(shape: tuple[int, ...]) -> None:
    require_features(-1e9 * np.ones((1, 1), np.float32), "features")
    with pytest.raises(InputError, match="features: got float64 of shape"):
        require_features(np.zeros(shape), "features")


def test_two_tables_have_the_same_width() -> None:
    require_same_width(np.zeros((2, 3)), np.zeros((5, 3)), "features")
    with pytest.raises(InputError, match="features: got 3 and 4 features per image"):
        require_same_width(np.zeros((2, 3)), np.zeros((2, 4)), "features")
