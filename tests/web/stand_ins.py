"""Models whose outputs are known in closed form, as ONNX."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from jaxgen.bundles.manifest import image_entry
from jaxgen.web.models import PageModel

SIZE = 12
LATENT_DIM = 8
LABELS = ("cat", "dog", "a: b")
_values = np.random.default_rng(0)
FROM_LATENTS = _values.normal(size=(LATENT_DIM, SIZE * SIZE * 3)).astype(np.float32) / 4
FROM_CLASSES = _values.normal(size=(len(LABELS), SIZE * SIZE * 3)).astype(np.float32) / 4


def expected_images(latents: np.ndarray, conditions: np.ndarray) -> np.ndarray:
    """What `linear_gan` draws: a clipped linear map."""
    flat = latents @ FROM_LATENTS + conditions @ FROM_CLASSES
    return np.clip(flat, -1, 1).reshape(-1, SIZE, SIZE, 3)


def linear_gan(name: str = "Linear") -> PageModel:
    nodes = [
        helper.make_node("MatMul", ["latents", "w"], ["x"]),
        helper.make_node("MatMul", ["condition", "v"], ["y"]),
        helper.make_node("Add", ["x", "y"], ["z"]),
        helper.make_node("Clip", ["z", "low", "high"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["images"]),
    ]
    constants = {
        "w": FROM_LATENTS, "v": FROM_CLASSES, "low": np.float32(-1), "high": np.float32(1),
        "shape": np.array([-1, SIZE, SIZE, 3]),
    }  # fmt: skip
    shapes = {"latents": ["b", LATENT_DIM], "condition": ["b", len(LABELS)]}
    data = _model(nodes, constants, shapes, {"images": ["b", SIZE, SIZE, 3]})
    image = {"height": SIZE, "width": SIZE, "channels": 3, "range": [-1, 1]}
    manifest = _manifest(name, "gan", image, shapes) | {"latent_dim": LATENT_DIM, "labels": list(LABELS)}
    return PageModel(manifest, data, expected_images)


def expected_restored(images: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """What `mean_restorer` gives: the mean of 9 x 9 pixels with zeros beyond the border, 0.5 where missing."""
    h, w = images.shape[1:3]
    padded = np.pad(images.astype(np.float64), ((0, 0), (4, 4), (4, 4), (0, 0)))
    total = sum(padded[:, y : y + h, x : x + w] for y in range(9) for x in range(9))
    return np.where(missing > 0, 0.5, total / 81)


def mean_restorer(name: str = "Mean") -> PageModel:
    nodes = [
        helper.make_node("Transpose", ["images"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "kernel"], ["means"], pads=[4, 4, 4, 4], group=3),
        helper.make_node("Transpose", ["means"], ["mean"], perm=[0, 2, 3, 1]),
        helper.make_node("Sub", ["one", "missing"], ["known"]),
        helper.make_node("Mul", ["mean", "known"], ["seen"]),
        helper.make_node("Mul", ["missing", "half"], ["filled"]),
        helper.make_node("Add", ["seen", "filled"], ["restored"]),
    ]
    kernel = np.full((3, 1, 9, 9), 1 / 81, np.float32)
    constants = {"kernel": kernel, "one": np.float32(1), "half": np.float32(0.5)}
    shapes = {"images": ["b", "h", "w", 3], "missing": ["b", "h", "w", 1]}
    data = _model(nodes, constants, shapes, {"restored": ["b", "h", "w", 3]})
    image = {"height": None, "width": None, "channels": 3, "range": [-1, 1]}
    return PageModel(_manifest(name, "restorer", image, shapes) | {"multiple": 4, "halo": 4}, data)


TINT = np.float32([0.25, 0.0, -0.125])
"""What `mean_upscaler` adds to red, green and blue."""


def expected_enlarged(images: np.ndarray, scale: int) -> np.ndarray:
    """What `mean_upscaler` gives: each of the means of 9 x 9 pixels as a square of scale x scale, and the tint."""
    means = expected_restored(images, np.zeros((*images.shape[:3], 1)))
    return means.repeat(scale, axis=1).repeat(scale, axis=2) + TINT


def mean_upscaler(name: str = "Larger", scales: tuple[int, ...] = (2, 4)) -> PageModel:
    first, *others = scales
    shapes = {"images": ["b", "h", "w", 3]}
    image = {"height": None, "width": None, "channels": 3, "range": [-1, 1]}
    manifest = _manifest(name, "upscaler", image, shapes) | {"multiple": 1, "halo": 4, "scale": first}
    return PageModel(manifest, _enlarging(first), others={scale: _enlarging(scale) for scale in others})


def _enlarging(scale: int) -> bytes:
    nodes = [
        helper.make_node("Transpose", ["images"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "kernel"], ["means"], pads=[4, 4, 4, 4], group=3),
        helper.make_node(
            "Resize", ["means", "", "scales"], ["large"], mode="nearest", nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        ),
        helper.make_node("Transpose", ["large"], ["squares"], perm=[0, 2, 3, 1]),
        helper.make_node("Add", ["squares", "tint"], ["enlarged"]),
    ]  # fmt: skip
    kernel = np.full((3, 1, 9, 9), 1 / 81, np.float32)
    constants = {"kernel": kernel, "scales": np.float32([1, 1, scale, scale]), "tint": TINT}
    inputs = {"images": ["b", "h", "w", 3]}
    return _model(nodes, constants, inputs, {"enlarged": ["b", "y", "x", 3]})


VOLUME_SIZES = (6, 10, 8)
_places = np.meshgrid(*(np.linspace(-1, 1, size) for size in VOLUME_SIZES), indexing="ij")
BALL = (1.2 - 2.4 * sum(place**2 for place in _places)).astype(np.float32).reshape(1, -1)
TO_VOLUME = (_values.normal(size=(LATENT_DIM, BALL.size)) / 10).astype(np.float32)


def expected_volumes(latents: np.ndarray) -> np.ndarray:
    """What `ball_gan` draws: a ball that is soft at its border, and a linear map of the latents."""
    return np.clip(latents @ TO_VOLUME + BALL, -1, 1).reshape(-1, *VOLUME_SIZES, 1)


def ball_gan(name: str = "Ball") -> PageModel:
    nodes = [
        helper.make_node("MatMul", ["latents", "w"], ["x"]),
        helper.make_node("Add", ["x", "ball"], ["y"]),
        helper.make_node("Clip", ["y", "low", "high"], ["flat"]),
        helper.make_node("Reshape", ["flat", "shape"], ["images"]),
    ]
    constants = {
        "w": TO_VOLUME, "ball": BALL, "low": np.float32(-1), "high": np.float32(1),
        "shape": np.array([-1, *VOLUME_SIZES, 1]),
    }  # fmt: skip
    shapes = {"latents": ["b", LATENT_DIM]}
    data = _model(nodes, constants, shapes, {"images": ["b", *VOLUME_SIZES, 1]})
    about = {"latent_dim": LATENT_DIM, "labels": []}
    manifest = _manifest(name, "gan", image_entry(VOLUME_SIZES, 1), shapes) | about
    return PageModel(manifest, data, lambda latents, _: expected_volumes(latents))


def expected_scan(volumes: np.ndarray) -> np.ndarray:
    """What `mean_scan` gives: the mean of 3 x 3 x 3 voxels (n, d, h, w, 1) with zeros beyond the border."""
    d, h, w = volumes.shape[1:4]
    padded = np.pad(volumes.astype(np.float64), ((0, 0), (1, 1), (1, 1), (1, 1), (0, 0)))
    return sum(padded[:, z : z + d, y : y + h, x : x + w] for z, y, x in np.ndindex(3, 3, 3)) / 27


def mean_scan(name: str = "Scan") -> PageModel:
    """A restorer of volumes of any size."""
    nodes = [
        helper.make_node("Transpose", ["images"], ["planes"], perm=[0, 4, 1, 2, 3]),
        helper.make_node("Conv", ["planes", "kernel"], ["means"], pads=[1] * 6),
        helper.make_node("Transpose", ["means"], ["mean"], perm=[0, 2, 3, 4, 1]),
        helper.make_node("Sub", ["mean", "missing"], ["restored"]),
    ]
    constants = {"kernel": np.full((1, 1, 3, 3, 3), 1 / 27, np.float32)}
    shapes = {name: ["b", "d", "h", "w", 1] for name in ("images", "missing")}
    data = _model(nodes, constants, shapes, {"restored": shapes["images"]})
    manifest = _manifest(name, "restorer", image_entry((None,) * 3, 1), shapes)
    return PageModel(manifest | {"multiple": 2, "halo": 1}, data)


REPAIRS = {"noise": 0.125, "jpeg": 0.25, "salt_and_pepper": 0.5}
"""What `told_restorer` subtracts for each repair of unknown level."""


def expected_levels(windows: np.ndarray) -> np.ndarray:
    """What the estimator of `seeing_restorer` finds: 1/2 and 3/4 of the mean, but nothing below 0."""
    return np.maximum(windows.mean(axis=(1, 2, 3)), 0)[:, None] * np.float32([0.5, 0.75])


def seeing_restorer(name: str = "Seeing") -> PageModel:
    """That of `told_restorer`, with an estimator of noise and JPEG."""
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Relu", ["mean"], ["light"]),
        helper.make_node("Unsqueeze", ["light", "last"], ["column"]),
        helper.make_node("Mul", ["column", "factors"], ["found"]),
    ]
    constants = {"last": np.array([1]), "factors": np.float32([[0.5, 0.75]])}
    shapes = {"images": ["b", 64, 64, 3]}
    seen = {"repairs": ["noise", "jpeg"], "inputs": [{"name": "images", "shape": shapes["images"]}]}
    told = told_restorer(name)
    data = _model(nodes, constants, shapes, {"found": ["b", 2]})
    return told._replace(manifest={**told.manifest, "estimator": seen}, estimator=data)


def told_restorer(name: str = "Told", fills: bool = True) -> PageModel:
    """A restorer that subtracts a number for each repair that is asked for, and gives 0.5 where pixels are missing."""
    nodes = [
        helper.make_node("MatMul", ["levels", "weights"], ["change"]),
        helper.make_node("Reshape", ["change", "shape"], ["changes"]),
        helper.make_node("Add", ["images", "changes"], ["seen"]),
        helper.make_node("Greater", ["missing", "half"], ["hole"]),
        helper.make_node("Where", ["hole", "half", "seen"], ["restored"]),
    ]
    weights = np.float32(list(REPAIRS.values()))[:, None]
    constants = {"weights": weights, "shape": np.array([-1, 1, 1, 1]), "half": np.float32(0.5)}
    shapes = {"images": ["b", "h", "w", 3], "missing": ["b", "h", "w", 1], "levels": ["b", len(REPAIRS)]}
    data = _model(nodes, constants, shapes, {"restored": ["b", "h", "w", 3]})
    image = {"height": None, "width": None, "channels": 3, "range": [-1, 1]}
    about = {"multiple": 4, "halo": 4, "repairs": list(REPAIRS), "fills": fills}
    return PageModel(_manifest(name, "restorer", image, shapes) | about, data)


def _manifest(name: str, kind: str, image: dict[str, Any], shapes: dict[str, Any]) -> dict[str, Any]:
    inputs = [{"name": given, "shape": shape, "dtype": "float32"} for given, shape in shapes.items()]
    return {"name": name, "kind": kind, "image": image, "inputs": inputs, "licence": "none", "data": "made-up numbers"}


def _model(nodes: list[Any], constants: dict[str, Any], inputs: dict[str, Any], outputs: dict[str, Any]) -> bytes:
    given, made = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in infos.items()]
        for infos in (inputs, outputs)
    )
    kept = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "stand-in", given, made, kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()
