"""Whole scans on a few images: what they leave, stop and resume, members as runs of their own, halving."""

import dataclasses
import json
import signal

import jax
import numpy as np
import pytest

from jaxgen.checkpoints.folder import read_meta
from jaxgen.config_json import from_dict
from jaxgen.data.config import DataConfig
from jaxgen.errors import InputError, NonFiniteError
from jaxgen.runs import ledger
from jaxgen.runs.folder import Run, new_run, read_run_config
from jaxgen.runs.measures import Measure
from jaxgen.runs.reading import read_metrics
from jaxgen.scans import scan as scan_module
from jaxgen.scans.config import ScanConfig, scan_of
from jaxgen.scans.scan import run_or_extract
from jaxgen.tasks.gan import task as gan_task
from jaxgen.tasks.gan.config import GanConfig, GanRecipe
from jaxgen.tasks.load import load
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationRecipe
from jaxgen.tasks.train import train_run
from jaxgen.training.config import TrainConfig

STRUCTURE = GanConfig(architecture="mlp", base_channels=1, latent_dim=4, optimizer="sgd")
TRAIN = TrainConfig(steps=8, batch_size=4, log_every=4, checkpoint_every=4, steps_per_dispatch=3)


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "noise.npz"
    np.savez(path, images=np.random.default_rng(0).integers(0, 256, (32, 8, 8), np.uint8))
    return path


def make_config(npz, scan=None, train=TRAIN, **hparams):
    config = scan_of(GanRecipe(data=DataConfig(dataset=f"npz:{npz}"), gan=STRUCTURE, train=train))
    numbers = dataclasses.replace(config.hparams, **({"lr": "1e-2,2e-2,1e30", "r1": "0.5"} | hparams))
    return dataclasses.replace(config, hparams=numbers, scan=scan or ScanConfig(seeds=2, population="map"))


def start(out, config, resume=None) -> Run:
    run = new_run("tiny", str(out), "python -m experiments.tiny") if resume is None else resume._replace(resumed=True)
    run_or_extract(run, config)
    return run


@pytest.fixture(scope="module")
def finished(npz, tmp_path_factory):
    return start(tmp_path_factory.mktemp("scan"), make_config(npz))


@pytest.fixture
def cheap_judge(monkeypatch):
    """In the place of the distance: how far the first weight of the generator is from zero."""

    def evaluate(state):
        return float(abs(jax.tree.leaves(state.ema_params)[1].ravel()[0]))

    measure = Measure("quality/weight", "a weight", evaluate)
    monkeypatch.setattr(gan_task, "TASK", gan_task.TASK._replace(measures=lambda *args: (measure,)))


def scan_json(run: Run):
    return json.loads((run.directory / "scan.json").read_text())


def test_a_scan_leaves_a_leaderboard_and_flags_the_diverged(finished, capsys):
    scan = scan_json(finished)
    assert scan["varied"] == ["lr"]
    assert [m["status"] for m in scan["members"]] == ["running"] * 4 + ["diverged"] * 2
    assert sorted((m["hparams"]["lr"], m["seed"]) for m in scan["members"][:4]) == [
        (0.01, 0), (0.01, 1), (0.02, 0), (0.02, 1),
    ]  # fmt: skip
    scores = [m["scores"][-1][1] for m in scan["members"][:4]]
    assert scores == sorted(scores)
    assert all([step for step, _ in m["scores"]] == [4, 8] for m in scan["members"][:4])
    assert json.loads((finished.directory / "run.json").read_text())["status"] == "complete"
    page = (finished.directory / "scan.html").read_text()
    assert 'class="map"' in page
    assert f"Member {scan['members'][0]['number']}, lr" in page  # the best, with a picture drawn at the end
    rows = read_metrics(finished.directory)
    assert [row["step"] for row in rows if "loss/generator.0" in row] == [4, 8]
    assert not any("loss/generator.4" in row for row in rows[1:])  # diverged in the first dispatch


@pytest.mark.slow
def test_a_member_taken_out_is_the_run_that_it_would_have_been(finished, npz, tmp_path):
    config = make_config(npz, ScanConfig(extract=3))
    run_or_extract(finished._replace(resumed=True), config)
    folder = finished.directory / "members" / "3"
    recipe = read_run_config(folder, GanRecipe)
    assert (recipe.train.seed, recipe.hparams.lr, recipe.hparams.schedule_images) == (1, 0.02, None)
    taken = load(folder)
    assert (taken.facts.step, int(taken.state.step)) == (8, 8)
    alone = new_run("tiny", str(tmp_path), "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gan_task, "TASK", gan_task.TASK._replace(finish=lambda *args: None))  # no pictures
        train_run(alone, recipe)
    expected = load(alone.directory).state
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5), taken.state, expected)
    judged = [[row["quality/frechet_32"] for row in read_metrics(f) if "quality/frechet_32" in row]
              for f in (folder, alone.directory)]  # fmt: skip
    assert len(judged[0]) == 2  # both evaluations of the scan; those of the run had fakes of its own seed
    with pytest.raises(InputError, match=r"is extracted already; use .*remove that folder"):
        run_or_extract(finished._replace(resumed=True), config)
    with pytest.raises(InputError, match=r"extract: got 9; accepted: .* 0, 1, 2, 3, 4, 5"):
        run_or_extract(finished._replace(resumed=True), make_config(npz, ScanConfig(extract=9)))


def test_stopped_by_a_signal_and_resumed_is_the_same_to_the_bit(finished, npz, tmp_path, monkeypatch):
    flag = ledger.with_diverged

    def flag_and_stop(*args):
        signal.raise_signal(signal.SIGTERM)
        return flag(*args)

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "with_diverged", flag_and_stop)
        run = start(tmp_path, make_config(npz))
    assert read_meta(run.directory / "checkpoints")[0] == 2  # a dispatch has two steps, which divide eight
    assert json.loads((run.directory / "run.json").read_text())["status"] == "stopped by SIGTERM"
    start(tmp_path, make_config(npz), run)
    assert scan_json(run)["members"] == scan_json(finished)["members"]
    records = [
        json.loads((r.directory / "checkpoints" / "8" / "meta" / "metadata").read_text())["leaves"]
        for r in (run, finished)
    ]
    assert records[0] == records[1]  # checksums of every array
    with pytest.raises(InputError, match="seeds: got 3; accepted: 2"):
        start(tmp_path, make_config(npz, ScanConfig(seeds=3, population="map")), run)
    with pytest.raises(InputError, match="hparams: got"):
        start(tmp_path, make_config(npz, lr="1e-3"), run)


@pytest.mark.slow
def test_halving_drops_and_refills_and_goes_on_where_it_stopped(npz, tmp_path, cheap_judge):
    scan = ScanConfig(random=4, halving=True, population="map")
    whole = start(tmp_path / "a", make_config(npz, scan, lr="1e-3..1e-1"))
    members = {m["number"]: m for m in scan_json(whole)["members"]}
    assert sum(m["status"] == "dropped" and m["steps"] == 1 for m in members.values()) >= 2
    fresh = [m for m in members.values() if m["born"] > 0]
    assert len(fresh) >= 2
    assert sorted(m["slot"] for m in members.values() if m["slot"] >= 0) == [0, 1, 2, 3]
    assert all(m["steps"] == 8 - m["born"] for m in members.values() if m["slot"] >= 0)
    stopped = start(tmp_path / "b", make_config(npz, scan, dataclasses.replace(TRAIN, minutes=1e-9), lr="1e-3..1e-1"))
    assert read_meta(stopped.directory / "checkpoints")[0] == 1
    start(tmp_path / "b", make_config(npz, scan, lr="1e-3..1e-1"), stopped)
    assert scan_json(stopped)["members"] == scan_json(whole)["members"]


def test_a_scan_ends_when_all_members_have_diverged(npz, tmp_path, cheap_judge):
    config = make_config(npz, ScanConfig(population="map"), lr="1e30")
    with pytest.raises(NonFiniteError, match="all members diverged by step"):
        start(tmp_path, config)


def test_a_damaged_newest_checkpoint_takes_its_members_with_it(npz, tmp_path, cheap_judge):
    config = make_config(npz, ScanConfig(population="map"), lr="1e-2,2e-2")
    run = start(tmp_path, config)
    folder = run.directory / "checkpoints" / "8" / "state"
    for path in (path for path in folder.rglob("*") if path.is_file()):
        path.write_bytes(b"")
    taken = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan_module, "record", lambda run, training: taken.append(training))
        start(tmp_path, config, run)
    (training,) = taken
    assert int(training.program.state.step) == 4
    assert [(entry.steps, [step for step, _ in entry.scores]) for entry in training.members.ledger] == [(4, [4])] * 2


def test_a_scan_needs_a_measure(npz, tmp_path, monkeypatch):
    monkeypatch.setattr(gan_task, "TASK", gan_task.TASK._replace(measures=lambda *args: ()))
    with pytest.raises(InputError, match="measures: got 'none'; accepted: one at least, to rank the members"):
        start(tmp_path, make_config(npz))


@pytest.mark.slow
def test_restorers_can_be_scanned(npz, tmp_path):
    structure = RestorationConfig(widths=(2,), depth=1, schedule="noise:2,damage:2", damage="gaussian:0.1")
    train = dataclasses.replace(TRAIN, steps=4)
    config = scan_of(RestorationRecipe(data=DataConfig(dataset=f"npz:{npz}"), restoration=structure, train=train))
    hparams = dataclasses.replace(config.hparams, lr="1e-3,1e-2")
    config = dataclasses.replace(config, hparams=hparams, scan=ScanConfig(population="map"))
    run = new_run("tiny", str(tmp_path), "")
    run_or_extract(run, config)
    scan = scan_json(run)
    assert (scan["metric"], scan["higher_is_better"]) == ("quality/psnr", True)
    first, second = (m["scores"][-1][1] for m in scan["members"])
    assert 0 < second <= first
    assert [m["scores"][-1][0] for m in scan["members"]] == [4, 4]
    run_or_extract(run._replace(resumed=True), dataclasses.replace(config, scan=ScanConfig(extract=1)))
    assert load(run.directory / "members" / "1").facts.shape == (8, 8, 1)


@pytest.mark.parametrize("values", [{"seeds": 0}, {"random": 0}, {"halving": True}])
def test_bad_scan_settings(values):
    with pytest.raises(InputError, match=f"{next(iter(values))}: got"):
        ScanConfig(**values)


def test_the_configuration_survives_json(npz):
    config = make_config(npz)
    assert from_dict(type(config), json.loads(json.dumps(dataclasses.asdict(config)))) == config
