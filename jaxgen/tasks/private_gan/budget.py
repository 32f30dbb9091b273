"""The privacy budget of a run: its noise, what its steps spend, and the words for it."""

import dataclasses
import math
from pathlib import Path
from typing import Any

from jaxgen.errors import reject, require
from jaxgen.privacy.accounting import GRID, RELATION, SAMPLING, epsilon_spent, noise_multiplier, steps_within
from jaxgen.runs.folder import read_run_config
from jaxgen.runs.reading import read_run
from jaxgen.tasks.base import Facts
from jaxgen.tasks.gan import pairs
from jaxgen.tasks.private_gan.config import PrivateGanConfig, PrivateGanRecipe

FEW_IMAGES = 10_000
"""Number of images below which a run can hardly be private and useful."""


def settle(config: PrivateGanRecipe, facts: Facts) -> PrivateGanRecipe:
    """Returns the configuration with architecture, number of images and noise decided.

    Raises:
      InputError: the steps spend more than epsilon, the number of images is not that of the run, or dp-accounting is
        not installed.
    """
    structure, steps = pairs.settle(config.private_gan, facts.shape), config.train.steps
    num, before = facts.num_images, structure.num_images
    require(before in (None, num), "num_images", f"{num:,} in the data", f"{before}, with which the run began")
    require(config.train.batch_size <= num, "batch_size", config.train.batch_size, f"at most {num:,}, all images")
    earlier = structure.earlier or _earlier(config.train.initial_weights)
    structure = dataclasses.replace(structure, num_images=num, earlier=earlier)
    config = dataclasses.replace(config, private_gan=structure)
    q, epsilon, delta, asked = rate(config), structure.epsilon, structure.delta, questions(config, steps)
    noise = structure.noise_multiplier or noise_multiplier(epsilon, delta, q, asked, earlier)
    spent = epsilon_spent(noise, q, asked, delta, earlier=earlier)
    if spent > epsilon and asked == 1:
        reject("epsilon", epsilon, f"at least {_up(spent)}, which noise of {noise:.4g} spends at once")
    if spent > epsilon:
        most = steps_within(epsilon, delta, q, noise, steps, earlier)
        reject("steps", steps, f"at most {most:,}, where the budget is spent; these need --epsilon {_up(spent)}")
    return dataclasses.replace(config, private_gan=dataclasses.replace(structure, noise_multiplier=noise))


def spent_by(config: PrivateGanRecipe, steps: int, streams: int = 1, sharing: int = 1) -> float:
    """Returns the epsilon that so many steps spend, by a settled configuration.

    Args:
      config: the configuration of a run, or of a scan.
      steps: number of steps of each member.
      streams: number of independent streams of batches.
      sharing: number of members that share each. Their noisy sums of a batch are one of `sharing` times the dimension,
        in which an image weighs the root of that more; that they were sampled helps only once. An embedding is one.
    """
    structure = config.private_gan
    noise = structure.noise_multiplier / (1.0 if at_once(config) else math.sqrt(sharing))
    asked = questions(config, steps) * streams
    return epsilon_spent(noise, rate(config), asked, structure.delta, earlier=structure.earlier)


def _earlier(initial_weights: str | None) -> tuple[float, ...]:
    """Returns what the private run, if it is one, of these initial weights has asked its images; see `earlier`."""
    folder = Path(initial_weights or "")
    if initial_weights is None or read_run(folder).get("task") != "private_gan":
        return ()
    before = read_run_config(folder, PrivateGanRecipe)
    asked = questions(before, before.train.steps)
    return (*before.private_gan.earlier, before.private_gan.noise_multiplier, rate(before), float(asked))


def at_once(config: PrivateGanRecipe) -> bool:
    """Returns whether all images are asked once, at the first step, in place of some of them at each."""
    return config.private_gan.privacy == "embedding"


def questions(config: PrivateGanRecipe, steps: int) -> int:
    """Returns how often so many steps ask the images: the number of noisy sums."""
    return min(steps, 1) if at_once(config) else steps


def rate(config: PrivateGanRecipe) -> float:
    """Returns the probability with which a noisy sum draws each image."""
    return 1.0 if at_once(config) else config.train.batch_size / config.private_gan.num_images


def promise(config: PrivateGanRecipe) -> dict[str, Any]:
    """Returns the guarantee of a settled configuration, whatever the number of its steps done; needs no accountant."""
    structure: PrivateGanConfig = config.private_gan
    return {
        "epsilon": structure.epsilon,
        "delta": structure.delta,
        "mechanism": "Gaussian",
        "relation": RELATION,
        "sampling": "none" if at_once(config) else SAMPLING,
        "sampling_rate": rate(config),
        "num_images": structure.num_images,
        "noise_multiplier": structure.noise_multiplier,
        "steps": questions(config, config.train.steps),
        "earlier": structure.earlier,
        "accountant": f"PLD of dp-accounting, grid {GRID:g}",
    }


def record(config: PrivateGanRecipe, members: int) -> dict[str, Any]:
    """Returns the entry of run.json: the guarantee, what all steps of all members spend, and a statement in words."""
    spent = spent_by(config, config.train.steps, *_streams(config, members))
    whole = f"privacy: {members} members on the same images spend ε = {spent:.4g} together, the price of the scan"
    statement = line(config) if members == 1 else f"{whole} and of a choice among them"
    about = {"members": members, "epsilon_spent_at_the_end": spent, "statement": statement, "contents": CONTENTS}
    return {"privacy": {**promise(config), **about}}


def _streams(config: PrivateGanRecipe, members: int) -> tuple[int, int]:
    """Returns the number of streams of batches in a scan, and of the members that share each; see `scans.feed`."""
    scan = getattr(config, "scan", None)
    halving = scan is not None and scan.halving
    accepted = "False with an embedding, of which each new member would ask for another one"
    require(not (halving and at_once(config)), "halving", halving, accepted)
    streams = 1 if scan is None else members if halving else scan.seeds
    return streams, -(-members // streams)


CONTENTS = (
    "Everything here but the folder private/ follows from noised sums, also the checkpoints: the guarantee covers it. "
    "No key or seed of the noise was kept. The number of images counts as public."
)
"""What a run folder holds, in words."""


def line(config: PrivateGanRecipe) -> str:
    """Returns the guarantee of each run in one line."""
    structure, steps = config.private_gan, config.train.steps
    begin = f"privacy: (ε = {structure.epsilon:g}, δ = {structure.delta:g}), {RELATION}, "
    if structure.earlier:
        begin += f"ε = {spent_by(config, 0):.4g} of it spent on the initial weights, "
    if at_once(config):
        return (
            f"{begin}one Gaussian mechanism on all {structure.num_images:,} images, noise multiplier σ = "
            f"{structure.noise_multiplier:.4g}, accountant PLD: it spends ε = {spent_by(config, steps):.4g}, the steps "
            "nothing"
        )
    by_rdp = epsilon_spent(structure.noise_multiplier, rate(config), steps, structure.delta, "rdp", structure.earlier)
    return (
        f"{begin}{SAMPLING} sampling q = {rate(config):.4g} of {structure.num_images:,} images, noise multiplier σ = "
        f"{structure.noise_multiplier:.4g}, accountant PLD: {steps:,} steps spend ε = {spent_by(config, steps):.4g} "
        f"(RDP gives {by_rdp:.4g})"
    )


def notes(config: PrivateGanRecipe) -> tuple[str, ...]:
    """Returns the line about the guarantee of a settled configuration, and what does not go with it."""
    lines, structure = [line(config)], config.private_gan
    if structure.num_images < FEW_IMAGES:
        few = f"privacy: {structure.num_images:,} images are few: with fewer than {FEW_IMAGES:,} a model that is"
        lines.append(f"{few} private is hardly useful")
    if structure.delta > 1 / structure.num_images:
        lines.append("privacy: δ is above 1 / number of images, which allows to publish one of them: choose it smaller")
    if config.train.initial_weights is not None and not structure.earlier:
        lines.append("privacy: counted from here; if the initial weights have seen these images, add what that spent")
    return tuple(lines)


def _up(epsilon: float) -> str:
    """Returns an epsilon rounded up to two decimals."""
    return f"{int(epsilon * 100) / 100 + 0.01:.2f}"
