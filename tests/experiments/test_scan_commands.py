"""Scans as a user types them: flags of the experiments, bad input in one line; the benchmark of populations."""

import json
import signal
import sys

import numpy as np
import pytest

from experiments import scan_gan_mnist, scan_inverse_mnist
from experiments.benchmarks import population
from jaxgen.errors import InputError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "noise.npz"
    np.savez(path, images=np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), np.uint8))
    return path


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--hparams.lr", "fast"], ["hparams.lr", "'fast'", "1e-4,2e-4"]),
        (["--hparams.lr", "1e-4..1e-2"], ["hparams.lr", "--random"]),
        (["--hparams.b1", "0.5,1"], ["hparams.b1", "1.0", "below 1"]),
        (["--seeds", "0"], ["seeds", "0"]),
        (["--halving"], ["halving", "--random"]),
        (["--population", "pmap"], ["population", "'pmap'", "shard"]),
        (["--devices", "2"], ["devices", "--population"]),
        (["--extract", "1"], ["resume", "there is none"]),
    ],
)
def test_bad_input_gets_one_line(flags, words, npz, capsys, monkeypatch, tmp_path):
    usual = ["--dataset", f"npz:{npz}", "--out", str(tmp_path), "--architecture", "mlp"]
    monkeypatch.setattr(sys, "argv", ["scan", *usual, *flags])
    monkeypatch.setattr("jaxgen.training.parallel.setup_backend", lambda: None)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end:
        scan_gan_mnist.main()
    signal.signal(signal.SIGTERM, before)
    error = capsys.readouterr().err
    assert end.value.code == 2
    assert error.count("\n") == 1
    assert all(word in error for word in words), error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("module", [scan_gan_mnist, scan_inverse_mnist])
def test_help_shows_numbers_and_how_members_run(module, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["scan", "--help"])
    with pytest.raises(SystemExit) as end:
        module.main()
    text = capsys.readouterr().out
    assert end.value.code == 0
    for word in ("--hparams.lr", "LOW..HIGH", "--seeds", "--halving", "--population", "--extract"):
        assert word in text


def test_a_small_race_of_populations_leaves_a_readable_document(tmp_path, capsys):
    out = tmp_path / "result.json"
    config = population.PopulationBenchmark(
        members=(2,), modes=("map", "shard"), repeats=1, steps_per_dispatch=1, batch_size=4,
        cases=("gan_mnist_mlp",), out=str(out),
    )  # fmt: skip
    population.run(config)
    (case,) = json.loads(out.read_text())["cases"]
    assert case["members"] == 2
    rows = {row["label"]: row for row in case["rows"]}
    assert list(rows) == [population.SOLO, "map", "shard"]
    for row in rows.values():
        assert row["images_per_second"] == pytest.approx(4 / row["seconds_per_member_step"])
        solo = rows[population.SOLO]["seconds_per_member_step"]
        assert row["ratio_to_solo"] == pytest.approx(solo / row["seconds_per_member_step"])
    assert "images/s" in capsys.readouterr().out


@pytest.mark.parametrize("values", [{"members": (0,)}, {"members": ()}, {"repeats": 0}, {"steps_per_dispatch": 0}])
def test_bad_settings_of_the_benchmark(values):
    with pytest.raises(InputError, match=f"{next(iter(values))}: got"):
        population.PopulationBenchmark(**values)


def test_an_unknown_mode_is_refused_before_anything_is_measured():
    with pytest.raises(InputError, match="population: got 'fast'"):
        population.run(population.PopulationBenchmark(modes=("fast",)))
