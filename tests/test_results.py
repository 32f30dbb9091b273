"""Tables of docs/results.md: one form, every cell filled, dates that are dates, commands that exist."""

import datetime
import re
from pathlib import Path

import pytest

from jaxgen.cli.commands import COMMANDS

ROOT = Path(__file__).parents[1]
LINES = (ROOT / "docs" / "results.md").read_text(encoding="utf8").splitlines()
COLUMNS = ["what", "protocol", "reached", "aim", "command", "hardware", "date"]


def cells(line: str) -> list[str]:
    """Returns the cells of a line of a table."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


STARTS = [i for i, line in enumerate(LINES) if line.startswith("|") and not LINES[i - 1].startswith("|")]
ROWS = [line for i, line in enumerate(LINES) if line.startswith("|") and not {i, i - 1} & set(STARTS)]


def exists(command: str) -> bool:
    """Whether what a command line starts is there."""
    program, *rest = command.removeprefix("python -m ").split()
    if program == "pytest":
        return (ROOT / rest[0]).exists()
    if program == "jaxgen":
        return rest[0] in COMMANDS
    path = ROOT / program.replace(".", "/")
    return program.startswith("experiments.") and (path.with_suffix(".py").exists() or (path / "__main__.py").exists())


def test_all_tables_have_the_same_columns():
    assert STARTS and ROWS
    for start in STARTS:
        assert cells(LINES[start]) == COLUMNS, LINES[start]


@pytest.mark.parametrize("line", ROWS, ids=lambda line: cells(line)[0])
def test_a_row_is_complete(line):
    row = dict(zip(COLUMNS, cells(line), strict=True))
    assert all(row.values()) and [name for name, cell in row.items() if cell == "–"] in ([], ["aim"])
    assert datetime.date(2026, 11, 1) <= datetime.date.fromisoformat(row["date"]) < datetime.date(2028, 1, 1)
    assert row["command"] in ("as above", "none") or exists(re.fullmatch(r"`([^`]+)`", row["command"]).group(1))
