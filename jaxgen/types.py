"""Array aliases with shapes: b batch, t time, h height, w width, c channels, z latent, n classes, p population."""

from typing import Any

from jaxtyping import Array, Float, Int, Key

Images = Float[Array, "b h w c"]
Latents = Float[Array, "b z"]
Masks = Float[Array, "b h w 1"]
"""1 where a pixel is known, 0 where it is missing."""
Levels = Float[Array, "b"]
"""One number for each image, in the unit of the damage."""
Labels = Int[Array, "b"]
Logits = Float[Array, "b"]
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
"""Arrays by name, e.g. `images` (uint8 or float, b h w c) and `labels` (int, b)."""
