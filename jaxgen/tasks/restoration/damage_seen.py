"""What is damaged in a picture: the levels of noise and JPEG that a network estimates, and salt and pepper, counted."""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np
from scipy.ndimage import gaussian_filter, median_filter

from jaxgen.bundles.tiling import AnyPixels
from jaxgen.networks.inverse import ESTIMATOR, estimated_levels
from jaxgen.networks.levels import ESTIMATED_SIZE
from jaxgen.tasks.base import Trained
from jaxgen.tasks.restoration.restorers import make_restorer

NUM_WINDOWS = 48
"""Windows of a picture on which levels are estimated."""
LEAST = {"noise": 3.0 / 255.0, "jpeg": 0.08, "blur": 0.5}
"""Levels below which there is nothing to repair: noise of 3/255, JPEG of quality 92, blur of half a pixel."""
OUTLIER = 100
"""Difference from the median of 3 x 3 pixels, of 255, from which a pixel is an outlier."""
UNMISTAKABLE, SOME = 0.01, 0.001
"""Share of impulses of both colours from which they are repaired without being asked for, and mentioned."""


class Seen(NamedTuple):
    """The damage that was seen in a picture.

    Attributes:
      levels: level of each repair that was estimated, 0 below `LEAST`.
      impulses: share of the pixels that are salt or pepper, 0 if they look like anything else.
    """

    levels: Mapping[str, float]
    impulses: float


def has_estimator(restorer: Trained) -> bool:
    """Returns whether the weights of a restorer hold an estimator of levels; those of the package share one."""
    return ESTIMATOR in restorer.state.ema_params["restorer"]


def see_damage(restorer: Trained | None, pixels: AnyPixels) -> Seen:
    """Returns the damage that is seen in a picture.

    Args:
      restorer: a network that is told levels, and can estimate them; None estimates none.
      pixels: (h, w, c), uint8, uint16 or float32 in [-1, 1].
    """
    windows = windows_of(pixels)
    share = impulse_share(windows)
    if restorer is None:
        return Seen({}, share)
    own = restorer.facts.shape[-1]
    shown = windows if windows.shape[-1] == own else np.repeat(windows.mean(axis=-1, keepdims=True), own, axis=-1)
    found = np.square(np.maximum(np.asarray(_estimator(restorer)(shown)), 0.0))
    smooth, repairs = _smoother_half(windows), restorer.config.restoration.repairs
    named = {
        name: float(np.median(found[smooth, i] if name == "noise" else found[:, i])) for i, name in enumerate(repairs)
    }
    return Seen({name: level if level >= LEAST.get(name, 0.0) else 0.0 for name, level in named.items()}, share)


def describe(seen: Seen, repaired: tuple[str, ...]) -> str:
    """Returns what was seen in words, and how to ask for what was not repaired; "" if nothing was seen."""
    levels = seen.levels
    found = []
    if levels.get("noise"):
        found.append(f"noise of about {255 * levels['noise']:.0f}/255")
    if levels.get("jpeg"):
        found.append(f"JPEG quality of about {100 - 100 * levels['jpeg']:.0f}")
    words = ", ".join(found)
    if seen.impulses >= SOME:
        salt = f"salt and pepper on {100 * seen.impulses:.1f}% of the pixels"
        asked = "salt_and_pepper" in repaired
        words = "; ".join(filter(None, [words, salt if asked else f"looks like {salt}: --repair salt-and-pepper"]))
    return words


def windows_of(pixels: AnyPixels) -> np.ndarray:
    """Returns `NUM_WINDOWS` windows spread over a picture, float32 (n, size, size, c) in [-1, 1].

    They begin at multiples of 16 pixels, as the blocks of JPEG do. A smaller picture is mirrored at its edges.
    """
    size = ESTIMATED_SIZE
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


def impulse_share(windows: np.ndarray) -> float:
    """Returns the share of the pixels that are salt or pepper; 0 unless they look like nothing else.

    Outliers are pixels far from the median of 3 x 3 pixels. They are impulses if nearly all of them are black or white
    in all channels, both in number, and scattered by chance: lines and letters touch others of their colour.

    Args:
      windows: float32 (n, h, w, c) in [-1, 1].
    """
    black, white = np.all(windows <= -1.0, axis=-1), np.all(windows >= 1.0, axis=-1)
    ends = black | white
    share = float(ends.mean())
    if share < SOME or share > 0.95:
        return 0.0
    grey = windows[..., windows.shape[-1] // 2]
    rest = float(grey[~ends].mean())
    typical = median_filter(np.where(ends, np.float32(rest), grey), (1, 3, 3))
    outliers = np.abs(grey - typical) > OUTLIER / 127.5
    salt, pepper = white & outliers, black & outliers
    impulses = float(salt.mean() + pepper.mean())
    pure = impulses > 0.9 * float(outliers.mean())
    both = min(float(black.mean()), float(white.mean())) > 0.2 * share  # in a dark picture pepper is no outlier
    touching = (_touching(salt) + _touching(pepper)) / max(impulses, 1e-9)
    by_chance = touching < 1.5 * 2.0 * impulses + 0.3
    return share if pure and both and by_chance and impulses > 0.3 * share else 0.0


def _smoother_half(windows: np.ndarray) -> np.ndarray:
    """Returns the places of the half of the windows with less texture, which may be taken for noise, or hide it."""
    blurred = gaussian_filter(windows.mean(axis=-1), (0, 2, 2))
    slopes = sum(np.abs(np.diff(blurred, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2))
    return np.argsort(slopes, kind="stable")[: len(windows) // 2]


def _touching(places: np.ndarray) -> float:
    """Returns the number of neighbours, of four, that places have among themselves, per pixel of the windows."""
    pairs = (places[:, 1:] & places[:, :-1]).sum() + (places[:, :, 1:] & places[:, :, :-1]).sum()
    return float(2 * pairs / places.size)


@functools.lru_cache(maxsize=8)
def _compiled(network: object) -> object:
    return jax.jit(lambda params, images: estimated_levels(network, params, images))


def _estimator(restorer: Trained) -> object:
    """Returns the compiled function from windows to the square roots of levels (n, k)."""
    network = make_restorer(restorer.config.restoration, restorer.facts.shape)
    params = restorer.state.ema_params["restorer"]
    return lambda images: _compiled(network)(params, images)
