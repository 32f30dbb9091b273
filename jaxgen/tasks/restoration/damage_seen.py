"""What is damaged in a picture: the levels of noise and JPEG that a network estimates, and salt and pepper, counted."""

import functools
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float
from scipy.ndimage import median_filter

from jaxgen.bundles.levels import estimate_levels, windows_of
from jaxgen.bundles.tiling import AnyPixels
from jaxgen.networks.inverse import ESTIMATOR, estimated_levels
from jaxgen.tasks.base import Trained
from jaxgen.tasks.restoration.restorers import make_restorer
from jaxgen.types import Images, Params

OUTLIER = 100
"""Difference from the median of 3 x 3 pixels, of 255, from which a pixel is an outlier."""
UNMISTAKABLE, SOME = 0.01, 0.001
"""Share of impulses of both colours from which they are repaired without being asked for, and mentioned."""


class Seen(NamedTuple):
    """The damage that was seen in a picture.

    Attributes:
      levels: level of each repair that was estimated, see `estimate_levels`.
      impulses: share of the pixels that are salt or pepper, 0 if they look like anything else.
    """

    levels: Mapping[str, float]
    impulses: float


def has_estimator(restorer: Trained) -> bool:
    """Returns whether the weights of a restorer hold an estimator of levels; pretrained ones share one."""
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
    repairs, own = restorer.config.restoration.repairs, restorer.facts.shape[-1]
    return Seen(estimate_levels(_estimator(restorer), repairs, own, windows), share)


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


def _touching(places: np.ndarray) -> float:
    """Returns the number of neighbours, of four, that places have among themselves, per pixel of the windows."""
    pairs = (places[:, 1:] & places[:, :-1]).sum() + (places[:, :, 1:] & places[:, :, :-1]).sum()
    return float(2 * pairs / places.size)


def levels_in(network: nn.Module, params: Params, images: Images) -> Float[Array, "b k"]:
    """Returns the levels that a network which is told levels estimates in images (b, size, size, c)."""
    return jnp.square(jnp.maximum(estimated_levels(network, params, images), 0.0))


@functools.lru_cache(maxsize=8)
def _compiled(network: nn.Module) -> Callable[..., jax.Array]:
    return jax.jit(partial(levels_in, network))


def _estimator(restorer: Trained) -> Callable[[np.ndarray], jax.Array]:
    """Returns the compiled function from windows to levels (n, k)."""
    network = make_restorer(restorer.config.restoration, restorer.facts.shape)
    params = restorer.state.ema_params["restorer"]
    return lambda images: _compiled(network)(params, images)
