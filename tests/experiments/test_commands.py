"""The commands as a user types them, in processes of their own."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxgen import cli
from jaxgen.checkpoints.folder import latest_step, read_meta, restore
from jaxgen.config_json import load_config
from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.tasks.gan.config import GanRecipe

ROOT = Path(__file__).parents[2]
TINY = ["--architecture", "mlp", "--base-channels", "1", "--latent-dim", "8", "--batch-size", "8"]
STEPS = 4000


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "noise.npz"
    np.savez(path, images=np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), np.uint8))
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Quick compilation, and one cache for all processes, which is theirs alone: they are killed while they write."""
    own = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("cache")), "JAX_PLATFORMS": "cpu"}
    return {**os.environ, **own, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


def command(npz, out, *more):
    flags = ["--dataset", f"npz:{npz}", "--out", str(out), "--steps", str(STEPS), "--log-every", "100"]
    rare = ["--sample-every", str(STEPS), "--checkpoint-every", "1000"]
    return [sys.executable, "-m", "experiments.gan_mnist", *flags, *rare, *TINY, *more]


def finish(args, env):
    return subprocess.run(args, cwd=ROOT, env=env, capture_output=True, text=True, timeout=240)


def the_run(out):
    (folder,) = (out / "gan_mnist").iterdir()
    return folder


def kill_in_the_middle(args, env, out, number):
    """Starts a run, sends the signal after a third of its steps, returns exit code and output."""
    process = subprocess.Popen(args, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        found = list(out.glob("gan_mnist/*/metrics.jsonl"))
        if found and found[0].read_text().count("\n") > STEPS // 300:
            process.send_signal(number)
            break
        time.sleep(0.005)
    output, _ = process.communicate(timeout=100)
    return process.returncode, output


def leaves(folder):
    """Step and the hash of every array of the newest checkpoint."""
    step, meta = read_meta(folder / "checkpoints")
    config = load_config(GanRecipe, folder / "config.json")
    gan = make_gan(config.gan, tuple(meta["shape"]), config.train.batch_size)
    state, _ = restore(
        folder / "checkpoints",
        jax.eval_shape(gan.init, jax.random.key(0), vars(config.hparams) | {"schedule_images": 1.0}),
    )
    paths = jax.tree_util.tree_leaves_with_path(state)
    return step, {jax.tree_util.keystr(p): hashlib.sha256(np.asarray(x).tobytes()).hexdigest() for p, x in paths}


@pytest.fixture(scope="module")
def uninterrupted(npz, cache, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    done = finish(command(npz, out), cache)
    assert done.returncode == 0, done.stderr
    return the_run(out)


def assert_saved_and_stopped(number, code, output, run):
    assert code == 0, output
    assert f"{number.name}: saved step" in output
    assert json.loads((run / "run.json").read_text())["status"] == f"stopped by {number.name}"
    assert f"--resume {run}" in output


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_and_resumed_equals_uninterrupted(number, npz, cache, uninterrupted, tmp_path):
    code, output = kill_in_the_middle(command(npz, tmp_path), cache, tmp_path, number)
    run = the_run(tmp_path)
    if number == signal.SIGKILL:
        assert code == -signal.SIGKILL
    else:
        assert_saved_and_stopped(number, code, output, run)
    done = finish([*command(npz, tmp_path), "--resume", str(run)], cache)
    assert done.returncode == 0, done.stderr
    assert f"run: {run}, from step" in done.stdout
    step, sums = leaves(run)
    assert step == STEPS
    assert sums == leaves(uninterrupted)[1]
    assert len(sums) > 20


@pytest.mark.slow
def test_bare_resume_takes_the_newest_run_and_its_configuration(npz, cache, tmp_path):
    """Of a run that Ctrl-C stopped."""
    code, output = kill_in_the_middle(command(npz, tmp_path), cache, tmp_path, signal.SIGINT)
    run = the_run(tmp_path)
    assert_saved_and_stopped(signal.SIGINT, code, output, run)
    steps = latest_step(run / "checkpoints") + 10
    args = [sys.executable, "-m", "experiments.gan_mnist", "--steps", str(steps), "--out", str(tmp_path), "--resume"]
    done = finish(args, cache)
    assert done.returncode == 0, done.stderr
    assert the_run(tmp_path) == run
    assert json.loads((run / "config.json").read_text())["gan"]["architecture"] == "mlp"
    assert json.loads((run / "run.json").read_text())["steps"] == steps


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--steps", "many"], ["--steps", "'many'"]),
        (["--hparams.lr", "-1"], ["hparams.lr", "-1", "0 or more"]),
        (["--nonsense", "1"], ["--nonsense"]),
        (["--loss", "best"], ["'best'", "--loss", "relativistic"]),
        (["--dataset", "npz:/nowhere.npz"], ["/nowhere.npz"]),
        (["--dataset", "folder:/nowhere"], ["folder:/nowhere"]),
        (["--architecture", "dcgan"], ["image_size", "(8, 8)", "28 or 32 px", "resnet or mlp"]),
        (["--batch-size", "8", "--devices", "1000"], ["devices", "1000"]),
        (["--resume", "/nowhere"], ["resume", "/nowhere"]),
        (["--hparams.schedule-images", "0"], ["schedule_images", "0"]),
        (["--steps-per-dispatch", "0"], ["steps_per_dispatch", "0", "1 or more"]),
    ],
)
def test_bad_input_gets_one_line(flags, words, npz, capsys, monkeypatch, tmp_path):
    """In this process, as nothing is trained."""
    from experiments import gan_mnist

    monkeypatch.setattr(sys, "argv", [*command(npz, tmp_path)[2:], *flags])
    monkeypatch.setattr("jaxgen.training.parallel.setup_backend", lambda: None)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end:
        gan_mnist.main()
    signal.signal(signal.SIGTERM, before)
    error = capsys.readouterr().err
    assert end.value.code == 2
    assert error.count("\n") == 1
    assert error.startswith("error: ")
    assert all(word in error for word in words), error
    assert not list(tmp_path.iterdir())


def test_sample_command(uninterrupted, cache, capsys, monkeypatch, tmp_path):
    args = ["sample", str(uninterrupted), "--num", "7", "--seed", "1", "--out"]
    done = finish([sys.executable, "-m", "jaxgen", *args, str(tmp_path / "x.npz")], cache)
    assert done.returncode == 0, done.stderr
    assert np.load(tmp_path / "x.npz")["images"].shape == (7, 8, 8, 1)
    monkeypatch.setattr(sys, "argv", ["jaxgen", *args, str(tmp_path / "x.jpg")])  # in this process: nothing is drawn
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end:
        cli.main()
    signal.signal(signal.SIGTERM, before)
    error = capsys.readouterr().err
    assert end.value.code == 2
    assert "Traceback" not in error
    assert "x.jpg" in error
