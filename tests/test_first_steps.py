"""The notebook of first steps runs from top to bottom, offline and in a minute, and its text names what exists."""

import os
import re
import resource
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "first_steps.ipynb"
MAX_BYTES = 200_000
MAX_SECONDS = 60.0
"""Processor time, with nothing compiled before."""


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_small_and_its_links_exist(notebook):
    assert NOTEBOOK.stat().st_size < MAX_BYTES
    assert len(notebook.cells) <= 15
    nbformat.validate(notebook)
    for path in re.findall(r"\]\(([^):#]+)\)", "".join(cell.source for cell in notebook.cells)):
        assert (NOTEBOOK.parent / path).is_file(), path
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.get("name") == "stderr" or output.output_type == "error"]


@pytest.mark.slow
def test_it_runs_within_a_minute_of_processor_time(notebook, tmp_path):
    env = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    env |= {"PYTHONPATH": str(NOTEBOOK.parents[1]), "JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(tmp_path)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=None, kernel_name="python3", resources=place).execute(env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    printed = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            printed.setdefault(output.output_type, []).append(output)
    text = "".join(output.text for output in printed["stream"] if output.name == "stdout")
    noisy, restored = map(float, re.search(r"noisy ([\d.]+) dB, restored ([\d.]+) dB", text).groups())
    assert restored > noisy + 5
    assert "the same weights: True" in text
    assert len([output for output in printed["execute_result"] if "image/png" in output.data]) == 5
    assert seconds < MAX_SECONDS
