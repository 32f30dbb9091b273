"""The changes of CONTRIBUTING.md and docs/adding_a_task.md are made to a copy of the project, and work together."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAP = (ROOT / "CONTRIBUTING.md").read_text()
TEXT = MAP + (ROOT / "docs" / "adding_a_task.md").read_text()
DESIGN = (ROOT / "docs" / "design.md").read_text()
STEP = """
import jax, numpy as np
from experiments.corners_mnist import CONFIG
from jaxgen.tasks.restoration.algorithm import make_restoration

restoration = make_restoration(CONFIG.restoration, (16, 16, 1), 4)
state = restoration.init(jax.random.key(0), vars(CONFIG.hparams) | {"schedule_images": 100.0})
batch = {"images": np.random.default_rng(0).integers(0, 256, (4, 16, 16, 1), np.uint8)}
after, metrics = jax.jit(restoration.step)(state, batch, jax.random.key(1))
print(float(metrics["loss/restorer"]), len(jax.tree.leaves(after.params)))
"""
TASK = """
import glob, sys
import numpy as np
from jaxgen.cli import main

np.savez("x.npz", images=np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8))
small = "--dataset npz:x.npz --batch-size 4 --steps-per-dispatch 2 --checkpoint-every 2 --out runs".split()
main(["train", "autoencoder", *small, "--steps", "4"])
(run,) = glob.glob("runs/autoencoder/*")
main(["train", "autoencoder", "--resume", run, "--steps", "6"])
main(["scan", "autoencoder", *small, "--steps", "2", "--hparams.lr", "1e-3,1e-2", "--population", "map"])
main(["export", run, "--out", "bundle"])
main(["runs", "runs"])
import jaxgen
images = np.load("x.npz")["images"]
print("restored", jaxgen.load("bundle").restore(images[0]).shape)
"""


def blocks() -> list[tuple[str, str, str]]:
    """(path, language, code) of each block under a file's name."""
    found, path = [], None
    for named, language, code in re.findall(r"^(?:In )?`([\w./]+)`:$|^```(\w+)\n(.*?)^```$", TEXT, re.M | re.S):
        path = named or path
        if language in ("diff", "python"):
            found.append((path, language, code))
    return found


def changed(text: str, diff: str) -> str:
    """The text with the lines of a diff without line numbers changed; they must be there once."""
    lines = diff.splitlines()
    before = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
    after = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
    assert text.count(before) == 1, before
    return text.replace(before, after)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("copy")
    for package in ("jaxgen", "experiments"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    for path, language, code in blocks():
        file = root / path
        assert file.exists() == (language == "diff"), path
        file.parent.mkdir(exist_ok=True)
        file.write_text(changed(file.read_text(), code) if language == "diff" else code)
    return root


def run(copy: Path, program: str, cwd: Path) -> str:
    env = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(copy), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    done = subprocess.run([sys.executable, "-c", program], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_kind_of_thing_is_shown() -> None:
    paths = {path.rsplit("/", 1)[0] for path, _, _ in blocks()}
    assert paths == {
        "jaxgen/losses", "jaxgen/degradations", "jaxgen/networks", "jaxgen/tasks", "jaxgen/tasks/restoration",
        "jaxgen/tasks/autoencoder", "experiments",
    }  # fmt: skip
    assert len(blocks()) == 15


def test_the_map_is_short_and_names_what_exists() -> None:
    assert len(MAP.splitlines()) <= 250
    made = {path for path, language, _ in blocks() if language == "python"}
    named = re.findall(r"`((?:jaxgen|tests|experiments)/[\w./]*)`", TEXT + DESIGN) + re.findall(r"\]\(([\w./]+)\)", MAP)
    assert [path for path in named if path not in made and not (ROOT / path).exists()] == []


def test_the_table_has_every_subpackage_and_module() -> None:
    listed = set(re.findall(r"`([\w./]+)`", "".join(re.findall(r"^\| (`.*?) \|", DESIGN, re.M))))
    made = {f"{path.parent.name}/" for path in ROOT.glob("jaxgen/*/__init__.py")}
    made |= {path.name for path in ROOT.glob("jaxgen/[a-z]*.py")}
    assert listed == made | {"experiments/"}


def test_a_step_with_all_of_them_together(copy: Path) -> None:
    loss, leaves = run(copy, STEP, copy).split()
    assert 0.0 < float(loss) < 1.0
    assert int(leaves) == 8  # kernel and bias of four convolutions


def test_a_task_is_trained_resumed_scanned_exported_and_listed(copy: Path, tmp_path: Path) -> None:
    output = run(copy, TASK, tmp_path)
    (folder,) = (tmp_path / "runs" / "autoencoder").iterdir()
    assert json.loads((folder / "run.json").read_text())["steps"] == 6
    assert (folder / "pairs.png").exists()
    assert "Reconstructions" in (folder / "report.html").read_text()
    (scan,) = (tmp_path / "runs" / "scan_autoencoder_mnist").iterdir()
    assert len(json.loads((scan / "scan.json").read_text())["members"]) == 2
    listed = [line.split() for line in output.splitlines() if line.startswith("runs/")]
    assert [(row[0].split("/")[1], row[2], row[3]) for row in listed] == [
        ("autoencoder", "6/6", "complete"), ("scan_autoencoder_mnist", "2/2", "complete"),
    ]  # fmt: skip
    assert output.splitlines()[-1] == "restored (8, 8)"
