"""The smallest pair: one hidden layer each, as in the source tutorial (latents -> 1024 -> 784 -> sigmoid; 784 -> 1024
-> 1), for images of any fixed size.
"""

import math
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxgen.networks.conditioning import Condition, entries, join, score
from jaxgen.types import Grid, Images


class Generator(nn.Module):
    """Latents (b, z) to images (b, *spatial, c): dense, ReLU, dense, sigmoid stretched from [0, 1] to [-1, 1].

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
        """Draws one image per latent."""
        x = join(latents, condition, latents.shape[-1])
        x = nn.relu(nn.Dense(self.hidden, dtype=self.dtype)(x))
        x = nn.Dense(math.prod(self.shape), dtype=self.dtype)(x).astype(jnp.float32)
        return (2.0 * nn.sigmoid(x) - 1.0).reshape(-1, *self.shape)


class Discriminator(nn.Module):
    """Images (b, *spatial, c) to one logit each (b,): dense, ReLU, dense. The sigmoid of D is part of the loss.

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
        """Scores images."""
        joined, projected = entries(self.conditioning, condition)
        x = join(images.reshape(images.shape[0], -1), joined, max(4, self.hidden // 16))
        return score(nn.relu(nn.Dense(self.hidden, dtype=self.dtype)(x)), projected)
