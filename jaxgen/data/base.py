"""The type of all image sources, and the functions that decode images and cut them to size."""

import dataclasses
import os
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8
from PIL import Image

from jaxgen.errors import InputError
from jaxgen.types import Grid

MEMORY_LIMIT = 2**30
"""Largest size in bytes of decoded images that are held in memory; larger sources are read image by image."""
NUM_THREADS = min(8, os.cpu_count() or 1)
"""Number of threads that decode images (Pillow decodes outside the interpreter lock)."""


class Canaries(NamedTuple):
    """The images of a source of which a fair coin decided whether they are trained on; see `canaries.flip_coins`.

    Attributes:
      index: numbers of the m images among all before any was left out, in ascending order.
      included: whether each is trained on.
      digest: hash of their number and of some of their pixels, by which other data are noticed.
    """

    index: Int64[np.ndarray, "m"]
    included: Bool[np.ndarray, "m"]
    digest: str


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A finite set of images of one size; either `images` or `read` is given."""

    name: str
    """Name that the user gave, e.g. mnist, folder:/p, npz:/f, digits."""
    origin: str
    """Description of the images that were really used."""
    shape: Grid
    """Height, width and channels after crop and resize; of volumes depth first."""
    num_images: int
    labels: Int32[np.ndarray, "n"] | None = None
    """Class of each image, 0 or more."""
    class_names: tuple[str, ...] | None = None
    """Name of each class, in order; None exactly where `labels` is None."""
    images: UInt8[np.ndarray, "n *s c"] | None = None
    """All images, if they are held in memory."""
    read: Callable[[int], UInt8[np.ndarray, "h w c"]] | None = None
    """read(index) returns an image if they are not in memory; with `crops`, the whole one. It is safe in threads."""
    crops: bool = False
    """Whether random crops of `shape` are cut from the images, which may differ in size but are not smaller."""
    skipped: int = 0
    """Number of unreadable images that were left out."""
    cropped: int = 0
    """Number of images, among those that are not square, of which only the central square is used."""
    uses_tensorflow: bool = False
    canaries: Canaries | None = None
    """Images for an audit, about half of which were left out of these."""

    @property
    def num_classes(self) -> int:
        """Returns the number of classes; 0 without labels."""
        return len(self.class_names or ())

    def take(self, index: np.ndarray) -> np.ndarray:
        """Returns the images with these numbers, uint8 (len(index), *shape); with `crops`, the centre of each."""
        if self.images is not None:
            return self.images[index]
        images = [self.read(int(i)) for i in index]
        return np.stack([crop(image, self.shape[0], 0.5, 0.5) for image in images] if self.crops else images)


def subset(source: Source, index: np.ndarray) -> Source:
    """Returns a source of the images with these numbers alone, in this order."""
    read = source.read
    return dataclasses.replace(
        source,
        num_images=len(index),
        labels=None if source.labels is None else source.labels[index],
        images=None if source.images is None else source.images[index],
        read=None if read is None else lambda i: read(int(index[i])),
    )


def crop(image: UInt8[np.ndarray, "h w c"], size: int, down: float, right: float) -> UInt8[np.ndarray, "s s c"]:
    """Returns a square of `size` pixels; `down` and `right` in [0, 1) select the corner among all possible places."""
    top, left = (int(share * (edge - size + 1)) for share, edge in zip((down, right), image.shape[:2], strict=True))
    return image[top : top + size, left : left + size]


def fit_image(
    image: UInt8[np.ndarray, "h w c"], image_size: int | None = None, channels: int | None = None
) -> UInt8[np.ndarray, "s t d"]:
    """Cuts an image to its central square, resizes it with antialiasing (Lanczos) and changes its number of channels.

    Args:
      image: an image of one to four channels; two and four are grey and RGB with alpha, which is composited over white.
      image_size: height and width of the result in pixels; None keeps the size.
      channels: 1 takes the luma (ITU-R 601) of colour, 3 repeats grey; None keeps one or three.

    Returns:
      (image_size, image_size, channels), a copy or the image itself.
    """
    image = _change_channels(_over_white(image), channels)
    height, width, _ = image.shape
    if image_size is None or (height, width) == (image_size, image_size):
        return image
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    if side == image_size:
        return square
    return _to_array(_to_pillow(square).resize((image_size, image_size), Image.Resampling.LANCZOS))


def decode(image: Image.Image) -> UInt8[np.ndarray, "h w c"]:
    """Converts a Pillow image of any mode to 8 bits: grey or RGB, either with or without alpha.

    16-bit grey is divided by 257. CMYK and palettes become RGB. Of several frames the first is used.

    Raises:
      ValueError: the pixels are floats, whose range is unknown.
      OSError: the file is damaged.
    """
    if image.mode == "F":
        raise ValueError("float pixels, whose range is unknown")
    if image.mode.startswith("I"):  # I;16 in either byte order, and I, in which some 16-bit files arrive
        scaled = np.rint(np.asarray(image).astype(np.float64) / 257)
        return np.clip(scaled, 0, 255).astype(np.uint8)[..., None]
    grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        return _to_array(image.convert("RGBA").convert("LA") if grey else image.convert("RGBA"))
    return _to_array(image.convert("L" if grey else "RGB"))


def differing_sizes(first: tuple[int, ...], other: tuple[int, ...], where: str) -> InputError:
    """Returns the error for a source whose images differ in size while no `image_size` is given.

    Args:
      first: height and width of the first image in pixels.
      other: height and width of an image that differs.
      where: name of that image.
    """
    sizes = f"{first[0]}x{first[1]} and {other[0]}x{other[1]} ({where})"
    return InputError(f"image_size: got None and images of {sizes}; accepted: a size in pixels, by --image-size")


def import_tensorflow() -> ModuleType:
    """Imports TensorFlow for the CPU alone, so that it takes no memory of JAX's accelerators; returns the module."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # no start-up messages
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # decoding gains nothing from it, and it logs regardless
    import tensorflow as tf

    for kind in ("GPU", "TPU"):
        try:
            tf.config.set_visible_devices([], kind)
        except (RuntimeError, ValueError):  # TensorFlow was used before, so that its devices are fixed
            pass
    return tf


def _to_pillow(image: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(image[..., 0] if image.shape[-1] == 1 else image))


def _to_array(image: Image.Image) -> np.ndarray:
    array = np.asarray(image, np.uint8)
    return array[..., None] if array.ndim == 2 else array


def _over_white(image: np.ndarray) -> np.ndarray:
    """Composites grey or RGB with alpha over white: alpha * colour + (1 - alpha) * white, rounded."""
    if image.shape[-1] in (1, 3):
        return image
    colour, alpha = image[..., :-1].astype(np.uint32), image[..., -1:].astype(np.uint32)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _change_channels(image: np.ndarray, channels: int | None) -> np.ndarray:
    if channels is None or channels == image.shape[-1]:
        return image
    return np.repeat(image, 3, axis=-1) if channels == 3 else _to_array(_to_pillow(image).convert("L"))
