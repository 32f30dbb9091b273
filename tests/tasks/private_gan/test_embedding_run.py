"""A private generator by a noisy embedding: the images are asked once, for the whole budget, and never again."""

import dataclasses
import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats

from jaxgen.data.base import Source
from jaxgen.data.config import DataConfig
from jaxgen.data.sources import array_source
from jaxgen.errors import InputError
from jaxgen.privacy.embedding import Projections, draw_projections
from jaxgen.runs.folder import new_run, read_run_config
from jaxgen.scans.config import scan_of
from jaxgen.tasks.base import facts_of
from jaxgen.tasks.initial_weights import warm_start
from jaxgen.tasks.load import load
from jaxgen.tasks.private_gan import embedding
from jaxgen.tasks.private_gan.algorithm import make_private_gan, static_part
from jaxgen.tasks.private_gan.budget import notes, promise, record, settle, spent_by
from jaxgen.tasks.private_gan.config import PrivateGanConfig, PrivateGanRecipe
from jaxgen.tasks.private_gan.embedding import Matching, discrepancy, make_embedding_gan
from jaxgen.tasks.train import train_run
from jaxgen.training.config import TrainConfig

SHAPE, NUM, CLASSES, DELTA, EPSILON, SIZE = (4, 4, 1), 40, 4, 1e-5, 0.5, 8
PIXELS = np.random.default_rng(0).integers(0, 256, (NUM, *SHAPE)).astype(np.uint8)
LABELS = np.arange(NUM) % CLASSES
SOURCE = array_source(PIXELS, LABELS)
CONFIG = PrivateGanRecipe(
    DataConfig("arrays"),
    PrivateGanConfig("mlp", 2, 1, "projection", epsilon=EPSILON, delta=DELTA, privacy="embedding"),
    train=TrainConfig(
        steps=4, batch_size=SIZE, log_every=2, sample_every=2, checkpoint_every=2, steps_per_dispatch=1, devices=1
    ),
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few projections, and no pictures, which are tested elsewhere."""
    monkeypatch.setattr(embedding, "PROJECTIONS", 30)
    for name in ("jaxgen.tasks.train.plot_curves", "jaxgen.tasks.private_gan.task.draw_final"):
        monkeypatch.setattr(name, lambda *args: None)


def analytic_noise(epsilon: float) -> float:
    """The smallest noise of the Gaussian mechanism of sensitivity 1: Balle and Wang, 2018, theorem 8."""

    def excess(noise: float) -> float:
        a, b = 1 / (2 * noise) - epsilon * noise, -1 / (2 * noise) - epsilon * noise
        return stats.norm.cdf(a) - np.exp(epsilon) * stats.norm.cdf(b) - DELTA

    return optimize.brentq(excess, 0.1, 1000.0)


def refusing(num: int) -> Source:
    """The images, of which each can be read once; or for 0 not at all."""
    left = dict.fromkeys(range(NUM), num)

    def read(i: int) -> np.ndarray:
        assert left[i] > 0, "a private image was read again"
        left[i] -= 1
        return PIXELS[i]

    return dataclasses.replace(SOURCE, images=None, read=read)


@pytest.mark.slow
def test_a_run_reads_each_image_once_and_goes_on_without_any(tmp_path: Path) -> None:
    run = new_run("private", str(tmp_path), "command")
    train_run(run, CONFIG, source=refusing(1))
    entry = json.loads((run.directory / "run.json").read_text())["privacy"]
    assert (entry["epsilon"], entry["delta"], entry["mechanism"]) == (EPSILON, DELTA, "Gaussian")
    assert (entry["sampling"], entry["sampling_rate"], entry["steps"]) == ("none", 1.0, 1)
    assert entry["noise_multiplier"] == pytest.approx(analytic_noise(EPSILON), rel=2e-3)
    assert entry["noise_multiplier"] >= analytic_noise(EPSILON) * (1 - 1e-6)
    assert "one Gaussian mechanism on all 40 images" in entry["statement"]
    first = load(run.directory)
    assert set(first.state.params) == {"generator"}
    assert set(first.state.extras) == {"embedding"}
    assert np.asarray(first.state.extras["embedding"]).any()
    stored = read_run_config(run.directory, PrivateGanRecipe)
    more = dataclasses.replace(stored, train=dataclasses.replace(stored.train, steps=6))
    after = train_run(run._replace(resumed=True), more, source=refusing(0)).state
    assert int(after.step) == 6
    np.testing.assert_array_equal(after.extras["embedding"], first.state.extras["embedding"])
    assert load(run.directory, "best").facts.step == 6  # all have spent the same, so the newest


def test_steps_spend_nothing_and_members_share_the_embedding() -> None:
    config = settle(CONFIG, facts_of(SOURCE))
    assert spent_by(config, 0) == 0.0
    assert spent_by(config, 1) == spent_by(config, 10**6) == pytest.approx(EPSILON, rel=3e-3)
    scan = scan_of(config)
    assert record(scan, 5)["privacy"]["epsilon_spent_at_the_end"] == spent_by(config, 1)
    seeds = dataclasses.replace(scan, scan=dataclasses.replace(scan.scan, seeds=2))
    spent = optimize.brentq(lambda e: analytic_noise(e) - promise(config)["noise_multiplier"] / np.sqrt(2), 0.1, 5.0)
    assert record(seeds, 2)["privacy"]["epsilon_spent_at_the_end"] == pytest.approx(spent, rel=2e-3)
    halving = dataclasses.replace(scan, scan=dataclasses.replace(scan.scan, random=4, halving=True))
    with pytest.raises(InputError, match="halving: got True"):
        record(halving, 4)


def test_too_little_noise_is_refused_in_one_line() -> None:
    little = dataclasses.replace(CONFIG, private_gan=dataclasses.replace(CONFIG.private_gan, noise_multiplier=1.0))
    with pytest.raises(InputError, match=r"epsilon: got 0.5; accepted: at least 4.\d\d, which noise of 1 spends") as e:
        settle(little, facts_of(SOURCE))
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("size", [4, 10])
def test_a_batch_holds_two_images_of_each_class(size: int) -> None:
    config = dataclasses.replace(CONFIG.private_gan, noise_multiplier=1.0)
    with pytest.raises(InputError, match=f"batch_size: got {size}; accepted: a multiple of 4, .* from 8 on"):
        make_embedding_gan(config, SHAPE, size, CLASSES)


def test_the_discrepancy_is_the_unbiased_one_of_each_class() -> None:
    """By NumPy from all pairs: Gretton et al., 2012, lemma 6, with the mean of the other set known."""
    config = dataclasses.replace(CONFIG.private_gan, noise_multiplier=1.0)
    projections: Projections = draw_projections(SHAPE, 30)
    matching = Matching(static_part(config, SHAPE, SIZE, 2), projections)
    noise = np.random.default_rng(1)
    images, place = noise.uniform(-1, 1, (SIZE, *SHAPE)).astype(np.float32), np.arange(SIZE, dtype=np.int32)
    target = noise.normal(size=(2, projections.width)).astype(np.float32)
    expected, angles = 0.0, images.reshape(SIZE, -1) @ projections.weights
    rows = np.concatenate([np.cos(angles), np.sin(angles)], 1) * np.sqrt(0.9 / 30)
    rows = np.concatenate([rows, np.full((SIZE, 1), np.sqrt(0.1))], 1)
    for c in (0, 1):
        own, share = rows[place % 2 == c], target[c, -1] / np.sqrt(0.1)
        pairs = [own[i] @ own[j] for i in range(4) for j in range(4) if i != j]
        expected += share**2 * np.mean(pairs) - 2 * share * np.mean(own @ target[c]) + target[c] @ target[c]
    found = jax.jit(partial(discrepancy, matching))(*map(jnp.asarray, (target, images, place)))
    assert float(found) == pytest.approx(2 * expected, rel=1e-4)


def test_initial_weights_of_a_private_run_count_towards_epsilon(tmp_path: Path) -> None:
    """The generator of an embedding, then DP-SGD with everything drawn: the squares of 1 / noise add up."""
    run = new_run("private", str(tmp_path), "command")
    train_run(run, CONFIG, source=SOURCE)
    discriminator = dataclasses.replace(CONFIG.private_gan, privacy="discriminator", epsilon=1.0)
    train = dataclasses.replace(CONFIG.train, initial_weights=str(run.directory), batch_size=NUM)
    config = settle(dataclasses.replace(CONFIG, private_gan=discriminator, train=train), facts_of(SOURCE))
    before = settle(CONFIG, facts_of(SOURCE)).private_gan.noise_multiplier
    assert config.private_gan.earlier == (before, 1.0, 1.0)
    least = 1 / np.sqrt((1 / analytic_noise(1.0) ** 2 - 1 / before**2) / 4)
    assert least * (1 - 1e-6) <= config.private_gan.noise_multiplier <= least * 1.02
    assert spent_by(config, 4) == pytest.approx(1.0, rel=2e-3)
    assert spent_by(config, 0) == pytest.approx(EPSILON, rel=3e-3)
    assert " of it spent on the initial weights" in record(config, 1)["privacy"]["statement"]
    assert not any("counted from here" in line for line in notes(config))
    poor = dataclasses.replace(config.private_gan, epsilon=0.4, noise_multiplier=None)
    with pytest.raises(InputError, match=r"epsilon: got 0.4; accepted: above 0.5\d*, which was spent on the initial"):
        settle(dataclasses.replace(config, private_gan=poor), facts_of(SOURCE))
    algorithm = make_private_gan(config.private_gan, SHAPE, NUM, CLASSES)
    warm, line = warm_start(algorithm, config, str(run.directory))
    state = warm.init(jax.random.key(0), {**vars(config.hparams), "schedule_images": 100.0})
    averaged = load(run.directory).state.ema_params["generator"]
    jax.tree.map(np.testing.assert_array_equal, state.params["generator"], averaged)
    assert "new: discriminator/" in line
