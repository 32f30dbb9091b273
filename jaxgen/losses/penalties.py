"""Gradient penalties on the discriminator, one value per example."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.types import Images, Logits, PRNGKeys


def logits_and_squared_gradient(
    discriminator_fn: Callable[[Array], Logits], images: Float[Array, "b ..."]
) -> tuple[Logits, Float[Array, " b"]]:
    """Returns D(x) and ||dD(x)/dx||^2, from one forward and one backward pass.

    Args:
      discriminator_fn: (b, ...) -> (b,), each logit a function of its own image alone.
      images: (b, ...).

    Returns:
      Logits (b,) and the squared norm (b,) of each image's gradient, at least 0. Half of it, times a weight, is the R1
      penalty on real images and the R2 penalty on fake ones.

    References:
      Mescheder, Geiger, Nowozin, "Which Training Methods for GANs do actually Converge?", 2018, equation 9.
    """
    logits, pullback = jax.vjp(discriminator_fn, images)
    (gradient,) = pullback(jnp.ones_like(logits))
    return logits, jnp.sum(jnp.square(gradient), axis=tuple(range(1, images.ndim)))


def interpolated_gradient_penalty(
    discriminator_fn: Callable[[Array], Logits], real: Images, fake: Images, keys: PRNGKeys
) -> Float[Array, " b"]:
    """Returns (||dD(x)/dx|| - 1)^2 at x = e real + (1 - e) fake, e uniform in [0, 1] per example, without its weight.

    Args:
      discriminator_fn: (b, *spatial, c) -> (b,).
      real: (b, *spatial, c).
      fake: (b, *spatial, c).
      keys: (b,), random keys of the interpolation.

    Returns:
      (b,), at least 0.

    References:
      Gulrajani et al., "Improved Training of Wasserstein GANs", 2017, equation 3.
    """
    e = jax.vmap(lambda key: jax.random.uniform(key, (1,) * (real.ndim - 1), real.dtype))(keys)
    _, square = logits_and_squared_gradient(discriminator_fn, e * real + (1.0 - e) * fake)
    # the square root has no finite slope at 0, the gradient of a constant discriminator
    return jnp.square(jnp.sqrt(square + 1e-12) - 1.0)
