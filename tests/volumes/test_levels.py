"""Windows of grey levels: which one is taken, and what it does."""

import numpy as np
import pytest

from jaxgen.errors import InputError
from jaxgen.volumes.kinds import Volume
from jaxgen.volumes.levels import common_window, to_bytes, to_shares, window_of


def volume(low, high, kind) -> Volume:
    return Volume(np.array([low, high], np.float32).reshape(2, 1, 1, 1), dtype=np.dtype(kind))


@pytest.mark.parametrize(
    ("low", "high", "kind", "expected", "why"),
    [
        (3, 200, "uint8", (0, 255), "the range of bytes"),
        (0, 1, "uint8", (0, 1), "as all values are from 0 to 1"),
        (0.2, 0.7, "float32", (0, 1), "as all values are from 0 to 1"),
        (0, 1, "bool", (0, 1), "as all values are from 0 to 1"),
        (-1024, 3071, "int16", (-1024, 3071), "the least and greatest value; --window LOW HIGH states another"),
        (0, 200, "uint16", (0, 200), "the least and greatest value; --window LOW HIGH states another"),
        (-0.1, 0.7, "float64", (-0.1, 0.7), "the least and greatest value; --window LOW HIGH states another"),
    ],
)
def test_the_window_that_nobody_stated(low, high, kind, expected, why):
    window = window_of(volume(low, high, kind))
    assert (window.low, window.high) == pytest.approx(expected)
    assert window.why == why


def test_a_stated_window_cuts():
    window = window_of(volume(-1024, 3071, "int16"), (-100.0, 300.0))
    assert str(window) == "window: -100 becomes black and 300 white, as asked for"
    values = np.array([-1024, -100, 0, 100, 300, 3071], np.float32)
    np.testing.assert_allclose(to_shares(values, window), [0, 0, 0.25, 0.5, 1, 1])
    assert to_bytes(values, window).tolist() == [0, 0, 64, 128, 255, 255]


@pytest.mark.parametrize("stated", [(1.0, 1.0), (2.0, 1.0), (0.0, np.inf), (np.nan, 1.0)])
def test_a_window_that_is_none(stated):
    with pytest.raises(InputError, match=r"window: got .*; accepted: LOW HIGH, finite, the first one smaller"):
        window_of(volume(0, 1, "float32"), stated)


def test_bytes_with_a_factor_are_no_bytes():
    assert window_of(volume(3, 200, "uint8")._replace(slope=2.0))[:2] == (3.0, 200.0)


def test_a_constant_volume_is_black():
    window = window_of(volume(7, 7, "int16"))
    assert to_bytes(np.array([7.0], np.float32), window).tolist() == [0]


def test_several_volumes_share_a_window():
    scans = [window_of(volume(*ends, "int16")) for ends in ((-5, 10), (0, 90))]
    assert common_window(scans)[:2] == (-5.0, 90.0)
    assert common_window(scans).why.startswith("the least and greatest value;")
    assert "of several types" in common_window([*scans, window_of(volume(0, 1, "bool"))]).why
