"""Files that would run code when they are unpickled: refused in one line, and nothing of them is run."""

import io
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from jaxgen import cli
from jaxgen.data.config import DataConfig
from jaxgen.data.sources import open_source
from jaxgen.errors import InputError
from jaxgen.evaluation.generated import generated_from_file
from jaxgen.evaluation.inception import load_inception


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.fixture
def sprung(tmp_path: Path) -> Path:
    """The file that a trap makes; shown to work first."""
    path = tmp_path / "sprung"
    pickle.loads(pickle.dumps(Trap(path)))
    assert path.exists()
    path.unlink()
    return path


def assert_refused(work, sprung: Path, *words: str) -> None:
    with pytest.raises(InputError) as refused:
        work()
    said = str(refused.value)
    assert all(word in said for word in words), said[:300]
    assert len(said) < 600
    assert "\n" not in said
    assert not sprung.exists()


def objects(sprung: Path) -> np.ndarray:
    return np.array([Trap(sprung)] * 8, object)


@pytest.mark.parametrize("bad", ["images", "labels"])
def test_object_arrays_as_data_and_as_samples(bad: str, sprung: Path, tmp_path: Path) -> None:
    arrays = {"images": np.zeros((8, 4, 4, 1), np.uint8), "labels": np.zeros(8, np.int32)}
    path = tmp_path / "x.npz"
    np.savez(path, **(arrays | {bad: objects(sprung)}))
    assert_refused(lambda: open_source(DataConfig(dataset=f"npz:{path}")), sprung, "x.npz")
    assert_refused(lambda: generated_from_file(path, 8, 0), sprung, "x.npz", bad)


def test_a_pickle_in_place_of_an_archive_or_array(sprung: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(pickle.dumps(Trap(sprung)))
    assert_refused(lambda: open_source(DataConfig(dataset=f"npz:{path}")), sprung, "x.npz")
    assert_refused(lambda: generated_from_file(path, 8, 0), sprung, "x.npz")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", pickle.dumps(Trap(sprung)))
    assert_refused(lambda: open_source(DataConfig(dataset=f"npz:{path}")), sprung, "x.npz")
    assert_refused(lambda: generated_from_file(path, 8, 0), sprung, "x.npz")


HEADERS = {
    "no dictionary": b"[1]",
    "no syntax": b"{'descr':",
    "a call": b"{'descr': __import__('os'), 'fortran_order': False, 'shape': (8,)}",
    "no dtype": b"{'descr': 'monkey', 'fortran_order': False, 'shape': (8, 4, 4)}",
    "a negative shape": b"{'descr': '|u1', 'fortran_order': False, 'shape': (-8, 4, 4)}",
    "a huge shape": b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000, 100000, 100000)}",
    "a shape beyond 64 bits": b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999999, 4, 4)}",
    "a shape of words": b"{'descr': '|u1', 'fortran_order': False, 'shape': ('a', 4, 4)}",
    "numbers within structures": b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (8, 4, 4)}",
    "nested too deep": b"(" * 5000 + b")" * 5000,
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_of_arrays(name: str, sprung: Path, tmp_path: Path) -> None:
    path, header = tmp_path / "x.npz", HEADERS[name]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(128))
    assert_refused(lambda: open_source(DataConfig(dataset=f"npz:{path}")), sprung, "x.npz")
    assert_refused(lambda: generated_from_file(path, 8, 0), sprung, "x.npz")


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize("form", ["pickle", "archive", "garbage", "empty"])
def test_weights(suffix: str, form: str, sprung: Path, tmp_path: Path) -> None:
    path = tmp_path / f"weights{suffix}"
    content = pickle.dumps({"Conv2d_1a_3x3.conv.weight": Trap(sprung)}, protocol=2)
    if form == "archive":  # as torch writes since 1.6
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("weights/data.pkl", content)
            archive.writestr("weights/version", "3\n")
        content = buffer.getvalue()
    path.write_bytes({"garbage": b"\x80\x02garbage" * 20, "empty": b""}.get(form, content))
    assert_refused(lambda: load_inception(path, {"x": np.zeros(3, np.float32)}), sprung, path.name)


def test_the_command_says_it_in_one_line(sprung: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    np.savez(tmp_path / "x.npz", images=objects(sprung))
    monkeypatch.setattr(sys, "argv", ["jaxgen", "evaluate", "--samples", str(tmp_path / "x.npz")])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert not sprung.exists()
