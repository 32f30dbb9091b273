"""Bundles of restorers that are told levels: the network that sees them comes along, and is heeded."""

import hashlib
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from skimage import data

import jaxgen
from jaxgen.errors import InputError
from jaxgen.export import bundle
from jaxgen.export.model import open_model
from jaxgen.tasks.load import load
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationRecipe
from jaxgen.tasks.restoration.damage_seen import see_damage
from jaxgen.tasks.restoration.export import estimator_of
from tests.bundle_runs import write_restorer

TOLD = RestorationConfig(widths=(2, 4), depth=1, repairs=("noise", "jpeg", "blur"), damage="gaussian:0-0.2+jpeg:0-0.9")
PHOTO = data.astronaut()[:200, 100:400]


def through_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def noisy(pixels: np.ndarray, deviation: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, deviation, pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


CLEAN = np.asarray(Image.fromarray(PHOTO).resize((120, 80), Image.Resampling.LANCZOS))
PICTURES = {
    "noise": noisy(PHOTO, 25),
    "jpeg": through_jpeg(PHOTO, 20),
    "grey": noisy(PHOTO[..., :1], 15),
    "small": noisy(PHOTO[:30, :50], 25),
    "tall": noisy(PHOTO[:, :70], 12).astype(np.uint16) * 257,
    "clean": CLEAN,
}


@pytest.fixture(scope="module")
def photos():
    return load("photos")


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    """A bundle of a small network, whose estimator is that of the weights `photos`."""
    folder = tmp_path_factory.mktemp("estimator")
    run = write_restorer(folder / "run", RestorationRecipe(restoration=TOLD), (16, 16, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle, "open_model", lambda *given: open_model(*given)._replace(estimator=estimator_of(photos)))
        bundle.export_run(str(run), folder / "bundle", "stablehlo")
    return folder / "bundle"


@pytest.fixture(scope="module")
def model(whole):
    return jaxgen.load(whole)


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "bundle")


def edit(folder, change):
    record = json.loads((folder / "manifest.json").read_text())
    change(record)
    (folder / "manifest.json").write_text(json.dumps(record))


@pytest.mark.parametrize("name", PICTURES)
def test_a_bundle_sees_what_the_command_sees(name, model, photos, monkeypatch):
    expected = see_damage(photos, PICTURES[name]).levels
    told = []
    monkeypatch.setattr(type(model), "_restored", lambda self, pixels, known, levels: told.append(levels) or pixels)
    image = PICTURES[name]
    np.testing.assert_array_equal(model.restore(image), image)
    model.restore(image, repair="blur,noise")
    levels = [np.float32([expected["noise"], expected["jpeg"], 0])] if expected["noise"] or expected["jpeg"] else []
    levels.append(np.float32([expected["noise"], 0, max(expected["blur"], 1.2)]))
    assert len(told) == len(levels)
    np.testing.assert_allclose(told, levels, atol=1e-3)


def test_the_pictures_are_what_they_are_called(photos):
    levels = {name: see_damage(photos, picture).levels for name, picture in PICTURES.items()}
    assert levels["noise"]["noise"] == pytest.approx(25 / 255, rel=0.25)
    assert levels["jpeg"]["jpeg"] == pytest.approx(0.8, abs=0.1)
    assert (levels["clean"]["noise"], levels["clean"]["jpeg"]) == (0, 0)


def test_a_clean_picture_is_left_as_it_is_unless_levels_are_given(model):
    np.testing.assert_array_equal(model.restore(CLEAN), CLEAN)
    np.testing.assert_array_equal(model.restore(CLEAN, repair={"noise": -1}), CLEAN)
    assert (model.restore(CLEAN, repair={"noise": 0.1}) != CLEAN).any()


def test_the_onnx_estimator_gives_what_the_program_gives(photos, model):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs pip install 'jaxgen[onnx]'")
    session = onnxruntime.InferenceSession(bundle.onnx_model(estimator_of(photos)))
    windows = np.random.default_rng(1).uniform(-1, 1, (7, 64, 64, 3)).astype(np.float32)
    (found,) = session.run(["found"], {"images": windows})
    np.testing.assert_allclose(found, model.estimate(windows), atol=1e-4)


def test_a_bundle_without_an_estimator_is_blind(folder, monkeypatch):
    """Such as one of an earlier version."""
    edit(folder, lambda record: [record.pop("estimator")] + [record["files"].pop(f"estimator{end}") for end in ENDS])
    model, told = jaxgen.load(folder), []
    assert model.estimate is None
    monkeypatch.setattr(type(model), "_restored", lambda self, pixels, known, levels: told.append(levels) or pixels)
    model.restore(PHOTO)
    np.testing.assert_array_equal(told, [[-1, -1, 0]])


ENDS = (".stablehlo", ".safetensors", "_golden.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.update(estimator=[]), "estimator: got"),
        (lambda r: r["estimator"].update(repairs=["dust"]), "estimator.repairs"),
        (lambda r: r["estimator"].update(repairs="noise"), "estimator.repairs"),
        (lambda r: r["estimator"].pop("inputs"), "inputs: missing"),
        (lambda r: r["estimator"]["inputs"][0].update(shape=["b", "h", "w", 3]), "estimator: shapes"),
        (lambda r: r["estimator"]["outputs"][0].update(shape=["b", 2]), "estimator: shapes"),
        (lambda r: r["estimator"]["outputs"][0].update(name="levels"), "estimator_golden.safetensors: names"),
        (lambda r: r["files"].pop("estimator.stablehlo"), "estimator.stablehlo among them"),
        (lambda r: r["files"]["estimator.safetensors"].update(sha256="0" * 64), "estimator.safetensors: sha256"),
    ],
)
def test_a_manifest_that_is_not_right(folder, change, words):
    edit(folder, change)
    with pytest.raises(InputError, match=words) as caught:
        jaxgen.load(folder)
    assert "\n" not in str(caught.value)


def test_an_estimator_that_gives_something_else_is_refused(folder):
    from safetensors.numpy import load, save

    path = folder / "estimator_golden.safetensors"
    golden = load(path.read_bytes())
    path.write_bytes(save({**golden, "found": golden["found"] + np.float32(0.01)}))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    edit(folder, lambda record: record["files"][path.name].update(sha256=sha256))
    with pytest.raises(InputError, match=r"estimator_golden\.safetensors: difference"):
        jaxgen.load(folder)


def test_which_weights_of_the_package_come_with_an_estimator(photos):
    assert estimator_of(load("photos-grey")).inputs["images"].shape[1:] == (64, 64, 3)
    assert estimator_of(load("photos-marks")) is None
    assert estimator_of(photos).about == {"repairs": ["noise", "jpeg", "blur"]}
