"""Images per second of a GAN train step, beside the same step in PyTorch if that is installed.

Command:  python -m experiments.benchmarks.train_step [--repeats N] [--out FILE.json] [--steps-per-dispatch 1 10 50]
          on a GPU or TPU: --cases gan_64 gan_128 --batch-size 256 --dtype bfloat16
          on a CPU, in minutes: --cases gan_64 gan_128 --batch-size 8 --repeats 3 --steps 1 --no-compile
"""

import dataclasses
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import numpy as np

from experiments.benchmarks import cases, common, flops, torch_setup
from jaxgen.cli import exit_cleanly, parse
from jaxgen.config_json import to_dict
from jaxgen.errors import require
from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.tasks.gan.config import GanRecipe
from jaxgen.training import parallel

COLUMNS: common.Columns = {
    "images/s": ("images_per_second", ",.0f"),
    **flops.COLUMNS,
    "× PyTorch": ("ratio_to_pytorch", ".2f"),
    "× single": ("ratio_to_one_a_dispatch", ".2f"),
}
Maker = tuple[str, Callable[[], common.Candidate]]


@dataclasses.dataclass(frozen=True)
class TrainStepConfig:
    """Settings of the measurement."""

    repeats: int = 15
    """Number of rounds; each row runs once in each, and the median is reported."""
    steps: int = 10
    """Number of steps of each row in a round (a dispatch of more steps runs once)."""
    batch_size: int = 64
    """Images per update, summed over all devices."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Compute dtype; parameters stay float32."""
    cases: tuple[Literal["gan_mnist", "gan_mnist_mlp", "gan_64", "gan_128"], ...] = ("gan_mnist", "gan_mnist_mlp")
    """Recipes, and the resnet GAN on RGB images of 64 and 128 px."""
    steps_per_dispatch: tuple[int, ...] = ()
    """Steps in one compiled call, a row for each; none: the default of the training loop, and 1."""
    torch: bool = True
    """Measure PyTorch too, if it is installed."""
    compile: bool = True
    """Measure torch.compile, which needs minutes and a C++ compiler."""
    out: str | None = None
    """JSON file for the result."""

    def __post_init__(self) -> None:
        for field in ("repeats", "steps", "batch_size"):
            require(getattr(self, field) >= 1, field, getattr(self, field), "1 or more")
        ks = self.steps_per_dispatch
        require(all(k >= 1 for k in ks), "steps_per_dispatch", ks, "1 or more each")
        require(len(self.cases) > 0, "cases", self.cases, ", ".join(cases.RECIPES))


def run(config: TrainStepConfig) -> dict[str, Any]:
    """Races every case; prints a table for each, and writes and returns the document.

    Returns:
      The document: date, hardware, settings, and rows by case.

    Raises:
      InputError: the settings cannot work; it is raised before anything is measured.
    """
    common.require_writable(config.out)
    threads, torch_version = torch_setup.prepare(config.torch)
    measured = [_measure(name, config) for name in dict.fromkeys(config.cases)]
    document = common.describe(
        "train_step", to_dict(config), torch={"version": torch_version, "threads": threads}, cases=measured
    )
    common.save(config.out, document)
    return document


def _measure(name: str, config: TrainStepConfig) -> dict[str, Any]:
    """Measures a case; returns its sizes and rows."""
    recipe = cases.recipe_of(name, config.batch_size, config.dtype)
    images = cases.images_of(name, max(config.batch_size, 64))
    algorithm = make_gan(recipe.gan, images.shape[1:], config.batch_size)
    num_flops = flops.step_flops(algorithm, dataclasses.asdict(recipe.hparams), images.shape[1:])
    makers = jaxgen_rows(recipe, images, config.steps_per_dispatch)
    if torch_setup.wanted(config.torch):
        makers += torch_rows(recipe, images, config.compile)
    candidates, failures = common.usable_candidates(makers)
    highest, highest_flops = flops.ceiling(config.dtype)
    busy_elsewhere = common.cores_busy_elsewhere()
    timings = common.race([*candidates, highest], config.repeats, config.steps)
    busy, top = busy_elsewhere(), timings.pop(flops.CEILING)
    rows = make_rows(timings, config.batch_size)
    for row in rows:
        row |= flops.achieved(row["seconds_per_step"], num_flops, top, highest_flops)
        row["ratio_to_one_a_dispatch"] = against_one_a_dispatch(row["label"], timings)
    rows += [{"label": label, "does_not_work": reason} for label, reason in failures]
    params = jax.eval_shape(algorithm.init, jax.random.key(0), dataclasses.asdict(recipe.hparams)).params
    parameters = {network: common.num_parameters(tree) for network, tree in params.items()}
    _print_case(name, parameters, rows, busy, config)
    facts = {"case": name, "gan": to_dict(recipe.gan), "parameters": parameters, "cores_busy_elsewhere": busy}
    return facts | {"flops_per_step": num_flops, "rows": rows}


def jaxgen_rows(recipe: GanRecipe, images: np.ndarray, per_dispatch: tuple[int, ...]) -> list[Maker]:
    """Returns candidates of jaxgen: steps as in the training loop on all devices and on one, and single steps.

    Args:
      recipe: a recipe with `schedule_images` set.
      images: uint8 (b, h, w, c), with b at least the batch size.
      per_dispatch: steps in one compiled call, a row for each; empty takes the default of the loop, and 1.
    """
    usual = parallel.STEPS_PER_DISPATCH[jax.default_backend()]
    all_devices = parallel.make_mesh(recipe.train.batch_size).size
    settings = [(all_devices, k) for k in dict.fromkeys(per_dispatch or (usual, 1))]
    if all_devices > 1:
        settings.append((1, settings[0][1]))
    makers = []
    for devices, k in settings:
        label = row_label(devices, k)
        makers.append((label, lambda label=label, devices=devices, k=k: jaxgen_step(label, recipe, images, devices, k)))
    return makers


def row_label(devices: int, k: int) -> str:
    """Returns the label of a row of jaxgen."""
    return f"jaxgen, {devices} device{'s'[: devices > 1]}, {k} step{'s'[: k > 1]} a dispatch"


def against_one_a_dispatch(label: str, timings: dict[str, common.Timing]) -> float | None:
    """Returns the speed of a row with several steps a dispatch over that of single steps; None if not measured."""
    found = re.fullmatch(r"jaxgen, (\d+) devices?, (\d+) steps a dispatch", label)
    single = timings.get(row_label(int(found[1]), 1)) if found else None
    return single.median / timings[label].median if single else None


def jaxgen_step(label: str, recipe: GanRecipe, images: np.ndarray, devices: int, k: int) -> common.Candidate:
    """Returns a candidate that does k steps in one call, as the training loop does."""
    state, batches, dispatch = cases.begin_training(recipe, images, devices, k)

    def run_dispatch() -> None:
        nonlocal state
        state, metrics = dispatch(state, batches)
        jax.device_get(metrics)  # as the training loop; also keeps a single dispatch in flight

    return common.Candidate(label, run_dispatch, k)


def torch_rows(recipe: GanRecipe, images: np.ndarray, compile_too: bool) -> list[Maker]:
    """Returns candidates of PyTorch: eager in both layouts, with one discriminator pass or two, and compiled."""
    from experiments.benchmarks.torch_gan import Mode

    layouts = (False, True) if recipe.gan.architecture != "mlp" else (False,)
    modes = [Mode(layout, one_pass) for layout in layouts for one_pass in (False, True)]
    modes += [Mode(layout, threads=1) for layout in layouts if jax.default_backend() == "cpu"]
    if compile_too:
        modes += [Mode(layout, True, how) for how in ("generator", "losses", "step") for layout in layouts]
    return torch_modes(recipe, images, modes)


def torch_modes(recipe: GanRecipe, images: np.ndarray, modes: Sequence[Any]) -> list[Maker]:
    """Returns candidates of PyTorch that run in these modes, each a `torch_gan.Mode`."""
    return [(mode.label, lambda mode=mode: _torch(mode, recipe, images)) for mode in modes]


def _torch(mode: Any, recipe: GanRecipe, images: np.ndarray) -> common.Candidate:
    import torch

    from experiments.benchmarks.torch_gan import TorchGan

    device = torch_setup.device()
    gan = TorchGan(recipe.gan, dataclasses.asdict(recipe.hparams), images.shape[1:], mode, device)
    batch = torch.tensor(images[: recipe.train.batch_size]).permute(0, 3, 1, 2).to(device)

    def step() -> None:
        torch.set_num_threads(mode.threads or parallel.num_cores())
        metrics = gan.step(batch)
        if device == "cpu":
            return
        torch.stack(list(metrics.values())).cpu()
        torch.cuda.synchronize()

    return common.Candidate(mode.label, step, 1)


def make_rows(timings: dict[str, common.Timing], batch_size: int) -> list[dict[str, Any]]:
    """Returns timings as rows; `ratio_to_pytorch` is the speed over that of PyTorch's fastest row."""
    rivals = [timing.median for label, timing in timings.items() if label.startswith("PyTorch")]
    return [
        {
            "label": label,
            "seconds_per_step": timing.median,
            "quartiles": [timing.low, timing.high],
            "cpu_seconds_per_step": timing.cpu,
            "images_per_second": batch_size / timing.median,
            "ratio_to_pytorch": min(rivals) / timing.median if rivals else None,
        }
        for label, timing in timings.items()
    ]


def _print_case(
    name: str, parameters: dict[str, int], rows: list[dict[str, Any]], busy: float | None, config: TrainStepConfig
) -> None:
    sizes = ", ".join(f"{network} {num:,}" for network, num in parameters.items())
    notes = [] if busy is None else [f"cores kept busy by other programs meanwhile: {busy:.1f}"]
    cells = []
    for row in rows:
        if "does_not_work" in row:
            notes.append(f"{row['label']}: does not work: {row['does_not_work']}")
            continue
        low, high = (1e3 * value for value in row["quartiles"])
        median, cpu = 1e3 * row["seconds_per_step"], 1e3 * row["cpu_seconds_per_step"]
        times = f"{median:.1f}", f"{low:.1f}–{high:.1f}", f"{cpu:.1f}"
        cells.append((row["label"], *times, *common.cells(row, COLUMNS)))
    columns = ("step", "ms", "quartiles", "cpu ms", *COLUMNS)
    title = f"{name}: batch {config.batch_size}, {config.dtype}, {common.device()}, parameters: {sizes}"
    common.print_table(title, columns, cells, "\n".join(notes))


def main() -> None:
    """Measures from the command line."""
    with exit_cleanly():
        config = parse(TrainStepConfig(), sys.argv[1:], "python -m experiments.benchmarks.train_step", __doc__)
        parallel.setup_backend()
        # PyTorch's threads wait for each other in a busy loop of milliseconds. If other programs keep a core busy, a
        # step then takes 5 to 20 times as long. A short loop costs little on an idle machine. torch reads it on import.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
        run(config)


if __name__ == "__main__":
    main()
