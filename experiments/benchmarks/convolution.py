"""The gain of jaxgen's convolution on a CPU: GAN steps with it and with XLA's own gradients, and volumes by slices.

Inside a loop XLA computes the kernel gradient of a convolution by a slow path. `jaxgen.networks.convolution.conv`
avoids this, and convolves volumes as images of joined slices.

Command:  python -m experiments.benchmarks.convolution [--repeats N] [--out FILE.json]
"""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from experiments import gan_mnist
from experiments.benchmarks import common
from experiments.benchmarks.cases import fix_schedule
from jaxgen.cli import exit_cleanly, parse
from jaxgen.config_json import to_dict
from jaxgen.errors import require
from jaxgen.networks import convolution, layers
from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.training import parallel
from jaxgen.training.step import Algorithm, TrainState
from jaxgen.types import Batch, Metrics

SHAPE = (28, 28, 1)
VOLUMES = ((16, 16, 16), (16, 32, 32), (8, 128, 32))
"""Side of the volumes, input channels, output channels."""
VOLUME_BATCH = 16
Run = Callable[[], None]


@dataclasses.dataclass(frozen=True)
class ConvolutionConfig:
    """Settings of the measurement."""

    repeats: int = 2
    """Number of rounds; each row runs once in each, and the median is reported."""
    batch_size: int = 64
    """Images per update, on one device."""
    scan_steps: int = 2
    """Steps of a scan."""
    members: int = 4
    """Number of independent GANs in a map."""
    out: str | None = None
    """JSON file for the result."""

    def __post_init__(self) -> None:
        for field in ("repeats", "batch_size", "scan_steps", "members"):
            require(getattr(self, field) >= 1, field, getattr(self, field), "1 or more")


def plain_conv(x: jax.Array, kernel: jax.Array, padding: convolution.Padding | None = None) -> jax.Array:
    """Computes `jaxgen.networks.convolution.conv` as one convolution of XLA, with its usual gradients."""
    spatial = "DHW"[5 - x.ndim :]
    layout = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
    return lax.conv_general_dilated(x, kernel, (1,) * (x.ndim - 2), padding or "SAME", dimension_numbers=layout)


CONVOLUTIONS = {"jaxgen's convolution": layers.conv, "plain lax convolution": plain_conv}


@contextlib.contextmanager
def using(conv: Callable[..., jax.Array]) -> Iterator[None]:
    """Makes networks that are traced inside use `conv` in place of `layers.conv`."""
    before = layers.conv
    layers.conv = conv
    try:
        yield
    finally:
        layers.conv = before


def make_algorithm(batch_size: int) -> tuple[Algorithm, dict[str, Any]]:
    """Returns the GAN of `experiments.gan_mnist` and its hyperparameters."""
    train = dataclasses.replace(gan_mnist.CONFIG.train, batch_size=batch_size)
    recipe = fix_schedule(dataclasses.replace(gan_mnist.CONFIG, train=train))
    return make_gan(recipe.gan, SHAPE, batch_size), dataclasses.asdict(recipe.hparams)


def make_candidates(name: str, config: ConvolutionConfig) -> list[common.Candidate]:
    """Returns the GAN step alone, in a scan over batches and in a map over members, with one convolution.

    Each step of each member counts as a step of the candidate.
    """
    algorithm, hparams = make_algorithm(config.batch_size)
    key, steps, members = jax.random.key(0), config.scan_steps, config.members
    images = jax.random.uniform(jax.random.key(1), (steps, config.batch_size, *SHAPE), jnp.float32, -1.0, 1.0)
    first = {"images": images[0]}
    state = algorithm.init(key, hparams)
    states = jax.vmap(lambda key: algorithm.init(key, hparams))(jax.random.split(key, members))

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        return algorithm.step(state, batch, key)

    programs = {
        "alone": (lambda s: step(s, first), state, 1),
        "in lax.scan": (
            lambda s: lax.scan(lambda s, x: algorithm.step(s, {"images": x}, key), s, images),
            state,
            steps,
        ),
        "in lax.map": (lambda s: lax.map(lambda s: algorithm.step(s, first, key), s), states, members),
    }
    with using(CONVOLUTIONS[name]):  # compiled here, since tracing reads the convolution
        return [
            common.Candidate(f"{name}, {place}", _runner(jax.jit(fn).lower(argument).compile(), argument), num)
            for place, (fn, argument, num) in programs.items()
        ]


def _runner(program: Callable[[Any], Any], argument: Any) -> Run:
    def run_program() -> None:
        jax.block_until_ready(program(argument))

    return run_program


def volume_candidates(size: int, channels: int, features: int) -> list[common.Candidate]:
    """Returns a 3 x 3 x 3 convolution of volumes, forward and with both gradients, in both implementations."""
    keys = jax.random.split(jax.random.key(0))
    x = jax.random.normal(keys[0], (VOLUME_BATCH, *(size,) * 3, channels))
    kernel = jax.random.normal(keys[1], (3, 3, 3, channels, features)) / (27 * channels) ** 0.5
    found = []
    for name, conv in CONVOLUTIONS.items():

        def loss(x: jax.Array, kernel: jax.Array, conv: Callable[..., jax.Array] = conv) -> jax.Array:
            return jnp.mean(jnp.square(conv(x, kernel)))

        for what, fn in (("forward", conv), ("with gradients", jax.grad(loss, (0, 1)))):
            program = jax.jit(fn).lower(x, kernel).compile()
            found.append(common.Candidate(f"{name}, {what}", _runner(lambda both, p=program: p(*both), (x, kernel)), 1))
    return found


def volume_rows(repeats: int) -> list[dict[str, Any]]:
    """Measures, prints and returns the GFLOP/s of convolutions of volumes: those of jaxgen and the plain ones."""
    rows, cells = [], []
    for size, channels, features in VOLUMES:
        timings = common.race(volume_candidates(size, channels, features), repeats, steps=1)
        forward = 2 * 27 * channels * features * VOLUME_BATCH * size**3 / 1e9
        for what, work in (("forward", forward), ("with gradients", 3 * forward)):
            rates = [work / timings[f"{name}, {what}"].median for name in CONVOLUTIONS]
            place = f"{size}^3, {channels} to {features}, {what}"
            rows.append({"place": place, "jaxgen": rates[0], "plain": rates[1], "ratio": rates[0] / rates[1]})
            cells.append((place, *(f"{rate:.0f}" for rate in rates), f"{rates[0] / rates[1]:.1f}"))
    title = f"convolution of volumes, batch {VOLUME_BATCH}; GFLOP/s"
    common.print_table(title, ("volumes", *CONVOLUTIONS, "ratio"), cells)
    return rows


def run(config: ConvolutionConfig) -> dict[str, Any]:
    """Measures, prints a table, and writes and returns the document.

    Raises:
      InputError: the output file cannot be written.
    """
    common.require_writable(config.out)
    candidates = [candidate for name in CONVOLUTIONS for candidate in make_candidates(name, config)]
    timings = common.race(candidates, config.repeats, steps=1)
    rows, cells = [], []
    for place in ("alone", "in lax.scan", "in lax.map"):
        pair = [timings[f"{name}, {place}"] for name in CONVOLUTIONS]
        ratio = pair[1].median / pair[0].median
        facts = {key: timing._asdict() for key, timing in zip(("jaxgen", "plain"), pair, strict=True)}
        rows.append({"place": place, **facts, "ratio": ratio})
        cells.append((place, *(f"{1e3 * timing.median:.1f}" for timing in pair), f"{ratio:.1f}"))
    title = f"GAN step of gan_mnist, batch {config.batch_size}, 1 device; ms per step (of a member)"
    common.print_table(title, ("step", *CONVOLUTIONS, "ratio"), cells)
    document = common.describe("convolution", to_dict(config), rows=rows, volumes=volume_rows(config.repeats))
    common.save(config.out, document)
    return document


def main() -> None:
    """Measures from the command line."""
    with exit_cleanly():
        config = parse(ConvolutionConfig(), sys.argv[1:], "python -m experiments.benchmarks.convolution", __doc__)
        parallel.setup_backend()
        run(config)


if __name__ == "__main__":
    main()
