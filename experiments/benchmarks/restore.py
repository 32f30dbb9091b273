"""The speed of restorers in inference and training, beside PyTorch if it is installed; a scan beside an unrolled loop.

Command:  python -m experiments.benchmarks.restore [--repeats N] [--out FILE.json] [--cases inference train recurrent]
"""

import dataclasses
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from experiments import crnn_mnist, inverse_photos, inverse_photos_grey
from experiments.benchmarks import common, flops, torch_setup, train_step
from experiments.benchmarks.unrolled import FORMS
from jaxgen.cli import exit_cleanly, parse
from jaxgen.config_json import to_dict
from jaxgen.degradations.compose import parse_mixture
from jaxgen.errors import require
from jaxgen.tasks.base import Facts, Trained
from jaxgen.tasks.restoration.algorithm import Restoration, make_restoration, restoration_step
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationHparams, RestorationRecipe
from jaxgen.tasks.restoration.pixels import adapt
from jaxgen.tasks.restoration.restorers import make_restorer
from jaxgen.tasks.restoration.schedule import parse_schedule
from jaxgen.tasks.table import task
from jaxgen.training import parallel
from jaxgen.training.step import Algorithm, TrainState
from jaxgen.types import Observation, Params

COLOURS = {"grey": 1, "colour": 3}
PLAIN = {"damage": "gaussian:0-0.2", "schedule": "damage:1000", "optimizer": "adam", "repairs": ()}
"""Settings of all steps, so that these differ only in their networks."""
INVERSE = {
    colour: dataclasses.replace(recipe.CONFIG.restoration, loss="l1", **PLAIN)
    for colour, recipe in (("grey", inverse_photos_grey), ("colour", inverse_photos))
}
RECURRENT = dataclasses.replace(crnn_mnist.CONFIG.restoration, **PLAIN)
CROP, DIGIT = 64, (28, 28, 1)
Timings = dict[str, common.Timing]
Rows = list[dict[str, Any]]
Makers = list[train_step.Maker]
Compilation = dict[str, dict[str, float]]


@dataclasses.dataclass(frozen=True)
class RestoreConfig:
    """Settings of the measurement."""

    repeats: int = 15
    """Number of rounds; each row runs once in each, and the median is reported."""
    steps: int = 10
    """Train steps of each row in a round (a dispatch of more steps runs once); inference restores one image."""
    image_size: int = 512
    """Height and width of the restored image."""
    batch_size: int = 16
    """Images per update, summed over all devices."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Compute dtype of the train steps; parameters stay float32."""
    cases: tuple[Literal["inference", "train", "recurrent"], ...] = ("inference", "train", "recurrent")
    """Inference on whole images, training of the inverse network, training of the recurrent network."""
    torch: bool = True
    """Measure PyTorch too, if it is installed."""
    compile: bool = False
    """Measure torch.compile of the train step, which needs minutes and a C++ compiler."""
    out: str | None = None
    """JSON file for the result."""

    def __post_init__(self) -> None:
        for field in ("repeats", "steps", "image_size", "batch_size"):
            require(getattr(self, field) >= 1, field, getattr(self, field), "1 or more")
        require(len(self.cases) > 0, "cases", self.cases, "inference, train, recurrent")


def run(config: RestoreConfig) -> dict[str, Any]:
    """Races every case; prints a table for each, and writes and returns the document, with rows by case.

    Raises:
      InputError: the settings cannot work; it is raised before anything is measured.
    """
    common.require_writable(config.out)
    threads, version = torch_setup.prepare(config.torch)
    train = [partial(_train, colour=colour) for colour in COLOURS]
    measure = {"inference": [_inference], "train": train, "recurrent": [_recurrent]}
    cases = [case(config) for name in dict.fromkeys(config.cases) for case in measure[name]]
    document = common.describe("restore", to_dict(config), torch={"version": version, "threads": threads}, cases=cases)
    common.save(config.out, document)
    return document


def race_case(
    name: str,
    title: str,
    makers: Makers,
    rounds: tuple[int, int],
    make_rows: Callable[..., Rows],
    columns: common.Columns,
) -> dict[str, Any]:
    """Measures candidates over (repeats, steps); prints the table of a case and returns its part of the document."""
    candidates, failures = common.usable_candidates(makers)
    busy_elsewhere = common.cores_busy_elsewhere()
    rows, busy = make_rows(common.race(candidates, *rounds)), busy_elsewhere()
    notes = [] if busy is None else [f"cores kept busy by other programs meanwhile: {busy:.1f}"]
    notes += [f"{label}: does not work: {reason}" for label, reason in failures]
    cells = [_cells(row, columns) for row in rows]
    common.print_table(title, (name, "ms", "quartiles", "cpu ms", *columns), cells, "\n".join(notes))
    rows += [{"label": label, "does_not_work": reason} for label, reason in failures]
    return {"case": name, "cores_busy_elsewhere": busy, "rows": rows}


def _cells(row: dict[str, Any], columns: common.Columns) -> tuple[str, ...]:
    times = (row["seconds_per_step"], *row["quartiles"], row["cpu_seconds_per_step"])
    median, low, high, cpu = (f"{1e3 * value:.1f}" for value in times)
    return row["label"], median, f"{low}–{high}", cpu, *common.cells(row, columns)


def initial_params(structure: RestorationConfig, channels: int) -> Params:
    """Returns the parameters of a network before training."""
    shape = (28, 28, channels)  # any size will do
    nothing = Observation(jnp.zeros((1, *shape)))
    return jax.jit(make_restorer(structure, shape).init)(jax.random.key(0), nothing)["params"]


def _inference(config: RestoreConfig) -> dict[str, Any]:
    """Measures the restoration of one image at a time, from host memory to host memory."""
    size = config.image_size
    images = {colour: common.pictures(1, size, channels) for colour, channels in COLOURS.items()}
    params = {colour: initial_params(INVERSE[colour], channels) for colour, channels in COLOURS.items()}
    makers = [
        (label := f"jaxgen InverseNetwork, {c}", partial(whole_image, label, INVERSE[c], params[c], images[c]))
        for c in COLOURS
    ]
    if torch_setup.wanted(config.torch):
        from experiments.benchmarks.torch_restoration import inference_candidates

        makers += inference_candidates(INVERSE, params, images, torch_setup.device())
    columns = {"MP/s": ("megapixels_per_second", ".2f"), "× DnCNN": ("ratio_to_dncnn", ".2f")}
    title, make_rows = f"one image of {size} x {size}", partial(inference_rows, height=size, width=size)
    case = race_case("inference", title, makers, (config.repeats, 1), make_rows, columns)
    sizes = {colour: common.num_parameters(tree) for colour, tree in params.items()}
    return {**case, "restoration": {c: to_dict(INVERSE[c]) for c in COLOURS}, "parameters": sizes}


def whole_image(label: str, structure: RestorationConfig, params: Params, images: np.ndarray) -> common.Candidate:
    """Returns a candidate that restores a whole image as `jaxgen restore` does."""
    shape = images.shape[1:]
    state = TrainState(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32), {}, {}, {"restorer": params}, {}, {})
    recipe = RestorationRecipe(restoration=structure)
    model = Trained(task("restoration"), recipe, make_restoration(structure, shape, 1), state, Facts(shape, name=label))
    restore = adapt(model, shape[-1], strength=1.0, masked=False)
    floats, known = images / np.float32(127.5) - np.float32(1), np.ones((1, *shape[:2], 1), np.float32)

    def restore_image() -> None:
        np.asarray(restore(floats, known))

    return common.Candidate(label, restore_image, 1)


def inference_rows(timings: Timings, height: int, width: int) -> Rows:
    """Returns rows for timings of one image; `ratio_to_dncnn` is the speed over that of DnCNN's fastest row."""
    rivals = [timing.median for label, timing in timings.items() if "DnCNN" in label]
    rows = train_step.make_rows(timings, batch_size=1)
    for row in rows:
        del row["ratio_to_pytorch"]  # it would compare different networks
        row["megapixels_per_second"] = height * width / 1e6 / row["seconds_per_step"]
        row["ratio_to_dncnn"] = min(rivals) / row["seconds_per_step"] if rivals else None
    return rows


def _train(config: RestoreConfig, colour: str) -> dict[str, Any]:
    """Measures steps of the inverse network, as the training loop runs them, and one row with muon."""
    images = common.pictures(config.batch_size, CROP, COLOURS[colour])
    usual, most = parallel.STEPS_PER_DISPATCH[jax.default_backend()], parallel.make_mesh(len(images)).size
    structure = dataclasses.replace(INVERSE[colour], dtype=config.dtype)
    settings = [("adam", most, usual), ("adam", most, 1), ("adam", 1, usual), ("muon", most, usual)]
    makers: Makers = []
    for optimizer, devices, k in dict.fromkeys(settings):
        label = f"jaxgen {optimizer}, {devices} device{'s'[: devices > 1]}, {k} step{'s'[: k > 1]} a dispatch"
        algorithm = make_restoration(dataclasses.replace(structure, optimizer=optimizer), images.shape[1:], len(images))
        makers.append((label, partial(jaxgen_step, label, algorithm, images, devices, k)))
    params = initial_params(structure, COLOURS[colour])
    if torch_setup.wanted(config.torch):
        from experiments.benchmarks.torch_restoration import step_candidates

        device = torch_setup.device()
        makers += step_candidates(structure, hparams(len(images)), params, images, device, config.compile)
    columns = {"images/s": ("images_per_second", ",.0f"), "× PyTorch": ("ratio_to_pytorch", ".2f"), **flops.COLUMNS}
    title = f"train step, {colour}: batch {len(images)}, {CROP} x {CROP}, {config.dtype}, {common.device()}"
    plain = make_restoration(dataclasses.replace(structure, optimizer="sgd"), images.shape[1:], len(images))
    num_flops = flops.step_flops(plain, hparams(len(images)), images.shape[1:])  # without those of muon
    highest, highest_flops = flops.ceiling(config.dtype)
    makers.append((flops.CEILING, lambda: highest))

    def make_rows(timings: Timings) -> Rows:
        top = timings.pop(flops.CEILING)
        rows = train_rows(timings, len(images))
        return [row | flops.achieved(row["seconds_per_step"], num_flops, top, highest_flops) for row in rows]

    case = race_case(f"train_{colour}", title, makers, (config.repeats, config.steps), make_rows, columns)
    facts = {"parameters": common.num_parameters(params), "flops_per_step": num_flops}
    return {**case, "restoration": to_dict(structure), **facts}


def train_rows(timings: Timings, batch_size: int) -> Rows:
    """Returns the rows of `train_step.make_rows`; those of muon have no ratio, as PyTorch has no counterpart."""
    rows = train_step.make_rows(timings, batch_size)
    return [{**row, "ratio_to_pytorch": None} if "muon" in row["label"] else row for row in rows]


def hparams(batch_size: int) -> dict[str, float]:
    """Returns the hyperparameters of all steps: no grey images, and only the damage of `PLAIN`, for 1,000 steps."""
    return vars(RestorationHparams(noise_share=0.0, grey_share=0.0, schedule_images=1000.0 * batch_size))


def jaxgen_step(
    label: str,
    algorithm: Algorithm,
    images: np.ndarray,
    devices: int | None,
    k: int,
    compilation: Compilation | None = None,
) -> common.Candidate:
    """Returns steps as the training loop runs them; writes the cost of compiling to `compilation` if it is given."""
    mesh, key = parallel.make_mesh(len(images), devices), jax.random.key(0)
    state = parallel.init_state(algorithm, key, hparams(len(images)), mesh)
    batches = jax.device_put({"images": np.broadcast_to(images, (k, *images.shape))}, parallel.batch_sharding(mesh))
    dispatch = parallel.compile_steps(algorithm, key, mesh)
    if compilation is not None:
        dispatch, compilation[label] = common.compile_afresh(dispatch, state, batches)

    def run_dispatch() -> None:
        nonlocal state
        state, metrics = dispatch(state, batches)
        jax.device_get(metrics)  # as the training loop; also keeps a single dispatch in flight

    return common.Candidate(label, run_dispatch, k)


def recurrent_algorithm(form: str, batch_size: int) -> Algorithm:
    """Returns the training of the recurrent network on digits, with a loop from `FORMS`."""
    network = FORMS[form](tuple(RECURRENT.widths), RECURRENT.blocks, RECURRENT.iterations)
    schedule, choices = parse_schedule(RECURRENT.schedule), parse_mixture(RECURRENT.damage)
    task = Restoration(RECURRENT, network, schedule, choices, DIGIT, batch_size)
    return make_restoration(RECURRENT, DIGIT, batch_size)._replace(step=partial(restoration_step, task))


def _recurrent(config: RestoreConfig) -> dict[str, Any]:
    images, k = common.pictures(config.batch_size, *DIGIT[1:]), parallel.STEPS_PER_DISPATCH[jax.default_backend()]
    compilation: Compilation = {}
    algorithms = {form: recurrent_algorithm(form, len(images)) for form in FORMS}
    steps = {form: partial(jaxgen_step, form, algorithms[form], images, None, k, compilation) for form in FORMS}
    columns = {"compile s": ("compile_seconds", ".1f"), "MB": ("megabytes", ".0f"), "× scan": ("ratio_to_scan", ".2f")}
    title = f"recurrent train step: batch {len(images)}, 28 x 28, {RECURRENT.iterations} iterations, {k} a dispatch"
    make_rows = partial(recurrent_rows, compilation=compilation, batch_size=len(images))
    case = race_case("recurrent", title, list(steps.items()), (config.repeats, config.steps), make_rows, columns)
    parameters = common.num_parameters(initial_params(RECURRENT, 1))
    return {**case, "restoration": to_dict(RECURRENT), "parameters": parameters}


def recurrent_rows(timings: Timings, compilation: Compilation, batch_size: int) -> Rows:
    """Returns rows for timings and compilation; `ratio_to_scan` is the speed over that of the first form."""
    scan = timings.get(next(iter(FORMS)))
    rows = train_step.make_rows(timings, batch_size)
    for row in rows:
        row["ratio_to_scan"] = scan.median / row["seconds_per_step"] if scan else None
        row |= compilation[row["label"]]
    return rows


def main() -> None:
    """Measures from the command line."""
    with exit_cleanly():
        config = parse(RestoreConfig(), sys.argv[1:], "python -m experiments.benchmarks.restore", __doc__)
        parallel.setup_backend()
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # see train_step
        run(config)


if __name__ == "__main__":
    main()
