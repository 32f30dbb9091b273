"""The levels of damage in a picture, from the estimates of a network on windows spread over it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxgen.bundles.manifest import WINDOW
from jaxgen.bundles.tiling import AnyPixels

NUM_WINDOWS = 48
"""Windows of a picture on which levels are estimated."""
LEAST = {"noise": 3.0 / 255.0, "jpeg": 0.08, "blur": 0.5}
"""Levels below which there is nothing to repair: noise of 3/255, JPEG of quality 92, blur of half a pixel."""
EVERYWHERE = 2 / 3
"""Share of the windows that must show noise of this level or more. The others may be flat, or filled in before."""
NOISY = 0.7
"""Quantile of the levels of noise over the windows."""


def estimate_levels(
    estimate: Callable[[np.ndarray], Any], repairs: Sequence[str], channels: int, windows: np.ndarray
) -> dict[str, float]:
    """Returns the level of each repair in a picture, 0 below `LEAST`: the median over its windows.

    That of noise is a high quantile, `NOISY`, as flat windows hide a part of it. It is 0 unless most windows show
    noise, as texture may look like noise but is not everywhere.

    Args:
      estimate: windows float32 (n, size, size, channels) -> their levels (n, k).
      repairs: names of the k levels.
      channels: those that `estimate` takes. Other windows are made grey for it.
      windows: result of `windows_of`, (n, size, size, c).
    """
    same = windows.shape[-1] == channels
    shown = windows if same else np.repeat(windows.mean(axis=-1, keepdims=True), channels, axis=-1)
    found = np.asarray(estimate(shown))
    named = dict(zip(repairs, map(float, np.median(found, axis=0)), strict=True))
    if "noise" in named:
        noise = found[:, repairs.index("noise")]
        everywhere = np.mean(noise[_unclipped(windows)] >= LEAST["noise"]) >= EVERYWHERE
        named["noise"] = float(np.quantile(noise, NOISY, method="lower")) if everywhere else 0.0
    return {name: level if level >= LEAST.get(name, 0.0) else 0.0 for name, level in named.items()}


def windows_of(pixels: AnyPixels) -> np.ndarray:
    """Returns `NUM_WINDOWS` windows spread over a picture, float32 (n, size, size, c) in [-1, 1].

    They begin at multiples of 16 pixels, as the blocks of JPEG do. A smaller picture is mirrored at its edges.
    """
    size = WINDOW
    short = [(0, max(0, size - n)) for n in pixels.shape[:2]]
    while any(after for _, after in short):  # one mirror image at a time: more than that np.pad repeats by itself
        pixels = np.pad(pixels, (*short, (0, 0)), mode="symmetric")
        short = [(0, max(0, size - n)) for n in pixels.shape[:2]]
    height, width = pixels.shape[:2]
    columns = max(1, min(round((NUM_WINDOWS * width / height) ** 0.5), NUM_WINDOWS))
    rows = max(1, NUM_WINDOWS // columns)
    tops, lefts = (
        np.linspace(0, n - size, num).astype(int) // 16 * 16 for n, num in ((height, rows), (width, columns))
    )
    places = [(top, left) for top in tops for left in lefts]
    places += [places[-1]] * (NUM_WINDOWS - len(places))
    cut = np.stack([pixels[top : top + size, left : left + size] for top, left in places])
    if np.issubdtype(pixels.dtype, np.floating):
        return cut
    return cut.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max / 2) - np.float32(1)


def _unclipped(windows: np.ndarray) -> np.ndarray:
    """Returns the places of the windows that are not mostly black or white, where noise may be cut off; else all."""
    clipped = (np.all(windows <= -1.0, axis=-1) | np.all(windows >= 1.0, axis=-1)).mean(axis=(1, 2)) > 0.5
    return np.arange(len(windows)) if clipped.all() else np.flatnonzero(~clipped)
