"""Files of volumes as the page reads and writes them, in Node.js, against nibabel and NumPy."""

import gzip
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.web.node import run_script

nibabel = pytest.importorskip("nibabel", reason="needs pip install 'jaxgen[volumes]'")
SCRIPT = """
import { niftiBytes, readVolume, writeVolume } from "./volume_files.mjs";
import { readFileSync, writeFileSync } from "node:fs";
try {
  const file = await readVolume(new Blob([readFileSync("given")]));
  const { sizes, low, high, spacing, name } = file;
  writeFileSync("shares", new Uint8Array(file.data.buffer));
  writeFileSync("again", await writeVolume(file, file.data));
  writeFileSync("found", JSON.stringify({ sizes, low, high, spacing, name }));
  writeFileSync("bytes", niftiBytes(file.data.map((share) => Math.round(255 * share)), sizes));
} catch (error) {
  writeFileSync("found", JSON.stringify({ error: error.message }));
}
"""


def read(folder: Path, data: bytes) -> dict:
    (folder / "given").write_bytes(data)
    run_script(folder, "volume_files", SCRIPT)
    return json.loads((folder / "found").read_text())


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["u1", "<i2", ">i2", "<u2", "<i4", "<f4", ">f8"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_nifti_file_is_read_and_written_again_byte_for_byte(tmp_path: Path, kind: str, packed: bool) -> None:
    array = np.random.default_rng(0).integers(0, 200, (4, 5, 3)).astype(kind)
    header = nibabel.Nifti1Header(endianness=">" if kind[0] == ">" else "<")
    image = nibabel.Nifti1Image(array, np.diag([0.5, 2.0, 3.0, 1.0]), header, dtype=array.dtype)
    if kind == "<i2":
        image.header.set_slope_inter(0.5, -7)
    data = gzip.compress(image.to_bytes()) if packed else image.to_bytes()
    found = read(tmp_path, data)
    assert found["sizes"] == [3, 5, 4]
    assert found["spacing"] == [3.0, 2.0, 0.5]
    assert found["name"] == (".nii.gz" if packed else ".nii")
    values = nibabel.Nifti1Image.from_bytes(image.to_bytes()).get_fdata().T
    low, high = (0, 255) if kind == "u1" else (values.min(), values.max())
    assert (found["low"], found["high"]) == (low, high)
    shares = np.frombuffer((tmp_path / "shares").read_bytes(), np.float32).reshape(3, 5, 4)
    np.testing.assert_allclose(shares, (values - low) / (high - low), atol=1e-6)
    again = (tmp_path / "again").read_bytes()
    again = gzip.decompress(again) if packed else again
    assert again[:352] == image.to_bytes()[:352]
    np.testing.assert_allclose(nibabel.Nifti1Image.from_bytes(again).get_fdata().T, values, atol=1e-3)


@pytest.mark.parametrize("array", [np.float32([0, 0.25, 1]), np.uint16([0, 7, 9]), np.array([True, False, True])])
def test_an_npy_file_is_read_and_written_again(tmp_path: Path, array: np.ndarray) -> None:
    volume = np.resize(array, (2, 3, 4))
    found = read(tmp_path, npy(volume[..., None]))
    assert found["sizes"] == [2, 3, 4]
    assert found["name"] == ".npy"
    assert (tmp_path / "again").read_bytes() == npy(volume[..., None])
    high = max(1, int(array.max()))
    shares = np.frombuffer((tmp_path / "shares").read_bytes(), np.float32).reshape(2, 3, 4)
    np.testing.assert_allclose(shares, volume / high, atol=1e-6)
    made = nibabel.Nifti1Image.from_bytes((tmp_path / "bytes").read_bytes())
    np.testing.assert_array_equal(made.affine, np.eye(4))
    assert made.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_array_equal(np.asarray(made.dataobj).T, np.rint(255 * volume / np.float32(high)))


def nifti(shape: tuple[int, ...], kind: str = "f4") -> bytes:
    return nibabel.Nifti1Image(np.zeros(shape, kind), np.eye(4)).to_bytes()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x89PNG and more", "it is no NIfTI or NumPy file; accepted: one volume"),
        (bytes(400), "it is no NIfTI or NumPy file; accepted: one volume"),
        (b"\x1f\x8bnot gzip", "its gzip data are damaged"),
        (nifti((3, 3, 3, 5)), r"it has 4 axes \(3 × 3 × 3 × 5\); accepted: one volume"),
        (nifti((3, 3, 3), "c8"), "it holds colours or numbers of type 32"),
        (nifti((3, 3, 3))[:-4], "it ends too early"),
        (nibabel.Nifti2Image(np.zeros((3, 3, 3), "f4"), np.eye(4)).to_bytes(), "it is a NIfTI-2 file"),
        (npy(np.zeros((5, 5))), r"it has 2 axes \(5 × 5\)"),
        (npy(np.zeros((5, 5, 1))), "it is of shape 5 × 5 × 1"),
        (npy(np.zeros((3, 3, 3), "c8")), "it holds numbers of another type"),
        (npy(np.zeros((2, 3, 4), order="F")), "its first axis runs fastest"),
        (npy(np.full((3, 3, 3), np.nan)), "it has values that are infinite or not a number"),
        (npy(np.zeros((200, 200, 200), "u1")), "200 × 200 × 200 voxels are too large for a browser"),
    ],
)
def test_any_other_file_is_refused_in_one_line(tmp_path: Path, data: bytes, said: str) -> None:

    message = read(tmp_path, data)["error"]
    assert re.match(said, message), message
    assert "\n" not in message
