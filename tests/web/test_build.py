"""The folder of the page, and the server for it; no browser, no npm."""

import hashlib
import http.client
import importlib.util
import json
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxgen.errors import InputError
from jaxgen.web import vendor
from jaxgen.web.build import POLICY, SOURCES, build_page, describe_model, is_page, unique_ids
from jaxgen.web.command import require_tools
from jaxgen.web.directions import principal_directions
from jaxgen.web.models import PageModel, open_model
from jaxgen.web.serve import open_server
from jaxgen.web.vendor import FILES

LATENT_DIM = 5
GAINS = np.random.default_rng(1).normal(size=(LATENT_DIM, 48)).astype(np.float32)
GAN = {
    "name": "Digits <b>", "kind": "gan", "image": {"height": 4, "width": 4, "channels": 3}, "latent_dim": LATENT_DIM,
    "inputs": [{"name": "latents"}], "config": {"secret": "not for the page"},
}  # fmt: skip
RESTORER = {
    "name": "photos", "kind": "restorer", "image": {"height": None, "width": None, "channels": 3},
    "multiple": 4, "halo": 8, "inputs": [{"name": "images"}, {"name": "missing"}],
}  # fmt: skip


def linear(latents: np.ndarray, conditions: np.ndarray) -> np.ndarray:
    assert conditions.shape == (len(latents), 0)
    return (latents @ GAINS).reshape(-1, 4, 4, 3)


@pytest.fixture
def models() -> list[PageModel]:
    return [PageModel(GAN, b"onnx of the gan", linear), PageModel(RESTORER, b"onnx of the restorer")]


@pytest.fixture
def ort(tmp_path: Path) -> Path:
    folder = tmp_path / "ort"
    folder.mkdir()
    for source in FILES.values():
        (folder / source).write_bytes(source.encode())
    return folder


def test_the_folder_holds_the_page_the_models_and_the_runtime(
    models: list[PageModel], ort: Path, tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "page"
    build_page(models, out, ort)
    page = json.loads((out / "models.json").read_text())
    gan, restorer = page["models"]
    assert (out / gan["file"]).read_bytes() == b"onnx of the gan"
    assert (out / restorer["file"]).read_bytes() == b"onnx of the restorer"
    assert (gan["id"], restorer["id"]) == ("digits-b", "photos")
    assert (restorer["multiple"], restorer["halo"]) == (4, 8)
    assert "secret" not in json.dumps(page)
    assert {path.name for path in (out / "ort").iterdir()} == {*FILES, "LICENSE.txt"}
    assert Image.open(out / page["example"]).format == "JPEG"
    assert [path.name for path in out.parent.iterdir()] == ["page"]
    named = {path.name for path in SOURCES.iterdir()} - {"ort-license.txt"}
    assert named <= {path.name for path in out.iterdir()}


def test_a_page_without_a_restorer_carries_no_example(models: list[PageModel], ort: Path, tmp_path: Path) -> None:
    build_page(models[:1], tmp_path / "page", ort)
    assert json.loads((tmp_path / "page/models.json").read_text())["example"] is None
    assert not (tmp_path / "page/example.jpg").exists()


def test_a_network_that_enlarges_has_a_file_for_each_factor(ort: Path, tmp_path: Path) -> None:
    manifest = RESTORER | {"kind": "upscaler", "scale": 4, "inputs": [{"name": "images"}]}
    build_page([PageModel(manifest, b"4", others={3: b"3", 2: b"2"})], tmp_path / "page", ort)
    page = json.loads((tmp_path / "page/models.json").read_text())
    (model,) = page["models"]
    assert [head["scale"] for head in model["heads"]] == [2, 3, 4]
    assert [(tmp_path / "page" / head["file"]).read_bytes() for head in model["heads"]] == [b"2", b"3", b"4"]
    assert model["file"] == model["heads"][0]["file"]
    assert page["example"] == "example.jpg"


def test_the_page_carries_its_policy_and_names_no_other_place() -> None:
    assert "default-src 'none'" in POLICY
    assert not re.search(r"https?:|\*|unsafe-inline|'unsafe-eval'", POLICY)
    for path in SOURCES.iterdir():
        text = path.read_text(encoding="utf8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//[a-z]+\.", text), path.name
        assert not re.search(r"innerHTML|document\.write|eval\(| style=| onclick=", text), path.name


def test_what_is_in_the_way_is_refused_and_stays(models: list[PageModel], ort: Path, tmp_path: Path) -> None:
    out = tmp_path / "page"
    out.mkdir()
    build_page(models, out, ort)  # an empty folder is free
    with pytest.raises(InputError, match=r"out: .*page holds a page already; replaced only with --force"):
        build_page(models, out, ort)
    (out / "models" / "left.onnx").write_bytes(b"of an earlier page")
    build_page(models[1:], out, ort, force=True)
    assert [path.name.split("-")[0] for path in (out / "models").iterdir()] == ["photos"]

    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(InputError, match="a new or empty folder"):
            build_page(models, other, ort, force=force)
    assert (other / "thesis.txt").read_text() == "mine"
    with pytest.raises(InputError, match="accepted: a folder"):
        build_page(models, other / "thesis.txt", ort)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ort", "other", "page"]


def test_a_failure_leaves_the_earlier_page(
    models: list[PageModel], ort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "page"
    build_page(models, out, ort)
    before = (out / "models.json").read_bytes()
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if path.name.endswith(".part"):
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="No space"):
        build_page(models[1:], out, ort, force=True)
    assert (out / "models.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ort", "page"]


def test_no_model_is_refused(ort: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="runs: got"):
        build_page([], tmp_path / "page", ort)


def test_ids_are_plain_and_unique() -> None:
    names = ["cGAN (MNIST)", "cgan mnist", "Ü", "../../x", "cgan-mnist-2", "cgan mnist"]
    ids = unique_ids(names)
    assert ids == ["cgan-mnist", "cgan-mnist-2", "model", "x", "cgan-mnist-2-2", "cgan-mnist-3"]


def test_directions_of_a_linear_generator_are_its_singular_vectors() -> None:
    found = principal_directions(linear, LATENT_DIM, count=3)
    left, _, right = np.linalg.svd(GAINS.astype(np.float64), full_matrices=False)
    signs = np.sign(right[:3].sum(axis=1))
    np.testing.assert_allclose(found, signs[:, None] * left.T[:3], atol=2e-4)
    np.testing.assert_allclose(found @ found.T, np.eye(3), atol=1e-6)


def test_directions_do_not_mind_what_only_the_class_decides() -> None:
    strong = np.zeros((3, 48), np.float32)
    strong[1] = 50.0

    def generate(latents: np.ndarray, conditions: np.ndarray) -> np.ndarray:
        np.testing.assert_array_equal(conditions.sum(axis=1), 1)
        return (latents @ GAINS + conditions @ strong).reshape(-1, 4, 4, 3)

    found = principal_directions(generate, LATENT_DIM, 3, count=9)
    assert found.shape == (LATENT_DIM, LATENT_DIM)
    left = np.linalg.svd(GAINS.astype(np.float64), full_matrices=False)[0]
    np.testing.assert_allclose(np.abs(np.sum(found * left.T, axis=1)), 1, atol=1e-3)


def test_the_server_is_of_this_machine_alone_and_sends_types_and_headers(
    models: list[PageModel], ort: Path, tmp_path: Path
) -> None:
    build_page(models, tmp_path / "page", ort)
    with open_server(tmp_path / "page", 0) as server:
        assert server.server_address[0] == "127.0.0.1"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        answers = {}
        for path in ("/", "/app.js", "/ort/runtime.wasm", "/models.json", "/models/", "/../ort/ort.wasm.min.mjs"):
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
            connection.request("GET", path)
            answers[path] = connection.getresponse()
            connection.close()
        server.shutdown()
        thread.join()
    types = {path: answer.headers["Content-Type"] for path, answer in answers.items() if answer.status == 200}
    assert types == {
        "/": "text/html; charset=utf-8", "/app.js": "text/javascript; charset=utf-8",
        "/ort/runtime.wasm": "application/wasm", "/models.json": "application/json",
    }  # fmt: skip
    assert answers["/models/"].status == 404  # no listing
    for answer in answers.values():
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert answer.headers["Content-Security-Policy"] == POLICY


def test_what_cannot_be_served_is_refused(models: list[PageModel], ort: Path, tmp_path: Path) -> None:
    assert not is_page(tmp_path)
    with pytest.raises(InputError, match="out: got"):
        open_server(tmp_path, 0)
    build_page(models, tmp_path / "page", ort)
    with open_server(tmp_path / "page", 0) as server, pytest.raises(InputError, match=r"port: got .*one that is free"):
        open_server(tmp_path / "page", server.server_port)
    with pytest.raises(InputError, match="port: got 70000"):
        open_server(tmp_path / "page", 70000)


def write_bundle(folder: Path, changes: dict[str, object], onnx: bytes = b"a model") -> Path:
    folder.mkdir()
    files = {"model.onnx": {"sha256": hashlib.sha256(b"a model").hexdigest(), "bytes": 7}}
    arrays = {
        name: {"name": name, "dtype": "float32", "shape": ["b", "4*h", "4*w", 3]}
        for name in ("images", "missing", "restored")
    }
    about = {
        "format": "jaxgen-bundle", "version": 1, "kind": "restorer", "name": "photos", "labels": [], "multiple": 4,
        "halo": 8, "image": {"height": None, "width": None, "channels": 3, "range": [-1, 1]},
        "inputs": [arrays["images"], arrays["missing"]], "outputs": [arrays["restored"]], "files": files,
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(about | changes))
    (folder / "model.onnx").write_bytes(onnx)
    return folder


def test_a_bundle_that_is_told_what_to_repair_is_read_and_described(tmp_path: Path) -> None:
    levels = {"name": "levels", "dtype": "float32", "shape": ["b", 2]}
    folder = write_bundle(tmp_path / "blind", {})
    inputs = [*json.loads((folder / "manifest.json").read_text())["inputs"], levels]
    told = {"inputs": inputs, "repairs": ["noise", "blur"], "fills": False}
    entries = [
        describe_model("x", "x.onnx", open_model(str(path))) for path in (folder, write_bundle(tmp_path / "told", told))
    ]
    assert [(entry["repairs"], entry["fills"]) for entry in entries] == [([], True), (["noise", "blur"], False)]


def test_a_bundle_is_read(tmp_path: Path) -> None:
    model = open_model(str(write_bundle(tmp_path / "bundle", {})))
    assert (model.onnx, model.manifest["name"], model.generate) == (b"a model", "photos", None)


IMAGES = {"name": "images", "dtype": "float32", "shape": ["b", "h", "w", 3]}
UPSCALER = {"kind": "upscaler", "scale": 4, "inputs": [IMAGES]}


def test_a_bundle_of_a_network_that_enlarges_has_its_factor_alone(tmp_path: Path) -> None:
    model = open_model(str(write_bundle(tmp_path / "bundle", UPSCALER)))
    assert (model.manifest["scale"], model.onnx, dict(model.others)) == (4, b"a model", {})


LATENTS = {"name": "latents", "dtype": "float32", "shape": ["b", 4]}


@pytest.mark.parametrize(
    ("changes", "accepted"),
    [
        ({"inputs": [LATENTS]}, "a GAN, a restorer or a network that enlarges"),
        ({"image": {"height": None, "width": None, "channels": 4, "range": [-1, 1]}}, "1 or 3 channels"),
        (
            UPSCALER | {"image": {"height": None, "width": None, "channels": 1, "range": [-1, 1]}},
            "colour pictures of any size to enlarge",
        ),
        ({"labels": ["cat"]}, "labels where there is a condition"),
        ({"files": {}}, "a bundle with model.onnx"),
    ],
)
def test_a_bundle_that_the_page_cannot_show_is_refused(
    tmp_path: Path, changes: dict[str, object], accepted: str
) -> None:
    folder = write_bundle(tmp_path / "bundle", changes)
    with pytest.raises(InputError, match=rf"runs: got .*; accepted: .*{accepted}"):
        open_model(str(folder))


def test_a_damaged_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.onnx: bytes: got 13; accepted: 7"):
        open_model(str(write_bundle(tmp_path / "bundle", {}, b"another model")))
    (tmp_path / "bundle" / "model.onnx").write_bytes(b"A model")
    with pytest.raises(InputError, match=r"model\.onnx: sha256"):
        open_model(str(tmp_path / "bundle"))
    (tmp_path / "bundle" / "manifest.json").write_text("[]")
    with pytest.raises(InputError, match=r"manifest\.json: got \[\]; accepted: an object"):
        open_model(str(tmp_path / "bundle"))
    with pytest.raises(InputError, match=r"run: got .*; accepted: "):
        open_model(str(tmp_path))


def test_a_generator_that_cannot_be_run_gets_random_directions(ort: Path, tmp_path: Path) -> None:
    build_page([PageModel(GAN, b"onnx")], tmp_path / "page", ort)
    (gan,) = json.loads((tmp_path / "page/models.json").read_text())["models"]
    directions = np.array(gan["directions"])
    assert directions.shape == (5, LATENT_DIM)
    np.testing.assert_allclose(directions @ directions.T, np.eye(5), atol=1e-4)


@pytest.mark.usefixtures("heeded")
def test_the_command_builds_and_serves_until_it_is_interrupted(ort: Path, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", {})
    command = [sys.executable, "-m", "jaxgen", "web", str(bundle), "--out", str(tmp_path / "page"), "--ort", str(ort)]
    with subprocess.Popen([*command, "--serve", "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        try:
            lines = [process.stdout.readline() for _ in range(2)]
            address = re.search(r"http://127\.0\.0\.1:(\d+)/", lines[1])
            assert address, lines
            with urllib.request.urlopen(address[0], timeout=10) as answer:
                assert b"<!doctype html>" in answer.read()
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()  # nothing where it has ended
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "replaced only with --force" in again.stderr


def test_what_is_missing_is_said_before_any_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", {})
    monkeypatch.setattr(vendor, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(vendor.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match=r"npm.*--ort PATH"):
        require_tools([str(bundle)], None)
    require_tools([], None)  # an earlier page is served without either
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"onnx and onnxruntime; .*pip install 'jaxgen\[onnx\]'"):
        require_tools([str(bundle), "photos"], None)


def test_the_command_says_what_is_missing_before_it_loads_jax(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And before a run is read or exported."""
    code = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'onnx' else find(name, *rest)\n"
        "from jaxgen.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print('jax' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "web", "photos", "--out", str(tmp_path / "page")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "False\n")
    assert done.stderr == "error: web: needs onnx; accepted: pip install 'jaxgen[onnx]'\n"


def test_a_page_of_bundles_needs_no_jax(ort: Path, tmp_path: Path) -> None:
    """Which takes long to load and, when the server is interrupted, to clear away."""
    code = "import sys; from jaxgen.cli import main; main(sys.argv[1:]); sys.exit('jax' in sys.modules)"
    bundle = write_bundle(tmp_path / "bundle", {})
    command = [sys.executable, "-c", code, "web", str(bundle), "--out", str(tmp_path / "page"), "--ort", str(ort)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert is_page(tmp_path / "page")
