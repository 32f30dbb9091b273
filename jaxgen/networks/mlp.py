"""The smallest generator and discriminator: one hidden layer each, for images of any fixed size.

The form is that of the source tutorial: latents -> 1024 -> 784 -> sigmoid, and 784 -> 1024 -> 1.
"""

import math
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxgen.networks.conditioning import Condition, entries, join, score
from jaxgen.types import Grid, Images


class Generator(nn.Module):
    """A generator from latents (b, z) to images (b, *spatial, c): dense, ReLU, dense, sigmoid rescaled to [-1, 1].

    Attributes:
      shape: (*spatial, c) of the images.
      hidden: width of the hidden layer.
      dtype: compute dtype.
    """

    shape: Grid
    hidden: int = 1024
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, latents: Float[Array, "b z"], condition: Condition | None = None) -> Images:
        """Returns one image for each latent vector."""
        x = join(latents, condition, latents.shape[-1])
        x = nn.relu(nn.Dense(self.hidden, dtype=self.dtype)(x))
        x = nn.Dense(math.prod(self.shape), dtype=self.dtype)(x).astype(jnp.float32)
        return (2.0 * nn.sigmoid(x) - 1.0).reshape(-1, *self.shape)


class Discriminator(nn.Module):
    """A discriminator from images (b, *spatial, c) to one logit each (b,): dense, ReLU, dense.

    Its sigmoid is part of the loss.

    Attributes:
      hidden: width of the hidden layer.
      conditioning: where a condition enters, "concat" (beside the pixels) or "projection" (at the hidden layer).
      dtype: compute dtype; the logit is float32.
    """

    hidden: int = 1024
    conditioning: str = "projection"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Images, condition: Condition | None = None) -> Float[Array, " b"]:
        """Returns one logit for each image."""
        joined, projected = entries(self.conditioning, condition)
        x = join(images.reshape(images.shape[0], -1), joined, max(4, self.hidden // 16))
        return score(nn.relu(nn.Dense(self.hidden, dtype=self.dtype)(x)), projected)
