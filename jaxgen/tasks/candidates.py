"""The audit of the run of any task: the images whose membership is guessed, and what is written about it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from jaxgen.audit import outcome
from jaxgen.audit.outcome import Outcome, Scores
from jaxgen.data.base import Source
from jaxgen.data.canaries import FILE, read_canaries, require_source_of
from jaxgen.errors import InputError, require
from jaxgen.tasks.base import Data, Trained, report
from jaxgen.types import Batch

MOST = 1000
"""The most training images, and held-out ones, that are told apart without canaries."""


class Candidates(NamedTuple):
    """Images of which some were trained on.

    Attributes:
      batch: `images`, uint8 (m, *spatial, c), and `labels` (m,) if the data has them.
      included: which of them were trained on.
      coins: whether a coin decided it.
      train: all training images, those that were left out included.
    """

    batch: Batch
    included: Bool[np.ndarray, " m"]
    coins: bool
    train: Source


def find_candidates(
    trained: Trained, run: Path, seed: int, held_out: Callable[[Data], Source | None] = lambda data: data.held_out
) -> Candidates:
    """Returns the canaries of a run; if it has none, training images and as many held-out ones.

    Args:
      trained: result of `load`.
      run: folder of the run.
      seed: decides which images are taken where there are no canaries.
      held_out: returns images that were not trained on, None if there are none.

    Raises:
      InputError: this is no run, its data changed, or it has neither canaries nor held-out images.
    """
    require(trained.from_run, "run", str(run), "the folder of a run: a file of weights has no canaries")
    config, canaries = trained.config, read_canaries(run)
    complete = dataclasses.replace(config, data=dataclasses.replace(config.data, canaries=0))
    data = trained.task.open(complete, None)
    if canaries is None:
        require(config.data.canaries == 0, "run", str(run), f"one with its record of canaries, {FILE}")
        return _of_splits(data.train, held_out(data), seed, str(run))
    require_source_of(canaries, data.train)
    return Candidates(_batch(data.train, canaries.index), canaries.included, True, data.train)


def require_no_fakes(num: int | None) -> None:
    """Raises `InputError` if a number of images to generate is given for a model that generates none."""
    require(num is None, "num", num, "none, as only a GAN generates images")


def _of_splits(train: Source, held_out: Source | None, seed: int, run: str) -> Candidates:
    """Returns as many training images as held-out ones, drawn at random."""
    if held_out is None or held_out.num_images < 2:
        accepted = "one trained with --canaries 1000, or on data with a held-out split"
        raise InputError(f"run: got {run!r}, without canaries and without a held-out split; accepted: {accepted}")
    draw, num = np.random.default_rng((seed, 0, 6)), min(MOST, train.num_images, held_out.num_images)
    parts = [_batch(s, np.sort(draw.choice(s.num_images, num, replace=False))) for s in (train, held_out)]
    names = set(parts[0]) & set(parts[1])
    batch = {name: np.concatenate([part[name] for part in parts]) for name in names}
    return Candidates(batch, np.arange(2 * num) < num, False, train)


def _batch(source: Source, index: np.ndarray) -> Batch:
    """Returns the images with these numbers, and their labels if there are any."""
    labels = {} if source.labels is None else {"labels": source.labels[index]}
    return {"images": source.take(index), **labels}


def conclude(trained: Trained, run: Path, candidates: Candidates, scores: Scores, seed: int) -> Outcome:
    """Returns the outcome of an audit; prints it and writes it to the folder private/ of the run and to its report."""
    included = candidates.included
    found = outcome.judge(scores, included, candidates.coins, outcome.read_proof(run))
    print(outcome.describe(found))
    outcome.save(found, scores, included, run, {"step": trained.facts.step, "seed": seed})
    report(trained.task, run)
    return found
