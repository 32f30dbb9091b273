"""Layers shared by all networks: the convolution, resampling by rearrangement or blur, and the activation.

Images are NHWC; every function takes the number of spatial axes from its input, so that the same code serves
`b h w c` images and `b d h w c` volumes.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from jaxgen.networks.convolution import conv
from jaxgen.networks.extent import last_from, zero_beyond

LEAK = 0.2
"""Slope of LeakyReLU for negative inputs, as in DCGAN and R3GAN."""
NARROW = 4
"""Channels of generators of volumes at full size, where more would take most of the time."""


def leaky_relu(x: Array) -> Array:
    """Returns max(x, 0.2 x), element-wise, for x of any shape."""
    return nn.leaky_relu(x, LEAK)


he_init = nn.initializers.variance_scaling(2.0 / (1.0 + LEAK**2), "fan_in", "normal")
"""Normal weights that keep the variance of activations through LeakyReLU (He et al. 2015, equation 15)."""


@jax.custom_vjp
def clip_to_range(x: Array) -> Array:
    """Returns x clipped to [-1, 1]; gradients that lead back into the range pass, so that no value is stuck outside.

    Where most of a volume is empty, tanh soon makes all of it so, and lets no gradient through there.
    """
    return jnp.clip(x, -1.0, 1.0)


def _keep_inward(x: Array, g: Array) -> tuple[Array]:
    return (jnp.where((x < -1.0) & (g > 0.0) | (x > 1.0) & (g < 0.0), 0.0, g),)  # descent goes against g


clip_to_range.defvjp(lambda x: (clip_to_range(x), x), _keep_inward)


class Conv(nn.Module):
    """A convolution that keeps the spatial size, with a bias, computed in `dtype` with float32 parameters.

    Attributes:
      features: number of output channels o.
      kernel_size: width of the kernel along every spatial axis.
      dtype: compute dtype (float32 or bfloat16).
      use_bias: whether a bias is added to each output channel.
      kernel_init: initializer of the kernel (*k, c, o).
    """

    features: int
    kernel_size: int = 3
    dtype: Any = jnp.float32
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = he_init

    @nn.compact
    def __call__(self, x: Float[Array, "b *s c"]) -> Array:
        """Returns the convolution of x, (b, *spatial, features)."""
        shape = (self.kernel_size,) * (x.ndim - 2) + (x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        x = x if self.kernel_size == 1 else zero_beyond(x)
        y = conv(x.astype(self.dtype), kernel.astype(self.dtype))
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
            y = y + bias.astype(self.dtype).reshape((1,) * (y.ndim - 1) + (-1,))
        return y


def volumes_of(x: Float[Array, "b *s c"], channels: int) -> Array:
    """Returns the volumes of a generator's last features by a convolution; to be called in a compact module.

    At first they are all but empty. Were they full of noise, a generator would first learn to ignore its latents, as
    most of what it should draw is empty, and would then make one shape for all.
    """
    y = Conv(channels, dtype=x.dtype, kernel_init=scaled_init(0.1))(x)
    return clip_to_range(y.astype(jnp.float32) - 1.0)


def space_to_depth(x: Float[Array, "b *s c"]) -> Array:
    """Halves every spatial axis by moving each 2x2 (2x2x2) block into channels: (b, h, w, c) -> (b, h/2, w/2, 4c).

    It is the inverse of `depth_to_space`; output channels are ordered by (position in the block, channel).
    """
    b, *spatial, c = x.shape
    n = len(spatial)
    blocks = x.reshape(b, *[size for s in spatial for size in (s // 2, 2)], c)
    order = (0, *range(1, 2 * n, 2), *range(2, 2 * n + 1, 2), 2 * n + 1)
    return blocks.transpose(order).reshape(b, *[s // 2 for s in spatial], c * 2**n)


def depth_to_space(x: Float[Array, "b *s c"], factor: int = 2) -> Array:
    """Enlarges every spatial axis by spreading channels over blocks: (b, h, w, 4c) -> (b, 2h, 2w, c) for factor 2."""
    b, *spatial, c = x.shape
    n = len(spatial)
    blocks = x.reshape(b, *spatial, *(factor,) * n, c // factor**n)
    order = (0, *[axis for i in range(n) for axis in (1 + i, 1 + n + i)], 2 * n + 1)
    return blocks.transpose(order).reshape(b, *[factor * s for s in spatial], c // factor**n)


def _shifted(x: Array, axis: int, step: int, edge: Array) -> Array:
    """Returns x moved by one pixel along `axis`; the outermost slice of `edge` fills the free place."""
    size = x.shape[axis]
    if step > 0:
        first = lax.slice_in_dim(edge, 0, 1, axis=axis)
        return lax.concatenate([first, lax.slice_in_dim(x, 0, size - 1, axis=axis)], axis)
    last = lax.slice_in_dim(edge, size - 1, size, axis=axis)
    return last_from(lax.concatenate([lax.slice_in_dim(x, 1, size, axis=axis), last], axis), edge, axis)


def binomial_blur(x: Float[Array, "b *s c"]) -> Array:
    """Applies the blur [1, 2, 1] / 4 along every spatial axis, edges repeated."""
    for axis in range(1, x.ndim - 1):
        x = 0.5 * x + 0.25 * (_shifted(x, axis, 1, x) + _shifted(x, axis, -1, x))
    return x


def upsample(x: Float[Array, "b *s c"]) -> Array:
    """Doubles every spatial axis by linear interpolation, [1, 2, 1] / 2 after zero insertion at half-pixel centres.

    Along each axis, out[2i] = (x[i-1] + 3 x[i]) / 4 and out[2i+1] = (3 x[i] + x[i+1]) / 4, edges repeated.
    """
    for axis in range(1, x.ndim - 1):
        near = 0.75 * x
        even, odd = near + 0.25 * _shifted(x, axis, 1, x), near + 0.25 * _shifted(x, axis, -1, x)
        shape = (*x.shape[:axis], 2 * x.shape[axis], *x.shape[axis + 1 :])
        x = jnp.stack([even, odd], axis + 1).reshape(shape)
    return x


def downsample(x: Float[Array, "b *s c"]) -> Array:
    """Halves every spatial axis after the blur [1, 3, 3, 1] / 8, edges repeated: the scaled transpose of `upsample`."""
    for axis in range(1, x.ndim - 1):
        num = x.shape[axis] // 2
        # pairs that begin one pixel before the image: XLA compiles this in a third of the time that shifted pairs take
        wide = jnp.pad(x, [(int(i == axis),) * 2 for i in range(x.ndim)], mode="edge")
        pairs = wide.reshape(*x.shape[:axis], num + 1, 2, *x.shape[axis + 1 :])
        left, right = (lax.slice_in_dim(pairs, i, num + i, axis=axis) for i in (0, 1))
        before, first = (jnp.take(left, i, axis + 1) for i in (0, 1))
        second, after = (jnp.take(right, i, axis + 1) for i in (0, 1))
        x = 0.375 * (first + second) + 0.125 * (last_from(after, second, axis) + before)
    return x


def stage_sizes(image_size: int, smallest: int = 4) -> tuple[int, ...]:
    """Returns the sizes from the smallest grid up to the image, halved while even and while `smallest` px remain.

    For example, 28 -> (7, 14, 28), 32 -> (4, 8, 16, 32) and 36 -> (9, 18, 36).
    """
    sizes = [image_size]
    while sizes[0] % 2 == 0 and sizes[0] // 2 >= smallest:
        sizes.insert(0, sizes[0] // 2)
    return tuple(sizes)


def scaled_init(scale: float) -> nn.initializers.Initializer:
    """Returns `he_init` with the standard deviation multiplied by `scale`."""
    return nn.initializers.variance_scaling(scale**2 * 2.0 / (1.0 + LEAK**2), "fan_in", "normal")
