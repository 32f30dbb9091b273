"""What version 0.1.0 wrote still works: runs, a scan, weights, bundles; they give the images that they gave then."""

import dataclasses
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

import jaxgen
from jaxgen.data.sources import array_source
from jaxgen.runs.folder import Run, read_run_config
from jaxgen.runs.listing import describe
from jaxgen.scans.config import ScanConfig, scan_type
from jaxgen.scans.scan import run_or_extract
from jaxgen.tasks.gan.config import GanRecipe
from jaxgen.tasks.load import load
from jaxgen.tasks.restoration import task
from jaxgen.tasks.restoration.config import RestorationRecipe
from jaxgen.tasks.train import train_run


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conditional GAN, a restorer, a scan and two bundles, of four steps on a few small images."""
    folder = tmp_path_factory.mktemp("before")
    with zipfile.ZipFile(Path(__file__).with_name("version_0_1_0.zip")) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def expected(before: Path) -> dict[str, np.ndarray]:
    """Images that version 0.1.0 drew and restored from these."""
    return dict(np.load(before / "expected.npz"))


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    """To a level of 255: machines differ in the last bits."""
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1


def test_a_gan_draws_what_it_drew(before: Path, expected: dict[str, np.ndarray]) -> None:
    assert_same(jaxgen.sample(before / "gan", 3, labels=[0, 1, 2], seed=5), expected["samples"])


@pytest.mark.parametrize("model", ["restorer", "restorer/restorer.safetensors"])
def test_a_restorer_restores_as_it_did(before: Path, expected: dict[str, np.ndarray], model: str) -> None:
    name = "again" if model.endswith(".safetensors") else "restored"
    assert_same(jaxgen.restore(expected["image"], model=before / model), expected[name])


def test_bundles_are_read(before: Path, expected: dict[str, np.ndarray]) -> None:
    assert_same(
        jaxgen.load(before / "bundle").sample(3, label=[0, 1, 2], seed=5), np.load(before / "bundle-samples.npy")
    )
    restored = jaxgen.load(before / "restorer-bundle").restore(expected["image"])
    assert_same(restored, np.load(before / "bundle-restored.npy"))


def test_a_run_goes_on(before: Path) -> None:
    config = read_run_config(before / "gan", GanRecipe)
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=6))
    images = np.random.default_rng(0).integers(0, 256, (64, 16, 16), np.uint8)
    source = array_source(images, np.arange(64) % 3)
    train_run(Run("gan", before / "gan", "", resumed=True), config, source=source)
    assert load(before / "gan").facts.step == 6
    assert int(load(before / "gan").state.images) == 6 * config.train.batch_size  # which were not counted then
    assert (describe(before / "gan").progress, describe(before / "gan").status) == ("6/6", "complete")


@pytest.mark.slow
def test_a_run_of_a_restorer_goes_on(before: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By fewer training images than before, since its best checkpoint is now chosen by some that are held out."""
    suite = task.suite_for((16, 16, 1), photos=False)
    monkeypatch.setattr(task, "suite_for", lambda shape, photos: suite._replace(cases=suite.cases[:1]))
    config = read_run_config(before / "restorer", RestorationRecipe)
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=6))
    channels = load(before / "restorer").facts.shape[-1]
    images = np.random.default_rng(0).integers(0, 256, (64, 16, 16, channels), np.uint8)
    train_run(Run("restorer", before / "restorer", "", resumed=True), config, source=array_source(images))
    assert load(before / "restorer").facts.step == 6
    record = json.loads((before / "restorer" / "run.json").read_text())
    assert record["best_checkpoint_by"] == "PSNR of 3 validation images under the damage of the run"


def test_a_scan_goes_on_and_gives_a_member(before: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(before)  # its data are named relative to the folder that it ran in
    run = Run("scan", before / "scan", "", resumed=True)
    config = read_run_config(run.directory, scan_type(GanRecipe))
    longer = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=6))
    run_or_extract(run, longer)
    members = json.loads((run.directory / "scan.json").read_text())["members"]
    assert [member["steps"] for member in members] == [6, 6]
    run_or_extract(run, dataclasses.replace(longer, scan=ScanConfig(extract=1)))
    assert load(run.directory / "members" / "1").facts.step == 6
