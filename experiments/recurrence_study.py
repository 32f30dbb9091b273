"""Does recurrence help? A recurrent network against one of equal parameters and one of equal operations, on holes.

Command:  python -m experiments.recurrence_study

All three use the same cell. The first iterates it; the second applies it once, with the same parameters and a fraction
of the operations; the third applies it once with as many residual blocks as give equal operations (more parameters).
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import tyro

from experiments.studies import damaged, difference, quality, train_briefly
from jaxgen.cli import exit_cleanly, parse
from jaxgen.data.base import subset
from jaxgen.data.config import DataConfig
from jaxgen.data.sources import open_source
from jaxgen.files import write_json
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationHparams
from jaxgen.training.parallel import setup_backend

NUM_TEST = 500
FEATURES, BLOCKS, ITERATIONS = 16, 2, 6


@dataclasses.dataclass(frozen=True)
class Study:
    """Settings of the study."""

    data: tyro.conf.OmitArgPrefixes[DataConfig] = DataConfig(dataset="digits")
    widths: tuple[int, ...] = (4, 8, 12, 16)
    """Widths in pixels of the holes to evaluate on; training uses all widths between the extremes."""
    seeds: int = 3
    """Runs of each network."""
    steps: int = 1000
    """Steps of each run."""
    out: str = "runs/recurrence_study.json"
    """File for the results."""


def multiplications(blocks: int, channels: int = 1, features: int = FEATURES) -> int:
    """Returns the multiplications of one iteration at each place of the half-size grid; all convolutions are 3x3."""
    entry, gates = 4 * (2 * channels + 2) * features, 2 * features * 2 * features
    proposal, block, exit_ = 2 * features * features, 2 * features * features, features * 4 * channels
    return 9 * (entry + gates + proposal + blocks * block + exit_)


def blocks_of_equal_operations() -> int:
    """Returns the number of residual blocks with which one application costs as much as `ITERATIONS` of the cell."""
    left = ITERATIONS * multiplications(BLOCKS) - multiplications(0)
    return round(left / (multiplications(1) - multiplications(0)))


def networks() -> dict[str, tuple[int, int]]:
    """Returns blocks and iterations of each network."""
    return {
        "recurrent": (BLOCKS, ITERATIONS),
        "equal parameters": (BLOCKS, 1),
        "equal operations": (blocks_of_equal_operations(), 1),
    }


def run_study(study: Study) -> list[dict]:
    """Returns a row for each width: PSNR of each network by seed, and the gain of recurrence over the other two."""
    source = open_source(study.data)
    order = np.random.default_rng(0).permutation(source.num_images)
    test, train = source.take(order[:NUM_TEST]), subset(source, order[NUM_TEST:])
    degraded = {width: damaged(test, f"hole:{width}", seed=1) for width in study.widths}
    found = {(name, width): [] for name in networks() for width in study.widths}
    for name, (blocks, iterations) in networks().items():
        for seed in range(study.seeds):
            config = RestorationConfig(
                architecture="recurrent", widths=(FEATURES,), blocks=blocks, iterations=iterations, keep_known=True,
                schedule=f"damage:{study.steps}", damage=f"hole:{min(study.widths)}-{max(study.widths)}", loss="mse",
                optimizer="muon",
            )  # fmt: skip
            hparams = RestorationHparams(lr=4e-3, b1=0.95, noise_share=0.0, schedule_images=study.steps * 16.0)
            state = train_briefly(config, hparams, [(train, study.steps)], 16, seed)
            for width in study.widths:
                found[name, width].append(quality(config, state, degraded[width], test))
            scores = ", ".join(f"{width} px {found[name, width][-1]:.2f}" for width in study.widths)
            print(f"{name}, seed {seed}: {scores} dB", flush=True)
    return [_row(found, width) for width in study.widths]


def _row(found: dict, width: int) -> dict:
    scores = {name: found[name, width] for name in networks()}
    gains = {name: difference(scores["recurrent"], scores[name]) for name in networks() if name != "recurrent"}
    text = "; ".join(f"over {name} {g.mean:+.2f} [{g.low:+.2f}, {g.high:+.2f}]" for name, g in gains.items())
    print(f"hole of {width} px: recurrent {np.mean(scores['recurrent']):.2f} dB; {text}", flush=True)
    return {"width": width, "scores": scores, "gains": {name: gain._asdict() for name, gain in gains.items()}}


def main() -> None:
    """Runs the study from the command line."""
    with exit_cleanly():
        study = parse(Study(), sys.argv[1:], "python -m experiments.recurrence_study", __doc__)
        setup_backend()
        rows = run_study(study)
        write_json(Path(study.out), {"study": dataclasses.asdict(study), "rows": rows})


if __name__ == "__main__":
    main()
