"""`jaxgen audit RUN`: images learned by heart are caught, fresh weights are not, and bad input gets one line."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgen.data.canaries import FILE, read_canaries, record_canaries
from jaxgen.data.config import DataConfig
from jaxgen.errors import InputError
from jaxgen.images import to_float
from jaxgen.runs.folder import Run
from jaxgen.tasks import table
from jaxgen.tasks.base import Trained, facts_of
from jaxgen.tasks.gan.config import GanConfig, GanRecipe
from jaxgen.tasks.private_gan import embedding
from jaxgen.tasks.private_gan.config import PrivateGanConfig, PrivateGanRecipe
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationRecipe
from jaxgen.tasks.super_resolution.config import SuperResolutionConfig, SuperResolutionRecipe
from jaxgen.tasks.train import train_run
from jaxgen.training.config import TrainConfig
from jaxgen.training.fit import fit
from jaxgen.types import Prediction
from tests.command_line import call

TRAIN = TrainConfig(steps=4, batch_size=8, log_every=2, sample_every=4, checkpoint_every=4, steps_per_dispatch=2)
GAN = GanRecipe(gan=GanConfig(architecture="mlp", latent_dim=8), train=TRAIN)
RESTORER = RestorationRecipe(
    restoration=RestorationConfig(widths=(4,), depth=1, schedule="damage:4", damage="gaussian:0.5"),
    train=TRAIN,
)


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    """80 images of noise, 8 x 8."""
    path = tmp_path_factory.mktemp("data") / "noise.npz"
    np.savez(path, images=np.random.default_rng(0).integers(0, 256, (80, 8, 8, 1), np.uint8))
    return path


def with_data(config, npz, **data):
    return dataclasses.replace(config, data=DataConfig(f"npz:{npz}", **data))


def trained_for(config, steps: int, folder) -> Trained:
    """The model after so many steps, and the record of its canaries in a folder."""
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=max(steps, 1), devices=1))
    task = table.task_of([f.name for f in dataclasses.fields(config)], "config", "")
    source = task.open(config, None).train
    facts = facts_of(source)
    config = task.settle(config, facts)
    algorithm = task.make(config, facts)
    record_canaries(folder, source)
    fresh = jax.jit(algorithm.init)(jax.random.key(0), {k: v or 1.0 for k, v in vars(config.hparams).items()})
    state = fit(algorithm, source, vars(config.hparams), config.train)[0] if steps else fresh
    return Trained(task, config, algorithm, state, facts)


def audited(trained: Trained, folder, num=None) -> dict:
    trained.task.uses["audit"].run(trained, folder, num, 0)
    return json.loads((folder / "private" / "audit.json").read_text())


def caught(found: dict) -> bool:
    row = found["rows"][0]
    return row["auc"]["low"] > 0.7 and row["epsilon"] > 0


def seen_nothing(found: dict) -> bool:
    row = found["rows"][0]
    return row["auc"]["low"] < 0.5 < row["auc"]["high"] and row["epsilon"] == 0


@pytest.mark.slow
def test_a_gan_that_learned_twenty_of_forty_images_by_heart_is_caught(npz, tmp_path):
    assert caught(audited(trained_for(with_data(GAN, npz, canaries=40), 300, tmp_path), tmp_path, 200))


def test_a_gan_with_fresh_weights_gives_nothing_away(npz, tmp_path):
    found = audited(trained_for(with_data(GAN, npz, canaries=40), 0, tmp_path), tmp_path, 200)
    assert seen_nothing(found)
    assert found["included"] + found["others"] == 40
    assert Image.open(tmp_path / "private" / "audit.png").size[0] > 500


def test_a_restorer_that_answers_with_training_images_is_caught_and_fresh_weights_are_not(npz, tmp_path):
    trained = trained_for(with_data(RESTORER, npz, canaries=40), 0, tmp_path)
    assert seen_nothing(audited(trained, tmp_path))
    source = trained.task.open(trained.config, None).train
    known = to_float(jnp.asarray(source.images))

    def by_heart(state, seen, key):
        distances = jnp.sum((seen.images[:, None] - known[None]) ** 2, (2, 3, 4))
        return Prediction(known[jnp.argmin(distances, 1)])

    assert caught(audited(trained._replace(algorithm=trained.algorithm._replace(predict=by_heart)), tmp_path))


def test_a_network_that_enlarges_is_audited(tmp_path):
    path = tmp_path / "colour.npz"
    np.savez(path, images=np.random.default_rng(0).integers(0, 256, (80, 32, 32, 3), np.uint8))
    structure = SuperResolutionConfig(width=4, blocks=1, scale=(2,), degradation="bicubic")
    config = SuperResolutionRecipe(DataConfig(f"npz:{path}", canaries=40), structure, train=TRAIN)
    trained = trained_for(config, 0, tmp_path)
    rows = audited(trained, tmp_path)["rows"]
    assert [row["attack"] for row in rows] == ["quality of enlarged images"]
    assert rows[0]["epsilon"] == 0
    with pytest.raises(InputError, match=r"num: got 5; accepted: none"):
        audited(trained, tmp_path, 5)


@pytest.fixture(scope="module")
def run(npz, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "noise" / "0"
    train_run(Run("noise", folder, "python", resumed=False, show=False), with_data(GAN, npz, canaries=40))
    return folder


def test_a_run_with_canaries_trains_on_those_whose_coins_say_so(run):
    canaries = read_canaries(run)
    data = json.loads((run / "run.json").read_text())["data"]
    assert data["images"] == 80 - int((~canaries.included).sum())


def test_the_command_prints_the_table_and_adds_the_picture_to_the_report(monkeypatch, capsys, run):
    assert call(monkeypatch, "audit", run, "--num", 50) == 0
    printed = capsys.readouterr().out
    assert "discriminator (white box)" in printed
    assert "nearest fakes (black box)" in printed
    assert "this run was not private); ε ≥ " in printed
    assert "(attacked: 95%, 40 canaries)" in printed
    page = (run / "report.html").read_text()
    assert "Audit (private)" in page
    assert "jaxgen audit" in page


def test_the_proof_of_a_private_run_is_told(monkeypatch, capsys, run):
    proof = {
        "epsilon": 9.28,
        "delta": 1e-5,
        "accountant": "PLD",
        "sampling": "Poisson",
        "relation": "add or remove one image",
    }
    before = (run / "run.json").read_text()
    (run / "run.json").write_text(json.dumps(json.loads(before) | {"privacy": proof}))
    try:
        assert call(monkeypatch, "audit", run, "--num", 50) == 0
    finally:
        (run / "run.json").write_text(before)
    assert "ε ≤ 9.28 (proved: δ = 1e-05, add or remove one image, Poisson, PLD); ε ≥ " in capsys.readouterr().out


def test_a_private_gan_without_a_discriminator_is_attacked_by_its_images(npz, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "PROJECTIONS", 30)
    structure = PrivateGanConfig("mlp", 2, 1, noise_multiplier=2.0, privacy="embedding")
    config = PrivateGanRecipe(DataConfig(f"npz:{npz}", canaries=40), structure, train=TRAIN)
    found = audited(trained_for(config, 0, tmp_path), tmp_path, 50)
    assert [row["attack"] for row in found["rows"]] == ["nearest fakes (black box)"]


@pytest.mark.slow
def test_a_private_run_is_trained_and_audited_at_the_command_line(monkeypatch, capsys, npz, tmp_path):
    for name in ("jaxgen.tasks.train.plot_curves", "jaxgen.tasks.private_gan.task.draw_final"):
        monkeypatch.setattr(name, lambda *args: None)  # tested elsewhere
    small = ("--architecture", "mlp", "--base-channels", 1, "--latent-dim", 2, "--conditioning", "none", "--devices", 1)
    few = ("--steps", 2, "--batch-size", 16, "--log-every", 2, "--checkpoint-every", 2, "--sample-every", 2)
    asked = ("--dataset", f"npz:{npz}", "--canaries", 40, "--epsilon", 5, "--out", tmp_path)
    assert call(monkeypatch, "train", "private_gan", *asked, *small, *few) == 0
    (folder,) = (tmp_path / "private_gan").iterdir()
    capsys.readouterr()
    assert call(monkeypatch, "audit", folder, "--num", 50) == 0
    printed = capsys.readouterr().out
    proof = json.loads((folder / "run.json").read_text())["privacy"]
    assert (proof["epsilon"], proof["num_images"]) == (5.0, 80 - int((~read_canaries(folder).included).sum()))
    upper = "ε ≤ 5 (proved: δ = 1e-05, add or remove one image, Poisson, PLD of dp-accounting, grid 0.0001)"
    assert f"{upper}; ε ≥ 0.0 (attacked: 95%, 40 canaries)" in printed
    assert "discriminator (white box)" in printed


@pytest.mark.slow
def test_a_resume_keeps_the_coins_and_another_seed_is_refused(run, npz):
    before = (run / FILE).read_bytes()
    config = with_data(GAN, npz, canaries=40)
    longer = dataclasses.replace(config, train=dataclasses.replace(TRAIN, steps=6))
    again = Run("noise", run, "python", resumed=True, show=False)
    other = dataclasses.replace(longer, train=dataclasses.replace(longer.train, seed=1))
    with pytest.raises(InputError, match=r"canaries: got 'others than before'"):
        train_run(again, other)
    train_run(again, longer)
    assert (run / FILE).read_bytes() == before


def test_without_canaries_held_out_images_are_compared_where_there_are_any(npz, tmp_path, capsys):
    plain = trained_for(with_data(RESTORER, npz), 0, tmp_path)
    found = audited(plain, tmp_path)
    assert found["coins"] is False
    assert found["rows"][0]["epsilon"] is None
    assert "it proves no ε" in capsys.readouterr().out
    gan = trained_for(with_data(GAN, npz), 0, tmp_path)
    with pytest.raises(InputError, match=r"without canaries and without a held-out split; accepted: .*--canaries 1000"):
        audited(gan, tmp_path, 50)


def test_what_cannot_be_audited_gets_one_line(monkeypatch, capsys, run, npz, tmp_path):
    assert call(monkeypatch, "audit", run, "--num", 0) == 2
    assert "num: got 0; accepted: 1 or more" in capsys.readouterr().err
    assert call(monkeypatch, "audit", run / "generator.safetensors") == 2
    assert "accepted: the folder of a run" in capsys.readouterr().err
    lost = trained_for(with_data(GAN, npz, canaries=40), 0, tmp_path)
    (tmp_path / FILE).unlink()
    with pytest.raises(InputError, match=r"run: got .*canaries.npz"):
        audited(lost, tmp_path, 50)
