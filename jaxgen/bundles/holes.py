"""The middle of large holes in a picture or volume is filled from the whole of it, before a network sees it in tiles.

A network fills a missing pixel from the known ones within its reach; in the middle of a larger hole it sees none. There
it is given the result of this: a plane through the surroundings, and on it the surface that minimises
|D^2 x|^2 + t |D x|^2, a plate under tension. So flat pictures and ramps are continued exactly. What is left to the
network is the rim.

References: Franke, "Thin Plate Splines with Tension", 1985; Bramble, Pasciak, Xu, "Parallel Multilevel
Preconditioners", 1990 (conjugate gradients whose every step is a sum of steps on all grids).
"""

import itertools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float32, Shaped
from scipy import ndimage

TENSION = 1 / 4
"""Weight of slopes beside bending, in 1 / px^2: 1 / 16 carries the texture at the edges of large holes too far in."""
STEPS = 20
"""Steps of conjugate gradients; they leave errors of about 0.001 in holes of any size, 0.01 in volumes."""
LARGEST = 2**20
"""Pixels of a box that is solved at once; a larger one is solved at half the size first."""
BAND, BLOCK, OVERLAP = 24, 256, 8
"""Then pixels within `BAND` of known ones are solved once more, in blocks that overlap; the others need no detail."""
RIM = 5
"""Pixels from the edge of a large hole that are left to the network. Further in, it gains nothing on photographs, and
adds what it would add to any surface, up to 11/255 on a ramp."""

Values = Float32[np.ndarray, "c *s"]
Known = Bool[np.ndarray, "*s"]


def fill_large_holes(pixels: Shaped[np.ndarray, "*s c"], known: Known) -> tuple[Shaped[np.ndarray, "*s c"], Known]:
    """Returns the picture with the middle of its large holes filled, and where pixels are now known, that middle too.

    With no large hole, both are the arguments themselves. Work and memory are in proportion to the holes.

    Args:
      pixels: (*spatial, c), whole numbers, or floats in [-1, 1]; two or three spatial axes.
      known: (*spatial), false where a pixel is missing; what it holds is not read.
    """
    middles = known.any() and _in_large_holes(~known)
    if not np.any(middles):
        return pixels, known
    filled, whole = pixels.copy(), np.issubdtype(pixels.dtype, np.integer)
    low, high = (0, np.iinfo(pixels.dtype).max) if whole else (-1, 1)
    for box in _boxes(middles):
        values = fill(pixels[box].astype(np.float32), known[box]).clip(low, high)
        values = (np.rint(values) if whole else values).astype(pixels.dtype)
        filled[box] = np.where(middles[box][..., None], values, filled[box])
    return filled, known | middles


def fill(values: Float32[np.ndarray, "*s c"], known: Known) -> Float32[np.ndarray, "*s c"]:
    """Returns the array with all of its missing values replaced by a smooth surface; known ones stay to the bit.

    Args:
      values: (*spatial, c); those of missing pixels are not read.
      known: (*spatial); at least one is true.
    """
    plane = _plane(values, known)
    rest = np.moveaxis(np.where(known[..., None], values - plane, np.float32(0)), -1, 0)
    surface = np.moveaxis(_surface(np.ascontiguousarray(rest), known, TENSION), 0, -1)
    return np.where(known[..., None], values, plane + surface)


def _in_large_holes(missing: Known) -> Known:
    """Returns the missing pixels more than `RIM` pixels away from known ones; nothing outside the picture is known."""
    return ndimage.minimum_filter(missing, 2 * RIM + 1, mode="nearest")


def _boxes(holes: Known) -> Iterator[tuple[slice, ...]]:
    """Yields a box around each connected middle of a hole, wider by half its size and three rims on each side."""
    labels, _ = ndimage.label(holes, np.ones((3,) * holes.ndim))
    for box in ndimage.find_objects(labels):
        margins = ((side.stop - side.start) // 2 + 3 * RIM for side in box)
        yield tuple(slice(max(s.start - m, 0), s.stop + m) for s, m in zip(box, margins, strict=True))


def _plane(values: np.ndarray, known: Known) -> np.ndarray:
    """Returns the linear function of the place that is nearest to the known values, one for each channel."""
    places = [np.linspace(-1, 1, n).reshape([-1 if i == j else 1 for j in range(known.ndim)])
              for i, n in enumerate(known.shape)]  # fmt: skip
    terms = [np.broadcast_to(place, known.shape)[known] for place in places]
    centre = [term.mean() for term in terms]  # known pixels on one line say nothing of slopes across it: those are 0
    terms = [term - middle for term, middle in zip(terms, centre, strict=True)]
    moments = np.array([[a @ b for b in terms] for a in terms])
    sums = np.array([a @ values[known].astype(np.float64) for a in terms])
    slopes = np.linalg.pinv(moments, rcond=1e-9, hermitian=True) @ sums
    places = [place - middle for place, middle in zip(places, centre, strict=True)]
    constant = values[known].mean(axis=0, dtype=np.float64)
    plane = constant + sum(place[..., None] * slope for place, slope in zip(places, slopes, strict=True))
    return np.broadcast_to(plane, values.shape).astype(np.float32)


def _surface(values: Values, known: Known, tension: float | int) -> Values:
    """Returns values with the missing ones solved for; 0 if none is known. The missing ones come as 0."""
    if known.size <= LARGEST:
        return _solved(values, ~known, tension)
    weights = _halved(known[None].astype(np.float32))
    coarse = _surface(_halved(values) / np.maximum(weights, 1), weights[0] > 0, 4 * tension)
    filled = np.where(known, values, _doubled(coarse, known.shape))
    near = ~known & ndimage.maximum_filter(known, 2 * BAND + 1)
    for window in _windows(near):
        inner = near[window].copy()
        for axis, side in enumerate(window):  # a pixel depends on two on each side, so those at the ends are fixed
            first, last = 2 * (side.start > 0), 2 * (side.stop < known.shape[axis])
            inner[_along(axis, slice(first))] = inner[_along(axis, slice(inner.shape[axis] - last, None))] = False
        part = (slice(None), *window)
        filled[part] = _solved(filled[part], inner, tension)
    return filled


def _windows(wanted: Known) -> Iterator[tuple[slice, ...]]:
    """Yields overlapping windows, around each block of the array with a wanted pixel."""
    for start in itertools.product(*(range(0, n, BLOCK) for n in wanted.shape)):
        found = ndimage.find_objects(wanted[tuple(slice(s, s + BLOCK) for s in start)].astype(np.int8))
        if found:
            sides = zip(start, found[0], wanted.shape, strict=True)
            yield tuple(slice(max(s + f.start - OVERLAP, 0), min(s + f.stop + OVERLAP, n)) for s, f, n in sides)


def _solved(values: Values, free: Known, tension: float | int) -> Values:
    """Returns values whose free ones have nearly the least energy, by `STEPS` steps of conjugate gradients."""
    grids = _grids(free)
    rest = -_slope(values, tension) * free
    direction = step = _on_all_grids(rest, grids, tension)
    size = start = float(np.vdot(rest, step))
    for _ in range(STEPS):
        if size <= 1e-12 * start:
            break
        change = _slope(direction, tension) * free
        length = np.float32(size / float(np.vdot(direction, change)))
        values, rest = values + length * direction, rest - length * change
        step = _on_all_grids(rest, grids, tension)
        size, before = float(np.vdot(rest, step)), size
        direction = step + np.float32(size / before) * direction
    return values


def _grids(free: Known) -> list[np.ndarray]:
    """Returns where pixels are free on grids of full, half, quarter... size: where all that they cover are free."""
    found = [free]
    while max(free.shape) > 2 and free.any():
        free = _halved((~free)[None].astype(np.float32))[0] == 0
        found.append(free)
    return [grid.astype(np.float32) for grid in found]


def _on_all_grids(rest: np.ndarray, grids: list[np.ndarray], tension: float | int, level: int = 0) -> np.ndarray:
    """Returns the sum over grids of the rest on the grid, divided by the diagonal of its energy, and interpolated."""
    num = rest.ndim - 1
    step = rest / np.float32(4 * num * num + 2 * num + 2 * num * tension)
    if level + 1 == len(grids):
        return step
    # on a grid of half the size there are 2 ** num times fewer squares, of second differences divided by 4
    coarse = _gathered(rest) * grids[level + 1] * np.float32(16 / 2**num)
    finer = _on_all_grids(coarse, grids, 4 * tension, level + 1)
    return step + _doubled(finer, rest.shape[1:]) * grids[level]


def _slope(x: np.ndarray, tension: float) -> np.ndarray:
    """Returns the derivative of half the energy: the sum over axes of |D f|^2 + tension |f|^2 with f = D_axis x.

    The energy has no differences across the border, so that a ramp has no bending there either.
    """
    slope = np.zeros_like(x)
    for axis in range(1, x.ndim):
        first = np.diff(x, axis=axis)
        _add_adjoint(slope, _membrane(first) + np.float32(tension) * first, axis)
    return slope


def _membrane(x: np.ndarray) -> np.ndarray:
    """Returns the derivative of half the sum of squared differences along all axes, minus the Laplacian inside."""
    slope = np.zeros_like(x)
    for axis in range(1, x.ndim):
        _add_adjoint(slope, np.diff(x, axis=axis), axis)
    return slope


def _add_adjoint(total: np.ndarray, differences: np.ndarray, axis: int) -> None:
    """Adds to `total` the adjoint of `np.diff` along an axis, applied to differences."""
    total[_along(axis, slice(1, None))] += differences
    total[_along(axis, slice(-1))] -= differences


def _halved(x: np.ndarray) -> np.ndarray:
    """Returns the sums of blocks of 2 pixels along each axis; an odd size gets a last block of one."""
    for axis in range(1, x.ndim):
        even, odd = x[_along(axis, slice(0, None, 2))].copy(), x[_along(axis, slice(1, None, 2))]
        even[_along(axis, slice(odd.shape[axis]))] += odd
        x = even
    return x


def _doubled(x: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """Returns x at twice the size, cut to `sizes`, by linear interpolation between the centres of pixels."""
    for axis, size in enumerate(sizes, 1):
        wide = np.pad(x, [(1, 1) if i == axis else (0, 0) for i in range(x.ndim)], mode="edge")
        x = np.empty((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype)
        for first in (0, 1):  # of two pixels in one, each lies nearer to its own side
            part, num = _along(axis, slice(first, None, 2)), (size - first + 1) // 2
            near, far = (wide[_along(axis, slice(i, i + num))] for i in (1, 2 * first))
            x[part] = np.float32(0.75) * near + np.float32(0.25) * far
    return x


def _gathered(x: np.ndarray) -> np.ndarray:
    """Returns the adjoint of `_doubled`, up to the border: 1/4, 3/4, 3/4, 1/4 of 4 pixels along each axis."""
    for axis in range(1, x.ndim):
        num = (x.shape[axis] + 1) // 2
        wide = np.pad(x, [(1, 2) if i == axis else (0, 0) for i in range(x.ndim)])
        outer, left, right, last = (
            wide[_along(axis, slice(i, i + 2 * num, 2))][_along(axis, slice(num))] for i in range(4)
        )
        x = np.float32(0.25) * (outer + last) + np.float32(0.75) * (left + right)
    return x


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    """Returns the index of a part along an axis."""
    return (*(slice(None),) * axis, part)
