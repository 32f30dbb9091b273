"""`python -m jaxgen restore` and `evaluate-restoration` as a user types them, with a small network."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from jaxgen.config_json import to_dict
from jaxgen.tasks.restoration.config import RestorationConfig
from jaxgen.tasks.restoration.evaluation import evaluate, everyday, suites
from jaxgen.tasks.restoration.restorers import make_restorer
from jaxgen.types import Observation
from jaxgen.weights import save_params
from tests.command_line import call

CONFIG = RestorationConfig(widths=(2, 4), depth=1)


@pytest.fixture(scope="module")
def network():
    restorer = make_restorer(CONFIG, (16, 16, 3))
    params = jax.jit(restorer.init)(jax.random.key(0), Observation(jnp.zeros((1, 16, 16, 3))))["params"]
    # weights that half precision holds, large enough that the network changes what it sees
    return restorer, jax.tree.map(lambda x: jnp.asarray(np.asarray(3 * x + 0.05, np.float16), jnp.float32), params)


@pytest.fixture(scope="module")
def model(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "restorer.safetensors"
    notes = {"restoration": json.dumps(to_dict(CONFIG)), "shape": json.dumps([16, 16, 3])}
    save_params(path, network[1], notes)
    return path


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "in" / "a.png"
    path.parent.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (37, 50, 3), np.uint8)).save(path)
    return path


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_photo_comes_out_as_the_network_says(network, model, photo, monkeypatch, tmp_path):
    assert call(monkeypatch, "restore", photo, "--out", tmp_path / "out", "--model", model) == 0
    restorer, params = network
    images = jnp.asarray(pixels(photo)[None] / np.float32(127.5) - 1)
    expected = np.clip(
        (np.asarray(jax.jit(restorer.apply)({"params": params}, Observation(images))[0]) + 1) * 127.5, 0, 255
    )
    found = pixels(tmp_path / "out" / "a.png")
    assert np.abs(found - expected).max() <= 0.51
    assert np.abs(found.astype(int) - pixels(photo)).max() > 3


def test_with_a_mask_the_network_is_given_what_is_missing_and_the_rest_stays(
    network, model, photo, monkeypatch, tmp_path
):
    missing = np.zeros((37, 50), np.uint8)
    missing[10:20, 10:30] = 255
    Image.fromarray(missing).save(tmp_path / "mask.png")
    flags = ["--mask", tmp_path / "mask.png", "--out", tmp_path / "out", "--model", model]
    assert call(monkeypatch, "restore", photo, *flags) == 0
    restorer, params = network
    known = jnp.asarray((missing == 0)[None, ..., None].astype(np.float32))
    images = jnp.asarray(pixels(photo)[None] / np.float32(127.5) - 1)
    expected = np.clip(
        (np.asarray(jax.jit(restorer.apply)({"params": params}, Observation(images * known, known))[0]) + 1) * 127.5,
        0,
        255,
    )
    found = pixels(tmp_path / "out" / "a.png")
    np.testing.assert_array_equal(found[missing == 0], pixels(photo)[missing == 0])
    assert np.abs(found - expected)[missing > 0].max() <= 0.51


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["/nowhere/x.png"], ["/nowhere/x.png"]),
        (["PHOTO", "--strength", "2"], ["strength", "2.0", "0 to 1"]),
        (["PHOTO", "--model", "/nowhere"], ["/nowhere", "photos, photos-grey"]),
        (["PHOTO", "--mask", "/nowhere.png"], ["/nowhere.png"]),
        ([], ["photos"]),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2(flags, words, model, photo, monkeypatch, capsys, tmp_path):
    flags = [str(photo) if flag == "PHOTO" else flag for flag in flags]
    chosen = [] if "--model" in flags else ["--model", model]
    assert call(monkeypatch, "restore", *flags, *chosen, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert all(word in error.lower() for word in words)
    assert not (tmp_path / "out").exists()


def test_a_damaged_photo_is_named_and_the_others_are_restored(model, photo, monkeypatch, capsys, tmp_path):
    (photo.parent / "b.png").write_bytes(b"no picture")
    assert call(monkeypatch, "restore", photo.parent, "--out", tmp_path / "out", "--model", model) == 1
    assert "b.png" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


@pytest.mark.slow
def test_the_tables_of_a_folder(model, photo, monkeypatch, capsys, tmp_path):
    """Grey and colour photographs, and the figures of the network itself."""
    grey = np.random.default_rng(1).integers(0, 256, (40, 40), np.uint8)
    Image.fromarray(grey).save(photo.parent / "b.png")
    few = suites.photo_suite()._replace(cases=suites.photo_suite().cases[:1])
    monkeypatch.setattr(evaluate, "suite_for", lambda shape, photos: few)
    out = tmp_path / "tables"
    assert call(monkeypatch, "evaluate-restoration", photo.parent, "--model", model, "--out", out) == 0
    record = json.loads((out / "table.json").read_text())
    assert record["num_images"] == 2
    (row,) = record["rows"]
    assert row["scores"]["input"]["psnr"] == pytest.approx(24.61, abs=0.3)  # sigma 15/255, not clipped
    text = capsys.readouterr().out
    assert f"{row['scores']['restored']['psnr']:.2f}" in text
    assert (out / "sheet.png").stat().st_size > 0


@pytest.mark.slow
def test_the_everyday_table_of_a_network_of_the_user(network, model, monkeypatch, tmp_path):
    larger = np.random.default_rng(2).integers(0, 256, (256, 260, 3), np.uint8)
    Image.fromarray(larger).save(tmp_path / "a.png")
    monkeypatch.setattr(everyday, "GROUPS", everyday.GROUPS[:1])
    flags = ("--suite", "everyday", "--model", model, "--out", tmp_path / "out")
    assert call(monkeypatch, "evaluate-restoration", tmp_path, *flags) == 0
    _, row = json.loads((tmp_path / "out" / "table.json").read_text())["rows"]
    restorer, params = network
    clean = larger[:, 2:-2]
    images = jnp.asarray(clean[None] / np.float32(127.5) - 1)
    found = np.asarray(jax.jit(restorer.apply)({"params": params}, Observation(images))[0])
    expected = np.clip(np.rint((found + 1) * 127.5), 0, 255).astype(np.uint8)
    assert row["group"] == "photo"
    assert row["given"] == 99
    assert row["restored"] == pytest.approx(peak_signal_noise_ratio(clean, expected), abs=0.01)


def test_a_clean_picture_is_left_as_it_was_to_the_byte(monkeypatch, tmp_path, capsys):
    clean = np.asarray(data.coffee()[100:260, 200:400])
    (tmp_path / "in").mkdir()
    Image.fromarray(clean).save(tmp_path / "in" / "cat.jpg", quality=97, subsampling=0)
    assert call(monkeypatch, "restore", tmp_path / "in", "--out", tmp_path / "out") == 0
    assert (tmp_path / "out" / "cat.jpg").read_bytes() == (tmp_path / "in" / "cat.jpg").read_bytes()
    shown = capsys.readouterr()
    assert "left as it was" in shown.out + shown.err


def test_noise_is_seen_named_and_removed_and_salt_and_pepper_unasked(monkeypatch, tmp_path, capsys):
    clean = np.asarray(data.chelsea()[:160, 100:300]).astype(np.float64)
    rng = np.random.default_rng(0)
    noisy = np.clip(np.rint(clean + rng.normal(0, 20, clean.shape)), 0, 255).astype(np.uint8)
    drawn = rng.random((160, 200, 1))
    salted = np.where(drawn < 0.1, 0, np.where(drawn > 0.9, 255, clean)).astype(np.uint8)
    (tmp_path / "in").mkdir()
    for name, damaged in (("noisy", noisy), ("salted", salted)):
        Image.fromarray(damaged).save(tmp_path / "in" / f"{name}.png")
    assert call(monkeypatch, "restore", tmp_path / "in", "--out", tmp_path / "out") == 0
    said = "".join(capsys.readouterr())
    assert 14 <= int(re.search(r"noise of about (\d+)/255", said).group(1)) <= 26
    assert re.search(r"salt and pepper on (19|20|21)\.\d% of the pixels", said)
    for name, damaged, gain in (("noisy", noisy, 6), ("salted", salted, 15)):
        before, after = (
            peak_signal_noise_ratio(clean, x.astype(np.float64), data_range=255)
            for x in (damaged, pixels(tmp_path / "out" / f"{name}.png"))
        )
        assert after - before > gain


@pytest.mark.parametrize(("arguments", "line"), [
    (("--repair", "mist"), "repair: got 'mist'; accepted: noise, jpeg, blur, scratches, dust, salt-and-pepper"),
    (("--mask", "MASK", "--model", "photos"), "mask: got 'a mask'; accepted: no mask, as this model was not trained"),
    (("--repair", "noise", "--model", "MODEL"), "repair: got 'noise'; accepted: none, as this model repairs all"),
])  # fmt: skip
def test_repairs_that_cannot_be_are_refused_in_one_line(arguments, line, model, photo, monkeypatch, tmp_path, capsys):
    named = [{"MODEL": model, "MASK": photo}.get(word, word) for word in arguments]
    assert call(monkeypatch, "restore", photo, "--out", tmp_path / "out", *named) == 2
    said = capsys.readouterr().err
    assert line in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["photos", "photos-grey", "photos-marks"])
def test_each_of_the_weights_of_the_package_restores_alone(name, photo, monkeypatch, tmp_path):
    """Those that have no estimator of levels take that of the package."""
    assert call(monkeypatch, "restore", photo, "--out", tmp_path / "out", "--model", name) == 0
    assert pixels(tmp_path / "out" / "a.png").shape == pixels(photo).shape
