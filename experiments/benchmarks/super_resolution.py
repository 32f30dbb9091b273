"""The speed of enlargement, in megapixels of the result, beside VDSR in PyTorch if it is installed.

VDSR works on the luma at the size of the result; its bicubic enlargement is not counted. Ours takes and gives RGB of
8 bits, and all that it does is counted. Weights are those before training, which does not change the speed.

Command:  python -m experiments.benchmarks.super_resolution [--repeats N] [--out FILE.json]
"""

import dataclasses
import os
import sys
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmarks import common, restore, torch_setup, train_step
from jaxgen.cli import exit_cleanly, parse
from jaxgen.config_json import to_dict
from jaxgen.errors import require
from jaxgen.tasks.base import Facts, Trained
from jaxgen.tasks.super_resolution.algorithm import NETWORK, make_super_resolution
from jaxgen.tasks.super_resolution.config import SuperResolutionConfig, SuperResolutionHparams, SuperResolutionRecipe
from jaxgen.tasks.super_resolution.enlarge import make_enlarge
from jaxgen.tasks.table import task
from jaxgen.training import parallel
from jaxgen.training.step import TrainState

SHAPE = (144, 144, 3)
"""Shape of the crops of training; any will do."""


@dataclasses.dataclass(frozen=True)
class UpscaleConfig:
    """Settings of the measurement."""

    repeats: int = 7
    """Number of rounds; each row enlarges one image in each, and the median is reported."""
    image_size: int = 768
    """Height and width of the result; a multiple of all factors. Small images of multiples of 64 leave no margin."""
    super_resolution: SuperResolutionConfig = SuperResolutionConfig()
    """Structure of our network."""
    torch: bool = True
    """Measure PyTorch too, if it is installed."""
    out: str | None = None
    """JSON file for the result."""

    def __post_init__(self) -> None:
        require(self.repeats >= 1, "repeats", self.repeats, "1 or more")
        fits = self.image_size >= 1 and all(self.image_size % scale == 0 for scale in self.super_resolution.scale)
        require(fits, "image_size", self.image_size, f"a multiple of {self.super_resolution.scale}")


def run(config: UpscaleConfig) -> dict[str, Any]:
    """Races all rows; prints a table, and writes and returns the document.

    Raises:
      InputError: the settings cannot work; it is raised before anything is measured.
    """
    common.require_writable(config.out)
    threads, version = torch_setup.prepare(config.torch)
    size, model = config.image_size, untrained(config.super_resolution)
    makers = [
        (label := f"jaxgen x{s}", partial(one_image, label, model, s, size)) for s in config.super_resolution.scale
    ]
    if torch_setup.wanted(config.torch):
        from experiments.benchmarks.torch_upscaling import vdsr_candidates

        makers += vdsr_candidates(size, torch_setup.device())
    columns = {"MP/s": ("megapixels_per_second", ".2f"), "× VDSR": ("ratio_to_vdsr", ".1f")}
    title, rows = f"one image enlarged to {size} x {size}", partial(make_rows, size=size)
    case = restore.race_case("upscale", title, makers, (config.repeats, 1), rows, columns)
    case["parameters"] = common.num_parameters(model.state.ema_params)
    torch = {"version": version, "threads": threads}
    document = common.describe("super_resolution", to_dict(config), torch=torch, cases=[case])
    common.save(config.out, document)
    return document


def untrained(structure: SuperResolutionConfig) -> Trained:
    """Returns a network before training."""
    algorithm = make_super_resolution(structure, SHAPE, 1)
    params = jax.jit(algorithm.init)(jax.random.key(0), vars(SuperResolutionHparams(schedule_images=1.0))).params
    state = TrainState(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32), {}, {}, {NETWORK: params[NETWORK]}, {}, {})
    return Trained(
        task("super_resolution"), SuperResolutionRecipe(super_resolution=structure), algorithm, state, Facts(SHAPE)
    )


def one_image(label: str, model: Trained, scale: int, size: int) -> common.Candidate:
    """Returns a candidate that enlarges one image to `size`, from host memory to host memory."""
    enlarge, small = make_enlarge(model, scale), common.pictures(1, size // scale, 3)[0]
    return common.Candidate(label, lambda: enlarge(small), 1)


def make_rows(timings: restore.Timings, size: int) -> restore.Rows:
    """Returns rows for timings of one result; `ratio_to_vdsr` is the speed over that of VDSR's fastest row."""
    rivals = [timing.median for label, timing in timings.items() if "VDSR" in label]
    rows = train_step.make_rows(timings, batch_size=1)
    for row in rows:
        del row["ratio_to_pytorch"]  # it would compare different networks
        row["megapixels_per_second"] = size**2 / 1e6 / row["seconds_per_step"]
        row["ratio_to_vdsr"] = min(rivals) / row["seconds_per_step"] if rivals else None
    return rows


def main() -> None:
    """Measures from the command line."""
    with exit_cleanly():
        config = parse(UpscaleConfig(), sys.argv[1:], "python -m experiments.benchmarks.super_resolution", __doc__)
        parallel.setup_backend()
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # see train_step
        run(config)


if __name__ == "__main__":
    main()
