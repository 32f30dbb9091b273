"""The page of a network that enlarges, in a browser: a picture is taken, enlarged, compared with the bicubic result."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxgen.tasks.super_resolution.bicubic import bicubic_matrix
from tests.web.chromium import Page
from tests.web.pictures import STATUS, array, rgba, take

stand_ins = pytest.importorskip("tests.web.stand_ins", reason="needs onnx")
PLAIN = "(c => c.getContext('2d').getImageData(0, 0, c.width, c.height))(document.querySelector('#damaged'))"
"""What is on the canvas left of the divider."""


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """An RGB file of 401 x 83 pixels: smooth waves, of more than one tile."""
    y, x = np.mgrid[:83, :401]
    waves = [np.sin(x / 17 + y / 29), np.sin(x / 41 - y / 13), np.sin(x / 97 + y / 61)]
    Image.fromarray((100 * np.stack(waves, -1) + 127).astype(np.uint8)).save(tmp_path / "waves.png")
    return tmp_path / "waves.png"


def enlarge(page: Page) -> np.ndarray:
    """uint8 (h, w, 4)."""
    page.click("#enlarge")
    page.idle()
    assert "Enlarged to" in page.run(STATUS)
    return rgba(page, "jaxgen.picture()")


def expected(pixels: np.ndarray, scale: int) -> np.ndarray:
    return np.clip(127.5 * (stand_ins.expected_enlarged(pixels[None] / 127.5 - 1, scale)[0] + 1), 0, 255)


def bicubic(planes: np.ndarray, scale: int) -> np.ndarray:
    rows, columns = (bicubic_matrix(size, scale * size) for size in planes.shape[:2])
    return np.clip(np.einsum("yh,xw,hwc->yxc", rows, columns, planes.astype(np.float64), optimize=True), 0, 255)


def test_a_picture_is_enlarged_in_tiles_as_the_model_enlarges_the_whole(page: Page, address: str, photo: Path) -> None:
    page.open(f"{address}#model=larger")
    assert page.run("document.title") == "Larger"
    take(page, photo)
    pixels = np.asarray(Image.open(photo))
    np.testing.assert_array_equal(array(page, PLAIN), pixels)
    labels = page.run("[...document.querySelectorAll('#factors label')].map(e => e.textContent)")
    assert labels == ["2×", "4×"]
    for scale in (2, 4):
        page.click(f"#factor-{scale}")
        assert page.run("document.querySelector('#download').disabled")
        enlarged = enlarge(page)
        np.testing.assert_allclose(enlarged[..., :3], expected(pixels, scale), atol=1)
        assert (enlarged[..., 3] == 255).all()
        np.testing.assert_allclose(array(page, PLAIN), bicubic(pixels, scale), atol=1)
        assert f"Enlarged to {401 * scale} × {83 * scale} pixels" in page.run(STATUS)
        assert not page.run("document.querySelector('#download').disabled")
    words = page.run("['before', 'after'].map(id => document.querySelector(`#${id}`).textContent)")
    assert words == ["Bicubic", "Enlarged"]
    assert page.problems == []


def test_the_divider_moves_and_the_picture_is_seen_pixel_for_pixel(page: Page, address: str, photo: Path) -> None:
    page.open(f"{address}#model=larger")
    take(page, photo)
    page.click("#factor-4")
    enlarge(page)
    page.run("document.querySelector('#compare').focus()")
    for _ in range(10):
        page.press("ArrowRight")
    assert "60%" in page.run("getComputedStyle(document.querySelector('#restored')).clipPath")
    spoken = page.run("document.querySelector('#compare').getAttribute('aria-valuetext')")
    assert spoken == "60% bicubic, 40% enlarged"
    width = "document.querySelector('#restored').getBoundingClientRect().width * devicePixelRatio"
    assert page.run(width) < 1000
    page.click("#actual")
    assert page.run(width) == pytest.approx(1604, abs=1)
    assert page.run("document.documentElement.scrollWidth") == 1280
    assert page.run("document.querySelector('#view').scrollLeft") > 100
    page.open(f"{address}#model=mean")
    assert not page.run("document.querySelector('#view').classList.contains('actual')")


def test_a_grey_picture_stays_grey(page: Page, address: str, photo: Path) -> None:
    grey = np.asarray(Image.open(photo))[..., 0]
    Image.fromarray(grey).save(photo)
    page.open(f"{address}#model=larger")
    take(page, photo)
    enlarged = enlarge(page)
    assert (enlarged[..., :3] == enlarged[..., :1]).all()
    luma = expected(np.repeat(grey[..., None], 3, axis=-1), 2) @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(enlarged[..., 0], luma, atol=1.5)


def test_alpha_is_enlarged_and_what_is_transparent_leaves_no_fringe(page: Page, address: str, tmp_path: Path) -> None:
    """A disc of one colour: the network must not see the black that a canvas has where nothing is."""
    y, x = np.mgrid[:40, :60]
    alpha = np.clip(255 * (12.5 - np.hypot(y - 20, x - 30)), 0, 255).astype(np.uint8)
    disc = np.dstack([np.full_like(alpha, value) for value in (200, 150, 180)] + [alpha])
    Image.fromarray(disc).save(tmp_path / "disc.png")
    page.open(f"{address}#model=larger")
    take(page, tmp_path / "disc.png")
    enlarged = enlarge(page)
    np.testing.assert_allclose(enlarged[..., 3], bicubic(alpha[..., None], 2)[..., 0], atol=1)
    inside = enlarged[16:-16, 16:-16]  # away from the borders, beyond which the network sees zeros
    colours = inside[inside[..., 3] > 16][:, :3]
    np.testing.assert_allclose(colours, np.broadcast_to([200 + 32, 150, 180 - 16], colours.shape), atol=3)


@pytest.mark.parametrize(("size", "refused_at_once"), [((2100, 2000), False), ((4100, 4000), True)])
def test_a_result_above_the_limit_is_refused(
    page: Page, address: str, tmp_path: Path, size: tuple[int, int], refused_at_once: bool
) -> None:
    Image.new("L", size).save(tmp_path / "large.png")
    page.open(f"{address}#model=larger")
    take(page, tmp_path / "large.png")
    if refused_at_once:
        said = "large.png: at 2× it has 8200 × 8000 pixels, 65.6 megapixels"
    else:
        page.click("#factor-4")
        page.click("#enlarge")
        page.idle()
        said = "At 4× the picture has 8400 × 8000 pixels, 67.2 megapixels"
    assert page.run(STATUS) == f"{said}; accepted: results of at most 64 megapixels."
    assert page.run("document.querySelector('#workbench').hidden") == refused_at_once
    assert page.run("jaxgen.picture()") is None


def test_work_is_stopped_by_its_button_and_by_another_factor(page: Page, address: str, tmp_path: Path) -> None:
    Image.new("RGB", (1500, 1500), (90, 20, 60)).save(tmp_path / "plain.png")
    page.open(f"{address}#model=larger")
    take(page, tmp_path / "plain.png")
    for end, said in (("#stop", "Stopped."), ("#factor-4", "")):
        page.click("#enlarge")
        page.wait("document.querySelector('#progress').value > 0")
        page.click(end)
        page.idle()
        assert page.run(STATUS) == said
        assert page.run("jaxgen.picture()") is None
        assert page.run("document.querySelector('#working').hidden")
        assert not page.run("document.querySelector('#enlarge').disabled")


def test_a_bad_file_is_named_in_one_line(page: Page, address: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    page.open(f"{address}#model=larger")
    take(page, tmp_path / "notes.txt")
    assert page.run(STATUS).startswith("notes.txt is not a picture that this browser can read; accepted: ")
