"""Array types with named axes, and the data that degradations, networks and metrics exchange.

The axes are b batch, t time, *s spatial (h w or d h w), c channels, z latent, n classes, k steps, p population.
"""

from typing import Any, NamedTuple

from jaxtyping import Array, Float, Int, Key

Images = Float[Array, "b *s c"]
"""Images (b, h, w, c) or volumes (b, d, h, w, c)."""
Latents = Float[Array, "b z"]
Masks = Float[Array, "b *s 1"]
"""Masks are 1 where a pixel is known and 0 where it is missing, everywhere in jaxgen."""
Levels = Float[Array, "b"]
"""One level for each image, in the unit of the damage."""
Labels = Int[Array, "b"]
Logits = Float[Array, "b"]
Grid = tuple[int, ...]
"""Shape of an image or a volume without the batch: (*spatial, channels)."""
PRNGKey = Key[Array, ""]
PRNGKeys = Key[Array, "b"]
"""One key for each example."""
Params = Any
"""A pytree of float arrays, as `linen.Module.init` returns it."""
Metrics = dict[str, Float[Array, ""]]
StackedMetrics = dict[str, Float[Array, " k"]]
"""Metrics of the k steps of one dispatch."""
PopulationMetrics = dict[str, Float[Array, "k p"]]
"""Metrics of k steps for each member of a population."""
Batch = dict[str, Any]
"""Arrays by name, e.g. `images` (uint8 or float, b *s c) and `labels` (int, b)."""


class Observation(NamedTuple):
    """The input of a restorer: damaged images, and what is known about the damage.

    Attributes:
      images: (b, *spatial, c) in [-1, 1], and beyond it where noise is not clipped; missing pixels are 0.
      masks: (b, *spatial, 1), 1 where a pixel is known, 0 where it is missing, 0.5 where it is seen but not to be kept;
        None if unknown (blind).
      levels: (b, k), for each repair that the network is told about: the level of the damage, -1 if it is to find the
        level itself, 0 if nothing is to be repaired; None is -1 for all (blind).
    """

    images: Images
    masks: Masks | None = None
    levels: Float[Array, "b k"] | None = None


class Prediction(NamedTuple):
    """What `predict` returns: generated or restored images.

    Attributes:
      images: (b, *spatial, c), near [-1, 1] and not clipped.
      spread: standard deviation of each value of `images`, of the same shape; None if the network does not estimate it.
    """

    images: Images
    spread: Images | None = None


def per_image(values: Array, x: Array) -> Array:
    """Returns one value for each image (b,), reshaped to broadcast against x (b, ...) of any rank."""
    return values.reshape(-1, *(1,) * (x.ndim - 1))
