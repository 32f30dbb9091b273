"""A small convolutional classifier, whose last hidden layer provides features of images and volumes.

Space-to-depth and two convolutions, repeated until few pixels are left -> dense -> features -> dense -> logits.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array

from jaxgen.networks.layers import Conv, leaky_relu, space_to_depth
from jaxgen.types import Grid, Images

VOLUME_SIZE = 32
"""Side in voxels to which volumes are resampled before they are classified."""


class Classifier(nn.Module):
    """A network from images (b, *spatial, c) in [-1, 1] to features (b, f) and logits (b, n).

    Attributes:
      num_classes: number of classes n.
      num_features: number of features f.
      channels: channels of the first stage; the later stages have twice as many.
      smallest: the largest side, in pixels, at which the stages end.
      size: side to which images are resampled at first; None leaves them as they are.
      dropout: share of activations that training sets to 0 before each of the two dense layers.
      dtype: compute dtype; the results are float32.
    """

    num_classes: int
    num_features: int = 64
    channels: int = 32
    smallest: int = 8
    size: int | None = None
    dropout: float = 0.3
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Images, train: bool = False) -> tuple[Array, Array]:
        """Returns the features and the logits; with `train` it needs a random key named "dropout"."""
        x, channels = images if self.size is None else resample(images, self.size), self.channels
        while max(x.shape[1:-1]) > self.smallest:
            x = space_to_depth(_even(x))
            x = leaky_relu(Conv(channels, dtype=self.dtype)(x))
            x = leaky_relu(Conv(channels, dtype=self.dtype)(x))
            channels = 2 * self.channels
        x = x.reshape(x.shape[0], -1)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        features = leaky_relu(nn.Dense(self.num_features, dtype=self.dtype)(x)).astype(jnp.float32)
        x = nn.Dropout(self.dropout, deterministic=not train)(features)
        return features, nn.Dense(self.num_classes, dtype=jnp.float32)(x)


def classifier_of(shape: Grid, num_classes: int) -> Classifier:
    """Returns the classifier for images (*spatial, c) of this shape: for volumes a narrower one, of one fixed size.

    A volume takes five times as many multiplications as an image of 28 x 28.
    """
    if len(shape) == 3:
        return Classifier(num_classes)
    return Classifier(num_classes, channels=8, smallest=4, size=VOLUME_SIZE)


def resample(images: Images, size: int) -> Array:
    """Returns images (b, *spatial, c) with `size` pixels a side: linear between pixels, averaged where they shrink."""
    shape = (images.shape[0], *(size,) * (images.ndim - 2), images.shape[-1])
    return images if images.shape == shape else jax.image.resize(images, shape, "linear", antialias=True)


def _even(x: Images) -> Array:
    """Returns x with a row, a column (and a slice) of zeros added where that size is odd."""
    return jnp.pad(x, ((0, 0), *((0, size % 2) for size in x.shape[1:-1]), (0, 0)))
