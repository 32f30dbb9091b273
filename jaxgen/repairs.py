"""What a network is told to repair, by name, and as one level for each of its repairs."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from jaxgen.errors import require

REPAIRS = ("noise", "jpeg", "blur", "scratches", "dust", "salt_and_pepper")
"""What a user can ask a restorer to repair."""
UNKNOWN = -1.0
"""The level of damage that a network is to find by itself."""

DEFAULT = ("noise", "jpeg")
"""What is repaired without being asked for. A thin bright line may be a scratch or a wire, and a soft picture may be
meant so: a network cannot know."""
USUAL = {"blur": 1.2, "scratches": 0.03, "dust": 0.03}
"""Levels of what is asked for and not seen: blur in pixels, marks as a share of the picture. A network that is to find
them by itself finds less: of dust 0 dB where it gains 14 dB at this level."""
NOTHING_SEEN: Mapping[str, float] = {}
Repair = str | Sequence[str] | Mapping[str, float | int]
"""Names joined by commas, a sequence of names, or levels by name."""


def repair_levels(
    repair: Repair | None, repairs: Sequence[str], seen: Mapping[str, float] = NOTHING_SEEN
) -> np.ndarray:
    """Returns a level for each repair, float32 (k,): `told_level` for names alone, 0 for all that is not asked for.

    Args:
      repair: names, with - or _, or "all"; a mapping gives levels, -1 or 0 or more; None asks for those of `DEFAULT`,
        or for all if the network knows none of them.
      repairs: the k repairs that the network knows.
      seen: levels that were seen in the picture, by name, which also stand for a level of -1.

    Raises:
      InputError: an unknown name, none at all, or a level that is not accepted.
    """
    if repair is None:
        repair = tuple(name for name in DEFAULT if name in repairs) or tuple(repairs)
    require(bool(repairs), "repair", repair, "none, as this model repairs all that it was trained on")
    asked = _named(repair, repairs, seen)
    return np.array([asked.get(name, 0.0) for name in repairs], np.float32)


def told_level(name: str, seen: Mapping[str, float]) -> float:
    """Returns the level of a repair that is asked for by name: what was seen or else `UNKNOWN`, `USUAL` at least."""
    return max(seen.get(name, UNKNOWN), USUAL.get(name, UNKNOWN))


def parse_repairs(repair: str | Sequence[str] | None, repairs: Sequence[str]) -> tuple[str, ...] | None:
    """Returns the repairs that are asked for, in the order of `repairs`; None for None. See `repair_levels`."""
    return None if repair is None else tuple(name for name in repairs if name in _named(repair, repairs))


def _named(repair: Repair, repairs: Sequence[str], seen: Mapping[str, float] = NOTHING_SEEN) -> dict[str, float]:
    """Returns levels by name."""
    accepted = f"{', '.join(name.replace('_', '-') for name in repairs)} joined by commas, or all"
    names = repair.split(",") if isinstance(repair, str) else repair
    named = isinstance(names, Mapping | Sequence) and len(names) > 0 and all(isinstance(name, str) for name in names)
    require(named, "repair", repair, accepted)
    levels: dict[str, float] = {}
    for name in names:
        plain = name.strip().replace("-", "_")
        require(plain in (*repairs, "all"), "repair", name, accepted)
        for known in repairs if plain == "all" else [plain]:
            level = names[name] if isinstance(names, Mapping) else told_level(known, seen)
            number = isinstance(level, int | float | np.number) and not isinstance(level, bool) and math.isfinite(level)
            require(number and (level == UNKNOWN or level >= 0), f"repair: {name}", level, "-1 (unknown), or 0 or more")
            levels[known] = seen.get(known, UNKNOWN) if level == UNKNOWN else float(level)
    return levels
