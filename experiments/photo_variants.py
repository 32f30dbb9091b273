"""Makes the pictures that the restorers of the package learn from: photographs, and what people make of them.

A restorer must leave alone what only looks like damage. So beside the photographs there are smaller ones, dark and
overexposed ones, toned and grey ones, ones with captions, dates, frames and bright thin lines, and pictures that are
drawn or written.

What is added lies in two folders: OUT/photos holds what has nothing thin and bright or dark added to it, so that the
network of scratches and dust can learn from it; OUT/lookalikes holds the rest.

Command:  python -m experiments.photo_variants PHOTOS OUT
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from jaxgen.photos.files import find_photos

NUM_DRAWINGS = 400
SIZE = (481, 321)
WORDS = "Summer 1987 The quick brown fox jumps over lazy dogs 0123456789 Grüße aus Rom & Paris; page 12, fig. 3".split()
Picture = np.ndarray


def variants(photo: Picture, rng: np.random.Generator) -> Iterator[tuple[str, Picture]]:
    """Yields paths without suffix and pictures made of a photograph: itself, two smaller ones, two others."""
    yield "photos/photo", photo
    yield "photos/small", shrunk(photo, rng.uniform(0.5, 0.8), rng)
    yield "photos/tiny", shrunk(photo, rng.uniform(0.3, 0.5), rng)
    makers = (exposed, toned, annotated)
    for i in rng.permutation(len(makers))[:2]:
        folder = "lookalikes" if makers[i] is annotated else "photos"
        yield f"{folder}/{makers[i].__name__}", makers[i](photo, rng)


def shrunk(photo: Picture, scale: float, rng: np.random.Generator) -> Picture:
    """Returns the photograph smaller, sharpened as often as not: it has less noise, and more texture to the pixel."""
    size = tuple(max(96, round(n * scale)) for n in photo.shape[1::-1])
    small = Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS)
    if rng.random() < 0.5:
        small = small.filter(ImageFilter.UnsharpMask(radius=0.8, percent=int(rng.integers(40, 160)), threshold=0))
    return np.asarray(small)


def exposed(photo: Picture, rng: np.random.Generator) -> Picture:
    """Returns the photograph darker or brighter, so that parts of it may be black or white."""
    factor = rng.uniform(0.15, 0.7) if rng.random() < 0.7 else rng.uniform(1.2, 1.8)
    return _bytes(photo * factor - rng.uniform(0, 15))


def toned(photo: Picture, rng: np.random.Generator) -> Picture:
    """Returns the photograph in sepia, another tone, or grey, with the contrast of a print."""
    tone = rng.choice([(1, 0.86, 0.67), (1, 0.93, 0.82), (0.9, 0.95, 1), (1, 1, 1)])
    grey = np.asarray(Image.fromarray(photo).convert("L"))[..., None]
    return _bytes(grey * tone * rng.uniform(0.6, 1) + rng.uniform(0, 40))


def annotated(photo: Picture, rng: np.random.Generator) -> Picture:
    """Returns the photograph with a caption, a date, a frame, thin lines or flakes of snow, which belong to it."""
    image = Image.fromarray(photo if rng.random() < 0.7 else _bytes(photo * 0.5))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 6))):
        PAINTERS[int(rng.integers(len(PAINTERS)))](draw, image.size, rng)
    return np.asarray(image)


def drawing(rng: np.random.Generator) -> Picture:
    """Returns a picture without any photograph: text, lines, shapes, stars, tables, ramps, or flat colour."""
    kind, background = rng.random(), _colour(rng)
    if kind < 0.15:
        return _stars(rng)
    pixels = np.broadcast_to(np.array(background, np.float64), (SIZE[1], SIZE[0], 3))
    if rng.random() < 0.4:
        along = (
            np.linspace(0, 1, SIZE[0])[None, :, None]
            if rng.random() < 0.5
            else np.linspace(0, 1, SIZE[1])[:, None, None]
        )
        pixels = pixels * (1 - along) + np.array(_colour(rng)) * along
    image = Image.fromarray(_bytes(pixels))
    draw = ImageDraw.Draw(image)
    if kind < 0.55:
        _page(draw, rng, _contrast(background) if rng.random() < 0.5 else _colour(rng))
    elif kind < 0.65:
        _checks(draw, rng)
    elif kind < 0.95:
        for _ in range(int(rng.integers(10, 60))):
            SHAPES[int(rng.integers(len(SHAPES)))](draw, image.size, rng)
    return np.asarray(image)


def _text(draw: ImageDraw.ImageDraw, size: tuple[int, int], rng: np.random.Generator) -> None:
    words = " ".join(rng.choice(WORDS, int(rng.integers(1, 5))))
    draw.text(_place(size, rng), words, fill=_strong(rng), font=_font(rng))


def _frame(draw: ImageDraw.ImageDraw, size: tuple[int, int], rng: np.random.Generator) -> None:
    inset = int(rng.integers(2, 40))
    draw.rectangle(
        (inset, inset, size[0] - inset, size[1] - inset), outline=_strong(rng), width=int(rng.integers(1, 4))
    )


def _line(draw: ImageDraw.ImageDraw, size: tuple[int, int], rng: np.random.Generator) -> None:
    draw.line((*_place(size, rng), *_place(size, rng)), fill=_strong(rng), width=int(rng.integers(1, 4)))


def _hairs(draw: ImageDraw.ImageDraw, size: tuple[int, int], rng: np.random.Generator) -> None:
    root, colour = _place(size, rng), _strong(rng)
    for _ in range(int(rng.integers(5, 20))):
        end = (root[0] + float(rng.normal(0, 120)), root[1] + float(rng.normal(0, 120)))
        draw.line((*root, *end), fill=colour, width=1)


def _flakes(draw: ImageDraw.ImageDraw, size: tuple[int, int], rng: np.random.Generator) -> None:
    colour = _strong(rng)
    for _ in range(int(rng.integers(20, 150))):
        (x, y), edge = _place(size, rng), int(rng.integers(0, 4))
        shape = draw.rectangle if rng.random() < 0.5 else draw.ellipse
        shape((x, y, x + edge, y + edge), fill=colour)


def _ellipse(draw: ImageDraw.ImageDraw, size: tuple[int, int], rng: np.random.Generator) -> None:
    _shape(draw.ellipse, size, rng)


def _rectangle(draw: ImageDraw.ImageDraw, size: tuple[int, int], rng: np.random.Generator) -> None:
    _shape(draw.rectangle, size, rng)


def _shape(shape: Callable[..., None], size: tuple[int, int], rng: np.random.Generator) -> None:
    (x, y), width, height = _place(size, rng), int(rng.integers(2, 160)), int(rng.integers(2, 160))
    filled = (
        {"fill": _colour(rng)} if rng.random() < 0.5 else {"outline": _colour(rng), "width": int(rng.integers(1, 4))}
    )
    shape((x, y, x + width, y + height), **filled)


PAINTERS = (_text, _text, _frame, _line, _hairs, _flakes)
SHAPES = (_text, _line, _line, _ellipse, _rectangle)


def _page(draw: ImageDraw.ImageDraw, rng: np.random.Generator, ink: tuple[int, ...]) -> None:
    """Writes lines of text over the whole picture."""
    size = int(rng.integers(8, 26))
    font = ImageFont.load_default(size)
    for y in range(4, SIZE[1], size + int(rng.integers(2, 8))):
        draw.text((6, y), " ".join(rng.choice(WORDS, 20)), fill=ink, font=font)


def _checks(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    """Fills the picture with a chequer or stripes."""
    edge, colour, stripes = int(rng.integers(1, 12)), _colour(rng), rng.random() < 0.4
    for y in range(0, SIZE[1], edge):
        for x in range(0, SIZE[0], edge):
            if (x // edge + (0 if stripes else y // edge)) % 2:
                draw.rectangle((x, y, x + edge - 1, y + edge - 1), fill=colour)


def _stars(rng: np.random.Generator) -> Picture:
    """Returns a night sky: small round lights of very different brightness."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    sky = np.full(SIZE[::-1], rng.uniform(0, 30))
    for _ in range(300):
        a, b, radius = rng.uniform(0, SIZE[1]), rng.uniform(0, SIZE[0]), rng.uniform(0.4, 1.2)
        top, left = max(0, int(a) - 8), max(0, int(b) - 8)
        part = (slice(top, int(a) + 9), slice(left, int(b) + 9))
        sky[part] += rng.pareto(1.2) * 60 * np.exp(-((y[part] - a) ** 2 + (x[part] - b) ** 2) / (2 * radius**2))
    return _bytes(sky[..., None] * rng.uniform(0.7, 1.1, 3))


def _place(size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    return int(rng.integers(0, size[0])), int(rng.integers(0, size[1]))


def _font(rng: np.random.Generator) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(int(rng.integers(9, 40)))


def _colour(rng: np.random.Generator) -> tuple[int, ...]:
    """Returns any colour; black, white and the pure colours are more frequent than others."""
    if rng.random() < 0.3:
        return (255,) * 3 if rng.random() < 0.5 else (0,) * 3
    if rng.random() < 0.4:
        return tuple(int(v) for v in rng.choice([0, 255, 160, 30], 3))
    return tuple(int(v) for v in rng.integers(0, 256, 3))


def _strong(rng: np.random.Generator) -> tuple[int, ...]:
    """Returns a colour as captions have: nearly white, nearly black, orange, or any."""
    light, dark = tuple(int(v) for v in rng.integers(225, 256, 3)), tuple(int(v) for v in rng.integers(0, 30, 3))
    return (light, light, dark, (255, 140, 20), _colour(rng))[int(rng.integers(5))]


def _contrast(background: tuple[int, ...]) -> tuple[int, ...]:
    return (0, 0, 0) if sum(background) > 380 else (255, 255, 255)


def _bytes(pixels: np.ndarray) -> Picture:
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def main() -> None:
    """Writes the pictures from the command line."""
    if len(sys.argv) != 3:
        sys.exit("usage: python -m experiments.photo_variants PHOTOS OUT")
    out, rng = Path(sys.argv[2]), np.random.default_rng(0)
    for folder in ("photos", "lookalikes"):
        (out / folder).mkdir(parents=True)
    photos = find_photos([sys.argv[1]])
    for found in photos:
        photo = np.asarray(Image.open(found.path).convert("RGB"))
        for name, picture in variants(photo, rng):
            Image.fromarray(picture).save(out / f"{name}-{found.path.stem}.png")
    for i in range(NUM_DRAWINGS):
        Image.fromarray(drawing(rng)).save(out / f"lookalikes/drawing-{i:03d}.png")
    print(f"{len(list(out.rglob('*.png')))} pictures in {out}")


if __name__ == "__main__":
    main()
