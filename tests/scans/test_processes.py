"""A scan whose members are spread over two processes: the members and the scores of one process alone."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.scan_gan_mnist import CONFIG
from jaxgen.config_json import load_config
from jaxgen.runs.folder import Run, new_run
from jaxgen.scans.scan import run_or_extract
from tests.pairs import Ended, environment, run_pair

pytestmark = pytest.mark.slow
PROGRAM = "from experiments.scan_gan_mnist import main; main()"
FLAGS = (
    "--architecture mlp --base-channels 1 --latent-dim 4 --batch-size 4 --optimizer sgd "
    "--hparams.lr 1e-3,1e30 --seeds 2 --steps 6 --log-every 3 --checkpoint-every 3 --steps-per-dispatch 3 "
    "--population shard"
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Ended]]:
    """Folder of the scan, and how both processes ended."""
    folder = tmp_path_factory.mktemp("scan")
    np.savez(folder / "data.npz", images=np.random.default_rng(0).integers(0, 256, (30, 8, 8)).astype(np.uint8))
    flags = ["--dataset", f"npz:{folder / 'data.npz'}", "--out", str(folder / "runs"), *FLAGS.split()]
    ends = run_pair(PROGRAM, [[], []], flags, environment(folder / "xla"))
    assert [ended.code for ended in ends] == [0, 0], ends
    (run,) = (folder / "runs" / "scan_gan_mnist").iterdir()  # both in one folder
    return run, ends


def members(folder: Path) -> dict[int, dict[str, Any]]:
    found = json.loads((folder / "scan.json").read_text())["members"]
    return {member["number"]: member for member in found}


def test_process_0_alone_speaks_and_writes(pair: tuple[Path, list[Ended]]) -> None:
    folder, (first, second) = pair
    assert "4 members, ranked by" in first.output
    assert "members" not in second.output
    assert json.loads((folder / "run.json").read_text())["hardware"]["processes"] == 2
    assert 'class="map"' in (folder / "scan.html").read_text()


def test_members_and_scores_are_those_of_one_process(pair: tuple[Path, list[Ended]], tmp_path: Path) -> None:
    folder, _ = pair
    config = load_config(type(CONFIG), folder / "config.json")
    assert config != CONFIG
    alone: Run = new_run("scan", str(tmp_path), "")
    run_or_extract(alone, dataclasses.replace(config, scan=dataclasses.replace(config.scan, population="map")))
    spread, expected = members(folder), members(alone.directory)
    assert sorted(spread) == sorted(expected) == [0, 1, 2, 3]
    for number, member in expected.items():
        assert spread[number]["status"] == member["status"] == ("running" if number < 2 else "diverged")
        np.testing.assert_allclose(spread[number]["scores"], member["scores"], rtol=1e-3)
