"""The pages of docs/, command by command, in small: each command and each block of Python runs, in their order."""

import itertools
import shutil
import sys
import types
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from tests.pages import DOCS, SKIPPED, blocks, commands, follow, in_folder, type_in

RUNS = ("evaluate.md", "export.md", "python.md")
"""Pages about a run that was trained before."""
ELSEWHERE = {"adding_a_task.md": "tests/test_contributing.py", "scan.md": "tests/test_guides.py"}
"""Pages whose commands and code another test runs."""
PAGES = {path.name: list(blocks(path.read_text(encoding="utf8"))) for path in sorted(DOCS.glob("*.md"))}
TYPED = [name for name in PAGES if PAGES[name] and name not in ELSEWHERE]


def save(path: Path, shape: tuple[int, ...]) -> None:
    """Writes a picture of random pixels."""
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8)).save(path)


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages start from, and a trained GAN of digits apart."""
    root, rng = tmp_path_factory.mktemp("stock"), np.random.default_rng(0)
    for i in range(12):
        save(root / "pictures" / f"{i}.png", (40, 40, 3))
        save(root / "clean" / f"{i}.png", (64, 72, 3))
    save(root / "clean" / "large.png", (256, 256, 3))
    save(root / "photo.png", (40, 48, 3))
    save(root / "small" / "another.png", (40, 48, 3))
    save(root / "one.png", (28, 28))
    save(root / "two.png", (28, 28))
    mask = np.zeros((40, 48), np.uint8)
    mask[10:15, 20:30] = 255
    Image.fromarray(mask).save(root / "mask.png")
    digits = rng.integers(0, 256, (120, 28, 28), np.uint8)
    np.savez(root / "digits.npz", images=digits, labels=np.arange(120) % 10)
    np.savez(root / "latents.npz", latents=rng.normal(size=(3, 4)).astype(np.float32))
    bodies = rng.integers(0, 256, (24, 16, 16, 16), np.uint8)
    np.savez(root / "bodies.npz", images=bodies, labels=np.arange(24) % 2)
    (root / "volumes").mkdir()
    for i, body in enumerate(bodies[:12]):
        nibabel.save(nibabel.Nifti1Image(body.astype(np.int16) - 100, np.eye(4)), root / "volumes" / f"{i}.nii.gz")
    shutil.copy(root / "volumes" / "0.nii.gz", root / "scan.nii.gz")
    hole = np.zeros((16, 16, 16), np.uint8)
    hole[4:8, 4:8, 4:8] = 1
    nibabel.save(nibabel.Nifti1Image(hole, np.eye(4)), root / "missing.nii.gz")
    (root / "my_log.py").write_text(dict(PAGES["generate.md"])["py"])
    return root


@pytest.fixture(scope="module")
def run(stock: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `runs` of a tiny conditional GAN."""
    folder = shutil.copytree(stock, tmp_path_factory.mktemp("run") / "here")
    with in_folder(folder):
        type_in("jaxgen train gan_mnist --conditioning projection")
    return folder / "runs"


@pytest.mark.slow
@pytest.mark.parametrize("page", TYPED)
def test_all_that_a_page_says_can_be_typed(
    page: str, stock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    folder = shutil.copytree(stock, tmp_path / "here")
    if page in RUNS:
        shutil.copytree(request.getfixturevalue("run"), folder / "runs")
    wandb = types.SimpleNamespace(init=lambda project: types.SimpleNamespace(log=lambda values, step: None))
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    with in_folder(folder):
        photo, mask = (np.asarray(Image.open(f"{name}.png")) for name in ("photo", "mask"))
        follow(page, photo=photo, mask=mask > 0, volume=np.load("bodies.npz")["images"][0])


def test_each_reason_to_skip_is_that_of_a_command() -> None:
    pages = itertools.chain(*PAGES.values(), *(blocks(path.read_text()) for path in (DOCS / "guides").glob("*.md")))
    typed = [command for language, block in pages if language == "sh" for command in commands(block)]
    assert [start for start in SKIPPED if not any(command.startswith(start) for command in typed)] == []
