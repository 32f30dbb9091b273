"""Does the noise phase help? A comparison with and without it, at equal steps, on 4 to 400 damaged digits.

Command:  python -m experiments.pretraining_study

The first arm spends half of its steps on all clean digits under noise of all levels, and half on a few digits under the
damage. The second arm spends all steps on these few digits. Both are evaluated on digits that neither has seen.
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
WIDTHS = (16, 32, 64)


@dataclasses.dataclass(frozen=True)
class Study:
    """Settings of the study."""

    data: tyro.conf.OmitArgPrefixes[DataConfig] = DataConfig(dataset="digits")
    damages: tuple[str, ...] = ("pixels:0.8", "hole:10", "gaussian:0.4")
    """Kinds of damage; each is trained and evaluated alone."""
    sizes: tuple[int, ...] = (4, 16, 64, 400)
    """Numbers of damaged digits to train on."""
    seeds: int = 3
    """Runs of each arm."""
    steps: int = 600
    """Steps of each run, in both arms."""
    out: str = "runs/pretraining_study.json"
    """File for the results."""


def run_study(study: Study) -> list[dict]:
    """Returns a row for each damage and size: PSNR of both arms by seed, and their difference with its interval."""
    source = open_source(study.data)
    order = np.random.default_rng(0).permutation(source.num_images)
    test, rest = source.take(order[:NUM_TEST]), order[NUM_TEST:]
    rows = []
    for damage in study.damages:
        degraded = damaged(test, damage, seed=1)
        for size in study.sizes:
            few, all_clean = subset(source, rest[:size]), subset(source, rest)
            with_noise, without = [], []
            for seed in range(study.seeds):
                half = study.steps // 2
                for schedule, feeds, found in (
                    (f"noise:{half},damage:{half}", [(all_clean, half), (few, half)], with_noise),
                    (f"damage:{study.steps}", [(few, study.steps)], without),
                ):
                    config = RestorationConfig(
                        widths=WIDTHS, schedule=schedule, damage=damage, loss="mse", optimizer="muon"
                    )
                    hparams = RestorationHparams(lr=4e-3, b1=0.95, noise_share=0.0, schedule_images=study.steps * 16.0)
                    state = train_briefly(config, hparams, feeds, 16, seed)
                    found.append(quality(config, state, degraded, test))
            gain = difference(with_noise, without)
            rows.append({"damage": damage, "images": size, "with": with_noise, "without": without, **gain._asdict()})
            print(
                f"{damage:14} {size:4} images: with {np.mean(with_noise):.2f} dB, without {np.mean(without):.2f} dB, "
                f"gain {gain.mean:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]",
                flush=True,
            )
    return rows


def main() -> None:
    """Runs the study from the command line."""
    with exit_cleanly():
        study = parse(Study(), sys.argv[1:], "python -m experiments.pretraining_study", __doc__)
        setup_backend()
        rows = run_study(study)
        write_json(Path(study.out), {"study": dataclasses.asdict(study), "rows": rows})


if __name__ == "__main__":
    main()
