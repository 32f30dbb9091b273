"""The evaluation of volumes: useless ones, a cube for every sample and one shape for all, show as bad figures."""

import json

import numpy as np
import pytest

from jaxgen.data.config import DataConfig
from jaxgen.data.sources import array_source, open_source
from jaxgen.errors import InputError
from jaxgen.evaluation import features, protocol
from jaxgen.evaluation.checkpoint_score import make_checkpoint_score
from jaxgen.evaluation.features import choose_network, extract, volume_features
from jaxgen.evaluation.generated import generated_from_source
from jaxgen.evaluation.protocol import evaluate
from tests.command_line import call

NUM, SIZE = 60, 16


OCCUPANCY_OF_CUBES = 1 / 8 + 7 / 8 * 4 / 255
"""Of `cubes`: an eighth is white, and the rest is noise of 0 to 8 of 255."""


def as_source(volumes):
    return array_source(volumes, config=DataConfig(volume_size=SIZE))


@pytest.fixture(scope="module")
def solids():
    """Solid digits of 16 voxels a side: 60 to compare with, 120 for training, 60 others."""
    source = open_source(DataConfig("volumes_of_digits", volume_size=SIZE))
    chosen = np.random.default_rng(0).permutation(source.num_images)
    return [source.images[i] for i in np.split(chosen[: 4 * NUM], [NUM, 3 * NUM])]


def cubes(num=NUM):
    volumes = np.zeros((num, SIZE, SIZE, SIZE, 1), np.uint8)
    volumes[:, 4:12, 4:12, 4:12] = 255
    return volumes + np.random.default_rng(0).integers(0, 9, volumes.shape, np.uint8) * (volumes == 0)


@pytest.fixture(scope="module")
def figures(solids):
    """The figures of real volumes, of cubes and of one shape for all."""
    reference, train, others = solids
    made = {"real": others, "cubes": cubes(), "one": np.repeat(others[:1], NUM, axis=0)}

    def judge(volumes):
        generated, network = generated_from_source(as_source(volumes)), volume_features()
        watch = lambda what, items, num: items  # noqa: E731
        result = evaluate(generated, as_source(train), as_source(reference), network, 0, watch)
        assert result.pairs.shape == (20, SIZE, SIZE, SIZE, 1)
        return {name: figure.value for name, figure in result.figures.items()}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "frechet_interval", lambda *args, **kwargs: (0.0, 0.0))
        return {name: judge(volumes) for name, volumes in made.items()}


def test_figures_of_real_volumes_are_good(figures):
    real = figures["real"]
    assert abs(real["kernel_multiple"]) < 4
    assert real["coverage"] > 0.8
    assert 0.3 < real["two_sample_accuracy"] < 0.7
    assert 0.3 < real["memorisation_auc"] < 0.7
    assert real["occupancy_distance"] < 0.2 * real["real_occupancy"]
    assert real["largest_component"] == pytest.approx(real["real_largest_component"], abs=0.05)


@pytest.mark.parametrize("name", ["cubes", "one"])
def test_cubes_and_one_shape_for_all_show_as_bad_figures(figures, name):
    found, real = figures[name], figures["real"]
    assert found["kernel_multiple"] > 10 + abs(real["kernel_multiple"])
    assert found["frechet_multiple"] > 3 * real["frechet_multiple"]
    assert found["coverage"] < 0.2
    assert found["recall"] < 0.05
    assert found["two_sample_accuracy"] > 0.9
    assert found["occupancy_distance"] > 2 * real["occupancy_distance"]


def test_bodies_are_told(figures):
    assert figures["cubes"]["occupancy"] == pytest.approx(OCCUPANCY_OF_CUBES, rel=2e-3)
    assert figures["cubes"]["largest_component"] == 1
    assert figures["one"]["real_occupancy"] == figures["real"]["real_occupancy"]


def test_pretrained_weights_are_small_and_know_solid_digits():
    assert features.VOLUME_WEIGHTS.stat().st_size < 500_000
    source = open_source(DataConfig("volumes_of_digits", volume_size=32))
    ((found, labels),) = extract(volume_features(), [source.images[::25]])
    assert found.shape == (200, 64)
    assert np.mean(labels == source.labels[::25]) > 0.8


def test_volumes_of_other_sizes_and_channels_have_the_features_of_the_same_bodies(solids):
    large = solids[0][:3].repeat(4, 1).repeat(4, 2).repeat(4, 3)
    sets = [solids[0][:3], large, np.repeat(solids[0][:3], 3, axis=-1)]
    found = [next(extract(choose_network(x.shape[1:]), [x]))[0] for x in sets]
    assert np.abs(found[0] - found[1]).max() < 0.35 * np.abs(found[0]).max()  # blurred by the two ways to 32 voxels
    np.testing.assert_allclose(found[0], found[2], atol=1e-3)
    with pytest.raises(InputError, match=r"inception_weights: got .*; accepted: None for volumes"):
        choose_network((16, 16, 16, 1), features.VOLUME_WEIGHTS)


def test_checkpoints_are_chosen_by_the_kernel_distance(solids):
    score = make_checkpoint_score(as_source(solids[1]), 0)
    assert (score.name, score.num_generated) == ("quality/kernel_120", 120)
    assert score.protocol == "kernel distance, volume-classifier, 120 generated volumes against 120 training volumes"
    assert score.distance(np.concatenate([solids[0], solids[2]])) < 0.1 * score.distance(cubes(120))


def test_the_score_is_told_as_a_multiple_of_what_chance_gives(solids, monkeypatch):
    monkeypatch.setattr("jaxgen.evaluation.checkpoint_score.NUM_VOLUMES", 50)
    score = make_checkpoint_score(as_source(solids[1]), 0)
    assert "50 generated volumes against 70 training volumes" in score.protocol
    times = [float(score.describe(score.distance(volumes[:50])).split()[0]) for volumes in (solids[0], cubes())]
    assert abs(times[0]) < 4 < 10 < times[1]


def test_files_of_volumes_are_evaluated(solids, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(protocol, "frechet_interval", lambda *args, **kwargs: (0.0, 0.0))
    np.save(tmp_path / "made.npy", cubes(8))
    np.savez(tmp_path / "real.npz", train_images=solids[1][:12], test_images=solids[0][:9])
    flags = ("--samples", tmp_path / "made.npy", "--reference", tmp_path / "real.npz")
    assert call(monkeypatch, "evaluate", *flags, "--volume-size", SIZE) == 0
    folder = tmp_path / "made-evaluation"
    record = json.loads((folder / "volume-classifier-8-real.npz-seed0.json").read_text())
    assert record["figures"]["occupancy"]["value"] == pytest.approx(OCCUPANCY_OF_CUBES, rel=2e-3)
    assert (folder / "volume-classifier-8-real.npz-seed0-closest.png").exists()
    assert "largest_component" in capsys.readouterr().out
    assert call(monkeypatch, "evaluate", *flags, "--volume-size", 8) == 2
    assert "samples: got images of 16 x 16 x 16 x 1 (depth, height, width, channels)" in capsys.readouterr().err
