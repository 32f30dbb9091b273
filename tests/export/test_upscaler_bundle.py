"""Bundles of networks that enlarge: the factor chosen, tiles, StableHLO and ONNX."""

import numpy as np
import pytest

import jaxgen
from jaxgen.bundles import model as bundles
from jaxgen.errors import InputError
from jaxgen.export.bundle import export_run
from jaxgen.tasks.base import ExportChoices
from jaxgen.tasks.load import load, save_weights
from jaxgen.tasks.super_resolution.enlarge import make_enlarge
from jaxgen.web.models import open_model
from tests.command_line import call
from tests.upscalers import upscaler_of


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "upscaler.safetensors"
    save_weights(path, upscaler_of())
    return path


def test_a_bundle_enlarges_as_the_network_does(weights, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(bundles, "TILE", 20)
    assert call(monkeypatch, "export", weights, "--scale", 3, "--out", tmp_path / "bundle") == 0
    model, trained = jaxgen.load(tmp_path / "bundle"), load(weights)
    assert (model.manifest.kind, model.manifest.scale, model.manifest.image) == ("upscaler", 3, (None, None, 3))
    assert model.manifest.outputs[0].shape == ("b", "3*h", "3*w", 3)
    image = np.random.default_rng(0).integers(0, 256, (70, 65, 3), np.uint8)
    expected = make_enlarge(trained, 3)(image)
    found = model.upscale(image)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected).max() <= 1
    grey = make_enlarge(trained, 3)(image[..., :1])[..., 0]
    assert np.abs(model.upscale(image[..., 0]).astype(int) - grey).max() <= 1
    floats = model.upscale(image / 255)
    assert floats.dtype == np.float32
    assert np.abs(floats * 255 - expected).max() <= 0.51
    with pytest.raises(InputError, match="bundle: got 'upscaler'; accepted: a bundle of a restorer"):
        model.restore(image)


@pytest.mark.parametrize("scale", [2, 3, None])
def test_onnx_gives_the_same_at_any_size(scale, weights, tmp_path) -> None:
    """The export compares it with the network at four sizes; here with the program of the other format."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs pip install 'jaxgen[onnx]'")
    export_run(str(weights), tmp_path / "bundle", "onnx", choices=ExportChoices(scale=scale))
    session = onnxruntime.InferenceSession((tmp_path / "bundle/model.onnx").read_bytes())
    images = np.random.default_rng(1).uniform(-1, 1, (1, 23, 31, 3)).astype(np.float32)
    (found,) = session.run(["enlarged"], {"images": images})
    factor = scale or 4
    assert found.shape == (1, 23 * factor, 31 * factor, 3)
    np.testing.assert_allclose(found, jaxgen.load(tmp_path / "bundle").apply(images), rtol=0, atol=1e-4)


def test_the_page_gets_a_model_for_each_factor_of_the_weights(tmp_path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs pip install 'jaxgen[onnx]'")
    save_weights(tmp_path / "upscaler.safetensors", upscaler_of((2, 4)))
    model = open_model(str(tmp_path / "upscaler.safetensors"))
    assert (model.manifest["kind"], model.manifest["scale"], [*model.others]) == ("upscaler", 4, [2])
    images = np.zeros((1, 5, 7, 3), np.float32)
    for scale, data in ((4, model.onnx), (2, model.others[2])):
        (found,) = onnxruntime.InferenceSession(data).run(["enlarged"], {"images": images})
        assert found.shape == (1, 5 * scale, 7 * scale, 3)


@pytest.mark.parametrize(("choices", "words"), [({"scale": 8}, "scale: got 8"), ({"iterations": 2}, "iterations: got")])
def test_choices_that_there_are_not(choices, words, weights, tmp_path) -> None:
    with pytest.raises(InputError, match=words):
        export_run(str(weights), tmp_path / "bundle", "stablehlo", choices=ExportChoices(**choices))
    assert not list(tmp_path.iterdir())
