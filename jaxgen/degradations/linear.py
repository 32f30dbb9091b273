"""The adjoint of a linear degradation, derived rather than written."""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float


def adjoint(
    linear_fn: Callable[[Float[Array, "..."]], Float[Array, "..."]], example: Float[Array, "..."]
) -> Callable[[Float[Array, "..."]], Float[Array, "..."]]:
    """A^T of a linear map A: <A x, y> = <x, A^T y> for all x and y.

    Args:
      linear_fn: A, one array to one array, e.g. `lambda x: blur(x, kernels)`; whether it is linear is not checked
        beyond what `jax.linear_transpose` refuses.
      example: an array of the shape and type that A takes; its values do not matter.

    Returns:
      A function from what A gives to what A takes.
    """
    transpose = jax.linear_transpose(linear_fn, example)
    return lambda y: transpose(y)[0]
