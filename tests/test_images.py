"""Grids, PNG and GIF files, read back with Pillow."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxgen import images
from jaxgen.errors import InputError


def ramp(*shape: int) -> np.ndarray:
    return (np.arange(np.prod(shape)) * 7 % 256).astype(np.uint8).reshape(shape)


def test_to_uint8_and_back_known_values() -> None:
    assert images.to_uint8([-1.0, 0.0, 1.0, -3.0, 3.0]).tolist() == [0, 128, 255, 0, 255]
    np.testing.assert_allclose(images.to_float(jnp.asarray([0, 255], jnp.uint8)), [-1.0, 1.0])


def test_round_trip_keeps_every_level() -> None:
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(images.to_uint8(images.to_float(jnp.asarray(levels))), levels)


def test_grid_by_hand() -> None:
    grid = images.make_grid(np.array([10, 20, 30], np.uint8).reshape(3, 1, 1, 1), padding=1)
    ground = images.BACKGROUND
    expected = np.full((5, 5), ground)
    expected[1, 1], expected[1, 3], expected[3, 1] = 10, 20, 30
    np.testing.assert_array_equal(grid[..., 0], expected)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 13),
    columns=st.none() | st.integers(1, 6),
    padding=st.integers(0, 3),
    channels=st.sampled_from([1, 3, 4]),
)
def test_grid_holds_every_image_and_nothing_else(n: int, columns: int | None, padding: int, channels: int) -> None:
    cells = ramp(n, 3, 2, channels)
    grid = images.make_grid(cells, columns, padding)
    across = (grid.shape[1] - padding) // (2 + padding)
    down = (grid.shape[0] - padding) // (3 + padding)
    assert across == columns or (columns is None and 0 <= across - down <= 1)
    assert 0 <= across * down - n < across
    rest = grid.astype(int)
    for index in range(n):
        top, left = padding + index // across * (3 + padding), padding + index % across * (2 + padding)
        np.testing.assert_array_equal(grid[top : top + 3, left : left + 2], cells[index])
        rest[top : top + 3, left : left + 2] = -1
    ground = rest[(rest != -1).all(axis=-1)]
    np.testing.assert_array_equal(ground[:, : min(channels, 3)], images.BACKGROUND)
    assert channels < 4 or (ground[:, 3] == 255).all()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_grid_of_floats(dtype: jnp.dtype) -> None:
    grid = images.make_grid(jnp.asarray([-1.0, 1.0], dtype).reshape(2, 1, 1, 1), padding=0)
    assert grid.dtype == np.uint8
    assert grid[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("shape", [(2, 4, 4, 2), (0, 4, 4, 1), (4, 4, 1), (1, 4, 0, 3)])
def test_grid_refuses_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="images: got") as caught:
        images.make_grid(np.zeros(shape, np.float32))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", [{"columns": 0}, {"padding": -1}])
def test_grid_refuses_layout(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        images.make_grid(ramp(1, 2, 2, 1), **wrong)


def test_grid_refuses_integers_that_are_not_uint8() -> None:
    with pytest.raises(InputError, match="int32"):
        images.make_grid(np.zeros((1, 2, 2, 1), np.int32))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_png_pixels_and_mode(tmp_path, channels: int, mode: str) -> None:
    image = ramp(4, 5, channels)
    images.save_png(tmp_path / "new" / "a.png", image)
    with Image.open(tmp_path / "new" / "a.png") as file:
        assert (file.format, file.mode) == ("PNG", mode)
        np.testing.assert_array_equal(np.asarray(file).reshape(image.shape), image)


def test_png_enlarged(tmp_path) -> None:
    image = ramp(2, 3, 3)
    images.save_png(tmp_path / "a.png", image, scale=4)
    with Image.open(tmp_path / "a.png") as file:
        np.testing.assert_array_equal(np.asarray(file), np.kron(image, np.ones((4, 4, 1), np.uint8)))


def test_png_failed_write_keeps_the_old_file(tmp_path, monkeypatch) -> None:
    images.save_png(tmp_path / "a.png", ramp(2, 2, 1))
    before = (tmp_path / "a.png").read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("jaxgen.files.os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        images.save_png(tmp_path / "a.png", ramp(9, 9, 1))
    assert (tmp_path / "a.png").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_png_refusals(tmp_path) -> None:
    for image, scale, message in [
        (np.zeros((2, 2, 1), np.float32), 1, "float32"),
        (ramp(2, 2, 2), 1, "channels"),
        (ramp(2, 2, 1), 0, "scale"),
    ]:
        with pytest.raises(InputError, match=message):
            images.save_png(tmp_path / "a.png", image, scale)
    assert not list(tmp_path.iterdir())


def test_grey_gif_is_exact_and_loops(tmp_path) -> None:
    frames = np.stack([ramp(16, 16, 1), 255 - ramp(16, 16, 1), np.zeros((16, 16, 1), np.uint8)])
    images.save_gif(tmp_path / "a.gif", frames, duration_ms=80, scale=2)
    with Image.open(tmp_path / "a.gif") as file:
        assert (file.format, file.n_frames, file.size) == ("GIF", 3, (32, 32))
        assert (file.info["loop"], file.info["duration"]) == (0, 80)
        for index, frame in enumerate(frames):
            file.seek(index)
            expected = np.kron(frame[..., 0], np.ones((2, 2), np.uint8))
            np.testing.assert_array_equal(np.asarray(file.convert("L")), expected)


def test_colour_gif_keeps_flat_colours(tmp_path) -> None:
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    frames[0, ..., 0], frames[1, ..., 2] = 255, 255
    images.save_gif(tmp_path / "a.gif", frames)
    with Image.open(tmp_path / "a.gif") as file:
        for index in range(2):
            file.seek(index)
            np.testing.assert_array_equal(np.asarray(file.convert("RGB")), frames[index])


@pytest.mark.parametrize("shape", [(0, 4, 4, 1), (2, 4, 4, 4), (4, 4, 3)])
def test_gif_refuses_shapes(tmp_path, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="frames: got"):
        images.save_gif(tmp_path / "a.gif", np.zeros(shape, np.uint8))


def test_headings_stand_beside_their_rows_and_above_their_columns():
    grid = images.make_grid(np.zeros((6, 28, 28, 3), np.uint8), 3)  # 2 rows, 3 columns of 28 pixels and lines of 2
    height, width = 2 * 30 + 2, 3 * 30 + 2
    page = images.add_headings(grid, ["cat", "ox"], ["1", "22", "333"], scale=2)
    top, left = 11 + 4, 3 * 6 + 4  # letters are 6 x 11
    assert page.shape == (top + 2 * height, left + 2 * width, 3)
    np.testing.assert_array_equal(page[top:, left:], grid.repeat(2, 0).repeat(2, 1))
    ink = (page < images.BACKGROUND).all(-1)
    beside, above = ink[top:, :left], ink[:top, left:]
    assert not ink[:top, :left].any()
    for part in (beside[:height], beside[height:], *np.array_split(above, 3, axis=1)):
        assert part.any()
    middle = np.argwhere(beside[:height]).mean(0)
    assert abs(middle[0] - height / 2) < 6
    third = np.argwhere(above).max(0)[1] - np.argwhere(above[:, 4 * width // 3 :]).min(0)[1] - 4 * width // 3
    assert 12 < third <= 18  # three letters


def test_names_that_do_not_fit_stand_upright_and_long_ones_are_cut():
    grid = images.make_grid(np.zeros((4, 8, 8, 4), np.uint8), 2)
    page = images.add_headings(grid, columns=["aeroplane", "helicopter carrier"])
    assert page.shape == (22 + 12 * 6 + 4, 22, 4)
    assert (page[..., 3] == 255).sum() == page[..., 3].size - 4 * 64  # the images themselves are transparent
    assert np.array_equal(images.add_headings(grid), grid)
    assert images.add_headings(grid, rows=["\u732b", "\u72ac"]).shape == (22, 22 + 10, 4)  # letters that the font lacks


def test_a_grid_shows_four_slices_of_a_volume_side_by_side() -> None:
    volumes = np.random.default_rng(0).integers(0, 256, (3, 10, 4, 5, 1), np.uint8)
    slices = np.stack([np.concatenate([volume[z] for z in (3, 4, 5, 6)], axis=1) for volume in volumes])
    np.testing.assert_array_equal(images.make_grid(volumes, 2), images.make_grid(slices, 2))
    np.testing.assert_array_equal(images.middle_slices(volumes, 1), volumes[:, 5])
    assert images.make_grid(volumes[:, :1]).shape == images.make_grid(volumes).shape  # one slice is shown four times
