"""Metrics as JSON lines and events, curves, facts about the machine."""

import getpass
import json
import math
import platform
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tensorboardX.proto.event_pb2 import Event

from jaxgen import files, hardware
from jaxgen.errors import InputError
from jaxgen.runs import curves, reading, recording
from jaxgen.runs.recording import append_metrics


def lines(run_dir: Path) -> list[dict]:
    def refuse(name: str) -> None:
        raise AssertionError(f"not strict JSON: {name}")

    text = (run_dir / "metrics.jsonl").read_text()
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def events(run_dir: Path) -> list[Event]:
    """All TensorBoard events in the order of their files, by the record format: length, crc, data, crc."""
    found = []
    for path in sorted((run_dir / "tensorboard").iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            found.append(Event.FromString(data[at + 12 : at + 12 + length]))
            at += 16 + length
    return found


def write_run(run_dir: Path, steps: range, start_step: int = 0) -> None:
    metrics = recording.open_metrics(run_dir, start_step)
    for step in steps:
        metrics.write(step, {"images": 8 * step, "loss/generator": step / 4, "loss/discriminator": 1.0})
    metrics.close()


def test_lines_are_there_before_close(tmp_path) -> None:
    metrics = recording.open_metrics(tmp_path)
    metrics.write(3, {"images": 24, "loss/generator": np.float32(0.5), "quality/distance": 2})
    (row,) = lines(tmp_path)
    assert 0 <= row.pop("time") < 60
    assert row == {"step": 3, "images": 24, "loss/generator": 0.5, "quality/distance": 2.0}
    assert type(row["images"]) is int
    metrics.close()
    metrics.close()


def test_not_finite_becomes_null(tmp_path) -> None:
    metrics = recording.open_metrics(tmp_path)
    metrics.write(1, {"a/x": math.nan, "a/y": math.inf, "a/z": -math.inf})
    metrics.close()
    assert [lines(tmp_path)[0][name] for name in ("a/x", "a/y", "a/z")] == [None, None, None]


def test_resume_drops_later_and_torn_lines(tmp_path) -> None:
    write_run(tmp_path, range(1, 6))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "loss/gen')
    write_run(tmp_path, range(4, 8), start_step=3)
    rows = lines(tmp_path)
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)


def test_time_goes_on_after_resume(tmp_path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 5, "time": 1000.0}\n{"step": 6, "time": 2000.0}\n')
    write_run(tmp_path, range(6, 7), start_step=5)
    assert [row["step"] for row in lines(tmp_path)] == [5, 6]
    assert 1000.0 <= lines(tmp_path)[1]["time"] < 1060.0


def test_start_afresh_drops_all(tmp_path) -> None:
    write_run(tmp_path, range(5))
    write_run(tmp_path, range(2))
    assert [row["step"] for row in lines(tmp_path)] == [0, 1]


def test_events_hold_scalars_images_and_the_purge(tmp_path) -> None:
    write_run(tmp_path, range(1, 4))
    metrics = recording.open_metrics(tmp_path, start_step=2)
    metrics.write(3, {"images": 24, "loss/generator": 0.25})
    metrics.write_image(3, "samples", np.full((4, 6, 1), 200, np.uint8))
    metrics.close()
    found = events(tmp_path)
    scalars = [(e.step, v.tag, v.simple_value) for e in found for v in e.summary.value if v.HasField("simple_value")]
    assert scalars[:2] == [(1, "loss/generator", 0.25), (1, "loss/discriminator", 1.0)]
    assert scalars[-1] == (3, "loss/generator", 0.25)
    assert len(scalars) == 7
    images = [(e.step, v.image.height, v.image.width) for e in found for v in e.summary.value if v.HasField("image")]
    assert images == [(3, 4, 6)]
    # Status 1 is START: TensorBoard forgets what earlier files say of this step and later ones.
    assert [e.step for e in found if e.HasField("session_log") and e.session_log.status == 1] == [0, 3]


def test_read_metrics(tmp_path) -> None:
    assert reading.read_metrics(tmp_path) == []
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1, "a/b": null}\n{"step": 2, "a/\xc3')
    assert reading.read_metrics(tmp_path) == [{"step": 1, "a/b": None}]
    path.write_text('{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(InputError, match="line 2"):
        reading.read_metrics(tmp_path)


def test_write_json_is_strict_and_readable(tmp_path) -> None:
    files.write_json(tmp_path / "run.json", {"speed": math.nan, "deep": {"list": [1.5, math.inf]}, "n": 3})
    text = (tmp_path / "run.json").read_text()
    assert json.loads(text) == {"speed": None, "deep": {"list": [1.5, None]}, "n": 3}
    assert text.endswith("\n")
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3) | st.just(math.nan), min_size=1, max_size=30), st.integers(0, 8))
def test_smooth_is_the_mean_of_neighbours(values: list[float], radius: int) -> None:
    out = curves.smooth(np.array(values), radius)
    for i, value in enumerate(values):
        near = np.array(values[max(0, i - radius) : i + radius + 1])
        expected = math.nan if math.isnan(value) else np.nanmean(near)
        np.testing.assert_allclose(out[i], expected, atol=1e-9)


def test_group_curves() -> None:
    rows = [
        {"step": 1, "images": 8, "time": 0.1, "loss/generator": 1.0, "speed": 5.0},
        {"step": 2, "images": 16, "time": 0.2, "loss/generator": None, "loss/discriminator/real": 3.0},
    ]
    groups = curves.group_curves(rows)
    assert {group: [c.name for c in curves] for group, curves in groups.items()} == {
        "loss": ["generator", "discriminator/real"],
        "speed": ["speed"],
    }
    assert list(groups) == ["loss", "speed"]
    generator, real = groups["loss"]
    np.testing.assert_array_equal(generator.x, [8, 16])
    np.testing.assert_array_equal(generator.y, [1.0, math.nan])
    np.testing.assert_array_equal(real.x, [16])
    for row in rows:
        del row["images"]
    np.testing.assert_array_equal(curves.group_curves(rows)["loss"][0].x, [1, 2])


def test_noisy_curves_are_smoothed_and_short_ones_not() -> None:
    rows = [{"step": i, "a/x": float((-1) ** i)} for i in range(200)]
    assert np.abs(curves.group_curves(rows)["a"][0].smooth).max() < 0.5
    short = curves.group_curves(rows[:39])["a"][0]
    np.testing.assert_array_equal(short.smooth, short.y)


@pytest.mark.parametrize("steps", [0, 1, 60])
def test_plot_curves(tmp_path, steps: int) -> None:
    write_run(tmp_path, range(steps))
    path = curves.plot_curves(tmp_path)
    assert path == tmp_path / "curves.png"
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    coloured = (pixels.max(axis=-1) - pixels.min(axis=-1) > 60).sum()
    assert coloured > 20 if steps > 1 else coloured == 0  # a chart of one point would say nothing


def test_hardware_names_no_owner() -> None:
    facts = hardware.describe_hardware()
    assert facts["devices"] == {"cpu": 8}
    assert (facts["backend"], facts["processes"]) == ("cpu", 1)
    assert facts["cpu_cores"] >= 1
    assert facts["memory_gib"] is None or facts["memory_gib"] > 0.1
    assert facts["versions"]["numpy"] == np.__version__
    assert facts["versions"]["python"] == platform.python_version()
    text = json.dumps(facts)
    assert str(Path.home()) not in text or str(Path.home()) == "/"
    assert platform.node() not in text
    assert getpass.getuser() + "/" not in text


def test_a_line_without_images_stands_where_its_step_is(tmp_path) -> None:
    rows = [
        {"step": 2, "images": 64, "a/x": 1.0},
        {"step": 3, "b/y": 2.0},
        {"step": 4, "images": 128, "a/x": 1.0},
    ]
    groups = curves.group_curves(rows)
    assert curves.x_axis(rows) == "images seen"
    assert groups["b"][0].x.tolist() == [96.0]
    assert groups["a"][0].x.tolist() == [64.0, 128.0]
    assert curves.x_axis([{"step": 1, "a/x": 1.0}]) == "step"


def test_a_line_measured_later_keeps_the_clock_and_heals_a_cut_line(tmp_path):
    writer = recording.open_metrics(tmp_path)
    writer.write(5, {"loss/a": 1.0})
    writer.close()
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text().replace('"time": ', '"time": 100') + '{"step": 6, "lo')  # a crash in mid-line
    append_metrics(tmp_path, 5, {"evaluation/x/frechet": 2.0})
    append_metrics(tmp_path, 5, {"evaluation/x/frechet": 3.0})
    assert [row.get("evaluation/x/frechet") for row in lines(tmp_path)] == [None, 2.0, 3.0]
    assert list(curves.group_curves(lines(tmp_path))) == ["loss"]
    writer = recording.open_metrics(tmp_path, start_step=5)
    writer.write(7, {"loss/a": 1.0})
    writer.close()
    assert lines(tmp_path)[-1]["time"] >= 100


def test_a_line_measured_while_the_run_goes_on_costs_none_of_its_lines(tmp_path):
    writer = recording.open_metrics(tmp_path)
    writer.write(1, {"loss/a": 1.0})
    append_metrics(tmp_path, 1, {"evaluation/x/frechet": 2.0})
    writer.write(2, {"loss/a": 3.0})
    writer.close()
    assert [row["step"] for row in lines(tmp_path)] == [1, 1, 2]
