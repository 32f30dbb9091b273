"""Photographs as people have them: clean ones that must come back as they were, and damage as it really occurs.

The damage is made by NumPy, SciPy and Pillow, apart from that of training. All pictures have `SIZE` x `SIZE` pixels in
three channels.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from jaxgen.tasks.restoration.evaluation.everyday_pictures import (
    BLACK,
    DRAWINGS,
    SIZE,
    WHITE,
    Colour,
    Draws,
    Pixels,
    as_jpeg,
    captioned,
    dated,
    framed,
    painted,
    rounded,
    snowing,
    white_hair,
)  # fmt: skip

Kind = Literal["kept", "damaged", "asked"]
"""What is to become of a picture: it comes back as it was, is restored, or is restored because that was asked for."""
Repair = tuple[str, ...] | None
"""What a restorer is asked to repair; None for what it does unasked."""
BICUBIC = Image.Resampling.BICUBIC


class Group(NamedTuple):
    """Cases of one kind, one for each photograph.

    Attributes:
      name: name of the group.
      about: its damage and level in words, for the table.
      kind: what is to become of its pictures.
      repair: what is asked of the restorer.
      make: (photograph, generator) -> what the restorer is given, and what it should return.
    """

    name: str
    about: str
    kind: Kind
    repair: Repair
    make: Callable[[Pixels, Draws], tuple[Pixels, Pixels]]


class Case(NamedTuple):
    """One picture.

    Attributes:
      group: name of its group.
      about: see `Group`.
      kind: see `Group`.
      repair: see `Group`.
      picture: name of the photograph or drawing.
      degraded: what the restorer is given, uint8 (SIZE, SIZE, 3).
      reference: what it should return, likewise; of a `kind` "kept" the same.
    """

    group: str
    about: str
    kind: Kind
    repair: Repair
    picture: str
    degraded: Pixels
    reference: Pixels


def middle(picture: np.ndarray) -> np.ndarray:
    """Returns the middle `SIZE` x `SIZE` pixels of a picture (h, w, c) that is at least as large."""
    top, left = ((edge - SIZE) // 2 for edge in picture.shape[:2])
    return picture[top : top + SIZE, left : left + SIZE]


def everyday_cases(photos: Mapping[str, Pixels], seed: int = 0) -> Iterator[Case]:
    """Yields all cases, those of a group one after another, the clean ones first.

    The damage of a photograph depends on its name and the seed, and on no other photograph.

    Args:
      photos: clean photographs by name, uint8 (SIZE, SIZE, 3).
      seed: seed of all damage, 0 or more.
    """
    for name, draw in DRAWINGS.items():
        picture = draw(_draws(seed, "graphics", name))
        yield Case("graphics", "drawn, written, lit", "kept", None, name, picture, picture)
    for group in GROUPS:
        for name, photo in photos.items():
            yield Case(*group[:4], name, *group.make(photo, _draws(seed, group.name, name)))


def _draws(seed: int, group: str, picture: str) -> Draws:
    return np.random.default_rng((seed, *f"{group}/{picture}".encode()))


def grey(photo: Pixels) -> Pixels:
    """Returns the luma of a photograph in all three channels."""
    return np.asarray(Image.fromarray(photo).convert("L").convert("RGB"))


def sepia(photo: Pixels) -> Pixels:
    """Returns the luma of a photograph in the tones of an old print, whose black is no longer black."""
    return rounded(25 + 0.8 * grey(photo) * np.array([1.0, 0.86, 0.67]))


def dark(photo: Pixels) -> Pixels:
    """Returns a photograph with 0.4 of its brightness."""
    return rounded(0.4 * photo)


def noisy(picture: Pixels, draws: Draws, sigma: int) -> Pixels:
    """Returns a picture with white Gaussian noise, sigma on the scale of 0 to 255."""
    return rounded(picture + draws.normal(0, sigma, picture.shape))


def camera(picture: Pixels, draws: Draws, photons: int) -> Pixels:
    """Returns a picture as a sensor sees it that counts so many photons in white.

    In linear light (gamma 2.2) the counts are Poisson numbers, with Gaussian noise of 2 photons. A pixel of the sensor
    counts one colour: rows of red and green and rows of green and blue in turn. Each colour of a pixel is a mean of the
    counts in its 3 x 3 pixels, weighted by 1, 2, 1 in both directions.
    """
    grid = np.zeros(picture.shape)
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        grid[row::2, column::2, channel] = 1
    light = photons * (picture / 255.0) ** 2.2
    counts = draws.poisson(light) + draws.normal(0, 2, picture.shape)
    weights = np.outer([1.0, 2.0, 1.0], [1.0, 2.0, 1.0])[..., None]
    linear = ndimage.convolve(counts * grid, weights) / ndimage.convolve(grid, weights) / photons
    return rounded(255 * np.clip(linear, 0, 1) ** (1 / 2.2))


def grainy(picture: Pixels, draws: Draws, level: int, radius: float) -> Pixels:
    """Returns a picture with film grain, the same in all channels.

    Args:
      picture: uint8 (h, w, 3).
      draws: generator.
      level: standard deviation on the scale of 0 to 255.
      radius: size of the grains: sigma of the Gaussian that smooths white noise, in pixels.
    """
    grain = ndimage.gaussian_filter(draws.normal(0, 1, picture.shape[:2]), radius)
    return rounded(picture + level / grain.std() * grain[..., None])


def halved(picture: Pixels, draws: Draws, sigma: int) -> Pixels:
    """Returns a picture that was photographed at twice its size with noise of sigma, and then made smaller."""
    height, width, _ = picture.shape
    larger = np.asarray(Image.fromarray(picture).resize((2 * width, 2 * height), BICUBIC))
    return np.asarray(Image.fromarray(noisy(larger, draws, sigma)).resize((width, height), BICUBIC))


def jpeg_twice(picture: Pixels) -> Pixels:
    """Returns a picture saved as JPEG of quality 20, cut so that the grid of its blocks moves, and saved with 90."""
    first = as_jpeg(np.pad(picture, ((4, 4), (4, 4), (0, 0)), mode="edge"), 20)
    return as_jpeg(np.ascontiguousarray(first[4:-4, 4:-4]), 90)


def scratched(picture: Pixels, draws: Draws, number: int, width: int, colour: Colour) -> Pixels:
    """Returns a picture with straight scratches between random places, so many and so many pixels wide."""

    def draw(pen: ImageDraw.ImageDraw) -> None:
        for ends in draws.integers(0, SIZE, (number, 4)).tolist():
            pen.line(ends, fill=colour, width=width)

    return painted(picture, draw)


def film_lines(picture: Pixels, draws: Draws) -> Pixels:
    """Returns a picture with 8 light grey lines of 1 pixel from top to bottom, as a projector leaves them."""

    def draw(pen: ImageDraw.ImageDraw) -> None:
        for x in draws.integers(5, SIZE - 6, 8).tolist():
            pen.line((x, 0, x + 2, SIZE - 1), fill=(200, 200, 200), width=1)

    return painted(picture, draw)


def dusty(picture: Pixels, draws: Draws) -> Pixels:
    """Returns a picture with 60 light specks, 2 to 4 pixels across."""

    def draw(pen: ImageDraw.ImageDraw) -> None:
        places, widths = draws.integers(0, SIZE - 6, (60, 2)).tolist(), draws.integers(1, 4, 60).tolist()
        for (x, y), width in zip(places, widths, strict=True):
            pen.ellipse((x, y, x + width, y + width), fill=(248, 240, 225))

    return painted(picture, draw)


def salted(picture: Pixels, draws: Draws, share: float) -> Pixels:
    """Returns a picture of whose pixels this share is lost, half of it black and half white."""
    value = draws.uniform(0, 1, (*picture.shape[:2], 1))
    return np.where(value < share / 2, BLACK, np.where(value < share, WHITE, picture)).astype(np.uint8)


def _kept(name: str, about: str, make: Callable[[Pixels, Draws], Pixels]) -> Group:
    """Returns a group of clean pictures."""

    def twice(photo: Pixels, draws: Draws) -> tuple[Pixels, Pixels]:
        picture = make(photo, draws)
        return picture, picture

    return Group(name, about, "kept", None, twice)


def _damaged(
    name: str,
    about: str,
    damage: Callable[[Pixels, Draws], Pixels],
    before: Callable[[Pixels], Pixels] = lambda photo: photo,
    repair: Repair = None,
) -> Group:
    """Returns a group of photographs that are made the reference by `before` and then damaged."""

    def make(photo: Pixels, draws: Draws) -> tuple[Pixels, Pixels]:
        reference = before(photo)
        return damage(reference, draws), reference

    return Group(name, about, "damaged" if repair is None else "asked", repair, make)


GROUPS = (
    _kept("photo", "as it is", lambda photo, _: photo),
    _kept("jpeg_95", "of quality 95, 4:4:4", lambda photo, _: as_jpeg(photo, 95, "4:4:4")),
    _kept("white_text", "a caption", lambda photo, _: captioned(photo, WHITE)),
    _kept("black_text", "a caption", lambda photo, _: captioned(photo, BLACK)),
    _kept("date_stamp", "orange, in the corner", lambda photo, _: dated(photo)),
    _kept("thin_frame", "white, 2 px", lambda photo, _: framed(photo)),
    _kept("white_hair", "1 px, on dark", lambda photo, _: white_hair(photo)),
    _kept("snow", "60 flakes of 2 px", snowing),
    _damaged("noise_15", "Gaussian, 15/255", partial(noisy, sigma=15)),
    _damaged("noise_25", "Gaussian, 25/255", partial(noisy, sigma=25)),
    _damaged("noise_50", "Gaussian, 50/255", partial(noisy, sigma=50)),
    _damaged("camera", "200 photons, Bayer grid", partial(camera, photons=200)),
    _damaged("camera_dark", "100 photons, 0.4 of the light", partial(camera, photons=100), dark),
    _damaged("noise_jpeg", "15/255, JPEG of quality 80", lambda x, draws: as_jpeg(noisy(x, draws, 15), 80)),
    _damaged("noise_halved", "30/255, made half as large", partial(halved, sigma=30)),
    _damaged("grain_fine", "12/255, 0.6 px", partial(grainy, level=12, radius=0.6)),
    _damaged("grain_coarse", "20/255, 1.0 px", partial(grainy, level=20, radius=1.0)),
    _damaged("grain_sepia", "20/255, 0.7 px, on sepia", partial(grainy, level=20, radius=0.7), sepia),
    _damaged("grain_grey", "20/255, 0.7 px, on grey", partial(grainy, level=20, radius=0.7), grey),
    _damaged("jpeg_10", "quality 10", lambda x, _: as_jpeg(x, 10)),
    _damaged("jpeg_30", "quality 30", lambda x, _: as_jpeg(x, 30)),
    _damaged("jpeg_60", "quality 60", lambda x, _: as_jpeg(x, 60)),
    _damaged("jpeg_twice", "20, moved by 4 px, 90", lambda x, _: jpeg_twice(x)),
    _damaged("scratches_1", "8 white, 1 px, on sepia", partial(scratched, number=8, width=1, colour=WHITE), sepia,
             ("scratches",)),
    _damaged("scratches_2", "6 dark, 2 px, on sepia", partial(scratched, number=6, width=2, colour=(40, 32, 25)), sepia,
             ("scratches",)),
    _damaged("scratches_3", "6 light, 3 px, on sepia", partial(scratched, number=6, width=3, colour=(235, 225, 205)),
             sepia, ("scratches",)),
    _damaged("film_lines", "8 grey, 1 px, on grey", film_lines, grey, ("scratches",)),
    _damaged("dust", "60 light specks, on sepia", dusty, sepia, ("dust",)),
    _damaged("salt_pepper", "30% of the pixels", partial(salted, share=0.3), repair=("salt_and_pepper",)),
)  # fmt: skip
"""All groups but that of the drawings, which need no photograph."""
