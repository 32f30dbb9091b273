"""The speed of clipped sums of per-example gradients, beside `vmap(grad)` and the plain mean gradient.

The loss is that of the discriminator of `dp_cgan_mnist`, for pairs of a real and a generated image, on one device.

Command:  python -m experiments.benchmarks.private_gradients [--repeats N] [--out FILE.json]
"""

import dataclasses
import sys
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from experiments import dp_cgan_mnist
from experiments.benchmarks import common
from jaxgen.cli import exit_cleanly, parse
from jaxgen.config_json import to_dict
from jaxgen.errors import require
from jaxgen.losses.adversarial import ADVERSARIAL_LOSSES
from jaxgen.privacy.clipping import clipped_sum
from jaxgen.tasks.gan.algorithm import Gan, Pairs, discriminator_loss, draw_examples, init_gan, one_hot
from jaxgen.tasks.gan.pairs import make_gan_pair
from jaxgen.training import parallel
from jaxgen.training.step import mean_gradient

SHAPE, CLASSES = (28, 28, 1), 10
AT_ONCE_BY_VMAP = 32
"""Examples whose gradients are in memory at a time, for `vmap(grad)`."""


@dataclasses.dataclass(frozen=True)
class PrivateGradientsConfig:
    """Settings of the measurement."""

    repeats: int = 3
    """Number of rounds; each way runs once in each, and the median is reported."""
    batch_size: int = 256
    """Examples of a sum."""
    base_channels: int = 32
    """Width of the networks."""
    at_once: int = 128
    """Examples whose gradients are in memory at a time, for taps."""
    out: str | None = None
    """JSON file for the result."""

    def __post_init__(self) -> None:
        for field in ("repeats", "batch_size", "base_channels", "at_once"):
            require(getattr(self, field) >= 1, field, getattr(self, field), "1 or more")


def make_candidates(config: PrivateGradientsConfig) -> list[common.Candidate]:
    """Returns the mean gradient and the clipped sum by taps and by `vmap(grad)`; an example counts as a step."""
    num = config.batch_size
    structure = dataclasses.replace(dp_cgan_mnist.CONFIG.private_gan, base_channels=config.base_channels)
    gan = Gan(structure, *make_gan_pair(structure, SHAPE), ADVERSARIAL_LOSSES[structure.loss], SHAPE, num, CLASSES)
    hparams = {**vars(dp_cgan_mnist.CONFIG.hparams), "schedule_images": 1.0}
    params = init_gan(gan, jax.random.key(0), hparams).params
    images = jax.random.uniform(jax.random.key(1), (num, *SHAPE), jnp.float32, -1.0, 1.0)
    examples = draw_examples(gan, Pairs(images, one_hot(gan, jnp.arange(num) % CLASSES)), jax.random.key(2))
    loss_fn, mask = partial(discriminator_loss, gan, params["generator"], {}), jnp.ones(num)
    ways = {
        "mean gradient": partial(mean_gradient, loss_fn),
        "taps": lambda p, e: clipped_sum(loss_fn, p, e, mask, 1.0, at_once=config.at_once),
        "vmap(grad)": lambda p, e: clipped_sum(loss_fn, p, e, mask, 1.0, taps=False, at_once=AT_ONCE_BY_VMAP),
    }

    def candidate(label: str, way: Any) -> common.Candidate:
        program = jax.jit(way).lower(params["discriminator"], examples).compile()
        return common.Candidate(label, lambda: jax.block_until_ready(program(params["discriminator"], examples)), num)

    return [candidate(label, way) for label, way in ways.items()]


def run(config: PrivateGradientsConfig) -> dict[str, Any]:
    """Measures, prints a table, and writes and returns the document.

    Raises:
      InputError: the output file cannot be written.
    """
    common.require_writable(config.out)
    timings = common.race(make_candidates(config), config.repeats, config.batch_size)
    rows = [{"way": label, **timing._asdict()} for label, timing in timings.items()]
    cells = [(row["way"], f"{1 / row['median']:.0f}", f"{1 / row['cpu']:.0f}") for row in rows]
    title = f"gradients of {config.batch_size} examples, {common.device()}, one used; examples/s"
    common.print_table(title, ("way", "by the clock", "by processor time"), cells)
    document = common.describe("private_gradients", to_dict(config), rows=rows)
    common.save(config.out, document)
    return document


def main() -> None:
    """Measures from the command line."""
    with exit_cleanly():
        default = PrivateGradientsConfig()
        config = parse(default, sys.argv[1:], "python -m experiments.benchmarks.private_gradients", __doc__)
        parallel.setup_backend()
        run(config)


if __name__ == "__main__":
    main()
