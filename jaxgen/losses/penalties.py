"""Gradient penalties on the discriminator: one value per example, summed over all axes but the batch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.types import Images, Logits, PRNGKeys


def logits_and_squared_gradient(
    discriminator_fn: Callable[[Array], Logits], images: Float[Array, "b ..."]
) -> tuple[Logits, Float[Array, " b"]]:
    """D(x) and ||dD(x)/dx||^2 in one forward and one backward pass.

    Args:
      discriminator_fn: (b, ...) -> (b,), each logit a function of its own image alone.
      images: (b, ...).

    Returns:
      Logits (b,) and the squared norm (b,) of each image's gradient over all of its axes, at least 0. Half of the
      square on real images is the R1 penalty, on fake images R2, each times its weight.

    References:
      Mescheder, Geiger, Nowozin, "Which Training Methods for GANs do actually Converge?", 2018, equation 9.
    """
    logits, pullback = jax.vjp(discriminator_fn, images)
    (gradient,) = pullback(jnp.ones_like(logits))
    return logits, jnp.sum(jnp.square(gradient), axis=tuple(range(1, images.ndim)))


def squared_gradient_penalty(
    discriminator_fn: Callable[[Array], Logits], images: Float[Array, "b ..."]
) -> Float[Array, " b"]:
    """||dD(x)/dx||^2 / 2: R1 on real images, R2 on fake ones (weight not included).

    Args:
      discriminator_fn: (b, ...) -> (b,).
      images: (b, ...).

    Returns:
      (b,), at least 0.

    References:
      Mescheder et al., 2018, equation 9 (R1 and R2).
    """
    return 0.5 * logits_and_squared_gradient(discriminator_fn, images)[1]


def interpolated_gradient_penalty(
    discriminator_fn: Callable[[Array], Logits], real: Images, fake: Images, keys: PRNGKeys
) -> Float[Array, " b"]:
    """(||dD(x)/dx|| - 1)^2 at x = e real + (1 - e) fake, e uniform in [0, 1] per example (weight not included).

    Args:
      discriminator_fn: (b, *spatial, c) -> (b,).
      real: (b, *spatial, c).
      fake: (b, *spatial, c).
      keys: (b,), of the interpolation.

    Returns:
      (b,), at least 0.

    References:
      Gulrajani et al., "Improved Training of Wasserstein GANs", 2017, equation 3.
    """
    e = jax.vmap(lambda key: jax.random.uniform(key, (1,) * (real.ndim - 1), real.dtype))(keys)
    _, square = logits_and_squared_gradient(discriminator_fn, e * real + (1.0 - e) * fake)
    # the root has no finite slope at 0, where a dead discriminator starts
    return jnp.square(jnp.sqrt(square + 1e-12) - 1.0)
