"""The manifest of a bundle, in which nothing is trusted: every field and the hash of every file is checked."""

import hashlib
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxgen.errors import InputError, require

MANIFEST = "manifest.json"


class Names(NamedTuple):
    """The names of the files of a network: program, weights, golden inputs and outputs, and ONNX model."""

    program: str
    weights: str
    golden: str
    onnx: str


MODEL = Names("model.stablehlo", "weights.safetensors", "golden.safetensors", "model.onnx")
ESTIMATOR = Names("estimator.stablehlo", "estimator.safetensors", "estimator_golden.safetensors", "estimator.onnx")
FILES = (*MODEL, *ESTIMATOR)
"""All files that a bundle may have; no other is ever opened."""
FORMAT, VERSION = "jaxgen-bundle", 1
LEVELS = "levels"
SIDES = ("depth", "height", "width")
"""Names of the spatial axes; images have the last two."""
"""Name of the input that tells a restorer what to repair."""
KINDS = ("gan", "restorer", "upscaler")
NAME, MOST_REPAIRS = r"[a-z0-9_]{1,40}", 32
WINDOW = 64
"""Edge in pixels of the windows that levels are estimated on."""
LARGEST_MANIFEST = 2**20
LARGEST_FILE = 2**31
LARGEST_SIZE = 2**14
"""Largest declared size of an image, a latent or the list of classes."""


class Array(NamedTuple):
    """An input or output of the model: its name and its shape, where a string such as "2*h" is a variable size."""

    name: str
    shape: tuple[int | str, ...]


class Estimator(NamedTuple):
    """The network that sees what is damaged in a picture, on windows of it: see `jaxgen.bundles.levels`.

    Attributes:
      repairs: names of the levels that it estimates.
      inputs: windows of a picture.
      outputs: their levels.
    """

    repairs: tuple[str, ...]
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]

    @property
    def channels(self) -> int:
        """Returns the number of channels of the windows, 1 or 3."""
        return int(self.inputs[0].shape[-1])


class Manifest(NamedTuple):
    """The checked description of a bundle's model.

    Attributes:
      kind: "gan", "restorer" or "upscaler".
      name: name of the model.
      image: (height, width, channels), of volumes (depth, height, width, channels); all but the last are None for any
        size.
      latent_dim: length of a GAN's latent vectors; 0 for a restorer.
      labels: names of the classes of a conditional GAN; else empty.
      multiple: number that height and width must be multiples of, for a model of images of any size; else 1.
      halo: distance in pixels from which a pixel of the result may depend on one of the image.
      scale: factor of an upscaler; else 1.
      repairs: what a restorer is told to repair, in the order of its input "levels"; empty if it is told nothing.
      fills: whether a restorer fills missing pixels.
      inputs: inputs of the model.
      outputs: outputs of the model.
      estimator: of a restorer that is told levels; None if it finds all levels itself.
      files: size in bytes and SHA-256 by file name.
      record: content of the manifest file, with licence, data, configuration, metrics and versions.
    """

    kind: str
    name: str
    image: tuple[int | None, ...]
    latent_dim: int
    labels: tuple[str, ...]
    multiple: int
    halo: int
    scale: int
    repairs: tuple[str, ...]
    fills: bool
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    estimator: Estimator | None
    files: dict[str, tuple[int, str]]
    record: dict[str, Any]

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """Returns the spatial sizes of an image or volume, None for any."""
        return self.image[:-1]


def image_entry(sizes: Sequence[int | None], channels: int) -> dict[str, Any]:
    """Returns the entry of a manifest for images or volumes (*sizes, channels) in [-1, 1]; None is any size."""
    return {**dict(zip(SIDES[-len(sizes) :], sizes, strict=True)), "channels": channels, "range": [-1, 1]}


def read_manifest(folder: Path) -> Manifest:
    """Returns the manifest of a bundle.

    Raises:
      InputError: no such folder or file, not JSON, or a field that is missing or not accepted.
    """
    path = folder / MANIFEST
    require(path.is_file(), "bundle", str(folder), f"a folder with a {MANIFEST}, as `python -m jaxgen export` writes")
    size = path.stat().st_size
    require(size <= LARGEST_MANIFEST, f"{MANIFEST}: bytes", size, f"at most {LARGEST_MANIFEST}")
    try:
        record = json.loads(path.read_bytes().decode(), parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({str(error)[:80]})") from None
    return parse_manifest(record)


def parse_manifest(record: Any) -> Manifest:
    """Returns a manifest from its JSON value; raises `InputError` like `read_manifest`."""
    require(isinstance(record, dict), MANIFEST, _short(record), "an object")
    require(_get(record, "format") == FORMAT, "format", _short(record["format"]), FORMAT)
    version = _get(record, "version")
    require(version == VERSION and not isinstance(version, bool), "version", _short(version), str(VERSION))
    kind = _get(record, "kind")
    require(kind in KINDS, "kind", _short(kind), ", ".join(KINDS))
    image, any_size = _image(_get(record, "image"), kind), kind != "gan"
    inputs = _arrays(_get(record, "inputs"), "inputs")
    return Manifest(
        kind=kind,
        name=_text(_get(record, "name"), "name"),
        image=image,
        latent_dim=_whole(_get(record, "latent_dim"), "latent_dim", 1) if kind == "gan" else 0,
        labels=_labels(_get(record, "labels")),
        multiple=_whole(_get(record, "multiple"), "multiple", 1, 1024) if any_size and image[0] is None else 1,
        halo=_whole(_get(record, "halo"), "halo", 0) if any_size and image[0] is None else 0,
        scale=_whole(_get(record, "scale"), "scale", 2, 8) if kind == "upscaler" else 1,
        repairs=_repairs(record.get("repairs", []), kind, inputs),
        fills=_fills(record.get("fills", kind == "restorer"), kind),
        inputs=inputs,
        outputs=_arrays(_get(record, "outputs"), "outputs"),
        estimator=_estimator(record.get("estimator"), record.get("repairs", [])),
        files=_files(_get(record, "files")),
        record=record,
    )


def read_file(folder: Path, manifest: Manifest, name: str) -> bytes:
    """Returns the bytes of a file of a bundle, after a check against the manifest.

    Raises:
      InputError: the file is not declared, does not exist, or has another size or hash.
    """
    require(name in manifest.files, "files", sorted(manifest.files), f"{name} among them")
    size, sha256 = manifest.files[name]
    path = folder / name
    require(path.is_file(), name, "no such file", f"the {size} bytes that the manifest declares")
    found = path.stat().st_size
    require(found == size, f"{name}: bytes", found, f"{size}, as the manifest declares")
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    require(digest == sha256, f"{name}: sha256", digest, f"{sha256}, as the manifest declares")
    return data


def _reject_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


def _short(value: Any) -> Any:
    return value if len(repr(value)) <= 80 else f"{repr(value)[:80]}..."


def _get(record: dict[str, Any], field: str) -> Any:
    if field not in record:
        raise InputError(f"{field}: missing in {MANIFEST}")
    return record[field]


def _text(value: Any, field: str) -> str:
    require(isinstance(value, str) and len(value) <= 200, field, _short(value), "a text of 200 characters at most")
    return value


def _whole(value: Any, field: str, least: int, most: int = LARGEST_SIZE) -> int:
    number = isinstance(value, int) and not isinstance(value, bool)
    require(number and least <= value <= most, field, _short(value), f"a whole number from {least} to {most}")
    return value


def _image(value: Any, kind: str) -> tuple[int | None, ...]:
    require(isinstance(value, dict), "image", _short(value), "an object")
    require(_get(value, "range") == [-1, 1], "image.range", _short(value["range"]), "[-1, 1]")
    names = SIDES if "depth" in value else SIDES[1:]
    sizes = [_get(value, name) for name in names]
    channels = _whole(_get(value, "channels"), "image.channels", 1, 4)
    if kind != "gan" and set(sizes) == {None}:
        return *sizes, channels
    return *(_whole(size, f"image.{name}", 1) for name, size in zip(names, sizes, strict=True)), channels


def _labels(value: Any) -> tuple[str, ...]:
    accepted = isinstance(value, list) and len(value) <= LARGEST_SIZE
    require(accepted, "labels", _short(value), f"a list of at most {LARGEST_SIZE} names")
    return tuple(_text(name, "labels") for name in value)


def _repairs(value: Any, kind: str, inputs: tuple[Array, ...]) -> tuple[str, ...]:
    """Returns the names of the repairs, for each of which the input "levels" has a column."""
    _require_names(value, "repairs")
    require(kind == "restorer" or not value, "repairs", _short(value), "none, as only a restorer repairs")
    found = [given.shape for given in inputs if given.name == LEVELS]
    wanted = [("b", len(value))] if value else []
    require(found == wanted, f"inputs: shape of {LEVELS}", found, f"{wanted}, for the repairs {_short(value)}")
    return tuple(value)


def _require_names(value: Any, field: str) -> None:
    named = isinstance(value, list) and all(isinstance(name, str) and re.fullmatch(NAME, name) for name in value)
    accepted = f"a list of at most {MOST_REPAIRS} different names such as salt_and_pepper"
    require(named and len(set(value)) == len(value) <= MOST_REPAIRS, field, _short(value), accepted)


def _fills(value: Any, kind: str) -> bool:
    require(isinstance(value, bool), "fills", _short(value), "true, false")
    require(kind == "restorer" or not value, "fills", value, "false, as only a restorer fills")
    return value


def _estimator(value: Any, known: list[str]) -> Estimator | None:
    """Returns the description of an estimator of some of the repairs that the restorer knows, or None for None."""
    if value is None:
        return None
    require(isinstance(value, dict), "estimator", _short(value), "an object")
    repairs = _get(value, "repairs")
    _require_names(repairs, "estimator.repairs")
    require(bool({*repairs} & {*known}), "estimator.repairs", _short(repairs), f"one of {_short(known)} among them")
    inputs, outputs = (_arrays(_get(value, field), f"estimator.{field}") for field in ("inputs", "outputs"))
    shapes = [array.shape for array in (*inputs, *outputs)]
    fits = any(shapes == [("b", WINDOW, WINDOW, channels), ("b", len(repairs))] for channels in (1, 3))
    require(fits, "estimator: shapes", _short(shapes), f"b x {WINDOW} x {WINDOW} x 1 or 3, b x {len(repairs)}")
    return Estimator(tuple(repairs), inputs, outputs)


def _arrays(value: Any, field: str) -> tuple[Array, ...]:
    require(isinstance(value, list) and 1 <= len(value) <= 8, field, _short(value), "a list of 1 to 8 arrays")
    return tuple(_array(item, f"{field}[{i}]") for i, item in enumerate(value))


def _array(value: Any, field: str) -> Array:
    require(isinstance(value, dict), field, _short(value), "an object")
    require(_get(value, "dtype") == "float32", f"{field}.dtype", _short(value["dtype"]), "float32")
    shape = _get(value, "shape")
    require(isinstance(shape, list) and len(shape) <= 8, f"{field}.shape", _short(shape), "a list of at most 8 sizes")
    for size in shape:
        if not (isinstance(size, str) and re.fullmatch(r"(\d{1,4}\*)?[bdhw]", size)):
            _whole(size, f"{field}.shape", 1)
    numbers = [size for size in shape if isinstance(size, int)]
    require(math.prod(numbers) <= LARGEST_FILE, f"{field}.shape", shape, f"at most {LARGEST_FILE} numbers")
    return Array(_text(_get(value, "name"), f"{field}.name"), tuple(shape))


def _files(value: Any) -> dict[str, tuple[int, str]]:
    require(isinstance(value, dict), "files", _short(value), "an object")
    found = {}
    for name, entry in value.items():
        require(name in FILES, "files", _short(name), ", ".join(FILES))
        require(isinstance(entry, dict), f"files.{name}", _short(entry), "an object")
        size = _whole(_get(entry, "bytes"), f"files.{name}.bytes", 1, LARGEST_FILE)
        digest = _get(entry, "sha256")
        valid = isinstance(digest, str) and re.fullmatch(r"[0-9a-f]{64}", digest) is not None
        require(valid, f"files.{name}.sha256", _short(digest), "64 hexadecimal digits")
        found[name] = (size, digest)
    return found
