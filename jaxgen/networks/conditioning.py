"""How a network is told what to draw or judge: the two places where a class can enter.

A condition is a row of class weights (b, n): one-hot for a class, a mixture for something between two. None stands for
a network without classes, so that one definition serves both.
"""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

Condition = Float[Array, "b n"]


def entries(conditioning: str, condition: Condition | None) -> tuple[Condition | None, Condition | None]:
    """The condition at the place that `conditioning` names and None at the other: (for `join`, for `score`)."""
    return (condition, None) if conditioning == "concat" else (None, condition)


def join(x: Float[Array, "b *s c"], condition: Condition | None, features: int) -> Array:
    """x with an embedding of the condition as further channels, the same at every position.

    Call it inside a compact method. The embedding starts as unit noise, as strong as the latents it stands beside.

    Args:
      x: (b, c) or (b, *spatial, c).
      condition: (b, n), or None to leave x as it is.
      features: width of the embedding e.

    Returns:
      (b, *spatial, c + e).

    References:
      Mirza and Osindero, "Conditional Generative Adversarial Nets", 2014, section 3.2.
    """
    if condition is None:
        return x
    embed = nn.Dense(features, use_bias=False, kernel_init=nn.initializers.normal(1.0), name="embedding")
    embedded = embed(condition).astype(x.dtype).reshape(x.shape[0], *(1,) * (x.ndim - 2), features)
    return jnp.concatenate([x, jnp.broadcast_to(embedded, (*x.shape[:-1], features))], -1)


def score(features: Float[Array, "b f"], condition: Condition | None) -> Float[Array, " b"]:
    """Logits: a linear function of the features, plus their inner product with an embedding of the condition.

    Call it inside a compact method.

    Args:
      features: (b, f), what the discriminator has found in each image.
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
