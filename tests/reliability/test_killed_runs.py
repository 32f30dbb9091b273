"""A run killed at 30 random moments ends as an uninterrupted one, bit for bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
KILLS = 30
SEED = int(os.environ.get("JAXGEN_KILLS_SEED", "0"))


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    args = [sys.executable, str(Path(__file__).with_name("killed_runs.py")), str(folder), str(KILLS), str(SEED)]
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(args, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120 + 30 * KILLS)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_run_killed_anywhere_ends_as_an_uninterrupted_one(report):
    assert report["whole"] == 0
    assert report["wrong"] == []
    assert len(report["moments"]) == KILLS
    assert report["ended"] >= 1
    assert report["operations"] > 50


def test_a_second_process_gets_one_line(report):
    code, text = report["second"]
    assert code == 2
    assert text.count("\n") == 1
    assert text.startswith("error: out: got ")
    assert "a run that no other process trains" in text
