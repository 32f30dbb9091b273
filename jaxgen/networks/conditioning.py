"""Class conditions of GANs: a class can enter beside the inputs of a network or at its last features.

A condition holds class weights for each image, (b, n): one-hot for one class, a mixture for something between classes.
A network without classes gets None, so that one definition serves both.
"""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

Condition = Float[Array, "b n"]


def entries(conditioning: str, condition: Condition | None) -> tuple[Condition | None, Condition | None]:
    """Returns the condition for `join` and that for `score`: None for the one that `conditioning` does not name."""
    return (condition, None) if conditioning == "concat" else (None, condition)


def join(x: Float[Array, "b *s c"], condition: Condition | None, features: int, scale: float = 1.0) -> Array:
    """Appends an embedding of the condition to x as further channels, the same at every position.

    Call it inside a compact method. The initial embedding is noise, by default of the same variance as the latents.

    Args:
      x: (b, c) or (b, *spatial, c).
      condition: (b, n), or None to return x unchanged.
      features: number of channels e of the embedding.
      scale: initial standard deviation of the embedding.

    Returns:
      (b, *spatial, c + e).

    References:
      Mirza and Osindero, "Conditional Generative Adversarial Nets", 2014, section 3.2.
    """
    if condition is None:
        return x
    embed = nn.Dense(features, use_bias=False, kernel_init=nn.initializers.normal(scale), name="embedding")
    embedded = embed(condition).astype(x.dtype).reshape(x.shape[0], *(1,) * (x.ndim - 2), features)
    return jnp.concatenate([x, jnp.broadcast_to(embedded, (*x.shape[:-1], features))], -1)


def score(features: Float[Array, "b f"], condition: Condition | None) -> Float[Array, " b"]:
    """Returns logits: a linear function of the features, plus their inner product with an embedding of the condition.

    Call it inside a compact method.

    Args:
      features: (b, f), the last features of a discriminator.
      condition: (b, n), or None for the linear function alone.

    Returns:
      (b,) float32.

    References:
      Miyato and Koyama, "cGANs with Projection Discriminator", 2018, equation 3.
    """
    features = features.astype(jnp.float32)
    logits = nn.Dense(1, dtype=jnp.float32)(features)[:, 0]
    if condition is None:
        return logits
    scale = features.shape[-1] ** -0.5
    embed = nn.Dense(features.shape[-1], use_bias=False, kernel_init=nn.initializers.normal(scale), name="projection")
    return logits + jnp.sum(embed(condition) * features, axis=-1)
