"""The guides, command by command, in small: what they say can be typed, in their order, and leaves what they say."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pages import follow, in_folder

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def here(tmp_path: Path) -> Iterator[Path]:
    """A folder with what the guides start from."""
    rng = np.random.default_rng(0)
    for folder in ("pictures/cats", "pictures/dogs", "scans", "clean", "held_out"):
        (tmp_path / folder).mkdir(parents=True)
        for i in range(1 if folder in ("scans", "held_out") else 12):
            pixels = rng.integers(0, 256, (72, 80, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{'print' if folder == 'scans' else i}.png")
    mask = np.zeros((72, 80), np.uint8)
    mask[20:30, 20:40] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    with in_folder(tmp_path):
        yield tmp_path


def test_own_pictures(here: Path) -> None:
    names = follow("guides/own_pictures.md")
    assert Image.open(here / "cats.png").size[0] > 32
    assert names["pictures"].shape == (16, 32, 32, 3)


def test_old_photos(here: Path) -> None:
    names = follow("guides/old_photos.md")
    scan = np.asarray(Image.open(here / "scans" / "print.png"))
    filled = np.asarray(Image.open(next((here / "filled").rglob("print.png"))))
    mask = np.asarray(Image.open(here / "mask.png")) > 0
    assert (filled[~mask] == scan[~mask]).all()
    assert (filled[mask] != scan[mask]).any()
    assert names["restored"].shape == scan.shape
    assert names["restored"].dtype == scan.dtype


def test_scan(here: Path) -> None:
    follow("scan.md")
    assert (here / "best.png").exists()
    assert len(list((here / "runs").glob("*/*/scan.html"))) == 3
