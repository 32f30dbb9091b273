"""The folder of the page, which holds its sources, the models with their descriptions, and onnxruntime-web."""

import hashlib
import io
import json
import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jaxgen.errors import InputError, require
from jaxgen.files import write_bytes
from jaxgen.web.directions import principal_directions, random_directions
from jaxgen.web.models import PageModel
from jaxgen.web.vendor import runtime_files

SOURCES = Path(__file__).parent / "page"
NUM_IMAGES, NUM_VOLUMES = 1024, 384
"""Generated images, or volumes, which take longer, that the directions of the sliders are fitted to."""
FORMAT = "jaxgen-page"
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
    "style-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'none'"
)
"""Content security policy, which allows connections only to the server of the page."""


def build_page(models: Sequence[PageModel], out: Path, ort: Path | None = None, force: bool = False) -> None:
    """Writes all files of the page into a new folder, or none of them.

    Args:
      models: at least one; the first is shown first.
      out: folder to create; an existing one must be empty or, with `force`, an earlier page, which is replaced.
      ort: see `runtime_files`.
      force: replace an earlier page.

    Raises:
      InputError: `out` may not be replaced, or onnxruntime-web is not available.
    """
    require(len(models) > 0, "runs", [], "bundle folders")
    require_free(out, force)
    write_folder(out, page_files(models, runtime_files(ort)))


def require_free(out: Path, force: bool) -> None:
    """Raises `InputError` if the page may not be written to `out`."""
    if not out.exists():
        return
    require(out.is_dir(), "out", str(out), "a folder")
    if force and is_page(out):
        return
    if is_page(out):
        raise InputError(f"out: {out} holds a page already; replaced only with --force")
    require(not any(out.iterdir()), "out", str(out), "a new or empty folder, or an earlier page with --force")


def is_page(folder: Path) -> bool:
    """Returns whether the folder is a page that this module wrote."""
    try:
        return json.loads((folder / "models.json").read_text(encoding="utf8"))["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        return False


def page_files(models: Sequence[PageModel], runtime: dict[str, bytes]) -> dict[str, bytes]:
    """Returns all files of the page, by their paths in its folder."""
    files = {
        path.name: path.read_bytes() for path in SOURCES.iterdir() if path.suffix in (".html", ".css", ".js", ".svg")
    }
    files["index.html"] = files["index.html"].replace(b"CONTENT_SECURITY_POLICY", POLICY.encode())
    files |= {f"ort/{name}": data for name, data in runtime.items()}
    files["ort/LICENSE.txt"] = (SOURCES / "ort-license.txt").read_bytes()
    entries = []
    for name, model in zip(unique_ids([model.manifest["name"] for model in models]), models, strict=True):
        entry, networks = model_files(name, model)
        entries.append(entry)
        files |= networks
    if any(model.manifest["kind"] != "gan" and "depth" not in model.manifest["image"] for model in models):
        files["example.jpg"] = example_picture()
    page = {"format": FORMAT, "version": 1, "example": "example.jpg" if "example.jpg" in files else None}
    files["models.json"] = json.dumps({**page, "models": entries}).encode()
    return files


def model_files(name: str, model: PageModel) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Returns the entry of a model in models.json, and its networks by their paths, which change with them."""
    files: dict[str, bytes] = {}

    def added(part: str, data: bytes) -> str:
        path = f"models/{name}{part}-{hashlib.sha256(data).hexdigest()[:8]}.onnx"
        files[path] = data
        return path

    if model.manifest["kind"] == "upscaler":
        networks = {model.manifest["scale"]: model.onnx, **model.others}
        heads = [{"scale": scale, "file": added(f"-x{scale}", networks[scale])} for scale in sorted(networks)]
        return {**describe_model(name, heads[0]["file"], model), "heads": heads}, files
    entry = describe_model(name, added("", model.onnx), model)
    if model.estimator is not None:
        seen = model.manifest["estimator"]
        channels, path = seen["inputs"][0]["shape"][-1], added("-estimator", model.estimator)
        entry["estimator"] = {"file": path, "repairs": seen["repairs"], "channels": channels}
    return entry, files


def describe_model(name: str, path: str, model: PageModel) -> dict[str, Any]:
    """Returns the entry of a model in models.json: fields of its manifest, and the directions of its sliders."""
    known = ("name", "kind", "image", "labels", "latent_dim", "multiple", "halo", "repairs", "fills", "licence", "data")
    kept = {
        "labels": [],
        "multiple": 1,
        "halo": 0,
        "repairs": [],
        "fills": True,
        **{key: model.manifest[key] for key in known if key in model.manifest},
    }
    found: list[list[float]] = []
    if kept["kind"] == "gan":
        size = kept["latent_dim"]
        if model.generate is None:
            directions = random_directions(size)
        else:
            num = NUM_VOLUMES if "depth" in kept["image"] else NUM_IMAGES
            directions = principal_directions(model.generate, size, len(kept["labels"]), num=num)
        found = np.round(directions, 5).tolist()
    return {**kept, "id": name, "file": path, "directions": found}


def unique_ids(names: Sequence[str]) -> list[str]:
    """Returns names that are valid in addresses and file names; equal ones get a number."""
    found: list[str] = []
    for name in names:
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "model"
        number = 2
        unique = plain
        while unique in found:
            unique, number = f"{plain}-{number}", number + 1
        found.append(unique)
    return found


def example_picture() -> bytes:
    """Returns a photograph to restore or enlarge, as JPEG: scikit-image's cat, which is in the public domain (CC0)."""
    from skimage import data

    buffer = io.BytesIO()
    Image.fromarray(data.chelsea()).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def write_folder(out: Path, files: dict[str, bytes]) -> None:
    """Writes files to a temporary folder and renames it; an old folder is removed once the new one is in its place."""
    partial, old = (out.with_name(f".{out.name}.{secrets.token_hex(4)}.{part}") for part in ("part", "old"))
    try:
        for name, data in files.items():
            write_bytes(partial / name, data)
        if out.exists():
            out.rename(old)
        partial.rename(out)
    except BaseException:
        if old.exists() and not out.exists():
            old.rename(out)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
