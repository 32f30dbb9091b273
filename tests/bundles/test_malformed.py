"""Damaged and hostile bundles: one clear line each, nothing run that was not declared."""

import hashlib
import inspect
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from safetensors.numpy import save

import jaxgen
from jaxgen.errors import InputError


def double(weights, latents):
    return jnp.broadcast_to(weights["w"].reshape(1, 1, 1, -1) * latents[:, None, None, :1], (latents.shape[0], 2, 3, 1))


def program(fn, weights, latent_dim=2):
    (b,) = export.symbolic_shape("b")
    shapes = {name: jax.ShapeDtypeStruct(a.shape, a.dtype) for name, a in weights.items()}
    latents = jax.ShapeDtypeStruct((b, latent_dim), jnp.float32)
    return bytes(export.export(jax.jit(fn), platforms=["cpu", "cuda", "tpu"])(shapes, latents).serialize())


def entry(data):
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A bundle written by hand: a "GAN" whose image is its first latent times 0.5."""
    folder = tmp_path_factory.mktemp("bundle")
    weights, latents = {"w": np.full((1,), 0.5, np.float32)}, np.asarray([[0.2, 0], [-0.6, 1]], np.float32)
    images = np.broadcast_to(0.5 * latents[:, None, None, :1], (2, 2, 3, 1))
    files = {
        "model.stablehlo": program(double, weights),
        "weights.safetensors": save(weights),
        "golden.safetensors": save({"latents": latents, "images": np.ascontiguousarray(images)}),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    record = {
        "format": "jaxgen-bundle",
        "version": 1,
        "kind": "gan",
        "name": "double",
        "image": {"height": 2, "width": 3, "channels": 1, "range": [-1, 1]},
        "latent_dim": 2,
        "labels": [],
        "inputs": [{"name": "latents", "shape": ["b", 2], "dtype": "float32"}],
        "outputs": [{"name": "images", "shape": ["b", 2, 3, 1], "dtype": "float32"}],
        "files": {name: entry(data) for name, data in files.items()},
    }
    (folder / "manifest.json").write_text(json.dumps(record))
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "bundle")


def edit(folder, change):
    path = folder / "manifest.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def put(folder, name, data):
    """A file with its hash and size declared rightly."""
    (folder / name).write_bytes(data)
    edit(folder, lambda record: record["files"].update({name: entry(data)}))


def refused(folder, words):
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(InputError, match=words) as caught:
        jaxgen.load(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert sorted(folder.parent.rglob("*")) == before


def test_the_whole_one_is_read(folder):
    (image,) = jaxgen.load(folder).sample(1, seed=0)
    latent = float(jax.random.normal(jax.random.split(jax.random.key(0))[0], (1, 2))[0, 0])
    np.testing.assert_allclose(image, np.clip(np.full((2, 3, 1), (0.5 * latent + 1) * 127.5), 0, 255), atol=0.51)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.update(version=2), "version: got 2; accepted: 1"),
        (lambda r: r.update(version=True), "version: got True"),
        (lambda r: r.update(format="zip"), "format: got 'zip'"),
        (lambda r: r.update(kind="classifier"), "kind"),
        (lambda r: r.update(kind=["gan"]), "kind"),
        (lambda r: r.pop("latent_dim"), "latent_dim: missing"),
        (lambda r: r.update(latent_dim="2"), "latent_dim: got '2'"),
        (lambda r: r.update(latent_dim=10**9), "latent_dim: got 1000000000"),
        (lambda r: r.update(name="x" * 10**5), "name"),
        (lambda r: r.update(labels="abc"), "labels"),
        (lambda r: r.update(labels=[1]), "labels: got 1"),
        (lambda r: r.update(image=[2, 3]), "image"),
        (lambda r: r["image"].update(height=10**7), "image.height"),
        (lambda r: r["image"].update(height=None), "image.height"),
        (lambda r: r["image"].update(channels=5), "image.channels"),
        (lambda r: r["image"].update(range=[0, 1]), "image.range"),
        (lambda r: r.update(inputs=[]), "inputs"),
        (lambda r: r["inputs"][0].update(dtype="object"), r"inputs\[0\].dtype"),
        (lambda r: r["inputs"][0].update(shape=["b", "__import__('os')"]), r"inputs\[0\].shape"),
        (lambda r: r["inputs"][0].update(shape=["b", 16000, 16000, 16000]), r"inputs\[0\].shape"),
        (lambda r: r["inputs"][0].update(shape=["b", 3]), "other arrays|golden"),
        (lambda r: r["outputs"][0].update(shape=["b", 2, 2, 1]), "other arrays"),
        (lambda r: r.update(files=[]), "files"),
        (lambda r: r["files"].pop("model.stablehlo"), "model.stablehlo among them"),
        (lambda r: r["files"].update({"../x": r["files"]["model.stablehlo"]}), r"files: got '\.\./x'"),
        (lambda r: r["files"].update({"/etc/passwd": r["files"]["model.stablehlo"]}), "files: got '/etc/passwd'"),
        (lambda r: r["files"].update({"weights.pkl": r["files"]["model.stablehlo"]}), r"files: got 'weights\.pkl'"),
        (lambda r: r["files"]["model.stablehlo"].update(bytes=10**12), "bytes: got 1000000000000"),
        (lambda r: r["files"]["model.stablehlo"].update(bytes=-1), "bytes: got -1"),
        (lambda r: r["files"]["model.stablehlo"].update(bytes=7), "bytes: got"),
        (lambda r: r["files"]["model.stablehlo"].update(sha256="0" * 64), "sha256: got"),
        (lambda r: r["files"]["model.stablehlo"].update(sha256=5), "64 hexadecimal digits"),
    ],
)
def test_a_manifest_that_is_not_right(folder, change, words):
    edit(folder, change)
    refused(folder, words)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"no json", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"latent_dim": NaN}', "NaN is not a JSON number"),
        (b"[]", r"manifest\.json: got \[\]; accepted: an object"),
        (b" " * (2**20 + 1), r"manifest\.json: bytes"),
    ],
)
def test_a_manifest_that_is_no_object(folder, data, words):
    (folder / "manifest.json").write_bytes(data)
    refused(folder, words)


def test_a_folder_without_a_manifest(tmp_path):
    with pytest.raises(InputError, match=r"folder: got .*manifest\.json"):
        jaxgen.load(tmp_path / "nowhere")


def test_a_bundle_is_used_by_its_methods(folder):
    model, image = jaxgen.load(folder), np.zeros((1, 2, 3), np.uint8)
    instead = r"; a bundle is used by jaxgen\.load\(\.\.\.\)\.{}\(\.\.\.\)"
    for name, arguments, end in (
        ("sample", {}, instead.format("sample")),
        ("restore", {"image": image[0]}, instead.format("restore")),
        ("project", {"images": image}, "digits"),
    ):
        for given in (folder, model):
            with pytest.raises(InputError, match=rf"\Amodel: got [^\n]*bundle[^\n]*{end}\Z"):
                inspect.unwrap(getattr(jaxgen, name))(model=given, **arguments)
    with pytest.raises(InputError, match="checkpoint: got 'best'; accepted: latest"):
        jaxgen.load(folder, "best")
    with pytest.raises(InputError, match="truncation: got 'x'; accepted: a number, 0 to 1"):
        inspect.unwrap(type(model).sample)(model, 4, truncation="x")


@pytest.mark.parametrize("name", ["model.stablehlo", "weights.safetensors", "golden.safetensors"])
def test_files_that_are_missing_cut_short_or_changed(folder, name):
    data = (folder / name).read_bytes()
    (folder / name).unlink()
    refused(folder, f"{name}: got 'no such file'")
    (folder / name).write_bytes(data[:-1])
    refused(folder, f"{name}: bytes")
    (folder / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    refused(folder, f"{name}: sha256")


@pytest.mark.parametrize("data", [b"x", b"\xff" * 64, (10**9).to_bytes(8, "little") + b"{}", b"\x80\x04K\x01."])
def test_tensors_that_are_none(folder, data):
    put(folder, "weights.safetensors", data)
    refused(folder, r"weights\.safetensors: cannot be read")


@pytest.mark.parametrize("data", [b"x", b"\x00" * 256, b"\x80\x04K\x01."])
def test_a_program_that_is_none(folder, data):
    put(folder, "model.stablehlo", data)
    refused(folder, r"model\.stablehlo: cannot be read")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"w": np.full((1,), np.nan, np.float32)}, "w holds values that are not finite"),
        ({"w": np.ones((2,), np.float32)}, "other arrays"),
        ({"w": np.ones((1,), np.float64)}, "w: got 'float64'"),
        ({"v": np.ones((1,), np.float32)}, "other arrays"),
        ({"w": np.ones((1,), np.float32)}, "golden.safetensors: difference: got"),
    ],
)
def test_weights_that_do_not_fit(folder, arrays, words):
    put(folder, "weights.safetensors", save(arrays))
    refused(folder, words)


@pytest.mark.parametrize(
    ("latents", "images", "words"),
    [
        ([[1, 0]], np.full((1, 2, 3, 1), 0.6), "difference"),
        ([[1, 0]], np.full((1, 2, 3, 1), np.inf), "not finite"),
        ([[1, 0]], np.full((2, 2, 3, 1), 0.5), "output shape"),
        ([[1, 0, 0]], np.full((1, 2, 3, 1), 0.5), "golden.safetensors: latents"),
    ],
)
def test_golden_outputs_that_do_not_match(folder, latents, images, words):
    put(folder, "golden.safetensors", save({"latents": np.float32(latents), "images": np.float32(images)}))
    refused(folder, words)


def test_golden_arrays_of_other_names(folder):
    put(folder, "golden.safetensors", save({"latents": np.ones((1, 2), np.float32)}))
    refused(folder, "golden.safetensors: names")


def test_a_program_of_another_model(folder):
    weights = {"w": np.ones((1,), np.float32)}
    put(folder, "model.stablehlo", program(double, weights, latent_dim=3))
    refused(folder, "other arrays")
    put(folder, "model.stablehlo", program(lambda w, x: double(w, x) / 0.0, weights))
    refused(folder, "not finite")
