"""Every file of a checkpoint damaged in every way: the one before is used, or there is one line; nothing is deleted."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.checkpoints import folder as ckpt
from jaxgen.errors import InputError


def make_state(step: int) -> dict:
    values = np.random.default_rng(step).standard_normal((16, 5)).astype(np.float32)
    return {"step": jnp.int32(step), "params": {"kernel": jnp.asarray(values), "bias": jnp.full(5, step, jnp.bfloat16)}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "checkpoints"
    run = ckpt.open_checkpoints(folder)
    for step in (1, 2):
        ckpt.save(run, step, make_state(step), {"step": step}, {})
    ckpt.close(run)
    return folder


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ckpt.time, "sleep", lambda _: None)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_one(path: Path) -> None:
    content = bytearray(path.read_bytes())
    if content:
        content[len(content) // 3] ^= 0x10
    path.write_bytes(content)


def fill_with_garbage(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(300))


def with_record(change: Callable[[dict], object]) -> Callable[[Path], None]:
    """A record of another form, with the digest that belongs to it."""

    def harm(step: Path) -> None:
        path = step / "meta" / "metadata"
        record = json.loads(path.read_text())
        del record["digest"]
        record = change(record)
        if isinstance(record, dict):
            digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
            record = record | {"digest": digest}
        path.write_text(json.dumps(record))

    return harm


FOLDERS = {
    "an empty step folder": lambda step: [shutil.rmtree(p) if p.is_dir() else p.unlink() for p in step.iterdir()],
    "no arrays": lambda step: shutil.rmtree(step / "state"),
    "a file for the arrays": lambda step: (shutil.rmtree(step / "state"), (step / "state").write_text("x")),
    "a folder for the record": lambda step: (
        (step / "meta" / "metadata").unlink(),
        (step / "meta" / "metadata").mkdir(),
    ),
    "a record of deep lists": lambda step: (step / "meta" / "metadata").write_text("[" * 100_000),
    "a record that is null": with_record(lambda record: None),
    "a record without leaves": with_record(lambda record: {**record, "leaves": 3}),
    "a record without meta": with_record(lambda record: {k: v for k, v in record.items() if k != "meta"}),
    "leaves without checksums": with_record(lambda record: {**record, "leaves": dict.fromkeys(record["leaves"], "x")}),
    "leaves that are numbers": with_record(lambda record: {**record, "leaves": dict.fromkeys(record["leaves"], 5)}),
    "a score that is text": with_record(lambda record: {**record, "score": "low"}),
    "meta that is a list": with_record(lambda record: {**record, "meta": [1]}),
}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def assert_whole(folder: Path, caplog: pytest.LogCaptureFixture, may_be_whole: bool = False) -> None:
    """Step 1 with a line that names step 2, or, if the damage is in what is not needed, step 2."""
    before = contents(folder)
    caplog.clear()
    found, meta = ckpt.restore(folder, make_state(0))
    lines = [record.getMessage() for record in caplog.records if record.name == "jaxgen"]
    if not (may_be_whole and meta["step"] == 2):
        assert meta == {"step": 1}
        assert len(lines) == 1
        assert "checkpoint 2 is damaged" in lines[0]
        assert "step 1 is used instead" in lines[0]
        assert "\n" not in lines[0]
    expected = make_state(meta["step"])
    np.testing.assert_array_equal(found["params"]["kernel"], expected["params"]["kernel"])
    np.testing.assert_array_equal(found["params"]["bias"], expected["params"]["bias"])
    assert contents(folder) == before


@pytest.mark.parametrize("harm", [empty, halve, flip_one, fill_with_garbage, os.remove])
def test_every_file(whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: Callable) -> None:
    caplog.set_level(logging.WARNING)
    files = [p.relative_to(whole) for p in (whole / "2").rglob("*") if p.is_file()]
    assert len(files) >= 5
    for i, name in enumerate(files):
        folder = shutil.copytree(whole, tmp_path / str(i))
        harm(folder / name)
        assert_whole(folder, caplog, may_be_whole=True)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_damaged_folder_or_record(whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    caplog.set_level(logging.WARNING)
    folder = shutil.copytree(whole, tmp_path / "run")
    FOLDERS[name](folder / "2")
    assert_whole(folder, caplog)
    run = ckpt.open_checkpoints(folder)  # as the run that goes on from step 1
    ckpt.save(run, 2, make_state(2), {"step": 2})
    ckpt.save(run, 3, make_state(3), {"step": 3})
    ckpt.close(run)
    assert ckpt.restore(folder, make_state(0))[1] == {"step": 3}
    assert ckpt.restore(folder, make_state(0), 2)[1] == {"step": 2}


@pytest.mark.parametrize("name", FOLDERS)
def test_all_damaged(whole: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(whole, tmp_path / "run")
    for step in ("1", "2"):
        FOLDERS[name](folder / step)
    before = contents(folder)
    with pytest.raises(InputError, match=r"no usable checkpoint \(step 2: .*; step 1: ") as refused:
        ckpt.restore(folder, make_state(0))
    assert "\n" not in str(refused.value)
    assert contents(folder) == before
    with pytest.raises(InputError):
        ckpt.read_meta(folder) if "arrays" not in name else ckpt.restore(folder, make_state(0))
