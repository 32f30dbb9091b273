"""Bundles of volumes: a GAN and restorers, loaded without training code, equal to the run; and as ONNX."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import jaxgen
from jaxgen.bundles.manifest import read_manifest
from jaxgen.errors import InputError
from jaxgen.export.bundle import export_run
from jaxgen.export.onnx_model import to_onnx
from jaxgen.networks.convolution import conv
from jaxgen.networks.layers import depth_to_space, downsample, space_to_depth, upsample
from jaxgen.tasks.gan.config import GanConfig, GanRecipe
from jaxgen.tasks.gan.sample import draw
from jaxgen.tasks.load import load
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationRecipe
from jaxgen.tasks.restoration.restorers import make_restorer
from jaxgen.types import Observation
from tests.bundle_runs import write_gan, write_restorer

GAN = GanRecipe(gan=GanConfig(architecture="mlp", base_channels=1, latent_dim=4, conditioning="concat"))
INVERSE = RestorationRecipe(restoration=RestorationConfig(widths=(2,), depth=1))
RECURRENT = RestorationRecipe(restoration=RestorationConfig(architecture="recurrent", widths=(2,), iterations=1))
READ = """
import sys, numpy as np, jaxgen
model = jaxgen.load(sys.argv[1])
np.save(sys.argv[2], model.sample(3, label=["dark", 2], seed=3), allow_pickle=False)
heavy = {name.split(".")[0] for name in sys.modules} & {"flax", "optax", "orbax", "tensorflow", "tensorflow_datasets"}
assert not heavy, heavy
"""


@pytest.fixture(scope="module")
def gan(tmp_path_factory):
    """The run of a GAN of volumes that are no cubes, and its bundle."""
    folder = tmp_path_factory.mktemp("gan")
    run = write_gan(folder / "run", GAN, (8, 8, 12, 1))
    export_run(str(run), folder / "bundle", "onnx")
    return run, folder / "bundle"


def test_the_volumes_of_a_bundle_are_the_runs(gan, tmp_path):
    run, bundle = gan
    subprocess.run([sys.executable, "-c", READ, bundle, tmp_path / "x.npy"], check=True)
    expected = draw(load(run), 3, 3, [1, 2])["images"]
    found = np.load(tmp_path / "x.npy", allow_pickle=False)
    assert found.shape == (3, 8, 8, 12, 1)
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert expected.std() > 2
    manifest = read_manifest(bundle)
    assert manifest.image == (8, 8, 12, 1)
    assert manifest.record["image"] == {"depth": 8, "height": 8, "width": 12, "channels": 1, "range": [-1, 1]}


def test_many_volumes_are_drawn_a_few_at_a_time(gan):
    model = jaxgen.load(gan[1])
    many = model.sample(18, label="grey", seed=1)
    np.testing.assert_allclose(model.sample(2, label="grey", seed=1), many[:2], atol=1)
    assert len(many) == 18


def test_the_generator_in_onnxruntime(gan):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs pip install 'jaxgen[onnx]'")
    session = onnxruntime.InferenceSession(gan[1] / "model.onnx", providers=["CPUExecutionProvider"])
    latents = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    classes = np.eye(3, dtype=np.float32)[[0, 2]]
    (found,) = session.run(None, {"latents": latents, "condition": classes})
    trained = load(gan[0])
    inputs = {"latents": jnp.asarray(latents), "condition": jnp.asarray(classes)}
    expected = trained.algorithm.predict(trained.state, inputs, jax.random.key(0)).images
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "side"), [("dcgan", 32), ("resnet", 8)])
def test_convolutional_generators_of_volumes_as_onnx(architecture, side, tmp_path):
    pytest.importorskip("onnxruntime", reason="needs pip install 'jaxgen[onnx]'")
    config = GanRecipe(gan=GanConfig(architecture=architecture, base_channels=2, latent_dim=4))
    run = write_gan(tmp_path / "run", config, (side, side, side, 1), ())
    assert "model.onnx" in export_run(str(run), tmp_path / "bundle", "onnx")  # compared with the network, to 1e-4
    assert jaxgen.load(tmp_path / "bundle").sample(2, seed=1).shape == (2, side, side, side, 1)


@pytest.fixture(scope="module")
def restorer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("restorer")
    run = write_restorer(folder / "run", INVERSE, (8, 8, 8, 1))
    export_run(str(run), folder / "bundle", "stablehlo")
    return run, jaxgen.load(folder / "bundle")


def restored_by_network(run, config, volume, known):
    """By the network of the run itself, (d, h, w) in [-1, 1]."""
    trained = load(run)
    network = make_restorer(config.restoration, trained.facts.shape)
    seen = Observation(jnp.asarray(volume * known)[None, ..., None], jnp.asarray(known)[None, ..., None])
    return np.asarray(network.apply({"params": trained.state.ema_params["restorer"]}, seen))[0, ..., 0]


def test_a_bundle_restores_volumes_of_any_size(restorer):
    model, noise = restorer[1], np.random.default_rng(1)
    assert model.manifest.image == (None, None, None, 1)
    volume = noise.random((5, 9, 6)).astype(np.float32)
    expected = restored_by_network(restorer[0], INVERSE, 2 * volume - 1, np.ones_like(volume))
    found = model.restore(volume)
    np.testing.assert_allclose(found, np.clip(expected / 2 + 0.5, 0, 1), atol=1e-5)
    assert found.shape == volume.shape
    several = model.restore(np.stack([volume, 1 - volume])[..., None])
    np.testing.assert_allclose(several[0, ..., 0], found, atol=1e-6)
    assert np.abs(several[1, ..., 0] - found).max() > 0.1


@pytest.mark.slow
def test_a_bundle_fills_what_is_missing_in_a_volume_and_keeps_all_else(restorer):
    model, noise = restorer[1], np.random.default_rng(2)
    volume, mask = noise.random((6, 6, 8)).astype(np.float32), np.zeros((6, 6, 8), bool)
    mask[2:4, 1:5, 3:6] = True
    expected = restored_by_network(restorer[0], INVERSE, 2 * volume - 1, 1.0 - mask.astype(np.float32))
    found = model.restore(volume, mask)
    np.testing.assert_allclose(found[mask], np.clip(expected / 2 + 0.5, 0, 1)[mask], atol=1e-5)
    np.testing.assert_allclose(found[~mask], volume[~mask], atol=1e-6)


@pytest.mark.parametrize("shape", [(5, 5), (2, 4, 4, 4), (4, 4, 4, 2)])
def test_what_is_no_volume_is_named(restorer, shape):
    with pytest.raises(InputError, match=r"image: got .*accepted: uint8, uint16 or floats, of shape \(d, h, w\)"):
        restorer[1].restore(np.zeros(shape, np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("config", [INVERSE, RECURRENT])
def test_a_restorer_of_volumes_as_onnx_at_any_size(config, tmp_path):
    pytest.importorskip("onnxruntime", reason="needs pip install 'jaxgen[onnx]'")
    run = write_restorer(tmp_path / "run", config, (8, 8, 8, 1))
    line = export_run(str(run), tmp_path / "bundle", "onnx")  # compares onnxruntime with the network, to 1e-4
    assert "model.onnx" in line


@pytest.mark.parametrize("fn", [space_to_depth, depth_to_space, upsample, downsample])
def test_resampling_of_volumes_as_onnx(fn):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs pip install 'jaxgen[onnx]'")
    b, d, h = export.symbolic_shape("b, 2*d, 2*h")
    kernel = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3, 3, 8, 8)).astype(np.float32))
    inputs = {"x": jax.ShapeDtypeStruct((b, d, h, 6, 8), jnp.float32)}
    data = to_onnx(lambda x: fn(conv(x, kernel)), inputs, "y", {})
    x = np.random.default_rng(1).normal(size=(2, 4, 8, 6, 8)).astype(np.float32)
    (found,) = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    np.testing.assert_allclose(found, fn(conv(jnp.asarray(x), kernel)), atol=1e-4)
