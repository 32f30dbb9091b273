"""Grey levels: the window of a volume's values that becomes black to white."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from jaxgen.errors import require
from jaxgen.volumes.kinds import Volume


class Window(NamedTuple):
    """The values that become black and white, and why these."""

    low: float
    high: float
    why: str

    def __str__(self) -> str:
        """Returns one line for the user."""
        return f"window: {self.low:g} becomes black and {self.high:g} white, {self.why}"


def window_of(volume: Volume, stated: tuple[float, float] | None = None) -> Window:
    """Returns the window of a volume: the stated one, else that of bytes, and of shares and masks in [0, 1].

    All other types hold numbers of a unit that the file does not name, such as Hounsfield units, of which their least
    and greatest value are taken; the line says so.

    Args:
      volume: a volume.
      stated: values that become black and white; beyond them values are cut.

    Raises:
      InputError: the stated window is none.
    """
    if stated is not None:
        low, high = stated
        require(-np.inf < low < high < np.inf, "window", stated, "LOW HIGH, finite, the first one smaller")
        return Window(float(low), float(high), "as asked for")
    least, greatest = float(volume.values.min()), float(volume.values.max())
    if least >= 0 and greatest <= 1:
        return Window(0.0, 1.0, "as all values are from 0 to 1")
    if volume.dtype == np.uint8 and volume.slope == 1 and volume.intercept == 0:
        return Window(0.0, 255.0, "the range of bytes")
    return Window(least, greatest, "the least and greatest value; --window LOW HIGH states another")


def common_window(windows: Sequence[Window]) -> Window:
    """Returns the one window for several volumes, from the least low to the greatest high of theirs."""
    low, high = min(window.low for window in windows), max(window.high for window in windows)
    reasons = dict.fromkeys(window.why for window in windows)
    if len(reasons) == 1:
        return Window(low, high, next(iter(reasons)))
    return Window(low, high, "the least and greatest value of several types; --window LOW HIGH states another")


def to_shares(values: Float[np.ndarray, "*s"], window: Window) -> Float[np.ndarray, "*s"]:
    """Returns values as shares of the window, cut to [0, 1]; all 0 for a window without width."""
    width = window.high - window.low
    return np.clip((values - window.low) / width, 0.0, 1.0) if width else np.zeros_like(values)


def to_bytes(values: Float[np.ndarray, "*s"], window: Window) -> UInt8[np.ndarray, "*s"]:
    """Returns values as 0 to 255 of the window, rounded and cut."""
    return np.rint(255.0 * to_shares(values, window)).astype(np.uint8)
