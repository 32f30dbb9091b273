"""Tables of docs/results.md: one form, every cell filled, dates that are dates, commands that exist."""

import datetime
import re
from pathlib import Path

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
    assert ROWS
    for start in STARTS:
        assert cells(LINES[start]) == COLUMNS, LINES[start]


def test_every_row_is_complete():
    for line in ROWS:
        row = dict(zip(COLUMNS, cells(line), strict=True))
        assert all(row.values()), line
        assert "–" not in (row | {"aim": ""}).values(), line
        assert datetime.date.fromisoformat(row["date"]).year in (2026, 2027), line
        assert row["command"] in ("as above", "none") or exists(re.fullmatch(r"`([^`]+)`", row["command"])[1]), line
