"""A run of a private GAN: budget on resume, fresh noise, files without private images, export, evaluation, scans."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy import optimize, stats

from jaxgen.bundles.manifest import read_manifest
from jaxgen.checkpoints.folder import latest_step
from jaxgen.cli.commands import main
from jaxgen.data.config import DataConfig
from jaxgen.data.sources import array_source
from jaxgen.errors import InputError
from jaxgen.evaluation.protocol import Evaluation
from jaxgen.export.bundle import export_run
from jaxgen.privacy.accounting import epsilon_spent
from jaxgen.runs.folder import Run, new_run, read_run_config
from jaxgen.runs.reading import read_metrics
from jaxgen.scans.config import scan_of
from jaxgen.tasks.base import Facts, facts_of
from jaxgen.tasks.load import load
from jaxgen.tasks.private_gan import evaluate
from jaxgen.tasks.private_gan.budget import notes, record, settle
from jaxgen.tasks.private_gan.config import PrivateGanConfig, PrivateGanRecipe
from jaxgen.tasks.train import train_run
from jaxgen.training.config import TrainConfig

NUM, DELTA, EPSILON = 40, 1e-5, 0.5
PIXELS = np.random.default_rng(0).integers(0, 256, (NUM, 4, 4, 1)).astype(np.uint8)
SOURCE = array_source(PIXELS, np.arange(NUM) % 4)
CONFIG = PrivateGanRecipe(
    DataConfig("arrays"),
    PrivateGanConfig("mlp", 2, 1, "projection", epsilon=EPSILON, delta=DELTA),
    train=TrainConfig(
        steps=4, batch_size=NUM, log_every=2, sample_every=2, checkpoint_every=2, steps_per_dispatch=1, devices=1
    ),
)
"""Each step draws all images: there the noise is known in closed form."""


SLOW = ("jaxgen.tasks.train.plot_curves", "jaxgen.tasks.private_gan.task.draw_final")
"""What draws pictures, which is tested elsewhere."""


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SLOW:
        monkeypatch.setattr(name, lambda *args: None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        for name in SLOW:
            patch.setattr(name, lambda *args: None)
        done = new_run("private", str(tmp_path_factory.mktemp("runs")), "command")
        train_run(done, CONFIG, source=SOURCE)
    return done._replace(resumed=True)


def closed_form(epsilon: float, steps: int) -> float:
    """The noise multiplier for so many steps without sampling: Balle and Wang, 2018, theorem 8."""

    def excess(noise: float) -> float:
        mu = np.sqrt(steps) / noise
        a, b = mu / 2 - epsilon / mu, -mu / 2 - epsilon / mu
        return stats.norm.cdf(a) - np.exp(epsilon) * stats.norm.cdf(b) - DELTA

    return optimize.brentq(excess, 0.1, 1000.0)


def test_noise_is_solved_for_the_steps_and_stored(run: Run) -> None:
    stored = read_run_config(run.directory, PrivateGanRecipe).private_gan
    assert stored.noise_multiplier == pytest.approx(closed_form(EPSILON, 4), rel=3e-3)
    assert stored.num_images == NUM
    entry = json.loads((run.directory / "run.json").read_text())["privacy"]
    assert entry["epsilon_spent_at_the_end"] == pytest.approx(EPSILON, rel=3e-3)
    assert entry["relation"] == "add or remove one image"
    for words in ("ε = 0.5, δ = 1e-05", "Poisson sampling", "accountant PLD", "RDP gives"):
        assert words in entry["statement"]


def test_epsilon_of_each_checkpoint_is_counted_and_the_newest_is_the_best(run: Run) -> None:
    found = {row["step"]: row["privacy/epsilon"] for row in read_metrics(run.directory) if "privacy/epsilon" in row}
    noise = closed_form(EPSILON, 4)
    expected = optimize.brentq(lambda epsilon: closed_form(epsilon, 2) - noise, 0.05, 1.0)
    assert found == {2: pytest.approx(expected, rel=5e-3), 4: pytest.approx(EPSILON, rel=5e-3)}
    assert load(run.directory, "best").facts.step == 4


def test_a_spent_budget_refuses_more_steps_and_names_the_epsilon_for_them(run: Run) -> None:
    stored = read_run_config(run.directory, PrivateGanRecipe)
    more = dataclasses.replace(stored, train=dataclasses.replace(stored.train, steps=6))
    with pytest.raises(
        InputError, match=r"steps: got 6; accepted: at most 4, where the budget is spent; .*epsilon 0.6"
    ):
        train_run(run, more, source=SOURCE)
    assert latest_step(run.directory / "checkpoints") == 4


@pytest.mark.parametrize(
    ("group", "change"), [("private_gan", {"noise_multiplier": 9.0}), ("train", {"batch_size": 20, "steps": 6})]
)
def test_what_privacy_is_counted_with_stays(run: Run, group: str, change: dict[str, float]) -> None:
    stored = read_run_config(run.directory, PrivateGanRecipe)
    other = dataclasses.replace(stored, **{group: dataclasses.replace(getattr(stored, group), **change)})
    with pytest.raises(InputError, match="with which the run began and its privacy is counted"):
        train_run(run, other, source=SOURCE)


def test_other_images_on_resume_are_refused(run: Run) -> None:
    stored = read_run_config(run.directory, PrivateGanRecipe)
    with pytest.raises(InputError, match="num_images: got '41 in the data'; accepted: 40"):
        settle(stored, facts_of(array_source(np.zeros((41, 4, 4, 1), np.uint8))))


@pytest.mark.slow
def test_resume_counts_on_and_draws_new_noise(tmp_path: Path) -> None:
    """Twice from the same checkpoint: a plain run would come to the same weights, a private one must not."""
    settled = settle(CONFIG, facts_of(SOURCE))
    half = new_run("private", str(tmp_path), "command")
    train_run(half, dataclasses.replace(settled, train=dataclasses.replace(CONFIG.train, steps=2)), source=SOURCE)
    other = shutil.copytree(half.directory, tmp_path / "other")
    resumed = [half._replace(directory=folder, resumed=True) for folder in (half.directory, other)]
    states = [train_run(run, settled, source=SOURCE).state for run in resumed]
    assert [int(state.step) for state in states] == [4, 4]
    assert not np.array_equal(*(jax.tree.leaves(state.params["discriminator"])[0] for state in states))
    more = dataclasses.replace(settled, train=dataclasses.replace(CONFIG.train, steps=5))
    with pytest.raises(InputError, match="at most 4, where the budget is spent"):
        train_run(resumed[0], more, source=SOURCE)


def test_what_a_run_writes_holds_no_private_image_and_no_secret(run: Run) -> None:
    names = {path.name for path in run.directory.rglob("*") if path.is_file()}
    assert not {name for name in names if "closest" in name or "nearest" in name}
    rows = {name for row in read_metrics(run.directory) for name in row}
    public = {"step", "images", "time", "loss/generator", "generated/accuracy", "schedule/updates", "schedule/lr"}
    assert rows == {*public, "privacy/epsilon"}
    trained = load(run.directory)
    assert set(trained.state.extras) == {"rung", "since", "waited", "loss", "accuracy"}
    assert "secret" not in (run.directory / "config.json").read_text()


def test_sampling_and_a_bundle_with_the_guarantee(run: Run, tmp_path: Path) -> None:
    main(["sample", str(run.directory), "--num", "4", "--out", str(tmp_path / "four.npz")])
    assert np.load(tmp_path / "four.npz")["images"].shape == (4, 4, 4, 1)
    main(["sample", str(run.directory / "generator.safetensors"), "--num", "2", "--out", str(tmp_path / "two.png")])
    export_run(str(run.directory), tmp_path / "bundle", "safetensors")
    privacy = read_manifest(tmp_path / "bundle").record["privacy"]
    assert (privacy["epsilon"], privacy["delta"], privacy["sampling"]) == (EPSILON, DELTA, "Poisson")
    assert privacy["relation"] == "add or remove one image"
    assert privacy["accountant"].startswith("PLD")


def test_small_sets_get_a_note() -> None:
    config = dataclasses.replace(CONFIG, private_gan=dataclasses.replace(CONFIG.private_gan, noise_multiplier=50.0))
    few = settle(config, facts_of(SOURCE))
    assert any("40 images are few" in line for line in notes(few))
    many = settle(config, Facts((4, 4, 1), num_images=20_000))
    assert not any("few" in line for line in notes(many))


def test_a_scan_tells_what_all_its_members_spend() -> None:
    """With everything drawn, m members of n steps are as m n steps of the Gaussian mechanism."""
    config = settle(CONFIG, facts_of(SOURCE))
    entry = record(config, 4)["privacy"]
    spent = optimize.brentq(lambda e: closed_form(e, 16) - config.private_gan.noise_multiplier, 0.1, 5.0)
    assert entry["epsilon_spent_at_the_end"] == pytest.approx(spent, rel=3e-3)
    assert "4 members on the same images spend" in entry["statement"]
    assert spent < 4 * EPSILON


def test_members_that_share_batches_spend_more_than_those_that_do_not() -> None:
    """Two seeds draw independent batches: twice the steps. Two settings share them: the noise counts for 1/sqrt(2)."""
    half = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, batch_size=NUM // 2))
    scan = scan_of(settle(half, facts_of(SOURCE)))
    seeds = dataclasses.replace(scan, scan=dataclasses.replace(scan.scan, seeds=2))
    noise = scan.private_gan.noise_multiplier
    settings, alone = (record(s, 2)["privacy"]["epsilon_spent_at_the_end"] for s in (scan, seeds))
    assert settings == epsilon_spent(float(noise / np.sqrt(2)), 0.5, 4, DELTA)
    assert alone == epsilon_spent(noise, 0.5, 8, DELTA)
    assert settings > 1.01 * alone


def test_evaluation_goes_to_a_private_folder(run: Run, tmp_path: Path, monkeypatch, capsys) -> None:
    kept = []
    monkeypatch.setattr(evaluate, "measured", lambda *args: Evaluation(None, {}, None))
    monkeypatch.setattr(evaluate, "keep", lambda result, gan, folder, *rest: kept.append(folder))
    before = {path: path.stat().st_mtime_ns for path in run.directory.rglob("*") if path.is_file()}
    evaluate.evaluate_in_private(load(run.directory), run.directory, 10)
    new = {path for path in run.directory.rglob("*") if path.is_file()} - set(before)
    assert {path.parent.name for path in new} == {"private"}
    assert kept == [run.directory / "private" / "evaluation"]
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    assert "do not publish" in capsys.readouterr().out
