"""Inception-v3 against Keras's with the same random weights, block by block; its input; the reader of weights."""

import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxgen.errors import InputError
from jaxgen.evaluation.inception import load_inception, to_params
from jaxgen.networks.inception import InceptionV3, Mixed, inception_shapes, prepare_images

NOISE = np.random.default_rng(0)


# the names of torchvision's layers, block by block in the order in which Keras makes the same layers
STEM = "Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 Conv2d_3b_1x1 Conv2d_4a_3x3".split()
A = "1x1 5x5_1 5x5_2 3x3dbl_1 3x3dbl_2 3x3dbl_3 _pool".split()
B = "3x3 3x3dbl_1 3x3dbl_2 3x3dbl_3".split()
C = "1x1 7x7_1 7x7_2 7x7_3 7x7dbl_1 7x7dbl_2 7x7dbl_3 7x7dbl_4 7x7dbl_5 _pool".split()
D = "3x3_1 3x3_2 7x7x3_1 7x7x3_2 7x7x3_3 7x7x3_4".split()
E = "1x1 3x3_1 3x3_2a 3x3_2b 3x3dbl_1 3x3dbl_2 3x3dbl_3a 3x3dbl_3b _pool".split()
BLOCKS = {"5b": A, "5c": A, "5d": A, "6a": B, "6b": C, "6c": C, "6d": C, "6e": C, "7a": D, "7b": E, "7c": E}
NAMES = [*STEM, *(f"Mixed_{block}.branch{end}" for block, ends in BLOCKS.items() for end in ends)]


def bilinear(images: np.ndarray, size: int) -> np.ndarray:
    """(b, h, w, c) to (b, size, size, c): output pixel i is at (i + 1/2) h / size - 1/2, clipped to the image."""
    for axis in (1, 2):
        n = images.shape[axis]
        place = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
        low = np.floor(place).astype(int)
        share = (place - low).reshape(-1, *(1,) * (3 - axis))
        images = (1 - share) * images.take(low, axis) + share * images.take(np.minimum(low + 1, n - 1), axis)
    return images


def in_order(model: Any, kind: type) -> list[Any]:
    """Layers in the order in which Keras made them: it numbers their names, but for the first's."""

    def number(layer: Any) -> int:
        end = layer.name.rpartition("_")[2]
        return int(end) if end.isdigit() else 0

    return sorted((layer for layer in model.layers if isinstance(layer, kind)), key=number)


def randomise(model: Any) -> dict[str, np.ndarray]:
    """Gives a Keras network random weights and statistics; returns them under torchvision's names and shapes."""
    import keras

    state = {}
    convs, norms = in_order(model, keras.layers.Conv2D), in_order(model, keras.layers.BatchNormalization)
    for name, conv, norm in zip(NAMES, convs, norms, strict=True):
        h, w, i, o = conv.get_weights()[0].shape
        kernel = NOISE.standard_normal((h, w, i, o), np.float32) * (2 / (h * w * i)) ** 0.5
        bias, mean = 0.3 * NOISE.standard_normal((2, o))
        var, weight = NOISE.uniform(0.5, 2.0, (2, o))
        conv.set_weights([kernel])
        norm.set_weights([bias, mean, var])  # Keras's norm has no weight: it is taken out of the kernel and the mean
        values = {"weight": weight, "bias": bias, "running_mean": mean / weight, "running_var": var}
        state[f"{name}.conv.weight"] = np.ascontiguousarray((kernel / weight).transpose(3, 2, 0, 1), np.float32)
        state |= {f"{name}.bn.{key}": value.astype(np.float32) for key, value in values.items()}
    return state


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """What Keras and we make of one image that is not of the network's size, by block; Keras's network."""
    import keras

    model = keras.applications.InceptionV3(weights=None, include_top=False, input_shape=(299, 299, 3))
    path = tmp_path_factory.mktemp("weights") / "inception.safetensors"
    unneeded = {"fc.weight": np.zeros((1008, 2048), np.float32), "AuxLogits.fc.bias": np.zeros(3, np.float32)}
    save_file(randomise(model) | unneeded | {"Conv2d_1a_3x3.bn.num_batches_tracked": np.array(7)}, path)
    params = load_inception(path, inception_shapes())

    image = NOISE.uniform(size=(1, 80, 120, 3)).astype(np.float32)
    mixed = [model.get_layer(f"mixed{i}").output for i in range(11)]
    blocks = keras.Model(model.input, mixed)(2.0 * bilinear(image, 299) - 1.0, training=False)
    theirs = {name: np.asarray(block) for name, block in zip(BLOCKS, blocks, strict=True)}

    @jax.jit
    def apply(params: Any, images: jax.Array) -> Any:
        only = {"capture_intermediates": lambda module, _: isinstance(module, Mixed)}
        return InceptionV3().apply({"params": params}, images, **only, mutable=["intermediates"])

    features, state = apply(params, jnp.asarray(image))
    ours = {name: np.asarray(state["intermediates"][f"Mixed_{name}"]["__call__"][0]) for name in BLOCKS}
    return theirs, ours | {"features": np.asarray(features)}, model


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    """Relative to the largest entry; a fifth of all must be large enough to tell."""
    assert actual.shape == expected.shape
    scale = float(np.abs(expected).max())
    assert np.mean(expected > 0.01 * scale) > 0.2
    np.testing.assert_allclose(actual / scale, expected / scale, rtol=0, atol=3e-5)


@pytest.mark.slow
@pytest.mark.parametrize("block", list(BLOCKS)[:-1])
def test_blocks_are_those_of_keras(outputs: Any, block: str) -> None:
    theirs, ours, _ = outputs
    assert_close(ours[block], theirs[block])


@pytest.mark.slow
def test_last_block_is_that_of_keras_but_for_the_pool_which_takes_maxima(outputs: Any) -> None:
    import keras
    import tensorflow as tf

    theirs, ours, model = outputs
    kinds = keras.layers.Conv2D, keras.layers.BatchNormalization
    conv, norm = (in_order(model, kind)[-1] for kind in kinds)
    bias, mean, var = norm.get_weights()
    pooled = tf.nn.max_pool2d(theirs["7b"], 3, 1, "SAME")
    y = tf.nn.conv2d(pooled, conv.get_weights()[0], 1, "SAME")
    pool_branch = tf.nn.relu(tf.nn.batch_normalization(y, mean, var, bias, None, 1e-3)).numpy()
    assert_close(ours["7c"][..., :-192], theirs["7c"][..., :-192])
    assert_close(ours["7c"][..., -192:], pool_branch)
    assert np.abs(theirs["7c"][..., -192:] - pool_branch).max() > 0.1 * pool_branch.max()


@pytest.mark.slow
def test_features_are_the_mean_over_the_last_block(outputs: Any) -> None:
    _, ours, _ = outputs
    assert ours["7c"].shape == (1, 8, 8, 2048)
    np.testing.assert_allclose(ours["features"], ours["7c"].mean((1, 2), dtype=np.float64), rtol=1e-5)


def test_number_of_weights_is_that_of_torchvision_without_its_classifiers() -> None:
    leaves = jax.tree_util.tree_leaves_with_path(inception_shapes())
    assert {leaf.dtype for _, leaf in leaves} == {np.dtype(np.float32)}
    trained = sum(leaf.size for path, leaf in leaves if "running" not in path[-1].key)
    assert trained == 27_161_264 - 3_326_696 - (2048 + 1) * 1000  # all, AuxLogits, fc


@pytest.mark.parametrize("size", [(8, 8), (32, 20), (299, 299), (299, 64), (400, 1000)])
def test_images_are_resized_as_the_formula_says(size: tuple[int, int]) -> None:
    images = NOISE.uniform(size=(1, *size, 3))
    prepared = prepare_images(jnp.asarray(images, jnp.float32))
    # positions are float32, whose error grows with the size
    np.testing.assert_allclose(prepared, 2.0 * bilinear(images, 299) - 1.0, atol=5e-7 * max(32, *size))


@pytest.mark.parametrize("size", [(32, 20), (299, 64), (400, 1000)])
def test_images_are_resized_as_by_torch(size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    images = NOISE.uniform(size=(2, *size, 3)).astype(np.float32)
    resized = torch.nn.functional.interpolate(
        torch.from_numpy(images.transpose(0, 3, 1, 2)), size=(299, 299), mode="bilinear", align_corners=False
    )
    expected = 2.0 * resized.numpy().transpose(0, 2, 3, 1) - 1.0
    np.testing.assert_allclose(prepare_images(jnp.asarray(images)), expected, atol=1e-4)


def test_grey_is_repeated_and_the_range_is_doubled() -> None:
    grey = jnp.asarray([0.0, 0.25, 1.0]).reshape(3, 1, 1, 1)
    expected = np.broadcast_to(np.array([-1.0, -0.5, 1.0]).reshape(3, 1, 1, 1), (3, 299, 299, 3))
    np.testing.assert_allclose(prepare_images(grey), expected, atol=1e-6)


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_are_refused(channels: int) -> None:
    with pytest.raises(InputError, match=f"^channels: got {channels}; accepted: 1 or 3"):
        prepare_images(jnp.zeros((1, 8, 8, channels)))


SMALL = {
    "a": {"b": {"conv.weight": jnp.zeros((5, 4, 3, 2))}},
    "c": {"bn.bias": jnp.zeros(2), "bn.weight": jnp.zeros(2)},
}
"""A tree like that of the network, two layers of it."""


def small_state() -> dict[str, np.ndarray]:
    shapes = {"a.b.conv.weight": (2, 3, 5, 4), "c.bn.bias": (2,), "c.bn.weight": (2,), "fc.weight": (7, 2)}
    return {name: NOISE.standard_normal(shape) for name, shape in shapes.items()}


def assert_is_small_state(params: Any, state: dict[str, np.ndarray]) -> None:
    assert jax.tree.structure(params) == jax.tree.structure(SMALL)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}
    kernel = params["a"]["b"]["conv.weight"]
    for h, w, i, o in np.ndindex(5, 4, 3, 2):
        assert kernel[h, w, i, o] == np.float32(state["a.b.conv.weight"][o, i, h, w])
    np.testing.assert_array_equal(params["c"]["bn.bias"], state["c.bn.bias"].astype(np.float32))
    np.testing.assert_array_equal(params["c"]["bn.weight"], state["c.bn.weight"].astype(np.float32))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_weights_are_read_from_safetensors(tmp_path: Path, dtype: str) -> None:
    state = {name: value.astype(dtype) for name, value in small_state().items()}
    save_file(state, tmp_path / "w.safetensors")
    assert_is_small_state(load_inception(tmp_path / "w.safetensors", SMALL), state)


@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_weights_are_read_from_what_torch_saved(tmp_path: Path, suffix: str) -> None:
    torch = pytest.importorskip("torch")
    state = small_state()
    tensors = {name: torch.from_numpy(value) for name, value in state.items()}
    torch.save(tensors | {"c.bn.num_batches_tracked": torch.tensor(3)}, tmp_path / f"w{suffix}")
    assert_is_small_state(load_inception(tmp_path / f"w{suffix}", SMALL), state)


def test_what_torch_pickled_is_not_run(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"a.b.conv.weight": Path("x")}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"^weights: \S+w.pth is not a state dict saved by torch \(.*\)$"):
        load_inception(tmp_path / "w.pth", SMALL)


def test_without_torch_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "w.pth").touch()
    with pytest.raises(InputError, match=r"not installed; pip install torch, or give a \.safetensors file"):
        load_inception(tmp_path / "w.pth", SMALL)


def test_missing_arrays_are_counted_and_the_first_is_named() -> None:
    state = small_state()
    del state["c.bn.bias"], state["c.bn.weight"]
    with pytest.raises(InputError, match=r"^weights: 2 of 3 arrays are missing, the first is c\.bn\.bias$"):
        to_params(state, SMALL)


def test_wrong_shapes_are_counted_and_the_first_is_named() -> None:
    state = small_state()
    state["a.b.conv.weight"] = state["a.b.conv.weight"].transpose(2, 3, 1, 0)
    expected = r"^weights: 1 of 3 .* first is a\.b\.conv\.weight: got \(5, 4, 3, 2\); accepted: \(2, 3, 5, 4\)$"
    with pytest.raises(InputError, match=expected):
        to_params(state, SMALL)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.safetensors", "accepted: an existing file"),
        ("w.ckpt", r"accepted: a \.pth, \.pt or \.safetensors file"),
        ("w.safetensors", r"is not a \.safetensors file"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, message: str) -> None:
    if name.startswith("w"):
        (tmp_path / name).write_bytes(b"these are no weights")
    with pytest.raises(InputError, match=f"^weights: .*{message}"):
        load_inception(tmp_path / name, SMALL)
