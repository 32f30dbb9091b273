"""A model for the page: from a bundle or a run."""

from typing import Any, NamedTuple

import numpy as np

from jaxgen.web.directions import Generate


def no_images(latents: np.ndarray, conditions: np.ndarray) -> np.ndarray:
    """Stands for the generator that a restorer has not."""
    raise NotImplementedError


class PageModel(NamedTuple):
    """What goes into the page.

    Attributes:
      manifest: of the bundle.
      onnx: contents of its model.onnx.
      generate: of a GAN.
    """

    manifest: dict[str, Any]
    onnx: bytes
    generate: Generate = no_images
