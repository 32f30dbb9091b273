"""Each network as an ONNX model, run by onnxruntime, against the network itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from jaxgen.errors import InputError
from jaxgen.export.onnx_graph import matching_axes
from jaxgen.export.onnx_model import to_onnx
from jaxgen.tasks.gan.config import GanConfig
from jaxgen.tasks.gan.pairs import make_gan_pair
from jaxgen.tasks.restoration.config import RestorationConfig
from jaxgen.tasks.restoration.restorers import make_restorer
from jaxgen.types import Observation

onnx = pytest.importorskip("onnx", reason="needs pip install 'jaxgen[onnx]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs pip install 'jaxgen[onnx]'")


def shape_of(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def difference(fn, inputs, arrays):
    data = to_onnx(fn, inputs, "y", {"name": "test"})
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    errors = []
    for each in arrays:
        (found,) = session.run(None, dict(zip(inputs, each, strict=True)))
        expected = np.asarray(jax.jit(fn)(*each))
        assert found.shape == expected.shape
        errors.append(np.abs(found - expected).max())
    return onnx.load_from_string(data), max(errors)


def moved(params):
    """Parameters away from the zeros that some start at, lest a wrong layer go unnoticed."""
    leaves, tree = jax.tree.flatten(params)
    noise = np.random.default_rng(0)
    return jax.tree.unflatten(tree, [x + 0.05 * noise.normal(size=x.shape).astype(np.float32) for x in leaves])


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["mlp", "dcgan", "resnet"])
@pytest.mark.parametrize("classes", [0, 3])
def test_generators_at_any_batch(architecture, classes):
    generator, _ = make_gan_pair(GanConfig(architecture=architecture, base_channels=2), (28, 28, 1))
    (b,) = export.symbolic_shape("b")
    inputs = {"latents": shape_of(b, 8)} | ({"condition": shape_of(b, classes)} if classes else {})
    noise = np.random.default_rng(1)
    arrays = [[noise.normal(size=(n, a.shape[1])).astype(np.float32) for a in inputs.values()] for n in (1, 2, 7)]
    params = moved(generator.init(jax.random.key(0), *map(jnp.asarray, arrays[0]))["params"])
    model, error = difference(lambda *a: generator.apply({"params": params}, *a), inputs, arrays)
    assert error < 2e-5
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.graph.value_info
    assert model.opset_import[0].version <= 21


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "channels"),
    [
        (RestorationConfig(widths=(2, 4), depth=1), 1),
        (RestorationConfig(widths=(2, 4), depth=1, keep_known=True), 3),
        (RestorationConfig(architecture="recurrent", widths=(3,), iterations=3), 1),
        (RestorationConfig(architecture="recurrent", widths=(3,), iterations=2, keep_known=True), 3),
    ],
)
def test_restorers_at_any_size(config, channels):
    network = make_restorer(config, (16, 16, channels))
    shape = export.symbolic_shape("b, h, w")
    inputs = {"images": shape_of(*shape, channels), "missing": shape_of(*shape, 1)}
    noise = np.random.default_rng(2)
    arrays = []
    for size in ((1, 61, 47), (2, 12, 20), (3, 1, 2)):
        images = np.clip(noise.normal(size=(*size, channels)), -1, 1).astype(np.float32)
        arrays.append([images, (noise.random((*size, 1)) < 0.3).astype(np.float32)])
    params = moved(network.init(jax.random.key(0), Observation(*map(jnp.asarray, arrays[0])))["params"])
    _, error = difference(
        lambda x, m: network.apply({"params": params}, Observation(x * (1 - m), 1 - m)), inputs, arrays
    )
    assert error < 2e-5


@pytest.mark.slow
@pytest.mark.parametrize(("repairs", "fills"), [(("noise", "jpeg"), False), (("noise", "salt_and_pepper"), True)])
def test_a_restorer_that_is_told_what_to_repair_at_an_odd_size(repairs, fills):
    network = make_restorer(RestorationConfig(widths=(2, 3), depth=1, repairs=repairs), (16, 16, 3))
    shape = export.symbolic_shape("b, h, w")
    inputs = {"images": shape_of(*shape, 3), "missing": shape_of(*shape, 1), "levels": shape_of(shape[0], 2)}
    noise = np.random.default_rng(4)
    images = np.clip(1.5 * noise.normal(size=(2, 31, 47, 3)), -1, 1).astype(np.float32)
    images[0, :9] = np.sign(images[0, :9, :, :1])  # suspected salt and pepper
    missing = (noise.random((2, 31, 47, 1)) < 0.3).astype(np.float32)
    levels = np.asarray([[0.1, -1], [0, 0.4]], np.float32)

    def seen(images, missing, levels):
        known = 1 - missing
        return Observation(images * known, known, levels) if fills else Observation(images, None, levels)

    params = moved(network.init(jax.random.key(0), seen(*map(jnp.asarray, (images, missing, levels))))["params"])
    _, error = difference(
        lambda *arrays: network.apply({"params": params}, seen(*arrays)), inputs, [[images, missing, levels]]
    )
    assert error < 2e-5


def test_the_dense_restorer():
    network = make_restorer(RestorationConfig(architecture="dense"), (8, 8, 1))
    b, *_ = export.symbolic_shape("b, h")
    inputs = {"images": shape_of(b, 8, 8, 1), "missing": shape_of(b, 8, 8, 1)}
    noise = np.random.default_rng(3)
    arrays = [[noise.uniform(0, 1, (n, 8, 8, 1)).astype(np.float32) for _ in range(2)] for n in (1, 3)]
    params = network.init(jax.random.key(0), Observation(*map(jnp.asarray, arrays[0])))["params"]
    _, error = difference(
        lambda x, m: network.apply({"params": params}, Observation(x * (1 - m), 1 - m)), inputs, arrays
    )
    assert error < 2e-5


def test_what_cannot_be_exported_is_named():
    with pytest.raises(InputError, match=r"onnx: the operation sort cannot be exported"):
        to_onnx(lambda x: jnp.sort(x), {"x": shape_of(2, 3)}, "y", {})
    with pytest.raises(InputError, match=r"onnx: slices with strides"):
        to_onnx(lambda x: jax.lax.slice(x, (0, 0), (2, 3), (1, 2)), {"x": shape_of(2, 3)}, "y", {})


def test_axes_that_hold_the_same_elements():
    b, h = export.symbolic_shape("b, 2*h")
    assert matching_axes((b, h, 6), (b, h // 2, 2, 2, 3)) == [([0], [0]), ([1], [1, 2]), ([2], [3, 4])]
    assert matching_axes((3 * b, 5), (b, 3, 5)) == [([0], [0, 1]), ([1], [2])]
    assert matching_axes((4, 6), (3, 8)) == [([0, 1], [0, 1])]
