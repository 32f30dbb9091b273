"""Images per second of populations of 1 to 64 GANs in one program, by layout, beside single runs one after another.

Command:  python -m experiments.benchmarks.population [--members 1 2 4 8 16 32 64] [--repeats N] [--out FILE.json]

A single run is that of `experiments.gan_mnist`, with its batch spread over all devices. The rows of a number of members
do the same steps and take turns. Their times do not include compilation, which has its own column.
"""

import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from experiments.benchmarks import common
from experiments.benchmarks.cases import RECIPES, fix_schedule
from jaxgen.cli import exit_cleanly, parse
from jaxgen.config_json import to_dict
from jaxgen.data.config import DataConfig
from jaxgen.data.sources import open_source
from jaxgen.errors import require
from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.tasks.gan.config import GanRecipe
from jaxgen.training import parallel
from jaxgen.training.population import candidate_names, compile_population, init_population, member_mesh, parse_layout
from jaxgen.training.step import Algorithm

SOLO = "solo, one after another"


@dataclasses.dataclass(frozen=True)
class PopulationBenchmark:
    """Settings of the measurement."""

    members: tuple[int, ...] = (1, 8)
    """Numbers of members."""
    modes: tuple[str, ...] = ()
    """Layouts, as for --population of a scan; none: all that `auto` tries."""
    repeats: int = 3
    """Number of rounds; each row runs once in each, and the median is reported."""
    steps_per_dispatch: int | None = None
    """Steps in one compiled call; None: the default of the training loop."""
    batch_size: int = 32
    """Images per update of each member."""
    cases: tuple[Literal["gan_mnist", "gan_mnist_mlp"], ...] = ("gan_mnist",)
    """Recipes to measure."""
    out: str | None = None
    """JSON file for the result."""

    def __post_init__(self) -> None:
        for field in ("repeats", "batch_size"):
            require(getattr(self, field) >= 1, field, getattr(self, field), "1 or more")
        steps = self.steps_per_dispatch
        require(steps is None or steps >= 1, "steps_per_dispatch", steps, "1 or more, or None")
        require(len(self.members) > 0 and min(self.members) >= 1, "members", self.members, "numbers, each 1 or more")


def run(config: PopulationBenchmark) -> dict[str, Any]:
    """Races every case and number of members; prints a table for each, and writes and returns the document.

    Raises:
      InputError: the settings cannot work; it is raised before anything is measured.
    """
    common.require_writable(config.out)
    for mode in config.modes:
        parse_layout(mode, max(config.members))
    cases = [_measure(name, num, config) for name in dict.fromkeys(config.cases) for num in config.members]
    document = common.describe("population", to_dict(config), cases=cases)
    common.save(config.out, document)
    return document


def _measure(name: str, num: int, config: PopulationBenchmark) -> dict[str, Any]:
    """Measures a recipe with a number of members; returns its part of the document."""
    train = dataclasses.replace(RECIPES[name].train, batch_size=config.batch_size)
    recipe = fix_schedule(dataclasses.replace(RECIPES[name], train=train))
    k = config.steps_per_dispatch or parallel.STEPS_PER_DISPATCH[jax.default_backend()]
    # digits, since noise would lead to weights that no real training reaches
    digits = open_source(DataConfig(dataset="digits")).take(np.arange(config.batch_size) % 5000)
    rows, busy = race_layouts(recipe, digits, num, config.modes or candidate_names(num), k, config.repeats)
    _print(name, num, rows, busy, config)
    return {"case": name, "members": num, "steps_per_dispatch": k, "cores_busy_elsewhere": busy, "rows": rows}


def race_layouts(
    recipe: GanRecipe, images: np.ndarray, num: int, modes: Sequence[str], k: int, repeats: int
) -> tuple[list[dict[str, Any]], float | None]:
    """Races `num` members in each layout, and as runs one after another.

    Args:
      recipe: recipe of all members, with `schedule_images` set.
      images: the only batch, uint8 (b, h, w, c).
      num: number of members.
      modes: names of layouts, as for --population of a scan.
      k: steps in one compiled call.
      repeats: measured rounds.

    Returns:
      The rows, those that do not work last, and the cores that other programs kept busy, None if unknown.
    """
    batches = np.broadcast_to(images, (k, *images.shape))
    algorithm, hparams = make_gan(recipe.gan, images.shape[1:], len(images)), dataclasses.asdict(recipe.hparams)
    compiling: dict[str, float] = {}

    def timed(label: str, make: Callable[[], Callable[[], None]]) -> Callable[[], common.Candidate]:
        def build() -> common.Candidate:
            began = time.perf_counter()
            run_once = make()
            run_once()
            compiling[label] = time.perf_counter() - began
            return common.Candidate(label, run_once, k * num)

        return build

    makers = [(SOLO, timed(SOLO, lambda: solo_runs(algorithm, hparams, batches, num)))]
    for mode in modes:
        makers.append((mode, timed(mode, lambda mode=mode: population_run(algorithm, hparams, batches, num, mode))))
    candidates, failures = common.usable_candidates(makers)
    busy_elsewhere = common.cores_busy_elsewhere()
    timings = common.race(candidates, repeats, steps=1)
    busy = busy_elsewhere()
    solo = timings[SOLO].median if SOLO in timings else None
    rows = [
        {
            "label": label,
            "seconds_per_member_step": timing.median,
            "quartiles": [timing.low, timing.high],
            "cpu_seconds_per_member_step": timing.cpu,
            "images_per_second": len(images) / timing.median,
            "ratio_to_solo": solo and solo / timing.median,
            "seconds_to_first_result": compiling[label],
        }
        for label, timing in timings.items()
    ]
    return rows + [{"label": label, "does_not_work": reason} for label, reason in failures], busy


def solo_runs(algorithm: Algorithm, hparams: dict[str, Any], images: np.ndarray, num: int) -> Callable[[], None]:
    """Returns a function that dispatches each of `num` runs in turn, as the training loop does, on all devices.

    Args:
      algorithm: the algorithm of all runs.
      hparams: their hyperparameters.
      images: uint8 (k, b, h, w, c).
      num: number of runs.
    """
    mesh = parallel.make_mesh(images.shape[1])
    states = [parallel.init_state(algorithm, jax.random.key(seed), hparams, mesh) for seed in range(num)]
    dispatch = parallel.compile_steps(algorithm, jax.random.key(0), mesh)
    batches = jax.device_put({"images": images}, parallel.batch_sharding(mesh))

    def run_all() -> None:
        for i in range(num):
            states[i], metrics = dispatch(states[i], batches)
            jax.device_get(metrics)

    return run_all


def population_run(
    algorithm: Algorithm, hparams: dict[str, Any], images: np.ndarray, num: int, mode: str
) -> Callable[[], None]:
    """Returns a function that dispatches a population of `num` members, all with the same batches.

    Args:
      algorithm: the algorithm of all members.
      hparams: their hyperparameters.
      images: uint8 (k, b, h, w, c).
      num: number of members.
      mode: name of the layout, as for --population of a scan.
    """
    layout = parse_layout(mode, num)
    population = init_population(algorithm, layout, [hparams] * num, range(num), [0] * num)
    dispatch = compile_population(algorithm, layout)
    batches = jax.device_put({"images": images[:, None]}, NamedSharding(member_mesh(layout), PartitionSpec()))

    def run_all() -> None:
        nonlocal population
        population, metrics = dispatch(population, batches)
        jax.device_get(metrics)

    return run_all


def _print(name: str, num: int, rows: list[dict[str, Any]], busy: float | None, config: PopulationBenchmark) -> None:
    notes = [] if busy is None else [f"cores kept busy by other programs meanwhile: {busy:.1f}"]
    cells = []
    for row in rows:
        if "does_not_work" in row:
            notes.append(f"{row['label']}: does not work: {row['does_not_work']}")
            continue
        low, high = (1e3 * value for value in row["quartiles"])
        ratio = "" if row["ratio_to_solo"] is None else f"{row['ratio_to_solo']:.2f}"
        cells.append(
            (
                row["label"],
                f"{1e3 * row['seconds_per_member_step']:.1f}",
                f"{low:.1f}–{high:.1f}",
                f"{1e3 * row['cpu_seconds_per_member_step']:.1f}",
                f"{row['images_per_second']:,.0f}",
                ratio,
                f"{row['seconds_to_first_result']:.1f}",
            )
        )
    columns = ("members", "ms a member step", "quartiles", "cpu ms", "images/s", "× solo", "s to first")
    devices = f"{len(jax.devices())} × {jax.devices()[0].device_kind}"
    common.print_table(f"{name}: {num} members, batch {config.batch_size}, {devices}", columns, cells, "\n".join(notes))


def main() -> None:
    """Measures from the command line."""
    with exit_cleanly():
        config = parse(PopulationBenchmark(), sys.argv[1:], "python -m experiments.benchmarks.population", __doc__)
        parallel.setup_backend()
        run(config)


if __name__ == "__main__":
    main()
