"""Masks as people paint them, from files, from Python, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from skimage import data

import jaxgen
from jaxgen.api.arguments import as_missing
from jaxgen.errors import InputError
from jaxgen.photos.masks import any_missing, described, missing_in
from jaxgen.photos.reading import read_photo
from tests.photos.photo_samples import noise

MARKED = np.zeros((40, 50), bool)
MARKED[5:15, 10:30] = True


def layer(colour: tuple[int, ...], hidden: int, opacity: int = 255) -> Image.Image:
    """Paint of a colour on a transparent layer, with a hidden colour under the transparent pixels."""
    pixels = np.full((40, 50, 4), hidden, np.uint8)
    pixels[..., 3] = 0
    pixels[MARKED] = (*colour, opacity)
    return Image.fromarray(pixels)


def both_paints() -> Image.Image:
    """A black ground painted onto half of a transparent layer, with white marks on it."""
    pixels = np.zeros((40, 50, 4), np.uint8)
    pixels[:20, :, 3] = 255
    pixels[MARKED] = 255
    return Image.fromarray(pixels)


def palette(*colours: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(MARKED.astype(np.uint8))
    image.putpalette([value for colour in colours for value in colour])
    return image


GREY = MARKED * np.uint8(255)
MASKS = {
    "white": Image.fromarray(GREY),
    "white in RGB": Image.fromarray(np.stack([GREY] * 3, axis=-1)),
    "red on black": Image.fromarray(np.stack([GREY, 0 * GREY, 0 * GREY], axis=-1)),
    "one bit": Image.fromarray(MARKED),
    "0 and 1": Image.fromarray(MARKED.astype(np.uint8)),
    "0 and 100": Image.fromarray(MARKED * np.uint8(100)),
    "0 and 1 of 16 bits": Image.fromarray(MARKED.astype(np.uint16)),
    "0 and 255 of 16 bits": Image.fromarray(MARKED * np.uint16(255)),
    "16 bits": Image.fromarray(MARKED * np.uint16(65535)),
    "places in a palette": palette((0, 0, 0), (1, 1, 1)),
    "dark red in a palette": palette((0, 0, 0), (90, 0, 0)),
    "white over hidden white": layer((255, 255, 255), 255),
    "white over hidden black": layer((255, 255, 255), 0),
    "black on transparency": layer((0, 0, 0), 0),
    "black over hidden white": layer((0, 0, 0), 255),
    "red on transparency": layer((200, 30, 30), 0),
    "a faint brush": layer((255, 255, 255), 0, 100),
    "black and white on transparency": both_paints(),
    "opaque alpha": Image.fromarray(np.stack([GREY, GREY, GREY, 0 * GREY + 255], axis=-1)),
    "grey with alpha": layer((0, 0, 0), 0).convert("LA"),
}


@pytest.mark.parametrize("name", MASKS)
def test_what_was_painted_is_what_is_missing(tmp_path: Path, name: str) -> None:
    MASKS[name].save(tmp_path / "m.png")
    photo = read_photo(tmp_path / "m.png")
    np.testing.assert_array_equal(missing_in(photo.pixels, photo.alpha), MARKED)
    np.testing.assert_array_equal(as_missing(tmp_path / "m.png"), MARKED)
    np.testing.assert_array_equal(as_missing(MASKS[name]), MARKED)


def test_the_noise_of_jpeg_and_soft_edges_do_no_harm(tmp_path: Path) -> None:
    image = Image.fromarray(GREY).resize((500, 400), Image.Resampling.NEAREST)
    wanted = np.asarray(image) > 0
    image.filter(ImageFilter.GaussianBlur(3)).save(tmp_path / "m.jpg", quality=60)
    assert np.mean(as_missing(tmp_path / "m.jpg") != wanted) < 0.01
    Image.new("L", (50, 40), 3).save(tmp_path / "black.jpg")
    assert not as_missing(tmp_path / "black.jpg").any()


def strokes_on(photo: np.ndarray) -> np.ndarray:
    photo = photo.copy()
    photo[20:40] = [255, 0, 0]
    return photo


PHOTOS = {
    "grey": data.camera(),
    "colour": data.astronaut(),
    "red strokes on a copy": strokes_on(data.astronaut()),
    "red strokes on a grey copy": strokes_on(np.stack([data.camera()] * 3, axis=-1)),
    "16 bits": data.camera().astype(np.uint16) * 257,
    "parts erased": np.dstack([data.astronaut(), np.where(np.eye(512) > 0, 0, 255).astype(np.uint8)]),
}


@pytest.mark.parametrize("name", PHOTOS)
def test_a_photograph_is_no_mask(name: str) -> None:
    pixels = PHOTOS[name][..., None] if PHOTOS[name].ndim == 2 else PHOTOS[name]
    alpha = pixels[..., 3] if pixels.shape[-1] == 4 else None
    with pytest.raises(InputError, match=r"mask: got 'a picture of many levels.*accepted: white where to fill in"):
        missing_in(pixels[..., :3], alpha)
    if pixels.shape[-1] == 1:
        with pytest.raises(InputError, match="mask: got 'a picture of many levels"):
            as_missing(pixels)


def test_several_dark_levels_are_not_guessed_at() -> None:
    labels = (np.indices((40, 50)).sum(axis=0) % 4 * 20).astype(np.uint8)
    with pytest.raises(InputError, match="mask: got '4 levels up to 60, none of them light'"):
        missing_in(labels[..., None])


def test_a_pil_mask_of_floats_is_refused() -> None:
    with pytest.raises(InputError, match="mask: got 'a PIL image of mode F'"):
        as_missing(Image.new("F", (4, 4)))


def test_nothing_and_everything(caplog) -> None:
    assert any_missing(MARKED)
    assert not any_missing(np.zeros((4, 4), bool))
    assert "mask: nothing is marked" in caplog.text
    with pytest.raises(InputError, match="mask: covers the whole picture"):
        any_missing(np.ones((4, 4), bool))
    assert not missing_in(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)).any()


def test_from_python_an_empty_mask_leaves_the_image_and_a_full_one_is_refused(caplog) -> None:
    image = noise(9, 11, 3)
    restored = jaxgen.restore(image, np.zeros((9, 11)))
    np.testing.assert_array_equal(restored, image)
    assert restored is not image
    assert "mask: nothing is marked" in caplog.text
    with pytest.raises(InputError, match="mask: covers the whole picture"):
        jaxgen.restore(image, np.ones((9, 11)))


def test_the_line_about_a_mask() -> None:
    assert described(MARKED) == "mask: 10.0% of the picture, 1 region, to be filled in"
    assert described(~MARKED).endswith(
        "mask: 90.0% of the picture, 1 region, to be filled in; if you meant the rest, invert the mask"
    )
    dot = np.zeros((1000, 1000), bool)
    dot[3, 3] = dot[4, 4] = True  # corners touch
    assert described(dot) == "mask: 0.0002% of the picture, 1 region, to be filled in"
