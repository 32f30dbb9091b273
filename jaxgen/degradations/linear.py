"""The adjoint of a linear degradation, derived by JAX."""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float


def adjoint(
    linear_fn: Callable[[Float[Array, "..."]], Float[Array, "..."]], example: Float[Array, "..."]
) -> Callable[[Float[Array, "..."]], Float[Array, "..."]]:
    """Returns the adjoint A^T of a linear map A: <A x, y> = <x, A^T y> for all x and y.

    Args:
      linear_fn: A, from one array to one array, e.g. `lambda x: blur(x, kernels)`; the only check of its linearity is
        that of `jax.linear_transpose`.
      example: an array of the shape and type that A takes; its values do not matter.

    Returns:
      A function from arrays like the results of A to arrays like its arguments.
    """
    transpose = jax.linear_transpose(linear_fn, example)
    return lambda y: transpose(y)[0]
