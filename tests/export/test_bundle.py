"""Bundles of runs: written by the command, read in a process without training code, equal to the run."""

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgen
from jaxgen.bundles.manifest import read_manifest
from jaxgen.errors import InputError
from jaxgen.export import bundle
from jaxgen.export.bundle import export_run
from jaxgen.export.model import open_model
from jaxgen.tasks.base import ExportChoices
from jaxgen.tasks.gan.config import GanConfig, GanRecipe
from jaxgen.tasks.gan.sample import draw
from jaxgen.tasks.load import load
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationRecipe
from jaxgen.tasks.restoration.damage_seen import see_damage
from jaxgen.tasks.restoration.pixels import adapt
from jaxgen.tasks.restoration.restorers import make_restorer
from jaxgen.types import Observation
from tests.bundle_runs import write_gan, write_restorer
from tests.command_line import call

GAN = GanRecipe(gan=GanConfig(architecture="mlp", base_channels=1, latent_dim=4, conditioning="concat"))
READ = """
import sys, numpy as np, jaxgen
model = jaxgen.load(sys.argv[1])
np.save(sys.argv[2], model.sample(5, label=["dark", 2], seed=3), allow_pickle=False)
heavy = {name.split(".")[0] for name in sys.modules} & {"flax", "optax", "orbax", "tensorflow", "tensorflow_datasets"}
ours = [n for n in sys.modules if n.startswith(("jaxgen.training", "jaxgen.tasks", "jaxgen.networks"))]
assert not heavy and not ours, (heavy, ours)
"""


@pytest.fixture(scope="module")
def gan_run(tmp_path_factory):
    return write_gan(tmp_path_factory.mktemp("runs") / "small", GAN)


@pytest.fixture(scope="module")
def gan_bundle(gan_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundles") / "gan"
    export_run(str(gan_run), out, "stablehlo")
    return out


def test_the_images_of_a_bundle_in_a_process_of_its_own_are_the_runs(gan_run, gan_bundle, tmp_path):
    subprocess.run([sys.executable, "-c", READ, gan_bundle, tmp_path / "x.npy"], check=True)
    expected = draw(load(gan_run), 5, 3, [1, 2])["images"]
    found = np.load(tmp_path / "x.npy", allow_pickle=False)
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert expected.std() > 5


def test_an_image_depends_on_its_number_and_seed_alone(gan_run, gan_bundle):
    model = jaxgen.load(gan_bundle)
    many = model.sample(70, seed=1)
    np.testing.assert_allclose(model.sample(3, seed=1), many[:3], atol=1)
    assert np.abs(model.sample(3, seed=2).astype(int) - many[:3]).max() > 5
    expected = draw(load(gan_run), 70, 1)["images"]  # the classes drawn are the same too
    np.testing.assert_allclose(many.astype(int), expected, atol=1)


def test_truncation_moves_the_latents_to_the_middle(gan_run, gan_bundle):
    gan = load(gan_run)
    inputs = {"latents": jnp.zeros((1, 4)), "condition": jnp.asarray([[1.0, 0.0, 0.0]])}
    expected = (np.asarray(gan.algorithm.predict(gan.state, inputs, jax.random.key(0)).images) + 1) * 127.5
    found = jaxgen.load(gan_bundle).sample(2, label="bright", truncation=0.0)
    np.testing.assert_allclose(found, np.repeat(expected, 2, axis=0), atol=0.51)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num": 0}, "num: got 0"),
        ({"num": 1, "label": "blue"}, "label: got 'blue'; accepted: bright, dark, grey"),
        ({"num": 1, "label": []}, "label"),
        ({"num": 1, "seed": -1}, "seed"),
        ({"num": 1, "truncation": 1.5}, "truncation"),
    ],
)
def test_arguments_that_are_not_accepted(gan_bundle, arguments, words):
    with pytest.raises(InputError, match=words):
        jaxgen.load(gan_bundle).sample(**arguments)


def test_what_a_manifest_records(gan_run, gan_bundle):
    record = json.loads((gan_bundle / "manifest.json").read_text())
    assert record["labels"] == ["bright", "dark", "grey"]
    assert record["latent_dim"] == 4
    assert record["step"] == 5
    assert record["weights"] == "ema"
    assert record["image"] == {"height": 8, "width": 8, "channels": 1, "range": [-1, 1]}
    assert [(a["name"], a["shape"]) for a in record["inputs"]] == [("latents", ["b", 4]), ("condition", ["b", 3])]
    for name, entry in record["files"].items():
        data = (gan_bundle / name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (entry["sha256"], entry["bytes"])


@pytest.mark.parametrize(
    ("record", "name"), [(None, "small"), ('{"recipe": "cgan_mnist"}', "cgan_mnist"), ("[]", "small"), ("{", "small")]
)
def test_a_model_is_named_after_its_recipe_or_else_its_folder(gan_run, tmp_path, record, name):
    """A run's own folder is called after the time when it started, which says nothing to who looks at a page."""
    run = tmp_path / "small"
    shutil.copytree(gan_run, run)
    if record is not None:
        (run / "run.json").write_text(record)
    assert open_model(str(run)).about["name"] == name


RESTORERS = [
    RestorationConfig(widths=(2, 4), depth=1),
    RestorationConfig(architecture="recurrent", widths=(3,), iterations=2),
    RestorationConfig(architecture="dense"),
]


@pytest.mark.slow
@pytest.mark.parametrize("config", RESTORERS, ids=lambda config: config.architecture)
def test_restored_images_are_those_of_the_run(config, tmp_path):
    run = write_restorer(tmp_path / "run", RestorationRecipe(restoration=config))
    export_run(str(run), tmp_path / "bundle", "stablehlo")
    model, trained = jaxgen.load(tmp_path / "bundle"), load(run)
    size = (16, 16) if config.architecture == "dense" else (21, 34)
    image = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    mask = np.zeros(size, bool)
    mask[3:9, 5:12] = True
    known = jnp.asarray(1.0 - mask[None, ..., None].astype(np.float32))
    images = jnp.asarray(image[None, ..., None] / np.float32(127.5) - 1)
    whole = jnp.ones_like(known)
    predict, key = trained.algorithm.predict, jax.random.key(0)
    restored = [predict(trained.state, Observation(images * k, k), key).images for k in (whole, known)]
    expected = [np.clip((np.asarray(x)[0, ..., 0] + 1) * 127.5, 0, 255) for x in restored]
    np.testing.assert_allclose(model.restore(image), expected[0], atol=0.6)
    found = model.restore(image, mask)
    np.testing.assert_allclose(found[mask], expected[1][mask], atol=0.6)
    np.testing.assert_array_equal(found[~mask], image[~mask])
    floats = model.restore(image / 255)
    assert floats.dtype == np.float32
    np.testing.assert_allclose(floats * 255, expected[0], atol=0.01)


def test_colour_by_a_model_for_grey(tmp_path):
    run = write_restorer(tmp_path / "run", RestorationRecipe(restoration=RESTORERS[0]))
    export_run(str(run), tmp_path / "bundle", "stablehlo")
    model = jaxgen.load(tmp_path / "bundle")
    image = np.random.default_rng(0).integers(0, 256, (16, 20, 3), np.uint8)
    images = jnp.asarray(image[None] / np.float32(127.5) - 1)
    restored = adapt(load(run), 3, 1.0, masked=False)(images, jnp.ones((1, 16, 20, 1)))
    np.testing.assert_allclose(model.restore(image), (np.asarray(restored[0]) + 1) * 127.5, atol=0.6)
    for bad in (image[..., :2], image.astype(np.int32), image / 100, image[:0]):
        with pytest.raises(InputError, match=r"^image: "):
            model.restore(bad)
    with pytest.raises(InputError, match=r"^mask: "):
        model.restore(image, np.zeros((3, 3), bool))
    with pytest.raises(InputError, match=r"^bundle: "):
        model.sample(1)


TOLD = RestorationConfig(widths=(2, 4), depth=1, repairs=("noise", "jpeg", "blur"), damage="gaussian:0-0.2+jpeg:0-0.9")


def test_a_bundle_repairs_what_is_asked_for_as_its_onnx_model_does_at_any_size(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs pip install 'jaxgen[onnx]'")
    run = write_restorer(tmp_path / "run", RestorationRecipe(restoration=TOLD), (16, 16, 3))
    export_run(str(run), tmp_path / "bundle", "onnx")
    model, trained = jaxgen.load(tmp_path / "bundle"), load(run)
    assert (model.manifest.repairs, model.manifest.fills) == (TOLD.repairs, False)
    assert [given.shape for given in model.manifest.inputs] == [("b", "h", "w", 3), ("b", "h", "w", 1), ("b", 3)]
    session = onnxruntime.InferenceSession((tmp_path / "bundle" / "model.onnx").read_bytes())
    image = np.random.default_rng(0).uniform(0, 1, (61, 47, 3)).astype(np.float32)
    predict = jax.jit(trained.algorithm.predict)
    noise, jpeg, blur = see_damage(trained, 2 * image - 1).levels.values()
    blurred = max(blur, 1.2)
    asked = (
        ("jpeg,blur", [0, jpeg, blurred]),
        ({"noise": -1, "blur": 1}, [noise, 0, 1]),
        ({"noise": 0.1, "blur": 2}, [0.1, 0, 2]),
    )
    for repair, levels in asked:
        told = np.asarray([levels], np.float32)
        seen = Observation(jnp.asarray(2 * image[None] - 1), None, jnp.asarray(told))
        expected = np.clip(predict(trained.state, seen, jax.random.key(0)).images, -1, 1)[0]
        np.testing.assert_allclose(2 * model.restore(image, repair=repair) - 1, expected, atol=1e-4)
        feeds = {"images": 2 * image[None] - 1, "missing": np.zeros((1, 61, 47, 1), np.float32), "levels": told}
        (found,) = session.run(None, feeds)
        np.testing.assert_allclose(np.clip(found[0], -1, 1), expected, atol=1e-4)


@pytest.mark.slow
def test_more_iterations_than_in_training(tmp_path):
    run = write_restorer(tmp_path / "run", RestorationRecipe(restoration=RESTORERS[1]))
    export_run(str(run), tmp_path / "bundle", "stablehlo", choices=ExportChoices(iterations=4))
    model, trained = jaxgen.load(tmp_path / "bundle"), load(run)
    image = np.random.default_rng(0).uniform(0, 1, (8, 8)).astype(np.float32)
    longer = make_restorer(dataclasses.replace(trained.config.restoration, iterations=4), (8, 8, 1))
    images = jnp.asarray(2 * image[None, ..., None] - 1)
    seen = Observation(images, jnp.ones_like(images))
    expected = longer.apply({"params": trained.state.ema_params["restorer"]}, seen)
    clipped = np.clip(np.asarray(expected)[0, ..., 0], -1, 1)
    np.testing.assert_allclose(2 * model.restore(image) - 1, clipped, atol=1e-5)
    assert model.manifest.halo == longer.halo


def test_the_command_writes_onnx_too(gan_run, monkeypatch, capsys, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs pip install 'jaxgen[onnx]'")
    out = tmp_path / "bundle"
    assert call(monkeypatch, "export", gan_run, "--out", out, "--format", "onnx") == 0
    assert "model.onnx" in capsys.readouterr().out
    session = onnxruntime.InferenceSession((out / "model.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    inputs = {"latents": np.ones((3, 4), np.float32), "condition": np.eye(3, dtype=np.float32)}
    (found,) = session.run(["images"], inputs)
    gan = load(gan_run)
    arrays = {name: jnp.asarray(array) for name, array in inputs.items()}
    np.testing.assert_allclose(found, gan.algorithm.predict(gan.state, arrays, jax.random.key(0)).images, atol=1e-5)


def test_weights_alone(gan_run, tmp_path):
    export_run(str(gan_run), tmp_path / "bundle", "safetensors")
    assert {path.name for path in (tmp_path / "bundle").iterdir()} == {"manifest.json", "weights.safetensors"}
    with pytest.raises(InputError, match=r"files: .* accepted: "):
        jaxgen.load(tmp_path / "bundle")
    assert set(read_manifest(tmp_path / "bundle").files) == {"weights.safetensors"}


def test_a_missing_package_is_named(gan_run, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"onnxruntime: pip install 'jaxgen\[onnx\]'"):
        export_run(str(gan_run), tmp_path / "x", "onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["/nowhere"], "run: got '/nowhere'"),
        (["RUN", "--checkpoint", "7"], "step 7"),
        (["RUN", "--format", "tflite"], "format: got 'tflite'"),
        (["RUN", "--iterations", "3"], "iterations: got 3"),
    ],
)
def test_bad_input_gets_one_line_and_writes_nothing(flags, words, gan_run, monkeypatch, capsys, tmp_path):
    flags = [str(gan_run) if flag == "RUN" else flag for flag in flags]
    assert call(monkeypatch, "export", *flags, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_bundle_is_replaced_only_with_force_and_other_folders_never(gan_run, tmp_path):
    out = tmp_path / "out"
    export_run(str(gan_run), out, "stablehlo")
    with pytest.raises(InputError, match=r"out: .*--force"):
        export_run(str(gan_run), out, "safetensors")
    export_run(str(gan_run), out, "safetensors", force=True)
    assert len(list(out.iterdir())) == 2
    (out / "mine.txt").write_text("x")
    with pytest.raises(InputError, match=r"mine\.txt would be lost"):
        export_run(str(gan_run), out, "safetensors", force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_model_that_is_not_equal_to_the_network_is_not_written(gan_run, monkeypatch, tmp_path):
    pytest.importorskip("onnxruntime", reason="needs pip install 'jaxgen[onnx]'")
    monkeypatch.setattr(bundle, "_result", lambda model, arrays: np.full((1,), 9, np.float32))
    with pytest.raises(InputError, match=r"onnx: difference"):
        export_run(str(gan_run), tmp_path / "out", "onnx")
    assert not list(tmp_path.iterdir())


def test_a_key_gives_the_same_rows_whatever_their_number():
    """What the reader relies on, said here so that another default of JAX is noticed."""
    key = jax.random.key(3)
    np.testing.assert_array_equal(jax.random.normal(key, (64, 5))[:7], jax.random.normal(key, (7, 5)))
    np.testing.assert_array_equal(jax.random.randint(key, (64,), 0, 9)[:7], jax.random.randint(key, (7,), 0, 9))
