"""Lines about a set of images that are shown when a training begins."""

import numpy as np

from jaxgen.data.base import Source

RARE = 0.01
"""Share of the mean number of images of a class below which a class is named."""


def size_notes(source: Source) -> tuple[str, ...]:
    """Returns a line about the images of which only a square, or of volumes a cube, is used; none if there are none."""
    if not source.cropped:
        return ()
    what, part = ("images", "square") if len(source.shape) == 3 else ("volumes", "cube")
    size = f"{' x '.join(map(str, source.shape[:-1]))} px"
    return (f"{source.cropped:,} of {source.num_images:,} {what} are cut to their central {part}, resized to {size}",)


def class_notes(source: Source) -> tuple[str, ...]:
    """Returns a line with the number of images of each class, and one that names classes with hardly any."""
    if source.labels is None:
        return ()
    counts = np.bincount(source.labels, minlength=source.num_classes)
    low, high = int(counts.min()), int(counts.max())
    each = f"{low:,} images each" if low == high else f"{low:,} to {high:,} images each"
    rare = [f"{source.class_names[i]} ({counts[i]})" for i in np.flatnonzero(counts < RARE * counts.mean())]
    few = f"warning: hardly any images of {', '.join(rare)}; the mean is {counts.mean():,.0f}"
    return (f"classes: {len(counts)}, {each}", *([few] if rare else []))
