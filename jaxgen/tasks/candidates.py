"""The audit of the run of any task: the images whose membership is guessed, and what is written about it."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Int64

from jaxgen.audit import outcome
from jaxgen.audit.attacks import calibrated, in_batches, quality_in_draws
from jaxgen.audit.outcome import Outcome, Scores
from jaxgen.data.base import Source
from jaxgen.data.canaries import FILE, read_canaries, require_source_of, trained_on, with_all_canaries
from jaxgen.errors import InputError, require
from jaxgen.tasks.base import Data, Trained, report
from jaxgen.types import Batch, Images, PRNGKey

MOST = 1000
"""The most training images, and held-out ones, that are told apart without canaries."""


class Candidates(NamedTuple):
    """Images of which some were trained on.

    Attributes:
      batch: `images`, uint8 (m, *spatial, c), and `labels` (m,) if the data has them.
      included: which of them were trained on.
      coins: whether a coin decided it.
      index: numbers of the images among all training images; -1 for those of another set.
      train: all training images, those that were left out included.
    """

    batch: Batch
    included: Bool[np.ndarray, " m"]
    coins: bool
    index: Int64[np.ndarray, " m"]
    train: Source


class Shadow(NamedTuple):
    """A model of the same kind, trained on another random part of the same images.

    Attributes:
      trained: the model.
      run: folder of its run, which holds the record of its canaries.
    """

    trained: Trained
    run: Path


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
    data = trained.task.open(with_all_canaries(config), None)
    if canaries is None:
        require(config.data.canaries == 0, "run", str(run), f"one with its record of canaries, {FILE}")
        return _of_splits(data.train, held_out(data), seed, str(run))
    require_source_of(canaries, data.train)
    return Candidates(_batch(data.train, canaries.index), canaries.included, True, canaries.index, data.train)


def _of_splits(train: Source, held_out: Source | None, seed: int, run: str) -> Candidates:
    """Returns as many training images as held-out ones, drawn at random."""
    if held_out is None or held_out.num_images < 2:
        accepted = "one trained with --canaries 1000, or on data with a held-out split"
        raise InputError(f"run: got {run!r}, without canaries and without a held-out split; accepted: {accepted}")
    draw, num = np.random.default_rng((seed, 0, 6)), min(MOST, train.num_images, held_out.num_images)
    own, other = (np.sort(draw.choice(s.num_images, num, replace=False)) for s in (train, held_out))
    parts = [_batch(train, own), _batch(held_out, other)]
    names = set(parts[0]) & set(parts[1])
    batch = {name: np.concatenate([part[name] for part in parts]) for name in names}
    return Candidates(batch, np.arange(2 * num) < num, False, np.append(own, np.full(num, -1)), train)


def _batch(source: Source, index: np.ndarray) -> Batch:
    """Returns the images with these numbers, and their labels if there are any."""
    labels = {} if source.labels is None else {"labels": source.labels[index]}
    return {"images": source.take(index), **labels}


def _calibrated(
    own: Scores, candidates: Candidates, attack: Callable[[Trained], Scores], shadows: Sequence[Shadow]
) -> Scores:
    """Returns the scores of each attack, calibrated by shadow models."""
    known = [_trained_on(shadow, candidates) for shadow in shadows]
    found = [attack(shadow.trained) for shadow in shadows]
    each = {name: np.stack([scores[name] for scores in found]) for name in own}
    return {f"{name}, shadows": calibrated(own[name], each[name], np.stack(known)) for name in own}


def _trained_on(shadow: Shadow, candidates: Candidates) -> Bool[np.ndarray, " m"]:
    """Returns which candidates a shadow model was trained on.

    Raises:
      InputError: its images differ, it has no canaries, or it has those of the run: its scores would depend on the
        coins of the run in another way than through the run's model, and prove nothing.
    """
    canaries = read_canaries(shadow.run)
    require(canaries is not None, "shadows", str(shadow.run), "runs of the same images, trained with --canaries NUMBER")
    require_source_of(canaries, candidates.train)
    known = trained_on(canaries, candidates.index)
    same = candidates.coins and np.array_equal(known, candidates.included)
    require(not same, "shadows", f"{shadow.run}, with the canaries of the run", "a scan with other seeds, by --seed")
    return known


def conclude(
    trained: Trained,
    run: Path,
    candidates: Candidates,
    attack: Callable[[Trained], Scores],
    seed: int,
    shadows: Sequence[Shadow] = (),
) -> Outcome:
    """Returns the outcome of an audit; prints it and writes it to the folder private/ of the run and to its report.

    Args:
      trained: the model that is attacked.
      run: folder of its run.
      candidates: from `find_candidates`.
      attack: (model) -> scores of the candidates by the name of the attack.
      seed: seed of the attacks, for the record.
      shadows: shadow models; with some, each attack is also calibrated by them.

    Raises:
      InputError: a shadow model is of another task, has other images, or no canaries.
    """
    included, scores = candidates.included, attack(trained)
    for shadow in shadows:
        name = shadow.trained.task.name
        require(name == trained.task.name, "shadows", f"a scan of {name}", f"one of {trained.task.name}, as the run")
    if shadows:
        scores = {**scores, **_calibrated(scores, candidates, attack, shadows)}
    found = outcome.judge(scores, included, candidates.coins, outcome.read_proof(run))
    print(outcome.describe(found))
    outcome.save(found, scores, included, run, {"step": trained.facts.step, "seed": seed})
    report(trained.task, run)
    return found


def audit_quality(
    trained: Trained,
    run: Path,
    num: int | None,
    seed: int,
    shadows: Sequence[Shadow],
    *,
    attack: str,
    compared: Callable[[Trained, PRNGKey, Images], tuple[tuple[jax.Array, jax.Array], ...]],
    draws: int,
) -> Outcome:
    """Returns the outcome of an attack on a model that makes images from images; see `conclude`.

    Args:
      trained: the model.
      run: folder of its run.
      num: None, as the model generates no images.
      seed: seed of the damage, which is that of the run.
      shadows: shadow models.
      attack: name of the attack.
      compared: (model, key, images in [-1, 1]) -> pairs of a result and the image that it should be.
      draws: draws of the damage for each image.

    Raises:
      InputError: see `find_candidates` and `conclude`; or `num` is given.
    """
    require(num is None, "num", num, "none, as only a GAN generates images")
    found = find_candidates(trained, run, seed)

    def scores(model: Trained) -> Scores:
        return {attack: in_batches(quality_in_draws(partial(compared, model), seed, draws), found.batch)}

    return conclude(trained, run, found, scores, seed, shadows)
