"""The ledger of a training: all its members with their settings, steps, scores and status.

A run has one member, a scan has many.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Setting = dict[str, float | None]
"""The hyperparameters of a member by name."""


class Entry(NamedTuple):
    """A present or former member.

    Attributes:
      number: number of the member, from 0.
      setting: number of its setting; the members of a setting differ only in their seeds.
      seed: random seed of weights, noise and the order of the data, as in a single run.
      hparams: the hyperparameters.
      slot: its place in the population; -1 after a new member has taken its place.
      born: step of the scan at which the member began.
      status: "running", "dropped" (replaced by a new member) or "diverged".
      steps: the member's own steps so far, or until it was dropped or diverged.
      scores: (own step, score) of each evaluation; lower is better.
    """

    number: int
    setting: int
    seed: int
    hparams: Setting
    slot: int
    born: int = 0
    status: str = "running"
    steps: int = 0
    scores: tuple[tuple[int, float], ...] = ()


Ledger = tuple[Entry, ...]


def new_members(
    settings: Sequence[Setting],
    seeds: Sequence[int],
    slots: Sequence[int],
    first: tuple[int, int] = (0, 0),
    born: int = 0,
) -> Ledger:
    """Returns a member for each setting and seed; the members of a setting are adjacent.

    Args:
      settings: the hyperparameters of each setting.
      seeds: the seeds, the same for all settings.
      slots: the place of each member.
      first: numbers of the first member and of the first setting.
      born: step of the scan at which they begin.
    """
    pairs = [(i, setting, seed) for i, setting in enumerate(settings) for seed in seeds]
    return tuple(
        Entry(first[0] + n, first[1] + i, seed, setting, slot, born)
        for n, ((i, setting, seed), slot) in enumerate(zip(pairs, slots, strict=True))
    )


def to_json(ledger: Ledger) -> list[dict[str, Any]]:
    """Returns the ledger as JSON values."""
    return [entry._asdict() for entry in ledger]


def from_json(rows: list[dict[str, Any]]) -> Ledger:
    """Returns the ledger that `to_json` turned into JSON values."""
    return tuple(Entry(**{**row, "scores": tuple((step, score) for step, score in row["scores"])}) for row in rows)


def present(ledger: Ledger) -> Ledger:
    """Returns the members in the population, by place."""
    return tuple(sorted((e for e in ledger if e.slot >= 0), key=lambda e: e.slot))


def changed(ledger: Ledger, entries: Mapping[int, Entry]) -> Ledger:
    """Returns the ledger with new entries in place of the old ones of the same numbers."""
    return tuple(entries.get(entry.number, entry) for entry in ledger)


def advanced(ledger: Ledger, step: int) -> Ledger:
    """Returns the ledger with the steps of all running members at a step of the scan."""
    return tuple(e._replace(steps=step - e.born) if e.status == "running" else e for e in ledger)


def with_diverged(ledger: Ledger, start: int, finite: np.ndarray, names: Sequence[str]) -> tuple[Ledger, list[str]]:
    """Returns the ledger in which the members that became non-finite are marked, and a line about each of them.

    Args:
      ledger: the ledger.
      start: step of the scan before the steps that are reported.
      finite: whether all metrics were finite, (k, p) for k steps and p places.
      names: names of the hyperparameters that the lines show.
    """
    found, lines = {}, []
    for entry in present(ledger):
        if entry.status == "running" and not finite[:, entry.slot].all():
            steps = start + int(np.argmin(finite[:, entry.slot])) + 1 - entry.born
            found[entry.number] = entry._replace(status="diverged", steps=steps)
            about = f"its state of step {start - entry.born} is kept ({describe(entry, names)})"
            lines.append(f"member {entry.number} diverged at its step {steps}; {about}")
    return changed(ledger, found), lines


def scored(ledger: Ledger, scores: Mapping[int, float]) -> Ledger:
    """Returns the ledger with new scores, given by member number, at the members' present steps."""
    return tuple(
        e._replace(scores=(*(s for s in e.scores if s[0] != e.steps), (e.steps, scores[e.number])))
        if e.number in scores
        else e
        for e in ledger
    )


def last_score(entry: Entry) -> float:
    """Returns the newest score; infinity if there is none or the member diverged."""
    diverged = entry.status == "diverged"
    return math.inf if diverged or not entry.scores else entry.scores[-1][1]


def leaderboard(ledger: Ledger) -> list[Entry]:
    """Returns all members in order of their last scores, the best first and the diverged last."""
    return sorted(ledger, key=lambda e: (last_score(e), -e.steps, e.number))


def halved(
    ledger: Ledger, rungs: Sequence[int], draw_fn: Callable[[int], Setting], step: int
) -> tuple[Ledger, tuple[int, ...]]:
    """Returns the ledger after successive halving: new settings replace the worse half of those at a rung.

    The score of a setting is the mean over its seeds. A setting with a diverged member is always replaced.

    Args:
      ledger: the ledger, with scores at every rung that was reached.
      rungs: numbers of own steps after which members are compared.
      draw_fn: (number of a setting) -> its hyperparameters.
      step: the present step of the scan.

    Returns:
      The ledger with the new settings in the places of those dropped, and these places.

    References:
      Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2020, algorithm 2, its rule of promotion.
    """
    settings = {e.setting for e in present(ledger)}
    losers = sorted(s for s in settings if _loses(ledger, s, rungs))
    seeds = [e.seed for e in ledger if e.setting == 0]
    gone = [e for loser in losers for e in ledger if e.setting == loser]
    slots = [e.slot for e in gone]
    kept = changed(ledger, {e.number: _out(e) for e in gone})
    following = max(e.setting for e in ledger) + 1
    fresh = [draw_fn(following + i) for i in range(len(losers))]
    return (*kept, *new_members(fresh, seeds, slots, (len(ledger), following), step)), tuple(slots)


def _out(entry: Entry) -> Entry:
    """Returns the entry of a member that has left the population."""
    return entry._replace(slot=-1, status="dropped" if entry.status == "running" else entry.status)


def _loses(ledger: Ledger, setting: int, rungs: Sequence[int]) -> bool:
    """Returns whether a setting diverged, or is at a rung in the worse half of all settings that reached this rung."""
    own = [e for e in ledger if e.setting == setting]
    if any(e.status == "diverged" for e in own):
        return True
    rung = own[0].steps
    if rung not in rungs:
        return False
    others = [score_at(ledger, s, rung) for s in {e.setting for e in ledger}]
    judged = sorted(score for score in others if score is not None)
    return score_at(ledger, setting, rung) > judged[(len(judged) - 1) // 2]


def score_at(ledger: Ledger, setting: int, rung: int) -> float | None:
    """Returns the mean score of a setting's members after `rung` own steps; None if a member has no such score."""
    scores = [dict(e.scores).get(rung) for e in ledger if e.setting == setting]
    return None if None in scores else sum(scores) / len(scores)


def describe(entry: Entry, names: Sequence[str]) -> str:
    """Returns the named hyperparameters and the seed of a member as text: `lr 0.0002, r1 0.1, seed 0`."""
    return ", ".join([*(f"{name} {format_number(entry.hparams[name])}" for name in names), f"seed {entry.seed}"])


def format_number(value: float | None) -> str:
    """Returns a number with three digits."""
    return "None" if value is None else f"{value:.3g}"
