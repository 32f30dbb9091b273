"""The time of an evaluation of noise images: features, each measure, and the whole.

Command:  python -m experiments.benchmarks.evaluation [--num 10000] [--train 60000] [--out FILE.json]
"""

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from experiments.benchmarks import common, flops
from jaxgen.cli import exit_cleanly, parse
from jaxgen.config_json import to_dict
from jaxgen.data.base import Source
from jaxgen.doctor.rates import noise_source
from jaxgen.errors import require
from jaxgen.evaluation.features import FeatureNetwork, extract, mnist_features
from jaxgen.evaluation.generated import Generated
from jaxgen.evaluation.protocol import evaluate
from jaxgen.metrics.frechet import add_features, empty_moments, frechet_distance
from jaxgen.metrics.kernel import kernel_distance
from jaxgen.metrics.neighbours import empty_nearest, precision_recall_density_coverage, update_nearest
from jaxgen.training import parallel

FEATURES, NEAREST = "features of the images", "nearest training images"
CHUNK = 2000
"""Number of training images that are compared at once."""


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """Settings of the measurement."""

    repeats: int = 3
    """Number of rounds; each part runs once in each, and the median is reported. The whole runs once."""
    num: int = 10_000
    """Number of evaluated images, and of reference images."""
    train: int = 60_000
    """Number of training images to compare with."""
    out: str | None = None
    """JSON file for the result."""

    def __post_init__(self) -> None:
        require(self.repeats >= 1, "repeats", self.repeats, "1 or more")
        for field in ("num", "train"):
            require(getattr(self, field) >= 100, field, getattr(self, field), "100 or more")


def labelled_noise(num: int, name: str) -> Source:
    """Returns images of noise with the ten classes of digits."""
    labels = np.arange(num, dtype=np.int32) % 10
    return dataclasses.replace(
        noise_source(num, (28, 28, 1), False), name=name, labels=labels, class_names=tuple("0123456789")
    )


def make_parts(network: FeatureNetwork, config: EvaluationConfig) -> dict[str, Callable[[], Any]]:
    """Returns the parts of an evaluation by name, each on features or images of noise."""
    draw = np.random.default_rng(0)
    fake, real = draw.normal(size=(2, config.num, network.num_features)).astype(np.float32)
    train = draw.normal(size=(config.train, network.num_features)).astype(np.float32)
    images = noise_source(config.num, (28, 28, 1), False).images
    moments = [add_features(empty_moments(network.num_features), features) for features in (fake, real)]

    def nearest() -> None:
        found = empty_nearest(len(fake))
        for start in range(0, len(train), CHUNK):
            found = update_nearest(found, fake, train[start : start + CHUNK], start)
        jax.block_until_ready(list(found))

    return {
        FEATURES: lambda: list(extract(network, [images])),
        "Fréchet distance": lambda: frechet_distance(*moments),
        "kernel distance": lambda: kernel_distance(fake, real, seed=0),
        "precision, recall, density, coverage": lambda: precision_recall_density_coverage(real, fake, 5),
        NEAREST: nearest,
    }


def evaluate_noise(network: FeatureNetwork, config: EvaluationConfig) -> float:
    """Returns the seconds of a whole evaluation, including a classifier trained on the generated images."""
    generated, held_out = labelled_noise(config.num, "generated images"), labelled_noise(config.num, "noise test")

    def parts(at_once: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, config.num, at_once):
            yield generated.images[start : start + at_once], generated.labels[start : start + at_once]

    judged = Generated("noise", config.num, generated.shape, True, parts)
    began = time.perf_counter()
    evaluate(judged, labelled_noise(config.train, "noise train"), held_out, network, 0, lambda what, items, num: items)
    return time.perf_counter() - began


def run(config: EvaluationConfig) -> dict[str, Any]:
    """Measures, prints a table, and writes and returns the document.

    Raises:
      InputError: the output file cannot be written.
    """
    common.require_writable(config.out)
    network, (highest, highest_flops) = mnist_features(), flops.ceiling("float32")
    candidates = [common.Candidate(name, part, 1) for name, part in make_parts(network, config).items()]
    busy_elsewhere = common.cores_busy_elsewhere()
    timings = common.race([*candidates, highest], config.repeats, 1)
    top = timings.pop(flops.CEILING)
    operations = part_flops(network, config)
    rows = [
        {"label": name, "seconds": timing.median, "images_per_second": images_in(name, config) / timing.median}
        | _speed(timing.median, operations.get(name), top, highest_flops)
        for name, timing in timings.items()
    ]
    whole = evaluate_noise(network, config)
    rows.append({"label": "all measures", "seconds": whole, "images_per_second": config.num / whole})
    rows[-1] |= _speed(whole, None, top, highest_flops)
    document = common.describe("evaluation", to_dict(config), rows=rows, cores_busy_elsewhere=busy_elsewhere())
    columns: common.Columns = {"s": ("seconds", ".2f"), "images/s": ("images_per_second", ",.0f"), **flops.COLUMNS}
    cells = [(row["label"], *common.cells(row, columns)) for row in rows]
    title = f"evaluation of {config.num:,} images of 28 x 28, {config.train:,} for training, float32, {common.device()}"
    common.print_table(title, ("part", *columns), cells)
    common.save(config.out, document)
    return document


def images_in(name: str, config: EvaluationConfig) -> int:
    """Returns the number of images that a part processes."""
    return config.train if name == NEAREST else config.num


def part_flops(network: FeatureNetwork, config: EvaluationConfig) -> dict[str, float]:
    """Returns the operations of the parts that consist only of matrix products."""
    batch = jax.ShapeDtypeStruct((network.at_once, 28, 28, 1), "uint8")
    calls = -(-config.num // network.at_once)  # the last is padded
    products = 2.0 * config.num * config.train * network.num_features
    return {FEATURES: calls * flops.count_flops(network.apply, batch), NEAREST: products}


def _speed(seconds: float, operations: float | None, top: common.Timing, top_flops: float) -> dict[str, Any]:
    if operations is None:
        return {"gflops_per_second": None, "share_of_matmul": None}
    return flops.achieved(seconds, operations, top, top_flops)


def main() -> None:
    """Measures from the command line."""
    with exit_cleanly():
        config = parse(EvaluationConfig(), sys.argv[1:], "python -m experiments.benchmarks.evaluation", __doc__)
        parallel.setup_backend()
        run(config)


if __name__ == "__main__":
    main()
