"""How useful generated digits are: the accuracy on real test digits of a small network that saw generated ones alone.

The protocol by which private GANs are published (Bie, Kamath, Zhang, "Private GANs, Revisited", 2023): 60,000 generated
digits, as many of each class, ten epochs; the epoch is chosen by 5,000 further generated digits, so that no real image
chooses anything. The network: two convolutions of 32 and 64 channels, each with a maximum over 2 x 2 pixels, a
dense layer of 128 units; Adam, 1e-3. Images are neither moved nor mirrored, and there is no dropout.

Command:  python -m experiments.accuracy_of_generated_digits --run RUN [--data-dir DIR] [--out FILE.json]
"""

import dataclasses
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from experiments.benchmarks import common
from jaxgen.api import sample
from jaxgen.cli import exit_cleanly, parse
from jaxgen.config_json import to_dict
from jaxgen.data.base import Source
from jaxgen.data.config import DataConfig
from jaxgen.data.sources import open_source
from jaxgen.errors import require
from jaxgen.images import to_float
from jaxgen.networks.layers import Conv
from jaxgen.tasks.load import load
from jaxgen.training import parallel
from jaxgen.types import Images, Params

BATCH_SIZE = 100


@dataclasses.dataclass(frozen=True)
class AccuracyConfig:
    """Settings of the measurement."""

    run: str = "digits"
    """Folder of the run of a conditional GAN of digits; digits: the one of the package."""
    checkpoint: str = "latest"
    """latest, best or a step."""
    num: int = 60_000
    """Generated digits to train on; a twelfth as many choose the epoch."""
    epochs: int = 10
    """Passes over them."""
    seed: int = 0
    """Seed of the digits and of the network."""
    dataset: str = "mnist"
    """Real digits, of which the test split is classified."""
    data_dir: str | None = None
    """Folder of the real digits."""
    out: str | None = None
    """JSON file for the result."""

    def __post_init__(self) -> None:
        require(self.num >= 12 * BATCH_SIZE, "num", self.num, f"{12 * BATCH_SIZE} or more")
        require(self.epochs >= 1, "epochs", self.epochs, "1 or more")


class SmallNetwork(nn.Module):
    """The network from digits (b, h, w, 1) in [-1, 1] to logits (b, 10)."""

    @nn.compact
    def __call__(self, x: Images) -> Float[Array, "b 10"]:
        """Returns the logits."""
        for channels in (32, 64):
            x = nn.relu(Conv(channels)(x))
            b, h, w, _ = x.shape
            x = jnp.max(x.reshape(b, h // 2, 2, w // 2, 2, channels), (2, 4))
        return nn.Dense(10)(nn.relu(nn.Dense(128)(x.reshape(len(x), -1))))


NETWORK = SmallNetwork()
OPTIMIZER = optax.adam(1e-3)


@jax.jit
def train_epoch(params: Params, memory: Any, images: Array, labels: Array) -> tuple[Params, Any]:
    """Returns weights and Adam's memory after steps on batches of images (k, b, h, w, 1) and labels (k, b)."""

    def step(carry: tuple[Params, Any], batch: tuple[Array, Array]) -> tuple[tuple[Params, Any], None]:
        def loss_fn(params: Params) -> Array:
            logits = NETWORK.apply({"params": params}, to_float(batch[0]))
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, batch[1]))

        grads = jax.grad(loss_fn)(carry[0])
        with jax.numpy_dtype_promotion("standard"):  # optax raises a float decay to an integer count
            updates, memory = OPTIMIZER.update(grads, carry[1])
        return (optax.apply_updates(carry[0], updates), memory), None

    return lax.scan(step, (params, memory), (images, labels))[0]


@jax.jit
def _classify(params: Params, images: Array) -> Array:
    return jnp.argmax(NETWORK.apply({"params": params}, to_float(images)), -1)


def accuracy(params: Params, images: np.ndarray, labels: np.ndarray) -> float:
    """Returns the share of images (n, h, w, 1) that are classified as their labels (n,) say."""
    parts = [np.asarray(_classify(params, images[i : i + 1000])) for i in range(0, len(images), 1000)]
    return float(np.mean(np.concatenate(parts) == labels))


def measure(images: np.ndarray, labels: np.ndarray, test: Source, epochs: int, seed: int) -> list[tuple[float, float]]:
    """Returns, for each epoch, the accuracy on the held-out generated digits and on the real test digits.

    Args:
      images: generated digits, uint8 (n + n // 12, h, w, 1), of which the last twelfth of n is held out.
      labels: their classes.
      test: real digits with labels.
      epochs: number of epochs.
      seed: seed of the network and of the order.
    """
    num = len(images) * 12 // 13 // BATCH_SIZE * BATCH_SIZE
    params = NETWORK.init(jax.random.key(seed), jnp.zeros((1, *images.shape[1:])))["params"]
    memory, generator, found = OPTIMIZER.init(params), np.random.default_rng(seed), []
    real = test.take(np.arange(test.num_images))
    for epoch in range(epochs):
        order = generator.permutation(num).reshape(-1, BATCH_SIZE)
        params, memory = train_epoch(params, memory, images[order], labels[order])
        found.append((accuracy(params, images[num:], labels[num:]), accuracy(params, real, test.labels)))
        print(f"epoch {epoch + 1}: held-out generated {found[-1][0]:.2%}, real {found[-1][1]:.2%}", flush=True)
    return found


def run(config: AccuracyConfig) -> dict[str, Any]:
    """Measures, prints, and writes and returns the document.

    Raises:
      InputError: the run is no conditional GAN of ten classes, the data has no labels, or the file cannot be written.
    """
    common.require_writable(config.out)
    gan = load(config.run, config.checkpoint)
    require(len(gan.facts.class_names) == 10, "run", config.run, "a conditional GAN of ten classes")
    test = open_source(DataConfig(config.dataset, split="test", data_dir=config.data_dir))
    require(test.labels is not None, "dataset", config.dataset, "data with labels")
    total = config.num + config.num // 12
    labels = np.random.default_rng(config.seed).permutation(np.arange(total, dtype=np.int32) % np.int32(10))
    epochs = measure(sample(gan, total, seed=config.seed, labels=labels), labels, test, config.epochs, config.seed)
    _, reached = max(epochs, key=lambda pair: pair[0])
    print(f"{config.run}: {reached:.2%} of {test.num_images:,} real digits, in the epoch that generated digits choose")
    document = common.describe("accuracy_of_generated_digits", to_dict(config), accuracy=reached, epochs=epochs)
    common.save(config.out, document)
    return document


def main() -> None:
    """Measures from the command line."""
    with exit_cleanly():
        config = parse(AccuracyConfig(), sys.argv[1:], "python -m experiments.accuracy_of_generated_digits", __doc__)
        parallel.setup_backend()
        run(config)


if __name__ == "__main__":
    main()
