"""The README and the pages of docs/ name only what exists."""

import dataclasses
import inspect
import re
from pathlib import Path

import jax
import numpy as np

from jaxgen.cli.commands import COMMANDS
from jaxgen.scans.config import scan_type
from jaxgen.tasks.gan.config import GanRecipe
from jaxgen.tasks.private_gan.config import PrivateGanRecipe
from jaxgen.tasks.restoration.config import RestorationRecipe

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
EXAMPLE = ROOT / "docs" / "adding_a_task.md"
"""What it adds does not exist."""
PATHS = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
PAGES = {path: path.read_text() for path in PATHS if path != EXAMPLE}
ALL = "\n".join(PAGES.values())


def test_files_named_exist():
    for page, text in PAGES.items():
        for path in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (page.parent / path).exists(), f"{page}: {path}"
    for path in re.findall(r"`((?:jaxgen|experiments|tests)/[\w./]*)`", ALL):
        assert (ROOT / path).exists(), path
    for module in re.findall(r"(?:python -m |`)(experiments\.[\w.]*)", ALL):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_the_readme_is_a_front_page():
    assert len(TEXT.splitlines()) <= 180
    linked = set(re.findall(r"\]\((docs/\w+\.md)\)", TEXT))
    assert linked == {f"docs/{path.name}" for path in PATHS if path.parent.name == "docs"}


def test_the_way_to_a_train_step_is_as_short_as_it_says():
    way, limit = re.search(r"to be read in this order: (.*?): at most ([\d,]+) lines", TEXT, re.S).groups()
    files = re.findall(r"`([\w/]+\.py)`", way)
    assert len(files) == 10
    assert sum(len((ROOT / path).read_text().splitlines()) for path in files) <= int(limit.replace(",", ""))


def test_flags_named_exist():
    fields = {"dist", "help", "help-all", "n", "print-completion"}
    for name in (
        "sample",
        "evaluate",
        "restore",
        "evaluate-restoration",
        "doctor",
        "export",
        "web",
        "upscale",
        "audit",
    ):
        fields |= {flag.replace("_", "-") for flag in inspect.signature(COMMANDS[name].run).parameters}
    for group in (
        field
        for recipe in (GanRecipe, PrivateGanRecipe, RestorationRecipe, scan_type(GanRecipe))
        for field in dataclasses.fields(recipe)
    ):
        prefix = "hparams." if group.name == "hparams" else ""
        inner = dataclasses.fields(group.default) if dataclasses.is_dataclass(group.default) else [group]
        fields |= {prefix + f.name.replace("_", "-") for f in inner}
    programs = [*(ROOT / "experiments" / "benchmarks").glob("*.py"), *(ROOT / "experiments").glob("*_study.py")]
    own = set(re.findall(r"^    (\w+): ", "".join(p.read_text() for p in programs), re.M))
    ours = re.sub(r"srun .*?(?=python)", "", "\n".join(text for p, text in PAGES.items() if p.parent.name != "cards"))
    for flag in re.findall(r"(?<![\w-])--([\w.-]*\w)", ours):
        assert flag in fields or flag.removeprefix("no-").replace("-", "_") in own, flag


def test_the_example_runs():
    code = re.search(r"```python\n(.*?)```", TEXT, re.S).group(1)
    names = {"images": np.zeros((32, 28, 28, 1), np.uint8)}
    exec(code, names)
    assert names["pictures"].shape == (64, 28, 28, 1)
    assert np.abs(np.asarray(names["pictures"])).max() <= 1
    assert int(names["state"].step) == 1
    assert isinstance(names["metrics"]["loss/generator"], jax.Array)
