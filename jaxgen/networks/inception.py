"""Inception-v3 as the Fréchet inception distance uses it: from images to 2048 features, for inference only.

It is the network of TensorFlow's graph of 2015-12-05. Its public weights have torchvision's names, and so have the
parameters here: the path of a leaf, joined by dots, is its key in the state dict. The pools differ from torchvision's:
averages leave out the padding, and the last block takes maxima.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from jaxgen.errors import require
from jaxgen.images import require_rank
from jaxgen.types import Images, Params

IMAGE_SIZE = 299
"""Height and width in pixels of the network's input."""
EPSILON = 1e-3
"""A constant added to the stored variances."""


class Unit(NamedTuple):
    """The settings of a convolution with batch norm and ReLU."""

    features: int
    height: int = 1
    width: int = 1
    stride: int = 1
    padding: str = "SAME"


Steps = tuple[tuple[Unit, ...], ...]
"""Units in order; those of one step have the same input, and their outputs are concatenated."""
Branches = tuple[tuple[str, Steps], ...]
"""The branches of a block by name; `branch_pool` starts with the block's pool."""


def _branch(name: str, *steps: Unit | tuple[Unit, ...]) -> tuple[str, Steps]:
    return name, tuple((step,) if isinstance(step, Unit) else step for step in steps)


def _block_a(pooled: int) -> Branches:
    return (
        _branch("branch1x1", Unit(64)),
        _branch("branch5x5", Unit(48), Unit(64, 5, 5)),
        _branch("branch3x3dbl", Unit(64), Unit(96, 3, 3), Unit(96, 3, 3)),
        _branch("branch_pool", Unit(pooled)),
    )


def _block_c(n: int) -> Branches:
    return (
        _branch("branch1x1", Unit(192)),
        _branch("branch7x7", Unit(n), Unit(n, 1, 7), Unit(192, 7, 1)),
        _branch("branch7x7dbl", Unit(n), Unit(n, 7, 1), Unit(n, 1, 7), Unit(n, 7, 1), Unit(192, 1, 7)),
        _branch("branch_pool", Unit(192)),
    )


_BLOCK_B = (
    _branch("branch3x3", Unit(384, 3, 3, 2, "VALID")),
    _branch("branch3x3dbl", Unit(64), Unit(96, 3, 3), Unit(96, 3, 3, 2, "VALID")),
    _branch("branch_pool"),
)
_BLOCK_D = (
    _branch("branch3x3", Unit(192), Unit(320, 3, 3, 2, "VALID")),
    _branch("branch7x7x3", Unit(192), Unit(192, 1, 7), Unit(192, 7, 1), Unit(192, 3, 3, 2, "VALID")),
    _branch("branch_pool"),
)
_PAIR = (Unit(384, 1, 3), Unit(384, 3, 1))
_BLOCK_E = (
    _branch("branch1x1", Unit(320)),
    _branch("branch3x3", Unit(384), _PAIR),
    _branch("branch3x3dbl", Unit(448), Unit(384, 3, 3), _PAIR),
    _branch("branch_pool", Unit(192)),
)

_average = functools.partial(nn.avg_pool, window_shape=(3, 3), padding="SAME", count_include_pad=False)
_largest = functools.partial(nn.max_pool, window_shape=(3, 3), padding="SAME")
_halve = functools.partial(nn.max_pool, window_shape=(3, 3), strides=(2, 2), padding="VALID")

STEM = (
    ("Conv2d_1a_3x3", Unit(32, 3, 3, 2, "VALID")),
    ("Conv2d_2a_3x3", Unit(32, 3, 3, 1, "VALID")),
    ("Conv2d_2b_3x3", Unit(64, 3, 3)),
    ("maxpool1", None),
    ("Conv2d_3b_1x1", Unit(80)),
    ("Conv2d_4a_3x3", Unit(192, 3, 3, 1, "VALID")),
    ("maxpool2", None),
)
"""The layers before the blocks, in order: a unit or, for None, the pool that halves the size."""
BLOCKS = (
    ("Mixed_5b", _block_a(32), _average),
    ("Mixed_5c", _block_a(64), _average),
    ("Mixed_5d", _block_a(64), _average),
    ("Mixed_6a", _BLOCK_B, _halve),
    ("Mixed_6b", _block_c(128), _average),
    ("Mixed_6c", _block_c(160), _average),
    ("Mixed_6d", _block_c(160), _average),
    ("Mixed_6e", _block_c(192), _average),
    ("Mixed_7a", _BLOCK_D, _halve),
    ("Mixed_7b", _BLOCK_E, _average),
    ("Mixed_7c", _BLOCK_E, _largest),
)
"""The blocks in order: name, branches, pool."""


class ConvUnit(nn.Module):
    """A convolution without bias, batch norm with stored statistics, and ReLU.

    Attributes:
      unit: settings.
    """

    unit: Unit

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Array:
        """Returns (b, h', w', features) for x (b, h, w, c)."""
        features, height, width, stride, padding = self.unit
        shape = (height, width, x.shape[-1], features)
        kernel = self.param("conv.weight", nn.initializers.he_normal(), shape, jnp.float32)
        ones, zeros = nn.initializers.ones, nn.initializers.zeros
        inits = {"weight": ones, "bias": zeros, "running_mean": zeros, "running_var": ones}
        weight, bias, mean, var = (self.param(f"bn.{n}", f, (features,), jnp.float32) for n, f in inits.items())
        # a metric must not depend on the device: no bfloat16 or TF32 products
        y = lax.conv_general_dilated(
            x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"), precision="highest"
        )
        scale = weight * lax.rsqrt(var + EPSILON)
        return nn.relu(y * scale.reshape(1, 1, 1, -1) + (bias - mean * scale).reshape(1, 1, 1, -1))


class Mixed(nn.Module):
    """A block of branches with the same input, whose outputs are concatenated.

    Attributes:
      branches: units of each branch.
      pool: first layer of `branch_pool`.
    """

    branches: Branches
    pool: Callable[[Array], Array]

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Array:
        """Returns (b, h', w', c') for x (b, h, w, c); the blocks 6a and 7a halve h and w."""
        outputs = []
        for branch, steps in self.branches:
            y = self.pool(x) if branch == "branch_pool" else x
            for number, step in enumerate(steps, start=1):
                name = f"{branch}_{number}" if len(steps) > 1 else branch
                letters = "ab" if len(step) > 1 else [""]
                sides = [ConvUnit(unit, name=name + side)(y) for unit, side in zip(step, letters, strict=True)]
                y = jnp.concatenate(sides, axis=-1)
            outputs.append(y)
        return jnp.concatenate(outputs, axis=-1)


def prepare_images(images: Images) -> Float[Array, "b 299 299 3"]:
    """Returns the network's input: bilinear resize with half-pixel centres and no antialiasing, then [0, 1] to [-1, 1].

    Args:
      images: (b, h, w, c) in [0, 1], c = 1 (repeated) or 3.

    Returns:
      (b, 299, 299, 3) in [-1, 1].

    Raises:
      InputError: another number of channels, or volumes, as the network has filters of images alone.
    """
    require_rank("images", images, (2,))
    b, _, _, c = images.shape
    require(c in (1, 3), "channels", c, "1 or 3")
    resized = jax.image.resize(images, (b, IMAGE_SIZE, IMAGE_SIZE, c), "bilinear", antialias=False)
    return jnp.broadcast_to(2.0 * resized - 1.0, (b, IMAGE_SIZE, IMAGE_SIZE, 3))


class InceptionV3(nn.Module):
    """The network itself, in float32 throughout; its weights come from `evaluation.inception.load_inception`.

    `apply(..., capture_intermediates=True)` also returns the output of each block, under the block's name.

    References:
      Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2016, section 6.
      Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", 2017.
    """

    @nn.compact
    def __call__(self, images: Images) -> Float[Array, "b 2048"]:
        """Returns the features of each image.

        Args:
          images: (b, h, w, c) in [0, 1], c = 1 or 3, of any size; see `prepare_images`.

        Returns:
          (b, 2048), each at least 0: the mean over positions of the last block.

        Raises:
          InputError: another number of channels, or volumes.
        """
        x = prepare_images(images)
        for name, unit in STEM:
            x = ConvUnit(unit, name=name)(x) if unit else _halve(x)
        for name, branches, pool in BLOCKS:
            x = Mixed(branches, pool, name=name)(x)
        return jnp.mean(x, axis=(1, 2))


def inception_shapes() -> Params:
    """Returns shapes and dtypes of the parameters of `InceptionV3`, as `jax.ShapeDtypeStruct`; nothing is computed."""
    example = jnp.zeros((1, IMAGE_SIZE, IMAGE_SIZE, 3), jnp.float32)
    return jax.eval_shape(InceptionV3().init, jax.random.key(0), example)["params"]
