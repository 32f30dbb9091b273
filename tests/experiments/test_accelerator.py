"""The prepared run for an accelerator: its budget, its tables, what it calls equal, and a tiny run on the CPU."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.benchmarks.accelerator import __main__ as accelerator
from experiments.benchmarks.accelerator import agreement, resume, sections, table

ROOT = Path(__file__).parents[2]
FACTS = {
    "hardware": {
        "devices": {"NVIDIA H200": 1}, "cpu_cores": 16, "cpu": "Xeon", "versions": {"python": "3.12", "jax": "0.11"}
    },
    "small": False,
    "torch": {"version": "2.11", "threads": 16},
}  # fmt: skip


def found(rows=(), **lists):
    return {**FACTS, "rows": list(rows), "notes": [], "failures": [], "pending": [], **lists}


def test_time_goes_to_the_first_sections_and_the_rest_is_named(tmp_path, capsys):
    out, time, given = tmp_path / "result.json", [0.0], {}
    takes = {"agreement": 120.0, "resume": 10.0, "gan_28": 150.0, "restoration": 20.0}

    def runner(name, seconds):
        before = json.loads(out.read_text())["sections"] if out.exists() else {}
        assert list(before) == list(given)  # what was measured is on the disk
        given[name] = seconds
        time[0] += takes[name]
        if name == "gan_28":
            return "failed", found(failures=["it broke"])
        return "done", found([{"label": name}])

    config = accelerator.AcceleratorConfig(minutes=5.0, out=str(out), sections=(*takes, "population"))
    document = accelerator.run(config, runner, lambda: time[0])
    # shares of 300 s: a quarter, a quarter, a fifth; then only 20 s are left, and at last none
    assert given == {"agreement": 75.0, "resume": 75.0, "gan_28": 60.0, "restoration": 20.0}
    states = {name: section["status"] for name, section in document["sections"].items()}
    assert states["population"] == "skipped: 0 s left"
    assert states["gan_28"] == "failed"
    assert document["hardware"] == FACTS["hardware"]
    assert json.loads(out.read_text()) == document
    assert "it broke" in out.with_suffix(".md").read_text()
    assert "it broke" in capsys.readouterr().out


def test_a_section_that_is_too_short_of_time_is_skipped(tmp_path):
    config = accelerator.AcceleratorConfig(minutes=0.6, out=str(tmp_path / "x.json"), sections=("agreement", "gan_28"))
    document = accelerator.run(config, lambda name, seconds: ("done", found()), lambda: 0.0)
    assert [section["status"] for section in document["sections"].values()] == ["skipped: 36 s left", "done"]
    assert (tmp_path / "x.md").exists()


@pytest.mark.parametrize(("failures", "code"), [([], None), (["it broke"], 1)])
def test_a_failed_section_gives_exit_code_1(failures, code, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(accelerator, "in_process", lambda name, seconds: ("done", found(failures=failures)))
    monkeypatch.setattr(sys, "argv", ["x", "--sections", "resume", "restoration", "--out", str(tmp_path / "x.json")])
    if code is None:
        accelerator.main()
    else:
        with pytest.raises(SystemExit) as end:
            accelerator.main()
        assert end.value.code == code
    assert capsys.readouterr().out.count("**Resume against the uninterrupted run**") == 1


@pytest.mark.parametrize("flag", [["--minutes", "0"], ["--sections", "nonsense"], ["--out", "no/such/folder/x.json"]])
def test_bad_flags_end_in_one_line_and_exit_code_2(flag, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["x", *flag])
    with pytest.raises(SystemExit) as end:
        accelerator.main()
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert flag[0].strip("-") in error


def test_every_section_can_be_named():
    assert tuple(sections.SECTIONS) == accelerator.Names.__args__


@pytest.mark.parametrize(
    ("script", "seconds", "status", "failure"),
    [
        ("echo first >&2; echo it broke >&2; exit 3", 60.0, "failed after", "exit code 3: it broke"),
        ('echo \'{"rows": [{"label": "a"}]}\' > "$4"; sleep 60', 2.0, "cut after 2 s, 1 rows", None),
        ('echo \'{"rows": [{"label": "a"}]}\' > "$4"', 60.0, "1 rows in", None),
    ],
)
def test_a_process_that_hangs_or_fails_leaves_what_it_measured(script, seconds, status, failure, monkeypatch, tmp_path):
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(program))
    said, document = accelerator.in_process("resume", seconds)
    assert said.startswith(status)
    assert document.get("failures", []) == ([failure] if failure else [])
    assert len(document.get("rows", [])) == ("rows" in script)


def test_a_section_that_was_cut_before_its_first_row_failed():
    status, document = accelerator.outcome(None, 9.0, {"rows": [], "pending": ["a"]}, "")
    assert status == "cut after 9 s, 0 rows"
    assert document == {"rows": [], "pending": ["a"], "failures": ["nothing was measured in its time"]}


def test_cases_are_measured_while_there_is_time():
    time, kept = [0.0], []

    def case(seconds, *rows):
        def run():
            time[0] += seconds
            if not rows:
                raise ValueError("first line\nsecond line")
            return list(rows)

        return run

    broken = {"label": "a: PyTorch compiled", "does_not_work": "no"}
    own = {"label": "a: jaxgen", "does_not_work": "out of memory"}
    cases = [
        ("a", case(3.0, {"label": "a: jaxgen, 1", "seconds_per_step": 0.25}, broken, own)),
        ("b", case(1.0)),
        ("c", case(3.0, {"label": "c", "within": "no"})),
        ("d", case(1.0, {"label": "d"})),
    ]
    result = sections.measure(cases, 9.0, lambda now: kept.append(len(now["rows"])), lambda: time[0])
    # after 7 s none that takes 3 s fits
    assert result["pending"] == ["d"]
    assert result["rows"][0]["milliseconds"] == 250.0
    assert [row["label"] for row in result["rows"]] == ["a: jaxgen, 1", "c"]
    assert result["notes"] == ["a: PyTorch compiled: no"]
    assert result["failures"] == [
        "a: jaxgen: out of memory", "b: ValueError: first line", "c: outside its tolerance"
    ]  # fmt: skip
    assert kept == [0, 1, 1, 2]


def test_tables_are_markdown():
    rows = [{"label": "8 | x", "milliseconds": 1.23456, "images_per_second": 54321.0, "ratio_to_solo": None}]
    columns = {name: sections.POPULATION[name] for name in ("ms a member step", "images/s", "× solo", "s to first")}
    assert table.table(columns, rows) == [
        "|  | ms a member step | images/s | × solo | s to first |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| 8 \\| x | 1.235 | 54,321 |  |  |",
    ]
    document = {"date": "today", "command": "python -m x", **FACTS, "sections": {}}
    document["sections"]["population"] = {
        "status": "1 rows in 3 s", "rows": rows, "notes": ["n"], "failures": ["f"], "pending": ["p", "q"]
    }  # fmt: skip
    text = table.markdown(document)
    assert "1 x NVIDIA H200, 16 cores of Xeon, Python 3.12, jax 0.11, PyTorch 2.11" in text
    assert "- failed: f\n- n\n- not measured: p; q" in text
    assert "No accelerator" not in text
    assert "No accelerator" in table.markdown({**document, "small": True})
    assert "No section said" in table.markdown({**document, "hardware": None})


def test_distances_are_relative_to_the_step():
    before = {"a": {"w": np.array([1.0, 1.0])}, "b": {"w": np.array([0.0])}}
    expected = ({"a": {"w": np.array([4.0, 5.0])}, "b": {"w": np.array([2.0])}}, {"loss/a": 2.0, "other": 9.0})
    found = ({"a": {"w": np.array([4.0, 5.5])}, "b": {"w": np.array([2.1])}}, {"loss/a": 1.5, "other": 0.0})
    apart = agreement.distances(before, expected, found)
    # network a: 0.5 / |(3, 4)| = 0.1; b: 0.1 / 2 = 0.05
    assert apart == {"loss": pytest.approx(0.25), "update": pytest.approx(0.1)}
    assert agreement.row("x", "bfloat16", {"loss": 0.1, "update": 0.29})["within"] == "yes"
    assert agreement.row("x", "bfloat16", {"loss": 0.1, "update": 0.31})["within"] == "no"
    assert agreement.row("x", "bfloat16", {"loss": float("nan"), "update": 0.1})["within"] == "no"


def test_every_preset_is_compared():
    assert {"gan_mnist", "cgan_mnist", "inverse_mnist", "inverse_photos", "crnn_mnist", "crnn_photos"} <= set(
        agreement.recipes()
    )


def test_equal_means_the_same_bits(tmp_path):
    one = [np.array([0.0, 1.0], np.float32), np.array(7)]
    others = {"b": one, "c": [one[0] * 1.5, one[1]], "d": [np.float32([-0.0, 1.0]), one[1]]}
    for name, arrays in {"a": one, **others}.items():
        np.savez(tmp_path / f"{name}.npz", *arrays)
    assert resume.compare(tmp_path / "a.npz", tmp_path / "b.npz") == ("equal", 0.0)
    assert resume.compare(tmp_path / "a.npz", tmp_path / "c.npz") == ("differ", 0.5)
    assert resume.compare(tmp_path / "a.npz", tmp_path / "d.npz") == ("differ", 0.0)


@pytest.mark.slow
def test_steps_are_compared_way_by_way(monkeypatch):
    monkeypatch.setattr(agreement, "recipes", lambda: ["gan_mnist_mlp"])
    rows = [row for _, run in agreement.cases(True) for row in run()]
    assert [row["label"] for row in rows] == [f"gan_mnist_mlp, {way}" for way in agreement.WAYS]
    assert all(row["within"] == "yes" and row["update"] <= row["tolerance"] for row in rows)


@pytest.mark.slow
def test_a_step_of_half_the_rate_is_outside_every_tolerance():
    training = agreement.plain_training("gan_mnist_mlp", "float32", True)
    state, device = agreement.state_at_half(training), jax.devices()[0]
    numbers = {name: value * (0.5 if name in ("lr", "lr_final") else 1.0) for name, value in state.hparams.items()}
    results = [agreement.one_step(training, s, device, None) for s in (state, state.replace(hparams=numbers))]
    apart = agreement.distances(state.params, *results)
    assert apart["update"] == pytest.approx(0.5, abs=0.05)
    assert {agreement.row("x", way, apart)["within"] for way in agreement.WAYS} == {"no"}


@pytest.mark.slow
def test_a_resume_is_compared_with_the_whole_run(tmp_path):
    resume.train("gan_mnist_mlp", True, tmp_path, first=True)
    resume.train("gan_mnist_mlp", True, tmp_path, first=False)
    row = resume.row("x", tmp_path, "gan_mnist_mlp")
    assert row == {"label": "x", "fresh": "equal", "fresh_apart": 0.0, "same": "equal", "same_apart": 0.0}
    with np.load(tmp_path / "gan_mnist_mlp-whole.npz") as arrays:
        assert 2 * 2 * resume.DISPATCHES in [arrays[name].tolist() for name in arrays.files if arrays[name].ndim == 0]


@pytest.mark.slow
def test_the_command_runs_without_tensorflow_and_codecs(tmp_path):
    for name in ("tensorflow", "tensorflow_datasets", "tensorboardX", "imagecodecs", "mlxtend", "torch"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name} is not there')\n")
    out, path = tmp_path / "result.json", os.pathsep.join([str(tmp_path), str(ROOT)])
    command = [sys.executable, "-m", "experiments.benchmarks.accelerator", "--minutes", "60", "--out", str(out)]
    command += ["--sections", "restoration", "restorers"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(out.read_text())
    assert document["small"]
    for name, measured in {"restoration": "megapixels_per_second", "restorers": "share_of_matmul"}.items():
        rows = document["sections"][name]["rows"]
        assert len(rows) == 4
        assert all("jaxgen" in row["label"] and row[measured] > 0 for row in rows)
    assert out.with_suffix(".md").read_text() in done.stdout
