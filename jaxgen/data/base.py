"""What every source is, and the one way in which an image is cut to size."""

import dataclasses
import os
from collections.abc import Callable
from types import ModuleType

import numpy as np
from jaxtyping import Int32, UInt8
from PIL import Image

from jaxgen.errors import InputError

MEMORY_LIMIT = 2**30
"""Bytes of decoded images, at target size, up to which a source is held in memory, not read by index."""
NUM_THREADS = min(8, os.cpu_count() or 1)
"""Threads that decode images (Pillow decodes outside the interpreter lock)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A finite set of images of one size; either `images` or `read` is given."""

    name: str
    """What the user asked for, e.g. mnist, folder:/p, npz:/f, digits."""
    origin: str
    """One sentence: what was really used."""
    shape: tuple[int, int, int]
    """Height, width and channels after crop and resize."""
    num_images: int
    labels: Int32[np.ndarray, "n"] | None = None
    """Class of each image, 0 or more."""
    class_names: tuple[str, ...] | None = None
    """Name of each class, in order; there are some exactly when there are labels."""
    images: UInt8[np.ndarray, "n h w c"] | None = None
    """All images, when they are held in memory."""
    read: Callable[[int], UInt8[np.ndarray, "h w c"]] | None = None
    """Index to image, when they are not; may be called from several threads. With `crops`, the whole image."""
    crops: bool = False
    """Whether the images differ in size, none smaller than `shape`, and pieces of that shape are cut from them."""
    skipped: int = 0
    """Number of unreadable images left out."""
    uses_tensorflow: bool = False

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 without labels."""
        return len(self.class_names or ())

    def take(self, index: np.ndarray) -> np.ndarray:
        """uint8 (len(index), h, w, c): the images of these numbers; with `crops`, the middle of each."""
        if self.images is not None:
            return self.images[index]
        images = [self.read(int(i)) for i in index]
        return np.stack([crop(image, self.shape[0], 0.5, 0.5) for image in images] if self.crops else images)


def subset(source: Source, index: np.ndarray) -> Source:
    """The source of the images with these numbers alone, in this order."""
    read = source.read
    return dataclasses.replace(
        source,
        num_images=len(index),
        labels=None if source.labels is None else source.labels[index],
        images=None if source.images is None else source.images[index],
        read=None if read is None else lambda i: read(int(index[i])),
    )


def crop(image: UInt8[np.ndarray, "h w c"], size: int, down: float, right: float) -> UInt8[np.ndarray, "s s c"]:
    """The square of `size` pixels whose corner lies at these shares, in [0, 1), of the places that there are."""
    top, left = (int(share * (edge - size + 1)) for share, edge in zip((down, right), image.shape[:2], strict=True))
    return image[top : top + size, left : left + size]


def fit_image(
    image: UInt8[np.ndarray, "h w c"], image_size: int | None = None, channels: int | None = None
) -> UInt8[np.ndarray, "s t d"]:
    """Centre crop to a square, resize with antialias (Lanczos), change the number of channels.

    Args:
      image: one to four channels; two and four are grey and RGB with alpha, which is composited over white.
      image_size: height and width of the result in pixels; None neither crops nor resizes.
      channels: 1 takes the luma (ITU-R 601) of colour, 3 repeats grey; None keeps one or three.

    Returns:
      `[image_size, image_size, channels]`, a copy or the image itself.
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
    """Pillow image of any mode to 8 bits: grey, RGB, or those with alpha.

    16-bit grey is divided by 257, not clipped; CMYK and palettes become RGB; of several frames the first.

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
    """The error of a source whose images differ in size while no `image_size` is given.

    Args:
      first: height and width of the first image in pixels.
      other: those of an image that differs.
      where: names that image.
    """
    sizes = f"{first[0]}x{first[1]} and {other[0]}x{other[1]} ({where})"
    return InputError(f"image_size: got None and images of {sizes}; accepted: a size in pixels, by --image-size")


def import_tensorflow() -> ModuleType:
    """Imports TensorFlow for the CPU alone, so that it takes no memory of the accelerators of JAX."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # its start-up notes help nobody here
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # decoding gains nothing from it, and it logs regardless
    import tensorflow as tf

    for kind in ("GPU", "TPU"):
        try:
            tf.config.set_visible_devices([], kind)
        except (RuntimeError, ValueError):  # somebody used TensorFlow before: its devices are fixed by then
            pass
    return tf


def _to_pillow(image: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(image[..., 0] if image.shape[-1] == 1 else image))


def _to_array(image: Image.Image) -> np.ndarray:
    array = np.asarray(image, np.uint8)
    return array[..., None] if array.ndim == 2 else array


def _over_white(image: np.ndarray) -> np.ndarray:
    """Grey or RGB with alpha to the same without: alpha * colour + (1 - alpha) * white, rounded."""
    if image.shape[-1] in (1, 3):
        return image
    colour, alpha = image[..., :-1].astype(np.uint32), image[..., -1:].astype(np.uint32)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _change_channels(image: np.ndarray, channels: int | None) -> np.ndarray:
    if channels is None or channels == image.shape[-1]:
        return image
    return np.repeat(image, 3, axis=-1) if channels == 3 else _to_array(_to_pillow(image).convert("L"))
