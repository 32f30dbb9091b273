"""The privacy that a training spends, by the package dp-accounting: a thin layer that fixes relation and grid.

A step draws each image with probability q, independently (Poisson sampling), and adds Gaussian noise whose standard
deviation is the noise multiplier times the largest norm that one image can contribute. The guarantee compares data sets
that differ by one image, added or removed. Epsilon is an upper bound by privacy loss distributions (PLD); Renyi
differential privacy (RDP) gives a looser one to compare with.

References:
  Abadi et al., "Deep Learning with Differential Privacy", 2016; Koskela, Jaelkoe, Honkela, "Computing Tight
  Differential Privacy Guarantees Using FFT", 2020; Mironov, Talwar, Zhang, "Renyi Differential Privacy of the Sampled
  Gaussian Mechanism", 2019.
"""

import functools
import math
from types import ModuleType
from typing import Any, Literal

from jaxgen.errors import InputError, require

GRID = 1e-4
"""Distance of the grid of privacy losses; coarser ones give an epsilon that is far too large."""
TOLERANCE = 1e-3
"""The noise that is solved for leaves at most this share of epsilon unspent."""
MOST_TRIALS = 12
ORDERS = (*range(2, 65), 80, 128, 256, 512)
"""Orders of RDP; between whole numbers its series converge slowly."""
RELATION, SAMPLING = "add or remove one image", "Poisson"
Accountant = Literal["pld", "rdp"]
Earlier = tuple[float, ...]
"""Noise multiplier, sampling rate and number of steps of each earlier training, one after another."""


@functools.lru_cache(maxsize=256)
def epsilon_spent(
    noise: float, q: float, steps: int, delta: float, accountant: Accountant = "pld", earlier: Earlier = ()
) -> float:
    """Returns the epsilon of so many steps, and of earlier ones on the same images, an upper bound.

    Args:
      noise: noise multiplier, above 0.
      q: probability with which a step draws each image, above 0 and at most 1.
      steps: number of noisy steps, 0 or more.
      delta: probability, above 0 and below 1.
      accountant: "pld" or "rdp".
      earlier: steps of earlier trainings.

    Raises:
      InputError: a number is out of range, or dp-accounting is not installed.
    """
    _require_numbers(q, steps, delta)
    require(noise > 0, "noise_multiplier", noise, "above 0")
    require(len(earlier) % 3 == 0, "earlier", earlier, "noise multiplier, sampling rate and steps of each training")
    spans = [
        (n, share, int(num)) for n, share, num in (*zip(*[iter(earlier)] * 3, strict=True), (noise, q, steps)) if num
    ]
    if not spans:
        return 0.0
    if accountant == "rdp":
        return _epsilon_by_rdp(spans, delta)
    losses = [_one_step(n, share).self_compose(num) for n, share, num in spans]
    return float(functools.reduce(lambda a, b: a.compose(b), losses).get_epsilon_for_delta(delta))


@functools.lru_cache(maxsize=32)
def noise_multiplier(epsilon: float, delta: float, q: float, steps: int, earlier: Earlier = ()) -> float:
    """Returns a noise multiplier with which so many steps spend at most epsilon (PLD), and hardly less.

    Args:
      epsilon: above 0.
      delta: see `epsilon_spent`, also for `q`.
      q: probability with which a step draws each image.
      steps: number of noisy steps, 1 or more.
      earlier: steps of earlier trainings, which spend a part of epsilon.

    Raises:
      InputError: a number is out of range, nothing of epsilon is left, or dp-accounting is not installed.
    """
    _require_numbers(q, steps, delta)
    require(epsilon > 0 and math.isfinite(epsilon), "epsilon", epsilon, "above 0")
    require(steps >= 1, "steps", steps, "1 or more")
    noise = _rough(epsilon, delta, q, steps) if not earlier else _rough_after(epsilon, delta, q, steps, earlier)
    enough, power, last = noise, 1.5, None
    for _ in range(MOST_TRIALS):  # each takes seconds; locally epsilon is a power of the noise
        ratio = epsilon_spent(noise, q, steps, delta, earlier=earlier) / epsilon
        enough = min(enough, noise) if ratio <= 1 else enough
        if 1 - TOLERANCE <= ratio <= 1:
            break
        if last is not None and last[0] != noise and last[1] != ratio:
            power = min(max(math.log(last[1] / ratio) / math.log(noise / last[0]), 0.1), 8.0)
        last, noise = (noise, ratio), noise * (ratio / (1 - TOLERANCE / 2)) ** (1 / power)
    return enough


def steps_within(epsilon: float, delta: float, q: float, noise: float, most: int, earlier: Earlier = ()) -> int:
    """Returns the largest number of steps, at most `most`, that spends at most epsilon with this noise (PLD)."""
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (middle, high) if epsilon_spent(noise, q, middle, delta, earlier=earlier) <= epsilon else (low, middle)
        )
    return low


def _rough(epsilon: float, delta: float, q: float, steps: int) -> float:
    """Returns a noise multiplier that is enough: the smallest by RDP to a hundredth, which is quick and looser."""
    low, high = 0.1, 0.2
    while epsilon_spent(high, q, steps, delta, "rdp") > epsilon:
        low, high = high, 2 * high
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if epsilon_spent(middle, q, steps, delta, "rdp") > epsilon else (low, middle)
    return high


def _rough_after(epsilon: float, delta: float, q: float, steps: int, earlier: Earlier) -> float:
    """Returns one that is enough after earlier trainings, since epsilons and deltas of two trainings at most add up."""
    spent = epsilon_spent(1.0, 1.0, 0, delta / 2, earlier=earlier)
    require(spent < epsilon, "epsilon", epsilon, f"above {spent:.4g}, which was spent on the initial weights")
    return _rough(epsilon - spent, delta / 2, q, steps)


@functools.lru_cache(maxsize=4)
def _one_step(noise: float, q: float) -> Any:
    """Returns the privacy loss distribution of a step."""
    dp = _package()
    return dp.pld.privacy_loss_distribution.from_gaussian_mechanism(
        noise,
        value_discretization_interval=GRID,
        sampling_prob=q,
        neighboring_relation=dp.NeighboringRelation.ADD_OR_REMOVE_ONE,
    )


def _epsilon_by_rdp(spans: list[tuple[float, float, int]], delta: float) -> float:
    dp = _package()
    parts = [dp.SelfComposedDpEvent(dp.PoissonSampledDpEvent(q, dp.GaussianDpEvent(n)), num) for n, q, num in spans]
    event = dp.ComposedDpEvent(parts)
    accountant = dp.rdp.RdpAccountant(ORDERS, dp.NeighboringRelation.ADD_OR_REMOVE_ONE)
    return float(accountant.compose(event).get_epsilon(delta))


def _package() -> ModuleType:
    """Returns the package dp-accounting."""
    try:
        import dp_accounting
        from dp_accounting import pld, rdp  # noqa: F401
    except ImportError as error:
        raise InputError(f"epsilon: needs the package {error.name}: pip install 'jaxgen[privacy]'") from None
    return dp_accounting


def _require_numbers(q: float, steps: int, delta: float) -> None:
    require(0 < q <= 1, "batch_size", f"{q:g} of the images", "above 0 and at most all images")
    require(steps >= 0, "steps", steps, "0 or more")
    require(0 < delta < 1, "delta", delta, "above 0 and below 1")
