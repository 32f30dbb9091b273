"""The outcome of an audit: its figures as text, as a file and as a picture."""

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure

from jaxgen.audit.bounds import Rate, auc, epsilon_bound, largest_bound, true_positives
from jaxgen.files import read_json, write_bytes, write_json
from jaxgen.runs.curves import INKS

DELTA = 1e-5
"""Delta of the lower bound where the run has no proof that names one."""
Scores = Mapping[str, Float[np.ndarray, " m"]]
"""The scores of all candidates (m,), by the name of the attack."""


class Row(NamedTuple):
    """The figures of an attack; `epsilon` is its lower bound, None without canaries."""

    attack: str
    auc: Rate
    true_positives: Rate
    epsilon: float | None


class Outcome(NamedTuple):
    """The outcome of an audit.

    Attributes:
      rows: a row for each attack.
      included: candidates that were trained on.
      others: candidates that were not.
      coins: whether a coin decided which; only then there are bounds of epsilon.
      largest: the most that so many canaries could show; None without canaries.
      proof: the guarantee of the run, `Task.record`; empty if the run was not private.
    """

    rows: tuple[Row, ...]
    included: int
    others: int
    coins: bool
    largest: float | None
    proof: Mapping[str, Any]

    @property
    def shown(self) -> float:
        """Returns the best lower bound of epsilon of all attacks; 0 without canaries."""
        return max(row.epsilon or 0.0 for row in self.rows)


def judge(scores: Scores, included: Bool[np.ndarray, " m"], coins: bool, proof: Mapping[str, Any]) -> Outcome:
    """Returns what the scores of all attacks show.

    Args:
      scores: scores by attack.
      included: which candidates were trained on.
      coins: whether a coin decided it.
      proof: the guarantee of the run; may be empty.

    Raises:
      InputError: fewer than two candidates of either kind, or a score that is not finite.
    """
    delta, num = float(proof.get("delta", DELTA)), len(scores)
    rows = tuple(
        Row(
            name,
            auc(values[included], values[~included]),
            true_positives(values[included], values[~included]),
            epsilon_bound(values, included, delta, num) if coins else None,
        )
        for name, values in scores.items()
    )
    largest = largest_bound(len(included), delta, num) if coins else None
    return Outcome(rows, int(included.sum()), int((~included).sum()), coins, largest, proof)


def describe(outcome: Outcome) -> str:
    """Returns the table of attacks, and in words what they prove and what not."""
    width = max(len(row.attack) for row in outcome.rows) + 3
    head = f"{'attack':{width}}{'AUC':22}{'TPR at 1% FPR':26}{'ε at least':12}{'at most shown':13}"
    return "\n".join([head, *(_line(row, outcome.largest, width) for row in outcome.rows), *sentences(outcome)])


def _line(row: Row, largest: float | None, width: int) -> str:
    """Returns the row of an attack as text."""
    area = f"{row.auc.value:.3f} [{row.auc.low:.3f}, {row.auc.high:.3f}]"
    rate = " ".join(
        [f"{row.true_positives.value:.1%}", f"[{row.true_positives.low:.1%}, {row.true_positives.high:.1%}]"]
    )
    bound = ("-", "-") if row.epsilon is None else (f"{row.epsilon:.2f}", f"{largest:.2f}")
    return f"{row.attack:{width}}{area:22}{rate:26}{bound[0]:12}{bound[1]:13}".rstrip()


def sentences(outcome: Outcome) -> list[str]:
    """Returns what was proved, what was shown by attacks, and what that means."""
    if not outcome.coins:
        return [
            f"{_proved(outcome.proof)}; no lower bound: without canaries {outcome.included:,} training images are told "
            f"from {outcome.others:,} held-out ones",
            "an AUC above 0.5 is overfitting, or a difference between the splits: no coin decided which images were "
            "trained on, so it proves no ε (--canaries 1000 at training)",
        ]
    num = outcome.included + outcome.others
    shown = math.floor(10 * outcome.shown) / 10  # a lower bound must not be rounded up
    lines = [
        f"{_proved(outcome.proof)}; ε ≥ {shown:.1f} (attacked: 95%, {num:,} canaries)",
        f"a perfect attack would show ε ≥ {outcome.largest:.1f}; a low bound is no proof of privacy: a better attack "
        "may show more",
    ]
    epsilon = outcome.proof.get("epsilon")
    if epsilon is not None and outcome.shown > epsilon:
        lines.append("warning: the attacks show more than was proved: the training or its accounting is wrong")
    return lines


def _proved(proof: Mapping[str, Any]) -> str:
    """Returns the upper bound of epsilon with what it holds for."""
    if proof.get("epsilon") is None:
        return "ε ≤ unknown (no proof: this run was not private)"
    about = [
        f"δ = {proof['delta']:g}",
        *(str(proof[k]) for k in ("relation", "sampling", "accountant") if proof.get(k, "none") != "none"),
    ]
    return f"ε ≤ {proof['epsilon']:g} (proved: {', '.join(about)})"


def read_proof(run: Path) -> dict[str, Any]:
    """Returns the guarantee of a private run by its run.json; empty for any other run."""
    return read_json(run / "run.json").get("privacy", {})


def save(
    outcome: Outcome, scores: Scores, included: Bool[np.ndarray, " m"], run: Path, about: Mapping[str, Any]
) -> None:
    """Writes audit.json and audit.png to the folder private/ of a run.

    Args:
      outcome: from `judge`.
      scores: the scores that it was made of.
      included: which candidates were trained on.
      run: folder of the run.
      about: further entries, such as the step and the seed.
    """
    rows = [
        {**row._asdict(), "auc": row.auc._asdict(), "true_positives": row.true_positives._asdict()}
        for row in outcome.rows
    ]
    words = sentences(outcome)
    write_json(run / "private" / "audit.json", {**about, **outcome._asdict(), "rows": rows, "in_words": words})
    write_bytes(run / "private" / "audit.png", histograms(scores, included))


def histograms(scores: Scores, included: Bool[np.ndarray, " m"]) -> bytes:
    """Returns a PNG with a panel for each attack: how often each score occurs, of images trained on and of others."""
    figure = Figure(figsize=(6.4 * len(scores), 3.4), dpi=120, layout="constrained")
    for place, (name, values) in enumerate(scores.items(), start=1):
        ax = figure.add_subplot(1, len(scores), place)
        low, high = np.quantile(values, [0.005, 0.995])  # a few extreme scores must not flatten the rest
        edges, shown = np.linspace(low, high if high > low else low + 1.0, 41), np.clip(values, low, high)
        for kind, label, ink in ((included, "trained on", INKS[0]), (~included, "not trained on", INKS[1])):
            ax.hist(shown[kind], edges, density=True, histtype="stepfilled", alpha=0.25, color=ink)
            ax.hist(shown[kind], edges, density=True, histtype="step", color=ink, linewidth=1.6, label=label)
        ax.set_title(name, loc="left")
        ax.set_xlabel("score", color=INKS[-2])
        ax.set_yticks([])
        ax.tick_params(colors=INKS[-2], length=0)
        ax.spines[:].set_visible(False)
        ax.legend(loc="upper right", fontsize="small", framealpha=0.6, edgecolor="none")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
