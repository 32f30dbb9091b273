"""What a run tells of itself on a terminal and in a log."""

import io
import re
import sys

import numpy as np
import pytest
from rich.console import Console

from jaxgen import progress


class Clock:
    """A clock that stands until told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def open_lines(clock: Clock, total_steps: int, minutes: float | None = None) -> tuple[progress.Progress, list[str]]:
    written: list[str] = []
    return progress._open_lines(*progress._track_training(total_steps, 0, 64, minutes, clock), written.append), written


def parts(line: str) -> list[str]:
    return line.split("  ")


def test_first_then_every_ten_seconds_then_last() -> None:
    clock = Clock()
    shown, written = open_lines(clock, 1000)
    for step in range(1, 26):
        clock.now += 1.0
        shown.update(step, {})
    assert [int(re.findall(r"step (\d+)/1000", line)[0]) for line in written] == [1, 11, 21]
    shown.close()
    shown.close()
    assert [line.split()[1] for line in written[3:]] == ["25/1000"]


def test_the_end_is_shown_once() -> None:
    clock = Clock()
    shown, written = open_lines(clock, 2)
    for step in (1, 2):
        clock.now += 0.5
        shown.update(step, {})
    shown.close()
    assert [line.split()[1] for line in written] == ["1/2", "2/2"]


def test_line_by_hand() -> None:
    clock = Clock()
    shown, written = open_lines(clock, 20000)
    clock.now += 60  # compiling: no part of the speed
    shown.update(1000, {"loss/generator": 0.5})
    clock.now += 20
    shown.update(1320, {"images": 5, "loss/generator": np.float32(0.711), "loss/discriminator": 1234.5})
    assert written[0] == "step 1000/20000  64,000 images  loss/generator 0.5"
    # 320 steps in 20 s are 16 a second: 1,024 images/s, and 18,680 steps to go take 1167.5 s.
    assert written[1] == (
        "step 1320/20000  84,480 images  1,024 images/s  eta 19:28  loss/generator 0.711  loss/discriminator 1.23e+03"
    )


def test_throughput_is_of_the_recent_past() -> None:
    clock = Clock()
    shown, written = open_lines(clock, 10**6)
    for step in range(10):  # ten steps of 60 s, then a hundred of 1 s
        clock.now += 60
        shown.update(step, {})
    for step in range(10, 110):
        clock.now += 1
        shown.update(step, {})
    shown.close()
    assert parts(written[-1])[2] == "64 images/s"


def test_a_pause_counts() -> None:
    clock = Clock()
    shown, written = open_lines(clock, 1000)
    for step, seconds in ((1, 1), (2, 1), (3, 98)):
        clock.now += seconds
        shown.update(step, {})
    assert parts(written[-1])[2] == "1.29 images/s"  # 2 steps of 64 images in 99 s


def test_slow_steps_still_have_a_throughput() -> None:
    clock = Clock()
    shown, written = open_lines(clock, 10)
    for step in (1, 2, 3):
        clock.now += 120
        shown.update(step, {})
    assert parts(written[-1])[2:] == ["0.533 images/s", "eta 14:00"]  # 64 images and 7 more steps, 120 s each


@pytest.mark.parametrize(("minutes", "left"), [(None, "16:20"), (1.0, "0:40"), (100.0, "16:20"), (0.1, "0:00")])
def test_time_left_is_the_smaller(minutes: float | None, left: str) -> None:
    clock = Clock()
    shown, written = open_lines(clock, 1000, minutes)
    for step in (10, 20):
        clock.now += 10
        shown.update(step, {})
    assert parts(written[-1])[3] == f"eta {left}"  # a step a second: 980 s


def test_a_resumed_training_goes_on_from_its_step() -> None:
    line = progress.format_line(progress._track_training(1000, 40, 8, None, Clock())[1])
    assert line == "step 40/1000  320 images"
    line = progress.format_line(progress._track_training(1000, 40, 8, 2.0, Clock())[1])
    assert line == "step 40/1000  320 images  eta 2:00"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0:00"), (59.6, "1:00"), (192.0, "3:12"), (3599.4, "59:59"), (3792.0, "1:03:12")],
)
def test_format_seconds(seconds: float, text: str) -> None:
    assert progress.format_seconds(seconds) == text


def test_no_control_codes_without_a_terminal(capsys, monkeypatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown = progress.open_progress(10, 0, 4)
    shown.update(1, {"loss/generator": 0.25})
    shown.message("saved [samples] to a folder")
    shown.update(10, {"loss/generator": float("nan")})
    shown.close()
    out = capsys.readouterr().out
    assert out.isascii()
    assert "\x1b" not in out
    assert "\r" not in out
    first, message, last = out.splitlines()
    assert first == "step 1/10  4 images  loss/generator 0.25"
    assert message == "saved [samples] to a folder"
    assert last.startswith("step 10/10  40 images")
    assert last.endswith("loss/generator nan")


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar(monkeypatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    shown = progress.open_progress(20000, 0, 64)
    try:
        shown.message("a [note]")
        shown.update(1000, {"loss/generator": 0.711})
    finally:
        shown.close()
        shown.close()
    out = terminal.getvalue()
    assert "\x1b[?25l" in out  # the cursor is hidden while the bar stands
    assert out.rindex("\x1b[?25h") > out.rindex("\x1b[?25l")
    assert "a [note]" in out
    assert "1,000/20,000" in out
    assert "loss/generator 0.711" in out


@pytest.mark.parametrize("width", [10, 30, 40, 80, 200])
def test_bar_keeps_to_its_two_lines(width: int) -> None:
    clock = Clock()
    bars, task = progress._track_training(20000, 0, 64, None, clock)
    for step in (500, 1000):
        clock.now += 31.375  # 500 steps of 64 images in this time are 1,020 images/s, 19,000 take 19:52
        progress._update(bars, task, step, {f"loss/part_{i}": 0.123 for i in range(12)})
    console = Console(file=(out := io.StringIO()), width=width, force_terminal=False)
    console.print(progress._render(bars, task))
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= width
    if width >= 80:
        assert "1,000/20,000 1,020 images/s 0:01:02 eta 19:52" in lines[0]


@pytest.mark.parametrize("width", [40, 120])
def test_a_pass_has_a_bar_on_a_terminal(width: int, monkeypatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    assert list(progress.track_pass("reference", iter("abc"), 3)) == ["a", "b", "c"]
    assert "reference" in terminal.getvalue()
    assert "100%" in terminal.getvalue()


def test_a_pass_has_a_line_with_its_time_elsewhere(capsys, monkeypatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert list(progress.track_pass("reference", iter("abc"), 3)) == ["a", "b", "c"]
    assert re.fullmatch(r"reference: 0\.\d s\n", capsys.readouterr().out)


def test_the_bar_of_photos_counts_tiles_and_errors_go_to_stderr(monkeypatch, capsys) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    with progress.open_photo_progress(4) as shown:
        shown.watch(1, 2)
        shown.done("a.png -> out/a.png")
        shown.failed("b.png: is no photo")
        shown.watch(1, 5)  # 2 of 4 photos and a fifth of the third
    out = terminal.getvalue()
    assert "a.png -> out/a.png" in out
    assert " 55%" in out
    assert "2/4 photos" in out
    assert "b.png" not in out
    assert capsys.readouterr().err == "b.png: is no photo\n"
