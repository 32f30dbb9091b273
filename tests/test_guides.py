"""The guides, command by command, in small: what they say can be typed, in their order, and leaves what they say."""

import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxgen.cli.commands import main

pytestmark = pytest.mark.slow
GUIDES = Path(__file__).parents[1] / "docs" / "guides"
COMMON = "--batch-size 4 --steps-per-dispatch 1"
ALONE = f"{COMMON} --devices 1"
SMALL = {
    "train gan": f"{ALONE} --architecture mlp --base-channels 1 --latent-dim 4 --steps 2",
    "train cgan": f"{ALONE} --architecture mlp --base-channels 1 --latent-dim 4 --steps 2",
    "train inverse": f"{ALONE} --widths 2 --depth 1 --schedule noise:1,damage:1 --steps 2",
    "scan gan": f"{COMMON} --architecture mlp --base-channels 1 --latent-dim 4 --population map",
    "scan inverse": f"{COMMON} --widths 2 --depth 1 --schedule noise:1,damage:1 --population map",
}
"""Flags added to make it small."""
SMALLER = {
    "--num 1000": "--num 8",
    "--steps 500": "--steps 2",
    "--steps 800": "--steps 8",
    "--steps 300": "--steps 2",
    "--dataset digits": "--dataset folder:pictures --image-size 8 --channels 1",
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with what the guides start from."""
    rng = np.random.default_rng(0)
    for folder in ("pictures/cats", "pictures/dogs", "scans", "clean", "held_out"):
        (tmp_path / folder).mkdir(parents=True)
        for i in range(1 if folder in ("scans", "held_out") else 12):
            pixels = rng.integers(0, 256, (72, 80, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{'portrait' if folder == 'scans' else i}.png")
    mask = np.zeros((72, 80), np.uint8)
    mask[20:30, 20:40] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxgen.training.parallel.setup_backend", lambda: None)
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]
    yield tmp_path
    for number, handler in before:
        signal.signal(number, handler)


def follow(guide: str) -> None:
    """Types the commands of a guide."""
    text = (GUIDES / guide).read_text()
    for line in re.findall(r"^jaxgen (.*)$", "\n".join(re.findall(r"```sh\n(.*?)```", text, re.S)), re.M):
        command = line.partition("  #")[0]
        for large, small in SMALLER.items():
            command = command.replace(large, small)
        words = shlex.split(command)
        if words[0] == "web":  # needs onnxruntime-web: tests/web
            continue
        extra = SMALL.get(" ".join(words[:2]), "")
        if "--extract" in words or "--resume" in words:
            extra = ""
        args = [part for word in words for part in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]
        main([*args, *extra.split()])


def test_own_pictures(here: Path) -> None:
    follow("own_pictures.md")
    assert Image.open(here / "cats.png").size[0] > 32
    code = re.search(r"```python\n(.*?)```", (GUIDES / "own_pictures.md").read_text(), re.S).group(1)
    names: dict = {}
    exec(code.replace("seed=1", "seed=1, label='dogs'"), names)
    assert names["pictures"].shape == (16, 32, 32, 3)


def test_old_photos(here: Path) -> None:
    follow("old_photos.md")
    scan = np.asarray(Image.open(here / "scans" / "portrait.png"))
    filled = np.asarray(Image.open(next((here / "filled").rglob("portrait.png"))))
    mask = np.asarray(Image.open(here / "mask.png")) > 0
    assert (filled[~mask] == scan[~mask]).all()
    assert (filled[mask] != scan[mask]).any()
    code = re.search(r"```python\n(.*?)```", (GUIDES / "old_photos.md").read_text(), re.S).group(1)
    names: dict = {}
    exec(code, names)
    assert names["restored"].shape == scan.shape
    assert names["restored"].dtype == scan.dtype


def test_scan_hyperparameters(here: Path) -> None:
    follow("scan_hyperparameters.md")
    assert (here / "best.png").exists()
    assert len(list((here / "runs").glob("*/*/scan.html"))) == 3
