"""Shadow models: attacks calibrated by them, and members of a scan, whose seeds have coins of their own."""

import dataclasses

import numpy as np
import pytest

from jaxgen.audit.attacks import calibrated
from jaxgen.audit.bounds import auc
from jaxgen.data.base import Canaries
from jaxgen.data.canaries import flip_coins, read_canaries, record_canaries, trained_on
from jaxgen.data.config import DataConfig
from jaxgen.data.sources import array_source
from jaxgen.errors import InputError
from jaxgen.runs.folder import Run
from jaxgen.scans.config import ScanConfig, scan_of
from jaxgen.scans.extract import members_as_runs
from jaxgen.scans.scan import run_scan
from jaxgen.scans.setup import make_scan
from jaxgen.tasks import table
from jaxgen.tasks.candidates import Shadow
from jaxgen.tasks.gan.config import GanConfig, GanRecipe
from jaxgen.tasks.load import load
from jaxgen.tasks.train import train_run
from jaxgen.training.config import TrainConfig
from tests.command_line import call

TRAIN = TrainConfig(steps=2, batch_size=4, log_every=2, checkpoint_every=2, sample_every=2, steps_per_dispatch=2)
GAN = GanRecipe(gan=GanConfig("mlp", latent_dim=2, base_channels=1), train=TRAIN)


def images_in(folder, seed: int):
    path = folder / f"{seed}.npz"
    np.savez(path, images=np.random.default_rng(seed).integers(0, 256, (60, 8, 8, 1), np.uint8))
    return DataConfig(f"npz:{path}", canaries=40)


def test_a_gain_hidden_by_what_all_models_give_is_found():
    rng = np.random.default_rng(0)
    usual, coins = rng.normal(0, 10, 400), rng.integers(0, 2, (7, 400)).astype(bool)
    scores = usual + 1.5 * coins + rng.normal(0, 0.5, (7, 400))
    scale, offset = np.arange(1, 8)[:, None], np.arange(7)[:, None]  # models differ in both
    own, shadows = scores[0], (scores * scale + offset)[1:]
    found = calibrated(own, shadows, coins[1:])
    assert auc(own[coins[0]], own[~coins[0]]).value < 0.6
    assert auc(found[coins[0]], found[~coins[0]]).value > 0.95
    np.testing.assert_allclose(calibrated(3 * own - 1, shadows, coins[1:]), found, atol=1e-9)


def test_equal_scores_show_nothing_and_shadows_of_one_kind_are_refused():
    coins = np.array([[True, False, True, False]])
    assert not calibrated(np.ones(4), np.ones((1, 4)), coins).any()
    with pytest.raises(InputError, match=r"shadows: .* some trained on each image, and some not"):
        calibrated(np.ones(4), np.ones((1, 4)), np.ones((1, 4), bool))


def test_an_image_is_trained_on_unless_its_coin_left_it_out():
    canaries = Canaries(np.array([1, 4]), np.array([True, False]), "")
    assert trained_on(canaries, np.array([0, 1, 4, -1])).tolist() == [True, True, False, False]


def test_members_of_a_scan_have_the_coins_of_runs_with_their_seeds(tmp_path):
    config = dataclasses.replace(GAN, data=images_in(tmp_path, 0))
    scan = make_scan(dataclasses.replace(scan_of(config), scan=ScanConfig(seeds=2, population="map")))
    kept = []
    for seed in (0, 1):
        alone = dataclasses.replace(config, train=dataclasses.replace(TRAIN, seed=seed))
        expected = table.task("gan").open(alone, None).train
        np.testing.assert_array_equal(scan.source_of(seed).images, expected.images)
        kept.append(expected.canaries.included)
    assert not np.array_equal(*kept)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders of a run and of a scan of two other seeds, on the same images."""
    folder = tmp_path_factory.mktemp("shadows")
    config = dataclasses.replace(GAN, data=images_in(folder, 0))
    train_run(Run("noise", folder / "run", "python", resumed=False, show=False), config)
    scan = scan_of(dataclasses.replace(config, train=dataclasses.replace(TRAIN, seed=1)))
    scan = dataclasses.replace(scan, scan=ScanConfig(seeds=2, population="map"))
    run_scan(Run("scan_noise", folder / "scan", "python", resumed=False, show=False), scan)
    return folder / "run", folder / "scan"


@pytest.mark.slow
def test_each_attack_has_a_row_calibrated_by_the_members_of_a_scan(monkeypatch, capsys, runs, tmp_path):
    run, scan = runs
    assert call(monkeypatch, "audit", run, "--num", 20, "--shadows", scan) == 0
    printed = capsys.readouterr().out
    for attack in ("discriminator (white box)", "nearest fakes (black box)"):
        assert f"\n{attack} " in printed
        assert f"\n{attack}, shadows " in printed
    folders = members_as_runs(scan)
    assert folders == [scan / "members" / "0", scan / "members" / "1"]
    source = array_source(np.load(run.parent / "0.npz")["images"])
    for seed, folder in zip((1, 2), folders, strict=True):
        expected = flip_coins(source, 40, seed).canaries
        np.testing.assert_array_equal(read_canaries(folder).included, expected.included)


@pytest.mark.slow
def test_what_cannot_be_a_shadow_is_refused_in_one_line(monkeypatch, capsys, runs, tmp_path):
    run, _ = runs
    assert call(monkeypatch, "audit", run, "--num", 20, "--shadows", run) == 2
    assert "accepted: the folder of a scan" in capsys.readouterr().err
    trained = load(run)
    attack = trained.task.uses["audit"].run
    with pytest.raises(InputError, match=r"shadows: got 'a scan of restoration'; accepted: one of gan"):
        attack(trained, run, 20, 0, [Shadow(trained._replace(task=table.task("restoration")), run)])
    with pytest.raises(InputError, match=r"shadows: .* trained with --canaries"):
        attack(trained, run, 20, 0, [Shadow(trained, tmp_path)])
    with pytest.raises(
        InputError, match=r"shadows: .* with the canaries of the run.*accepted: a scan with other seeds"
    ):
        attack(trained, run, 20, 0, [Shadow(trained, run)])
    other = array_source(np.random.default_rng(1).integers(0, 256, (60, 8, 8, 1), np.uint8))
    record_canaries(tmp_path, flip_coins(other, 40, 0))
    with pytest.raises(InputError, match="the images that the run was trained on"):
        attack(trained, run, 20, 0, [Shadow(trained, tmp_path)])
