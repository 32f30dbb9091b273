"""A small convolutional classifier whose last hidden layer serves as features of images.

space-to-depth, two convolutions, and again until at most 8 px are left -> dense -> features -> dense -> logits.
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array

from jaxgen.networks.layers import Conv, leaky_relu, space_to_depth
from jaxgen.types import Images


class Classifier(nn.Module):
    """Images (b, *spatial, c) in [-1, 1] to features (b, f) and logits (b, n).

    Attributes:
      num_classes: n.
      num_features: f.
      channels: of the first stage; the later ones have twice as many.
      dropout: share of activations that training leaves out before both dense layers.
      dtype: compute dtype; the results are float32.
    """

    num_classes: int
    num_features: int = 64
    channels: int = 32
    dropout: float = 0.3
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Images, train: bool = False) -> tuple[Array, Array]:
        """Features and logits; with `train`, a key named "dropout" is needed."""
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
    """x with a row and a column (and a slice) of zeros added where a size is odd."""
    return jnp.pad(x, ((0, 0), *((0, size % 2) for size in x.shape[1:-1]), (0, 0)))
