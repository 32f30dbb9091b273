"""What must not be rounded to TF32 or bfloat16 by an accelerator: products of pixels, and features of an evaluation.

Only traced, so that it can be seen on any machine: a product of float32 says with which precision it is computed.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from jaxgen.degradations.kinds import KINDS
from jaxgen.evaluation.features import mnist_features, random_features
from jaxgen.networks.initial_fill import initial_fill
from jaxgen.tasks.gan.diffaugment import AUGMENTATIONS
from jaxgen.tasks.super_resolution.bicubic import resize_bicubic

SHAPE = (2, 16, 16, 3)
KEY, LEVEL = jax.random.key(0), jnp.full(2, 0.5)


def products(jaxpr: Any) -> Iterator[Any]:
    """Yields all products and convolutions of a traced function, those of inner functions too."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            yield equation
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                    yield from products(getattr(inner, "jaxpr", inner))


def roundings(fn: Callable[..., Any], *args: Any) -> list[str]:
    """Products of float32 that an accelerator may round, and that are not in the highest precision."""
    full = (lax.Precision.HIGHEST, lax.Precision.HIGHEST)
    found = products(jax.make_jaxpr(fn)(*args).jaxpr)
    return [str(e) for e in found if e.params["precision"] != full and e.invars[0].aval.dtype == jnp.float32]


FUNCTIONS = {
    **{f"damage {name}": lambda x, kind=kind: kind.apply(KEY, x, LEVEL) for name, kind in KINDS.items()},
    **{f"augmentation {name}": lambda x, fn=fn: fn(KEY, x) for name, fn in AUGMENTATIONS.items()},
    "bicubic resizing": lambda x: resize_bicubic(x, (5, 9)),
    "initial fill": lambda x: initial_fill(x, jnp.zeros((*x.shape[:-1], 1)), 2),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_products_are_in_full_precision(name: str) -> None:
    assert roundings(FUNCTIONS[name], jnp.zeros(SHAPE)) == []


def test_features_of_an_evaluation_are_in_full_precision() -> None:
    for network, shape in ((random_features(SHAPE[1:]), SHAPE), (mnist_features(), (2, 28, 28, 1))):
        images = jnp.zeros(shape, jnp.uint8)
        assert len(list(products(jax.make_jaxpr(network.apply)(images).jaxpr))) > 3
        assert roundings(network.apply, images) == []


def test_the_check_sees_a_product_within_a_loop() -> None:
    def loop(x: jax.Array) -> jax.Array:
        return lax.fori_loop(0, 2, lambda _, y: jnp.einsum("bhwc,cd->bhwd", y, jnp.eye(3)), x)

    assert len(roundings(loop, jnp.zeros(SHAPE))) == 1
