"""Images per second that the input pipeline brings to the device, beside those that a train step consumes.

Command:  python -m experiments.benchmarks.input_pipeline [--repeats N] [--out FILE.json]
"""

import dataclasses
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from experiments.benchmarks import cases, common, restore, train_step
from jaxgen.cli import exit_cleanly, parse
from jaxgen.config_json import to_dict
from jaxgen.data.base import Source, decode
from jaxgen.data.pipeline import batches
from jaxgen.data.transfer import chunks
from jaxgen.doctor import rates
from jaxgen.errors import require
from jaxgen.images import save_png
from jaxgen.tasks.restoration.algorithm import make_restoration
from jaxgen.training import parallel

GAN, RESTORER = "GAN step, 28 px", "restoration step, 64 px"
FED = "GAN step, 28 px, fed by tf.data"


@dataclasses.dataclass(frozen=True)
class InputPipelineConfig:
    """Settings of the measurement."""

    repeats: int = 5
    """Number of rounds; the median is reported."""
    steps: int = 300
    """Number of batches of each source in a round."""
    train_steps: int = 20
    """Number of train steps of each row in a round."""
    batch_size: int = 32
    """Images per batch."""
    num_images: int = 2000
    """Images per source."""
    out: str | None = None
    """JSON file for the result."""

    def __post_init__(self) -> None:
        for field in ("repeats", "steps", "train_steps", "batch_size", "num_images"):
            require(getattr(self, field) >= 1, field, getattr(self, field), "1 or more")


def make_sources(num: int, folder: Path) -> dict[str, tuple[str, Source]]:
    """Returns sources by name, each with the train step that it feeds.

    Args:
      num: number of images of each source.
      folder: folder for the PNG files.
    """
    photos = common.pictures(min(num, 100), 256, 3)
    paths = [folder / f"{i}.png" for i in range(min(num, 200))]
    for path, image in zip(paths, common.pictures(len(paths), restore.CROP, 3), strict=True):
        save_png(path, image)

    def read(index: int) -> np.ndarray:
        with Image.open(paths[index]) as image:
            return decode(image)

    digit, crop = (28, 28, 1), (restore.CROP, restore.CROP, 3)
    return {
        "28 px in memory, NumPy": (GAN, rates.noise_source(num, digit, False)),
        "28 px in memory, tf.data": (GAN, rates.noise_source(num, digit, True)),
        "64 px in memory, tf.data": (RESTORER, rates.noise_source(num, crop, True)),
        "64 px of photos in memory": (
            RESTORER,
            Source("photos", "", crop, len(photos), read=photos.__getitem__, crops=True),
        ),
        "64 px PNG files": (RESTORER, Source("files", "", crop, len(paths), read=read)),
    }


def run(config: InputPipelineConfig) -> dict[str, Any]:
    """Measures, prints a table, and writes and returns the document, with rows of sources and of train steps.

    Raises:
      InputError: the output file cannot be written.
    """
    common.require_writable(config.out)
    k = parallel.STEPS_PER_DISPATCH[jax.default_backend()]
    num_chunks = max(1, config.steps // k)
    busy_elsewhere = common.cores_busy_elsewhere()
    with tempfile.TemporaryDirectory() as folder:
        sources = make_sources(config.num_images, Path(folder))
        speeds: dict[str, list[float]] = {name: [] for name in sources}
        for _ in range(config.repeats):
            for name, (_, source) in sources.items():
                speeds[name].append(rates.data_rate(source, config.batch_size, k, num_chunks))
    timings = common.race(_train_candidates(config, k), config.repeats, config.train_steps)
    steps = {label: config.batch_size / timing.median for label, timing in timings.items()}
    rows = source_rows({name: statistics.median(values) for name, values in speeds.items()}, sources, steps)
    rows += [
        {"label": label, "images_per_second": speed, "feeds": None, "ratio": None} for label, speed in steps.items()
    ]
    document = common.describe("input_pipeline", to_dict(config), rows=rows, cores_busy_elsewhere=busy_elsewhere())
    document["fed_over_unfed"] = steps[FED] / steps[GAN]
    columns: common.Columns = {"images/s": ("images_per_second", ",.0f"), "× step": ("ratio", ".1f")}
    cells = [(row["label"], *common.cells(row, columns), row["feeds"] or "") for row in rows]
    notes = f"a GAN step that is fed runs at {document['fed_over_unfed']:.2f} times the speed of one that has its batch"
    title = f"input pipeline: batch {config.batch_size}, uint8, to {common.device()}"
    common.print_table(title, ("source or step", *columns, "feeds"), cells, notes)
    common.save(config.out, document)
    return document


def source_rows(
    speeds: dict[str, float], sources: dict[str, tuple[str, Source]], steps: dict[str, float]
) -> list[dict[str, Any]]:
    """Returns rows of the document; `ratio` is the speed of a source over that of its step, in images."""
    return [
        {"label": name, "images_per_second": speed, "feeds": sources[name][0], "ratio": speed / steps[sources[name][0]]}
        for name, speed in speeds.items()
    ]


def _train_candidates(config: InputPipelineConfig, k: int) -> list[common.Candidate]:
    """Returns steps of both kinds with a batch on the device, and GAN steps fed by tf.data as in a run."""
    recipe = cases.recipe_of("gan_mnist", config.batch_size)
    images = cases.images_of("gan_mnist", config.batch_size)
    devices = parallel.make_mesh(config.batch_size).size
    patches = common.pictures(config.batch_size, restore.CROP, 3)
    restoration = make_restoration(restore.INVERSE["colour"], patches.shape[1:], len(patches))
    return [
        train_step.jaxgen_step(GAN, recipe, images, devices, k),
        restore.jaxgen_step(RESTORER, restoration, patches, None, k),
        _fed(cases.begin_training(recipe, images, devices, k), config, k),
    ]


def _fed(training: cases.Training, config: InputPipelineConfig, k: int) -> common.Candidate:
    state, first, dispatch = training
    ready = _feed(config, k, first["images"].sharding)

    def run_dispatch() -> None:
        nonlocal state
        state, metrics = dispatch(state, next(ready))
        jax.device_get(metrics)

    return common.Candidate(FED, run_dispatch, k)


def _feed(config: InputPipelineConfig, k: int, sharding: jax.sharding.Sharding) -> Iterator[Any]:
    """Returns batches as a run gets them, loaded ahead in the background."""
    stream = batches(rates.noise_source(config.num_images, (28, 28, 1), True), batch_size=config.batch_size, seed=0)
    rounds = -(-config.train_steps // k) * config.repeats + 1
    return chunks(stream, [k] * rounds, lambda tree: jax.device_put(tree, sharding))


def main() -> None:
    """Measures from the command line."""
    with exit_cleanly():
        config = parse(InputPipelineConfig(), sys.argv[1:], "python -m experiments.benchmarks.input_pipeline", __doc__)
        parallel.setup_backend()
        run(config)


if __name__ == "__main__":
    main()
