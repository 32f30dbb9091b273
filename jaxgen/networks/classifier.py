"""A small convolutional classifier, whose last hidden layer provides features of images.

Space-to-depth and two convolutions, repeated until at most 8 px are left -> dense -> features -> dense -> logits.
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array

from jaxgen.networks.layers import Conv, leaky_relu, space_to_depth
from jaxgen.types import Images


class Classifier(nn.Module):
    """A network from images (b, *spatial, c) in [-1, 1] to features (b, f) and logits (b, n).

    Attributes:
      num_classes: number of classes n.
      num_features: number of features f.
      channels: channels of the first stage; the later stages have twice as many.
      dropout: share of activations that training sets to 0 before each of the two dense layers.
      dtype: compute dtype; the results are float32.
    """

    num_classes: int
    num_features: int = 64
    channels: int = 32
    dropout: float = 0.3
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Images, train: bool = False) -> tuple[Array, Array]:
        """Returns the features and the logits; with `train` it needs a random key named "dropout"."""
        x, channels = images, self.channels
        while max(x.shape[1:-1]) > 8:
            x = space_to_depth(_even(x))
            x = leaky_relu(Conv(channels, dtype=self.dtype)(x))
            x = leaky_relu(Conv(channels, dtype=self.dtype)(x))
            channels = 2 * self.channels
        x = x.reshape(x.shape[0], -1)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        features = leaky_relu(nn.Dense(self.num_features, dtype=self.dtype)(x)).astype(jnp.float32)
        x = nn.Dropout(self.dropout, deterministic=not train)(features)
        return features, nn.Dense(self.num_classes, dtype=jnp.float32)(x)


def _even(x: Images) -> Array:
    """Returns x with a row, a column (and a slice) of zeros added where that size is odd."""
    return jnp.pad(x, ((0, 0), *((0, size % 2) for size in x.shape[1:-1]), (0, 0)))
