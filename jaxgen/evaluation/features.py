"""Feature networks, which map images and volumes to the vectors by which sets of them are compared."""

import functools
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxgen.errors import require
from jaxgen.evaluation.inception import load_inception
from jaxgen.images import to_float
from jaxgen.networks.classifier import VOLUME_SIZE, Classifier, classifier_of
from jaxgen.networks.inception import InceptionV3, inception_shapes
from jaxgen.training.parallel import spread
from jaxgen.types import Grid
from jaxgen.weights import load_params, require_published, sha256_of

MNIST_WEIGHTS = Path(__file__).parent / "mnist_classifier.safetensors"
MNIST_SHA256 = "5cff4d5b4650a14682a08decb90922de14b19549b34ac4b02bdd528aa01f31e0"
VOLUME_WEIGHTS = Path(__file__).parent / "volume_classifier.safetensors"
VOLUME_SHA256 = "2eb42f5f4a38a7e96702b8bcfcd18b8677a8b21f1fb414156a36dcf1386a2f5a"
RANDOM_FEATURES = 256
"""Number of features of the untrained network."""


class FeatureNetwork(NamedTuple):
    """A fixed map from images to features.

    Attributes:
      name: a short description, for tables.
      sha256: hash of its weights file, or of the weights of an untrained network.
      num_features: f.
      class_names: names of the classes that it predicts; None if it predicts none.
      apply: jitted, uint8 (b, *spatial, c) -> features (b, f) and class logits (b, n) or None.
      at_once: images per call.
    """

    name: str
    sha256: str
    num_features: int
    class_names: tuple[str, ...] | None
    apply: Callable[[Array], tuple[Array, Array | None]]
    at_once: int


def choose_network(shape: Grid, inception_weights: Path | None = None) -> FeatureNetwork:
    """Returns a feature network for images of this shape: Inception-v3 if its weights are given, else one of jaxgen.

    Args:
      shape: (*spatial, c).
      inception_weights: the public weights file that papers on the FID use; for images, not for volumes.

    Raises:
      InputError: the file is another one, is given for volumes, or the installation is damaged.
    """
    if len(shape) == 4:
        require(inception_weights is None, "inception_weights", str(inception_weights), "None for volumes")
        return volume_features()
    if inception_weights is not None:
        return inception_features(inception_weights)
    return mnist_features() if shape == (28, 28, 1) else random_features(shape)


@functools.cache
def mnist_features() -> FeatureNetwork:
    """Returns the published MNIST classifier, for 28 x 28 grey images: 64 features, 10 classes.

    `experiments/mnist_classifier.py` trained it.

    Raises:
      InputError: the weights in the installed package are not the published ones.
    """
    require_published(MNIST_WEIGHTS, MNIST_SHA256)
    network, variables = Classifier(10), {"params": load_params(MNIST_WEIGHTS)}
    apply = _compile_float32(lambda images: network.apply(variables, to_float(images)))
    return FeatureNetwork("mnist-classifier", MNIST_SHA256, network.num_features, tuple("0123456789"), apply, 500)


@functools.cache
def volume_features() -> FeatureNetwork:
    """Returns the published classifier of solid digits, for volumes of any size and channels: 64 features, 10 classes.

    Volumes are resampled to 32 voxels a side, and of channels the mean is taken. `experiments/volume_classifier.py`
    trained it.

    Raises:
      InputError: the weights in the installed package are not the published ones.
    """
    require_published(VOLUME_WEIGHTS, VOLUME_SHA256)
    network = classifier_of((*(VOLUME_SIZE,) * 3, 1), 10)
    variables = {"params": load_params(VOLUME_WEIGHTS)}
    apply = _compile_float32(lambda images: network.apply(variables, to_float(images).mean(-1, keepdims=True)))
    return FeatureNetwork("volume-classifier", VOLUME_SHA256, network.num_features, tuple("0123456789"), apply, 50)


def inception_features(path: Path) -> FeatureNetwork:
    """Returns the Inception-v3 of the FID, with 2,048 features and the weights in the file at `path`."""
    params = load_inception(path, inception_shapes())
    # an argument of the compiled function: 87 MB of constants would be compiled into it
    forward = jax.jit(lambda p, images: InceptionV3().apply({"params": p}, images.astype(jnp.float32) / 255.0))
    return FeatureNetwork(
        "inception-v3", sha256_of(path), 2048, None, lambda images: (forward(params, images), None), 50
    )


@functools.cache
def random_features(shape: tuple[int, int, int]) -> FeatureNetwork:
    """Returns an untrained convolutional network, whose features describe shapes and textures but no meaning.

    References:
      Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models", 2020, section 4.2.
    """
    network = Classifier(1, num_features=RANDOM_FEATURES)
    variables = jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, *shape), jnp.float32))
    apply = _compile_float32(lambda images: (network.apply(variables, to_float(images))[0], None))
    at_once = max(1, 500 * 28 * 28 // math.prod(shape))
    digest = hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(variables))).hexdigest()
    return FeatureNetwork("random-convolutions (untrained)", digest, RANDOM_FEATURES, None, apply, at_once)


def _compile_float32(fn: Callable[[Array], Any]) -> Callable[[Array], Any]:
    """Compiles a function with full float32 products; by default accelerators round more, which changes figures."""

    def precise(images: Array) -> Any:
        with jax.default_matmul_precision("highest"):
            return fn(images)

    return jax.jit(precise)


def extract(network: FeatureNetwork, images: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yields features and predicted classes of each batch.

    Args:
      network: from `choose_network`.
      images: uint8 batches (b, *spatial, c), each of any size.

    Yields:
      float32 (b, f) and int32 (b,), a row for each image of the batch; None instead of classes if the network predicts
      none. The network always runs on one shape: a smaller batch is padded and its result cut.
    """
    for batch in images:
        parts = [
            _extract_filled(network, batch[i : i + network.at_once])
            for i in range(0, max(1, len(batch)), network.at_once)
        ]
        features, labels = zip(*parts, strict=True)
        yield np.concatenate(features), None if labels[0] is None else np.concatenate(labels)


def _extract_filled(network: FeatureNetwork, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    filled = np.concatenate([batch, np.zeros((network.at_once - len(batch), *batch.shape[1:]), np.uint8)])
    features, logits = network.apply(spread(filled))
    labels = None if logits is None else np.argmax(np.asarray(logits), -1).astype(np.int32)[: len(batch)]
    return np.asarray(features)[: len(batch)], labels
