"""Array aliases with shapes: b batch, t time, *s spatial axes (h w or d h w), c channels, z latent, n classes, p
population; and what passes between damage, networks and judges.
"""

from typing import Any, NamedTuple

from jaxtyping import Array, Float, Int, Key

Images = Float[Array, "b *s c"]
"""Images (b, h, w, c) or volumes (b, d, h, w, c): the number of spatial axes is that of the array."""
Latents = Float[Array, "b z"]
Masks = Float[Array, "b *s 1"]
"""1 where a pixel is known, 0 where it is missing: so everywhere in jaxgen."""
Levels = Float[Array, "b"]
"""One number for each image, in the unit of the damage."""
Labels = Int[Array, "b"]
Logits = Float[Array, "b"]
Grid = tuple[int, ...]
"""Shape of an image or a volume without the batch: (*spatial, channels)."""
PRNGKey = Key[Array, ""]
PRNGKeys = Key[Array, "b"]
"""A key for each example."""
Params = Any
"""A pytree of float arrays, as made by `linen.Module.init`."""
Metrics = dict[str, Float[Array, ""]]
StackedMetrics = dict[str, Float[Array, " k"]]
"""Metrics of k steps of one dispatch."""
PopulationMetrics = dict[str, Float[Array, "k p"]]
"""Metrics of k steps of each member."""
Batch = dict[str, Any]
"""Arrays by name, e.g. `images` (uint8 or float, b *s c) and `labels` (int, b)."""


class Observation(NamedTuple):
    """What is seen of images: all that a restorer is given.

    Attributes:
      images: damaged, (b, *spatial, c) in [-1, 1] and beyond where noise is not clipped; missing pixels are 0.
      masks: (b, *spatial, 1), 1 where a pixel is known, 0 where it is missing; 0.5 where it is seen and not to be kept.
        None if nothing is told (blind).
      sigma: (b,), standard deviation of the noise, of an image in [0, 1]; None if unknown (blind).
    """

    images: Images
    masks: Masks | None = None
    sigma: Levels | None = None


class Prediction(NamedTuple):
    """What a network makes of an observation.

    Attributes:
      images: (b, *spatial, c), near [-1, 1] and not clipped.
      spread: standard deviation of each value of `images`, of the same shape; None where the network knows none.
    """

    images: Images
    spread: Images | None = None


def per_image(values: Array, x: Array) -> Array:
    """Reshapes one value for each image (b,) so that it broadcasts against x (b, ...) of any rank."""
    return values.reshape(-1, *(1,) * (x.ndim - 1))
