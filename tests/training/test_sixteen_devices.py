"""Sixteen host devices, as a slice of a TPU has chips: a labelled GAN is trained and evaluated, three members scan."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pairs import environment

pytestmark = pytest.mark.slow
PROGRAM = """
import dataclasses, json, pathlib, sys
import jax, numpy as np
from jaxgen.data.config import DataConfig
from jaxgen.data.sources import array_source
from jaxgen.evaluation import classifier_score
from jaxgen.runs.folder import new_run
from jaxgen.scans.scan import run_or_extract
from jaxgen.scans.config import ScanConfig, scan_of
from jaxgen.tasks.gan import evaluate
from jaxgen.tasks.gan.config import GanConfig, GanRecipe
from jaxgen.tasks.load import load
from jaxgen.tasks.train import train_run
from jaxgen.training.config import TrainConfig

out, noise = sys.argv[1], np.random.default_rng(0)
splits = [array_source(noise.integers(0, 256, (n, 8, 8), np.uint8), np.arange(n) % 2) for n in (64, 48)]
gan = GanConfig(architecture="mlp", base_channels=1, latent_dim=4, conditioning="concat")
settings = TrainConfig(steps=2, batch_size=16, log_every=2, checkpoint_every=2, steps_per_dispatch=2)
np.savez(f"{out}/train.npz", images=splits[0].images, labels=splits[0].labels)
config = GanRecipe(data=DataConfig(f"npz:{out}/train.npz"), gan=gan, train=settings)
run = new_run("gan", out, "")
train_run(run, config)
evaluate.open_splits = lambda config: splits
classifier_score.STEPS = classifier_score.STEPS_AT_ONCE = 2
found = evaluate.evaluate_run(load(run.directory), run.directory, 40)
scan = dataclasses.replace(scan_of(config), scan=ScanConfig(seeds=3, population="shard"))
scanned = new_run("scan", out, "")
run_or_extract(scanned, scan)
members = json.loads((scanned.directory / "scan.json").read_text())["members"]
score = found.figures["classifier_accuracy_score"].value
print(json.dumps([jax.device_count(), score, [member["steps"] for member in members]]))
"""


def test_a_labelled_gan_is_evaluated_and_three_members_are_scanned(tmp_path: Path) -> None:
    env = environment(Path(os.environ["JAX_COMPILATION_CACHE_DIR"]))
    env |= {"XLA_FLAGS": "--xla_force_host_platform_device_count=16", "PJRT_NPROC": "64"}
    ended = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-2000:]
    devices, score, steps = json.loads(ended.stdout.splitlines()[-1])
    assert devices == 16
    assert 0 <= score <= 1
    assert steps == [2, 2, 2]
