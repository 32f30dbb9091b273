"""An estimate of images per second of a GAN on many TPU chips: a step on one chip, and the all-reduce.

Command:  python -m experiments.benchmarks.pod [--chip v6e] [--case gan_128] [--step-seconds S] [--price DOLLARS]
"""

import dataclasses
import sys
from typing import Literal, NamedTuple

import jax

from experiments.benchmarks import cases, common, flops
from jaxgen.cli import exit_cleanly, parse
from jaxgen.errors import require
from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.training import parallel

SIZES = (1, 4, 8, 16, 32, 64, 128, 256)
"""Numbers of chips for which the speed is estimated."""


class Chip(NamedTuple):
    """Published figures of a chip: bfloat16 operations per second, and bytes per second to its neighbours, one way."""

    flops: float
    bandwidth: float


CHIPS = {"v5e": Chip(197e12, 200e9), "v6e": Chip(918e12, 400e9)}
"""From the pages "TPU v5e" and "TPU v6e" of Google's documentation, which give the bandwidth both ways together."""


@dataclasses.dataclass(frozen=True)
class PodConfig:
    """Settings of the estimate."""

    chip: Literal["v5e", "v6e"] = "v5e"
    """Kind of TPU."""
    case: Literal["gan_mnist", "gan_mnist_mlp", "gan_64", "gan_128"] = "gan_64"
    """The GAN, one of the cases of `train_step`."""
    batch_per_chip: int = 64
    """Images per update on each chip."""
    step_seconds: float | None = None
    """Measured time of a step on one chip (see `train_step`); None: estimated by the operations and SHARE."""
    share: float = 0.2
    """Assumed share of the chip's peak that a step reaches, if its time was not measured."""
    hop_seconds: float = 1e-6
    """Assumed latency of each of the 2 (chips - 1) hops of an all-reduce, in seconds."""
    price: float | None = None
    """Price of a chip in dollars per hour, to print the price of a million images."""

    def __post_init__(self) -> None:
        require(self.batch_per_chip >= 1, "batch_per_chip", self.batch_per_chip, "1 or more")
        require(0 < self.share <= 1, "share", self.share, "above 0, at most 1")
        require(self.hop_seconds >= 0, "hop_seconds", self.hop_seconds, "0 or more")
        for field in ("step_seconds", "price"):
            value = getattr(self, field)
            require(value is None or value > 0, field, value, "above 0, or None")


def all_reduce_seconds(num_bytes: float, chips: int, bandwidth: float, hop_seconds: float) -> float:
    """Returns the time of a ring all-reduce, 2 (n - 1) / n * bytes / bandwidth + 2 (n - 1) * hop.

    Args:
      num_bytes: size of the array on each chip.
      chips: number of chips n.
      bandwidth: bytes per second from a chip to the next.
      hop_seconds: latency of a hop.
    """
    return 2.0 * (chips - 1) / chips * num_bytes / bandwidth + 2.0 * (chips - 1) * hop_seconds


def images_per_second(
    chips: int, batch_per_chip: int, step_seconds: float, gradient_bytes: list[float], chip: Chip, hop_seconds: float
) -> float:
    """Returns the speed of data-parallel training if nothing overlaps: a step, then each all-reduce.

    Args:
      chips: number of chips.
      batch_per_chip: images per update on each chip.
      step_seconds: time of a step on a single chip.
      gradient_bytes: size of each all-reduce of a step.
      chip: kind of chip, for its bandwidth.
      hop_seconds: see `all_reduce_seconds`.
    """
    waits = sum(all_reduce_seconds(size, chips, chip.bandwidth, hop_seconds) for size in gradient_bytes)
    return chips * batch_per_chip / (step_seconds + waits)


def count(config: PodConfig) -> tuple[float, list[float]]:
    """Returns the operations of a step on one chip, and the bytes of the gradients of each network."""
    recipe, shape = cases.recipe_of(config.case, config.batch_per_chip, "bfloat16"), cases.SHAPES[config.case]
    gan = make_gan(recipe.gan, shape, config.batch_per_chip)
    params = jax.eval_shape(gan.init, jax.random.key(0), vars(recipe.hparams)).params
    sizes = [4.0 * common.num_parameters(tree) for tree in params.values()]  # parameters and gradients are float32
    return flops.step_flops(gan, vars(recipe.hparams), shape), sizes


def estimate(config: PodConfig) -> list[tuple[str, ...]]:
    """Returns the rows of the table: chips, images/s, efficiency, and the price of a million images."""
    operations, sizes = count(config)
    chip = CHIPS[config.chip]
    step = config.step_seconds or operations / (config.share * chip.flops)
    rows = []
    for chips in SIZES:
        speed = images_per_second(chips, config.batch_per_chip, step, sizes, chip, config.hop_seconds)
        alone = config.batch_per_chip / step
        price = "" if config.price is None else f"{config.price * chips / 3600 / speed * 1e6:.2f}"
        rows.append((f"{chips}", f"{speed:,.0f}", f"{speed / (chips * alone):.3f}", price))
    return rows


def run(config: PodConfig) -> None:
    """Prints the table and its assumptions."""
    operations, sizes = count(config)
    source = f"assumed: {config.share:.0%} of the peak" if config.step_seconds is None else "measured"
    chip = CHIPS[config.chip]
    step = config.step_seconds or operations / (config.share * chip.flops)
    notes = [
        f"counted: {operations / 1e12:.3f} TFLOP and {sum(sizes) / 1e6:.1f} MB of gradients a step and chip",
        f"published: {chip.flops / 1e12:.0f} TFLOP/s, {chip.bandwidth / 1e9:.0f} GB/s one way",
        f"time of a step on one chip: {1e3 * step:.2f} ms, {source}; assumed: {1e6 * config.hop_seconds:.1f} µs a hop",
    ]
    columns = ("chips", "images/s", "efficiency", "$ / million images")
    title = f"{config.case}, bfloat16, {config.batch_per_chip} images a chip, {config.chip}"
    common.print_table(title, columns, estimate(config), "\n".join(notes))


def main() -> None:
    """Estimates from the command line."""
    with exit_cleanly():
        config = parse(PodConfig(), sys.argv[1:], "python -m experiments.benchmarks.pod", __doc__)
        parallel.setup_backend()
        run(config)


if __name__ == "__main__":
    main()
