"""Two folders of any images: figures, the reference that is meant, and what is refused."""

import json

import numpy as np
import pytest
from PIL import Image

from jaxgen.data.config import DataConfig
from jaxgen.errors import InputError
from jaxgen.evaluation import protocol
from jaxgen.evaluation.samples import dataset_of, describe, evaluate_samples
from tests.command_line import call


@pytest.fixture(autouse=True)
def no_resampling(monkeypatch):
    """Intervals are tested elsewhere, and take seconds."""
    monkeypatch.setattr(protocol, "frechet_interval", lambda *args, **kwargs: (0.0, 0.0))


def write(folder, num, shape=(10, 12, 3), seed=0, names=("",)):
    noise = np.random.default_rng(seed)
    for i in range(num):
        (folder / names[i % len(names)]).mkdir(parents=True, exist_ok=True)
        pixels = noise.integers(0, 256, shape).astype(np.uint8)
        Image.fromarray(pixels).save(folder / names[i % len(names)] / f"{i}.png")
    return folder


def test_what_exists_is_a_folder_or_a_file_and_all_else_a_data_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real").mkdir()
    (tmp_path / "x.npy").touch()
    assert dataset_of("real") == "folder:real"
    assert dataset_of(f"{tmp_path}/real/") == f"folder:{tmp_path}/real"
    assert dataset_of("x.npy") == "npz:x.npy"
    for name in ("mnist", "digits", "folder:elsewhere", "npz:x.npy"):
        assert dataset_of(name) == name


def test_two_folders_are_compared_in_features_that_are_named(tmp_path, monkeypatch, capsys):
    samples, real = write(tmp_path / "made.v2", 9), write(tmp_path / "real", 8, seed=1)
    np.savez(tmp_path / "real.npz", images=np.stack([np.asarray(Image.open(real / f"{i}.png")) for i in range(8)]))
    found = {}
    for name in ("real", "real.npz", "made.v2"):
        assert call(monkeypatch, "evaluate", "--samples", samples, "--reference", tmp_path / name) == 0
        record = json.loads((tmp_path / "made.v2-evaluation" / f"random-convolutions-9-{name}-seed0.json").read_text())
        assert record["protocol"]["features"] == "random-convolutions (untrained)"
        found[name] = record["figures"]
    assert "reference 8 images of folder:" in capsys.readouterr().out
    assert found["real"] == found["real.npz"]
    assert found["real"]["frechet"]["value"] > 1
    assert found["made.v2"]["frechet"]["value"] == pytest.approx(0, abs=1e-3)  # of images to themselves
    assert found["made.v2"]["precision"]["value"] == 1


def test_no_one_says_that_the_reference_was_trained_on(tmp_path):
    samples, real = write(tmp_path / "a", 9), write(tmp_path / "b", 8, seed=1)
    result = evaluate_samples(samples, DataConfig(dataset_of(str(real))), 7)
    assert result.protocol.reference == f"8 images of folder:{real}"
    assert result.protocol.num_generated == 7
    assert "no held-out split" in describe(result)


def test_subfolders_are_classes_only_if_the_reference_has_them(tmp_path):
    samples = write(tmp_path / "a", 9, names=("00000", "01000"))
    for names in (("",), ("cats", "dogs")):
        real = write(tmp_path / names[0] / "b", 8, seed=1, names=names)
        assert "frechet" in evaluate_samples(samples, DataConfig(f"folder:{real}"), 100).figures


@pytest.mark.parametrize(
    ("samples", "reference", "words"),
    [
        ("mixed", "a", ["samples:", "holds images of 10x12 and 9x9 (z.png); accepted: images of one size"]),
        ("a", "mixed", ["image_size: got None and images of 10x12 and 9x9 (z.png)", "--image-size"]),
        ("grey", "a", ["samples: got images of 10 x 12 x 1", "accepted: 10 x 12 x 3, as in folder:", "--channels"]),
        ("few", "a", ["images: got 3; accepted: 6 or more"]),
        ("a", "few", ["reference: got '3 images of folder:", "accepted: 6 or more"]),
        ("empty", "a", ["samples: got 'folder:", "a folder that holds images"]),
        ("a", "empty", ["reference: got 'folder:", "a folder that holds images"]),
        ("nowhere", "a", ["samples: got ", "nowhere'; accepted: an existing folder of images, or file of arrays"]),
        ("a/0.png", "a", ["0.png: cannot be read"]),
    ],
)
def test_what_cannot_be_compared_gets_one_line(tmp_path, monkeypatch, capsys, samples, reference, words):
    write(tmp_path / "a", 8)
    write(tmp_path / "mixed", 8)
    Image.new("RGB", (9, 9)).save(tmp_path / "mixed" / "z.png")
    write(tmp_path / "grey", 8, (10, 12))
    write(tmp_path / "few", 3)
    (tmp_path / "empty").mkdir()
    assert call(monkeypatch, "evaluate", "--samples", tmp_path / samples, "--reference", tmp_path / reference) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert error.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in error


def test_a_run_is_compared_with_its_own_data(monkeypatch, capsys):
    assert call(monkeypatch, "evaluate", "run", "--reference", "mnist") == 2
    assert "reference: got 'mnist'; accepted: none with a run" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--dataset", "cifar10"], ["--dataset=cifar10"]])
def test_the_former_name_of_the_reference_says_the_new_one(monkeypatch, capsys, flags):
    assert call(monkeypatch, "evaluate", "--samples", "x.npz", *flags) == 2
    assert "--dataset: is now --reference" in capsys.readouterr().err


def test_a_reference_that_does_not_exist(tmp_path):
    samples = write(tmp_path / "a", 8)
    with pytest.raises(InputError, match="reference: got 'npz:nowhere'"):
        evaluate_samples(samples, DataConfig(dataset_of("npz:nowhere")), 8)
