"""The page of a restorer, in a browser: a picture is taken, damaged, restored, compared."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxgen.bundles.holes import fill_large_holes
from jaxgen.bundles.levels import estimate_levels, windows_of
from tests.web.chromium import Page
from tests.web.pictures import STATUS, array, take

stand_ins = pytest.importorskip("tests.web.stand_ins", reason="needs onnx")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """An RGB file of 601 x 333 pixels: smooth waves, so more than one tile, and no multiple of anything."""
    y, x = np.mgrid[:333, :601]
    waves = [np.sin(x / 17 + y / 29), np.sin(x / 41 - y / 13), np.sin(x / 97 + y / 61)]
    Image.fromarray((127.5 * (np.stack(waves, -1) + 1)).astype(np.uint8)).save(tmp_path / "waves.png")
    return tmp_path / "waves.png"


def missing(page: Page, shape: tuple[int, ...]) -> np.ndarray:
    return np.array([int(c) for c in page.run("jaxgen.missing().join('')")]).reshape(shape[:2])


def restore(page: Page) -> np.ndarray:
    page.click("#restore")
    page.idle()
    assert "Restored in" in page.run(STATUS)
    return array(page, "jaxgen.picture()")


def assert_restores(restored: np.ndarray, damaged: np.ndarray, mask: np.ndarray) -> None:
    """As `expected_restored` does everywhere; where a hole is large, its middle is known to it."""
    height, width = damaged.shape[:2]
    pad = ((0, -height % 4), (0, -width % 4))
    given, known = fill_large_holes(damaged, mask == 0)
    images = np.pad(given / 127.5 - 1, (*pad, (0, 0)), mode="edge")[None]
    expected = stand_ins.expected_restored(images, np.pad(1.0 - known, pad, mode="edge")[None, ..., None])
    np.testing.assert_allclose(restored, 127.5 * (expected[0, :height, :width] + 1), atol=2)


def test_a_picture_is_restored_in_tiles_as_the_model_restores_the_whole(page: Page, address: str, photo: Path) -> None:
    page.open(f"{address}#model=mean")
    take(page, photo)
    original = np.asarray(Image.open(photo))
    np.testing.assert_array_equal(array(page, "jaxgen.damaged()"), original)
    assert_restores(restore(page), original, np.zeros(original.shape[:2]))
    assert not page.run("document.querySelector('#download').disabled")
    assert page.problems == []


def test_damage_and_brush(page: Page, address: str, photo: Path) -> None:
    page.open(f"{address}#model=mean")
    take(page, photo)
    original = array(page, "jaxgen.damaged()").astype(float)
    page.set("#salt", 40)
    page.set("#noise", 20)
    page.run("new Promise(requestAnimationFrame)")
    box = page.run("(b => [b.x, b.y, b.width, b.height])(document.querySelector('#stage').getBoundingClientRect())")
    page.drag([(box[0] + part * box[2], box[1] + box[3] / 2) for part in (0.2, 0.3, 0.4, 0.5)])
    damaged = array(page, "jaxgen.damaged()")
    extreme = (damaged == 0).all(axis=-1) | (damaged == 255).all(axis=-1)
    assert extreme.mean() == pytest.approx(0.4, abs=0.01)
    noise = (damaged - original)[~extreme & (np.abs(original - 127.5) < 40).all(axis=-1)]
    assert noise.std() == pytest.approx(20, rel=0.05)
    mask = missing(page, damaged.shape)
    rows, columns = np.nonzero(mask)
    assert columns.min() < 0.2 * 601 < 0.5 * 601 < columns.max()
    assert rows.mean() == pytest.approx(333 / 2, abs=2)
    restored = restore(page)
    assert_restores(restored, damaged, mask)
    rim = ~fill_large_holes(damaged, mask == 0)[1]
    assert 0 < rim.sum() < mask.sum()
    np.testing.assert_array_equal(restored[rim], np.full((rim.sum(), 3), 191))  # 0.5 in [-1, 1]

    page.click("#clear")
    np.testing.assert_array_equal(array(page, "jaxgen.damaged()"), original)
    assert not missing(page, damaged.shape).any()


def test_jpeg_of_a_quality_and_the_status_beside_the_button(page: Page, address: str, photo: Path) -> None:
    page.open(f"{address}#model=mean")
    take(page, photo)
    original = array(page, "jaxgen.damaged()").astype(float)
    errors = []
    for quality in (90, 5):
        page.set("#jpeg", quality)
        page.run("new Promise(requestAnimationFrame)")
        page.idle()
        errors.append(np.sqrt(((array(page, "jaxgen.damaged()") - original) ** 2).mean()))
        text = page.run("document.querySelector('#jpeg-value').textContent")
        assert text == str(quality)
    # Pillow's own encoder, which has the same tables: the root of the mean squared error at these qualities
    for error, quality in zip(errors, (90, 5), strict=True):
        buffer = io.BytesIO()
        Image.fromarray(original.astype(np.uint8)).save(buffer, "JPEG", quality=quality)
        there = np.asarray(Image.open(buffer), float)
        assert error == pytest.approx(np.sqrt(((there - original) ** 2).mean()), rel=0.4)
    restore(page)
    button, status = (
        page.run(f"(b => [b.top, b.bottom, b.left, b.right])(document.querySelector('{name}').getBoundingClientRect())")
        for name in ("#restore", "#status")
    )
    assert abs(status[0] - button[0]) < 20  # beside the buttons: the window is 1280 px wide
    assert 0 <= status[2] - button[3] < 250
    page.click("#clear")
    np.testing.assert_array_equal(array(page, "jaxgen.damaged()"), original)
    assert page.run("document.querySelector('#jpeg-value').textContent") == "off"
    page.open(f"{address}#model=linear")
    assert page.run("document.querySelector('#status').parentElement.tagName") == "MAIN"


def test_blur_is_gaussian(page: Page, address: str, tmp_path: Path) -> None:
    point = np.zeros((41, 41, 3), np.uint8)
    point[20, 20] = 255
    Image.fromarray(point).save(tmp_path / "point.png")
    page.open(f"{address}#model=mean")
    take(page, tmp_path / "point.png")
    page.set("#blur", 1)
    page.run("new Promise(requestAnimationFrame)")
    blurred = array(page, "jaxgen.damaged()")
    squares = np.add.outer(np.arange(-20, 21) ** 2, np.arange(-20, 21) ** 2)
    np.testing.assert_allclose(blurred[..., 0], 255 * np.exp(-squares / 2) / (2 * np.pi), atol=1)


def assert_dot(page: Page, row: float, column: float) -> None:
    """The brush has marked one disc around that place, and nothing else."""
    brush = int(page.run("document.querySelector('#brush').value"))
    rows, columns = np.nonzero(missing(page, (333, 601)))
    assert len(rows) == pytest.approx(np.pi * brush**2 / 4, rel=0.2)
    assert (rows.mean(), columns.mean()) == pytest.approx((row, column), abs=1.5)
    assert np.hypot(rows - row, columns - column).max() < brush / 2 + 1.5


def test_the_brush_paints_by_keyboard(page: Page, address: str, photo: Path) -> None:
    page.open(f"{address}#model=mean")
    take(page, photo)
    page.run("document.querySelector('#damaged').focus()")
    page.press("ArrowRight")
    assert not missing(page, (333, 601)).any()
    page.press(" ")
    brush = int(page.run("document.querySelector('#brush').value"))
    assert_dot(page, 333 / 2, 601 / 2 + brush / 2)
    assert not page.run("document.querySelector('#clear').disabled")


def test_a_click_paints_a_dot(page: Page, address: str, photo: Path) -> None:
    page.open(f"{address}#model=mean")
    take(page, photo)
    box = page.run("(b => [b.x, b.y, b.width, b.height])(document.querySelector('#damaged').getBoundingClientRect())")
    page.drag([(box[0] + 0.25 * box[2], box[1] + 0.75 * box[3])])
    assert_dot(page, 0.75 * 333, 0.25 * 601)


def test_the_divider_moves_by_keyboard(page: Page, address: str, photo: Path) -> None:
    page.open(f"{address}#model=mean")
    take(page, photo)
    restore(page)
    divider = "getComputedStyle(document.querySelector('#restored')).clipPath"
    assert "50%" in page.run(divider)
    page.run("document.querySelector('#compare').focus()")
    for _ in range(10):
        page.press("ArrowRight")
    assert "60%" in page.run(divider)
    page.press("Home")
    assert "0%)" in page.run(divider)
    spoken = page.run("document.querySelector('#compare').getAttribute('aria-valuetext')")
    assert spoken == "0% damaged, 100% restored"


@pytest.mark.parametrize("name", ["notes.txt", "broken.png", "cut.jpg"])
def test_a_bad_file_is_named_in_one_line(page: Page, address: str, photo: Path, name: str) -> None:
    bad = photo.with_name(name)
    bad.write_bytes(
        {"notes.txt": b"hello", "broken.png": b"\x89PNG\r\n\x1a\nrubbish", "cut.jpg": b"\xff\xd8\xff"}[name]
    )
    page.open(f"{address}#model=mean")
    take(page, bad)
    assert (
        page.run(STATUS) == f"{name} is not a picture that this browser can read; accepted: JPEG, PNG and WebP files."
    )
    assert page.run("document.querySelector('#status').classList.contains('problem')")
    assert page.run("!document.querySelector('#drop').hidden")
    take(page, photo)  # and the page goes on
    assert restore(page).shape == (333, 601, 3)


def test_a_dropped_file_is_taken(page: Page, address: str) -> None:
    page.open(f"{address}#model=mean")
    page.run("""{
      const data = new DataTransfer();
      data.items.add(new File(["no picture"], "dropped.txt", {type: "text/plain"}));
      const about = {dataTransfer: data, bubbles: true, cancelable: true};
      document.querySelector("#drop").dispatchEvent(new DragEvent("drop", about));
    }""")
    page.idle()
    assert page.run(STATUS).startswith("dropped.txt is not a picture")


def test_a_large_picture_is_scaled_with_a_word_about_it(page: Page, address: str, tmp_path: Path) -> None:
    Image.new("L", (4000, 2000), 90).save(tmp_path / "large.png")
    page.open(f"{address}#model=mean")
    take(page, tmp_path / "large.png")
    assert page.run(STATUS) == "large.png was scaled from 4000 × 2000 to 1732 × 866 pixels."


def test_the_example_is_at_hand(page: Page, address: str) -> None:
    page.open(f"{address}#model=mean")
    page.click("#example")
    page.idle()
    assert page.run(STATUS) == "The example, 451 × 300 pixels."


def test_a_network_of_one_size_gets_the_centre_of_a_picture(page: Page, address: str, tmp_path: Path) -> None:
    sides = np.zeros((48, 144, 3), np.uint8)
    sides[:, 48:96] = 200
    Image.fromarray(sides).save(tmp_path / "sides.png")
    page.open(f"{address}#model=fixed")
    take(page, tmp_path / "sides.png")
    damaged = array(page, "jaxgen.damaged()")
    assert damaged.shape == (24, 24, 3)
    np.testing.assert_array_equal(damaged[:, 1:-1], np.full((24, 22, 3), 200))
    assert_restores(restore(page), damaged, np.zeros((24, 24)))


def test_switches_say_what_is_repaired(page: Page, address: str, photo: Path) -> None:
    page.open(f"{address}#model=told")
    take(page, photo)
    original = np.asarray(Image.open(photo)).astype(float)
    labels = page.run("[...document.querySelectorAll('#switches label')].map(e => e.textContent)")
    assert labels == ["Noise", "JPEG", "Salt and pepper"]
    changes = 127.5 * np.array(list(stand_ins.REPAIRS.values()))
    np.testing.assert_allclose(restore(page), np.clip(original - changes[0] - changes[1], 0, 255), atol=1)
    page.click("#repair-jpeg")
    page.click("#repair-salt_and_pepper")
    assert page.run("document.querySelector('#download').disabled")  # what was restored is another thing
    np.testing.assert_allclose(restore(page), np.clip(original - changes[0] - changes[2], 0, 255), atol=1)


def test_levels_are_seen_where_there_is_an_estimator(page: Page, address: str, tmp_path: Path) -> None:
    """Waves of all frequencies, light above: only in light windows the stand-in sees something."""
    y, x = np.mgrid[:300, :420]
    waves = 150 + 50 * np.sin(x * y / 900) * (y > 140) + y / 9
    photo = np.stack([waves, waves - 20, waves + 30], axis=-1).clip(0, 255).astype(np.uint8)
    Image.fromarray(photo).save(tmp_path / "waves.png")
    page.open(f"{address}#model=seeing")
    take(page, tmp_path / "waves.png")
    windows = windows_of(photo)
    seen = estimate_levels(stand_ins.expected_levels, ("noise", "jpeg"), 3, windows)
    assert 10 < 255 * seen["noise"] < 100
    change = 127.5 * sum(factor * seen[name] for name, factor in stand_ins.REPAIRS.items() if name in seen)
    np.testing.assert_allclose(restore(page), np.clip(photo + change, 0, 255), atol=0.51)
    quality = 100 - 100 * seen["jpeg"]
    words = f"seconds: noise of about {255 * seen['noise']:.0f}/255, JPEG quality of about {quality:.0f}. Move"
    assert words in page.run(STATUS)

    Image.fromarray(photo // 3).save(tmp_path / "dark.png")
    take(page, tmp_path / "dark.png")
    page.click("#restore")
    page.idle()
    assert page.run(STATUS) == "Nothing to repair is seen, so the picture stays as it is."
    assert not page.run("document.querySelector('#restore').disabled")
    page.click("#repair-salt_and_pepper")  # which it cannot see
    np.testing.assert_allclose(restore(page), np.clip(photo // 3 - 127.5 * 0.5, 0, 255), atol=0.51)


def test_with_all_switches_off_only_the_painted_part_is_changed(page: Page, address: str, photo: Path) -> None:
    page.open(f"{address}#model=told")
    take(page, photo)
    for name in ("noise", "jpeg"):
        page.click(f"#repair-{name}")
    page.click("#restore")
    page.idle()
    assert page.run(STATUS) == "All repairs are off, so the picture stays as it is."
    assert page.run("document.querySelector('#download').disabled")
    page.run("document.querySelector('#damaged').focus()")
    page.press(" ")
    restored, mask = restore(page), missing(page, (333, 601)) == 1
    original = np.asarray(Image.open(photo))
    filled, known = fill_large_holes(original, ~mask)
    np.testing.assert_array_equal(restored[~mask], original[~mask])
    np.testing.assert_array_equal(restored[~known], np.full(((~known).sum(), 3), 191))
    np.testing.assert_allclose(restored[mask & known].astype(int), filled[mask & known], atol=1)


@pytest.mark.parametrize("slope", [0, 200])
def test_a_large_hole_is_filled_from_its_surroundings(page: Page, address: str, tmp_path: Path, slope: int) -> None:
    """The stand-in gives 191 wherever the network is told that a pixel is missing."""
    red = np.zeros((240, 320, 3))
    red[..., 0] = 255 - slope * np.linspace(0, 1, 320)
    Image.fromarray(np.rint(red).astype(np.uint8)).save(tmp_path / "red.png")
    page.open(f"{address}#model=told")
    take(page, tmp_path / "red.png")
    for name in ("noise", "jpeg"):
        page.click(f"#repair-{name}")
    page.run("document.querySelector('#brush').max = 96")
    page.set("#brush", 96)
    page.run("document.querySelector('#damaged').focus()")
    page.press(" ")
    restored, hole = restore(page), missing(page, (240, 320)) == 1
    assert hole.sum() == pytest.approx(np.pi * 48**2, rel=0.02)
    y, x = np.mgrid[:240, :320]
    middle = np.hypot(y - 119.5, x - 159.5) < 48 - 8
    assert (hole[middle]).all()
    np.testing.assert_allclose(restored[middle], red[middle], atol=2)


def test_a_network_that_does_not_fill_has_no_brush(page: Page, address: str, photo: Path) -> None:
    page.open(f"{address}#model=no-holes")
    take(page, photo)
    assert page.run("[...document.querySelectorAll('.painting')].every(e => !e.offsetParent)")
    box = page.run("(b => [b.x, b.y, b.width, b.height])(document.querySelector('#damaged').getBoundingClientRect())")
    page.drag([(box[0] + part * box[2], box[1] + 0.5 * box[3]) for part in (0.2, 0.5)])
    assert not missing(page, (333, 601)).any()
    page.open(f"{address}#model=told")
    take(page, photo)
    assert page.run("[...document.querySelectorAll('.painting')].every(e => e.offsetParent)")
