"""The studies: paired differences, equal operations, and that they run from end to end."""

import dataclasses
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import pretraining_study, recurrence_study
from experiments.studies import damaged, difference, train_briefly
from jaxgen.data.base import Source
from jaxgen.data.config import DataConfig
from jaxgen.networks.recurrent import Memory, RecurrentCell
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationHparams
from jaxgen.types import Observation

pytestmark = pytest.mark.slow
TINY = DataConfig(dataset="digits")


def test_difference_is_paired_with_a_t_interval():
    found = difference([3.0, 5.0, 10.0], [2.0, 2.0, 8.0])
    assert found.mean == pytest.approx(2.0)
    half = 4.302653 / np.sqrt(3)  # t of 2 degrees of freedom at 97.5%; the differences 1, 3, 2 deviate by 1
    assert found[1:] == pytest.approx((2 - half, 2 + half), rel=1e-5)


def test_products_of_an_iteration_are_those_of_its_convolutions():
    blocks, features = 2, 8
    cell, images = RecurrentCell((features,), blocks), jnp.zeros((1, 12, 12, 1))
    memory = Memory(images, jnp.zeros((1, 6, 6, features)))
    params = jax.eval_shape(cell.init, jax.random.key(0), memory, Observation(images, jnp.ones_like(images)))["params"]
    kernels = [leaf.size for leaf in jax.tree.leaves(params) if len(leaf.shape) == 4]
    assert recurrence_study.multiplications(blocks, 1, features) == sum(kernels)


def test_the_network_of_equal_operations_takes_as_many():
    blocks, iterations = recurrence_study.networks()["equal operations"]
    assert iterations == 1
    ratio = recurrence_study.multiplications(blocks) / (6 * recurrence_study.multiplications(2))
    assert ratio == pytest.approx(1, abs=0.03)


def test_feeds_take_turns(monkeypatch):
    """The first steps see the first source alone: its images alone decide the weights then."""

    def source(value):
        return Source(str(value), "x", (8, 8, 1), 4, images=np.full((4, 8, 8, 1), value, np.uint8))

    config = RestorationConfig(widths=(2,), depth=1, schedule="damage:20", damage="salt_and_pepper:0.5")
    hparams = RestorationHparams(schedule_images=80.0, noise_share=0.0)
    states = [
        train_briefly(config, hparams, feeds, 4, 0)
        for feeds in ([(source(9), 10)], [(source(9), 10), (source(200), 10)], [(source(9), 20)])
    ]
    assert [int(state.step) for state in states] == [10, 20, 20]
    leaves = [np.concatenate([np.ravel(x) for x in jax.tree.leaves(state.params)]) for state in states]
    assert not np.array_equal(leaves[1], leaves[2])


def test_damage_is_the_same_for_all_that_are_judged():
    images = np.full((3, 8, 8, 1), 100, np.uint8)
    first, again, other = (damaged(images, "pixels:0.5", seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.masks, again.masks)
    assert not np.array_equal(first.masks, other.masks)


@pytest.mark.parametrize(
    ("study", "flags"),
    [
        (pretraining_study, ["--damages", "pixels:0.8", "--sizes", "4"]),
        (recurrence_study, ["--widths", "4", "8"]),
    ],
)
def test_a_small_study_runs_and_leaves_its_rows(study, flags, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(study, "NUM_TEST", 8)
    monkeypatch.setattr(pretraining_study, "WIDTHS", (2, 3))
    two = jax.devices()[:2]
    monkeypatch.setattr(jax, "devices", lambda: two)
    monkeypatch.setattr(recurrence_study, "FEATURES", 2)
    monkeypatch.setattr(recurrence_study, "networks", lambda: {"recurrent": (1, 2), "equal parameters": (1, 1)})
    out = tmp_path / "rows.json"
    command = ["study", "--seeds", "2", "--steps", "20", "--out", str(out), *flags]
    monkeypatch.setattr(sys, "argv", command)
    study.main()
    record = json.loads(out.read_text())
    assert record["study"]["steps"] == 20
    assert len(record["rows"]) == (1 if study is pretraining_study else 2)
    assert "dB" in capsys.readouterr().out
    assert dataclasses.asdict(study.Study(data=TINY))["data"]["dataset"] == "digits"
