"""Computes checksums of arrays, by which a damaged checkpoint is found."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec


def checksums(leaves: Sequence[jax.Array]) -> list[int]:
    """Returns a 32-bit checksum of each array, computed on its own device from its words and their positions.

    It uses integers only, so it is exact and does not depend on the sharding; a change of any one word changes it.

    Args:
      leaves: arrays of integers, bool or floats of 8 bits or more, of any shape.
    """
    # One call for each array: XLA compiles each shape once, and a state has most shapes several times.
    return [int(value) for value in jax.device_get([_jitted_sum(_everywhere(leaf))(leaf) for leaf in leaves])]


def _everywhere(leaf: jax.Array) -> NamedSharding | None:
    """Returns a sharding that puts a checksum on all devices, so that each process can read it."""
    mesh = leaf.sharding.mesh if isinstance(leaf.sharding, NamedSharding) else None
    return NamedSharding(mesh, PartitionSpec()) if mesh else None


@functools.cache
def _jitted_sum(sharding: NamedSharding | None) -> Callable[[jax.Array], jax.Array]:
    """Returns `_word_sum` compiled for a sharding of its result."""
    return jax.jit(_word_sum, out_shardings=sharding)


def _word_sum(leaf: jax.Array) -> jax.Array:
    """Returns the sum mod 2^32 of mix(word + odd * position); mix is the finalizer of MurmurHash3, a bijection.

    A sum with odd weights alone would not change if x and -x, which differ in the highest bit, changed places: odd
    weights differ by even numbers.
    """
    words = _words(leaf)
    position = jnp.zeros((1,) * words.ndim, jnp.uint32)
    for axis, size in enumerate(words.shape):  # a reshape to one axis would gather a sharded array
        along = [size if a == axis else 1 for a in range(words.ndim)]
        position = position * jnp.uint32(size) + jax.lax.broadcasted_iota(jnp.uint32, along, axis)
    words = words + position * jnp.uint32(0x9E3779B9) + jnp.uint32(1)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        words = (words ^ (words >> jnp.uint32(shift))) * jnp.uint32(factor)
    return jnp.sum(words ^ (words >> jnp.uint32(16)), dtype=jnp.uint32)


def _words(leaf: jax.Array) -> jax.Array:
    """Returns the bits of an array as uint32; 64-bit numbers give one more axis."""
    if leaf.dtype.itemsize == 8:
        return jax.lax.bitcast_convert_type(leaf, jnp.uint32)
    if jnp.issubdtype(leaf.dtype, jnp.floating):
        leaf = jax.lax.bitcast_convert_type(leaf, f"uint{8 * leaf.dtype.itemsize}")
    return leaf.astype(jnp.uint32)
