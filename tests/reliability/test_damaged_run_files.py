"""config.json, run.json and metrics.jsonl with anything in them: one clear line, or the run goes on."""

import json
from pathlib import Path

import pytest

from jaxgen.config_json import load_config, save_config, to_dict
from jaxgen.errors import InputError
from jaxgen.runs import listing
from jaxgen.runs.folder import find_run
from jaxgen.runs.reading import read_metrics
from jaxgen.runs.recording import open_metrics
from jaxgen.runs.report import write_report
from jaxgen.tasks.gan.config import GanRecipe

GARBAGE = {
    "empty": b"",
    "half": b'{"train": {"steps": 12',
    "zeros": bytes(64),
    "no text": b"\xff\xfe\x00garbage\x80",
    "a number": b"3",
    "null": b"null",
    "a list": b'[{"step": 1}]',
    "deep": b"[" * 100_000,
    "a huge number": b'{"train": {"steps": 1e999}}',
    "NaN": b'{"hparams": {"lr": NaN}}',
    "groups that are no groups": b'{"train": 5, "data": [], "hparams": "x", "gan": null}',
}
SIZE = 1000
"""Characters that a clear line has at most."""


def refused(work) -> str:
    with pytest.raises(InputError) as error:
        work()
    said = str(error.value)
    assert len(said) < SIZE
    return said


@pytest.mark.parametrize("name", GARBAGE)
def test_config_with_garbage(name: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(GARBAGE[name])
    assert "\n" not in refused(lambda: load_config(GanRecipe, path))


def change(values: dict, field: str, value: object) -> dict:
    group, name = field.split(".")
    return {**values, group: {**values[group], name: value}}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("train.nonsense", 1),
        ("train.steps", "many"),
        ("train.steps", -1),
        ("train.steps", True),
        ("train.out", ["runs"]),
        ("gan.architecture", "monkey"),
        ("gan.latent_dim", 1.5),
        ("hparams.lr", None),
        ("hparams.lr", {}),
        ("data.dataset", 7),
        ("data.flip", "yes"),
    ],
)
def test_fields_of_a_config(field: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(change(to_dict(GanRecipe()), field, value)))
    said = refused(lambda: load_config(GanRecipe, path))
    assert field.split(".")[1] in said
    assert "accepted: " in said


def test_fields_that_lack_take_their_defaults(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"train": {"steps": 12}}')
    assert load_config(GanRecipe, path).train.steps == 12
    save_config(GanRecipe(), path)
    assert load_config(GanRecipe, path) == GanRecipe()


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    for name in ("config.json", "metrics.jsonl"):
        (tmp_path / name).mkdir()
    assert "config.json" in refused(lambda: load_config(GanRecipe, tmp_path / "config.json"))
    assert "resume" in refused(lambda: find_run(str(tmp_path), "gan_mnist", "runs"))
    assert "metrics.jsonl: cannot be read" in refused(lambda: read_metrics(tmp_path))


LINES = {
    "empty": b"",
    "half": b'{"step": 2, "lo',
    "zeros": bytes(20),
    "no text": b"\xff\xfe",
    "a number": b"7",
    "a list": b"[1]",
    "no step": b'{"loss/x": 1.0}',
    "a step that is text": b'{"step": "2"}',
    "a negative step": b'{"step": -2}',
    "a step that is a half": b'{"step": 2.5}',
    "a metric that is text": b'{"step": 2, "loss/x": "low"}',
    "a metric that is a list": b'{"step": 2, "loss/x": [1]}',
    "a clock that is null": b'{"step": 2, "time": null}',
    "images that are null": b'{"step": 2, "images": null}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("name", LINES)
def test_lines_of_metrics(name: str, tmp_path: Path) -> None:
    """In the middle a damaged line is named; at the end it is what a crash left."""
    path, good = tmp_path / "metrics.jsonl", b'{"step": 1, "time": 0.5, "loss/x": 1.0}\n'
    path.write_bytes(good + LINES[name] + b"\n" + good)
    for work in (lambda: read_metrics(tmp_path), lambda: open_metrics(tmp_path, 5), lambda: write_report(tmp_path)):
        assert "metrics.jsonl: line 2 is damaged" in refused(work)
    path.write_bytes(good + LINES[name])
    assert [row["step"] for row in read_metrics(tmp_path)] == [1]
    writer = open_metrics(tmp_path, 1)
    writer.write(2, {"loss/x": 2.0})
    writer.close()
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2]


def assert_page_or_line(folder: Path, name: str) -> None:
    said = ""
    try:
        write_report(folder)
    except InputError as error:
        said = str(error)
    assert (folder / "report.html").exists() == (said == "")
    assert name in said or not said
    assert len(said) < SIZE


@pytest.mark.parametrize("file", ["run.json", "config.json"])
@pytest.mark.parametrize("name", GARBAGE)
def test_the_report_of_a_run_with_garbage(name: str, file: str, tmp_path: Path) -> None:
    """Either a page or one line."""
    (tmp_path / file).write_bytes(GARBAGE[name])
    assert_page_or_line(tmp_path, file)


@pytest.mark.parametrize("file", ["run.json", "config.json", "metrics.jsonl"])
@pytest.mark.parametrize("name", GARBAGE)
def test_the_list_and_the_comparison_of_runs_with_garbage(name: str, file: str, tmp_path: Path) -> None:
    """The damaged run is listed, and does not keep another from being shown."""
    for folder in (tmp_path / "whole", tmp_path / "zz damaged"):
        folder.mkdir()
        (folder / "config.json").write_text('{"train": {"steps": 9}, "hparams": {"lr": 0.125}}')
        (folder / "run.json").write_text('{"status": "complete", "steps": 4, "data": {"source": "digits"}}')
        (folder / "metrics.jsonl").write_text('{"step": 4, "loss/x": 0.5}\n')
    (folder / file).write_bytes(GARBAGE[name] + b"\n" + GARBAGE[name])
    whole, damaged = (listing.describe(folder) for folder in listing.list_runs(tmp_path))
    assert whole[1:5] == ("digits", "4/9", "complete", "loss/x 0.5")
    if file == "metrics.jsonl":
        assert damaged[1:5] == ("digits", "4/9", "complete", "")
    else:
        assert damaged.status == "damaged"
    rows = [line.split() for line in listing.compare(whole.folder, damaged.folder).splitlines()]
    assert ["hparams.lr", "0.125", "-"] in rows or file != "config.json"
    assert ["loss/x", "0.5", "-" if file == "metrics.jsonl" else "0.5"] in rows


@pytest.mark.parametrize(
    "values",
    [
        {"steps": "many", "seconds": None, "images_per_second": []},
        {"hardware": 3, "data": "x", "command": 5},
        {"hardware": {"devices": 4, "versions": "x"}, "status": ["complete"]},
        {"steps": -1, "seconds": "long", "unknown": {"a": {"b": [1]}}},
    ],
)
def test_fields_of_run_json(values: dict, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(values))
    assert_page_or_line(tmp_path, "run.json")
