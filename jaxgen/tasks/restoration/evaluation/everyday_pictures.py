"""Clean pictures that a restorer is to leave alone: drawn ones, and photographs with something thin added."""

import io
from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

SIZE = 256
"""Edge of all pictures of the suite in pixels."""
BLACK, WHITE = (0, 0, 0), (255, 255, 255)

Pixels = UInt8[np.ndarray, "h w 3"]
Colour = tuple[int, int, int]
Draws = np.random.Generator


def rounded(values: np.ndarray) -> UInt8[np.ndarray, "..."]:
    """Returns numbers on the scale of 0 to 255, of any shape, rounded to the nearest and clipped, as uint8."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def as_jpeg(picture: Pixels, quality: int, subsampling: str = "4:2:0") -> Pixels:
    """Returns a picture (h, w, 3) after it was saved as JPEG by Pillow, 1 (worst) to 95, and opened again."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(buffer).convert("RGB"))


def painted(picture: Pixels, paint: Callable[[ImageDraw.ImageDraw], None]) -> Pixels:
    """Returns a copy of a picture (h, w, 3) on which `paint` drew; the lines are not smoothed."""
    image = Image.fromarray(picture)
    paint(ImageDraw.Draw(image))
    return np.asarray(image)


def flat(colour: Colour) -> Pixels:
    """Returns a picture of one colour, (SIZE, SIZE, 3)."""
    return np.full((SIZE, SIZE, 3), colour, np.uint8)


def page(paper: Colour, ink: Colour, letters: int = 14) -> Pixels:
    """Returns a page full of writing, (SIZE, SIZE, 3), its letters this many pixels high."""

    def write(pen: ImageDraw.ImageDraw) -> None:
        for top in range(0, SIZE, letters + 4):
            pen.text((6, top), "Six big jars of quince wax, 0123456789", fill=ink, font=ImageFont.load_default(letters))

    return painted(flat(paper), write)


def line_art() -> Pixels:
    """Returns black lines of 1 to 3 pixels and circles of 1 pixel on white, (SIZE, SIZE, 3)."""

    def draw(pen: ImageDraw.ImageDraw) -> None:
        for i in range(12):
            pen.line((0, 22 * i, SIZE - 1, SIZE - 1 - 10 * i), fill=BLACK, width=1 + i % 3)
            pen.ellipse((20 + 8 * i, 20 + 8 * i, 236 - 8 * i, 236 - 8 * i), outline=BLACK)

    return painted(flat(WHITE), draw)


def checker(edge: int) -> Pixels:
    """Returns black and white squares of this edge in pixels, (SIZE, SIZE, 3)."""
    rows, columns = np.indices((SIZE, SIZE)) // edge
    return np.repeat(((rows + columns) % 2 * 255).astype(np.uint8)[..., None], 3, axis=-1)


def stars(draws: Draws) -> Pixels:
    """Returns 150 stars of very different brightness on a night sky, (SIZE, SIZE, 3)."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    sky = np.full((SIZE, SIZE), 18.0)
    for y, x, light in zip(*draws.uniform(0, SIZE, (2, 150)), 60 * draws.pareto(1.2, 150), strict=True):
        sky += light * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * 0.6**2))
    return rounded(sky[..., None] * np.array([0.8, 0.9, 1.1]))


def power_lines() -> Pixels:
    """Returns dark wires of 1 and 2 pixels and masts of 3 pixels before a bright sky, (SIZE, SIZE, 3)."""
    sky = np.linspace(215, 255, SIZE)[:, None, None] * np.array([0.93, 0.97, 1.0])

    def draw(pen: ImageDraw.ImageDraw) -> None:
        for i in range(5):
            pen.line((0, 40 + 25 * i, SIZE - 1, 60 + 30 * i), fill=(10, 10, 12), width=1 + i % 2)
        for i in range(4):
            pen.line((40 + 60 * i, 0, 42 + 60 * i, SIZE - 1), fill=(5, 5, 5), width=3)

    return painted(rounded(np.broadcast_to(sky, (SIZE, SIZE, 3))), draw)


def gradient() -> Pixels:
    """Returns black that becomes orange from left to right, (SIZE, SIZE, 3)."""
    row = np.linspace(0, 255, SIZE)[:, None] * np.array([1.0, 0.6, 0.2])
    return rounded(np.broadcast_to(row, (SIZE, SIZE, 3)))


DRAWINGS: dict[str, Callable[[Draws], Pixels]] = {
    "black on white": lambda _: page(WHITE, BLACK),
    "white on red": lambda _: page((200, 30, 30), WHITE),
    "yellow on blue": lambda _: page((0, 0, 160), (255, 255, 0)),
    "white on blue, JPEG 90": lambda _: as_jpeg(page((30, 60, 160), WHITE), 90),
    "line art": lambda _: line_art(),
    "checker of 4 px": lambda _: checker(4),
    "stars": stars,
    "power lines": lambda _: power_lines(),
    "gradient": lambda _: gradient(),
    "flat orange": lambda _: flat((228, 150, 40)),
}
"""What is drawn, written or lit, and clean, by name."""


def captioned(photo: Pixels, colour: Colour) -> Pixels:
    """Returns a photograph, (SIZE, SIZE, 3), with a caption of this colour at the top."""
    return painted(photo, lambda pen: pen.text((20, 20), "On the pier, 1987", colour, ImageFont.load_default(20)))


def dated(photo: Pixels) -> Pixels:
    """Returns a photograph, (SIZE, SIZE, 3), with the orange date that cameras put into the corner."""
    return painted(photo, lambda pen: pen.text((150, 230), "'94 7 23", (255, 140, 20), ImageFont.load_default(18)))


def framed(photo: Pixels) -> Pixels:
    """Returns a photograph, (SIZE, SIZE, 3), with a white line of 2 pixels along its border, 8 pixels inside."""
    edges = (8, 8, SIZE - 9, SIZE - 9)
    return painted(photo, lambda pen: pen.rectangle(edges, outline=WHITE, width=2))


def white_hair(photo: Pixels) -> Pixels:
    """Returns a photograph, (SIZE, SIZE, 3), at half its brightness, with 14 white hairs of 1 pixel before it."""

    def draw(pen: ImageDraw.ImageDraw) -> None:
        for i in range(14):
            pen.line((SIZE // 2, 150, SIZE - 1, 90 + 9 * i), fill=(252, 250, 248), width=1)

    return painted(rounded(0.5 * photo), draw)


def snowing(photo: Pixels, draws: Draws) -> Pixels:
    """Returns a photograph, (SIZE, SIZE, 3), with 60 white flakes of 2 x 2 pixels."""

    def draw(pen: ImageDraw.ImageDraw) -> None:
        for x, y in draws.integers(2, SIZE - 4, (60, 2)).tolist():
            pen.rectangle((x, y, x + 1, y + 1), fill=WHITE)

    return painted(photo, draw)
