"""The tables of the run in Markdown, as docs/results.md takes them."""

from typing import Any

from experiments.benchmarks.accelerator.sections import SECTIONS
from experiments.benchmarks.common import Columns, cells


def markdown(document: dict[str, Any]) -> str:
    """Returns a heading with the machine, and a table with its notes for each section.

    Args:
      document: what `__main__.run` writes: `date`, `command`, `hardware`, `small`, `torch`, and `sections` by name,
        each with `status`, `rows`, `notes`, `failures` and `pending`.
    """
    lines = ["## On an accelerator", "", _machine(document), ""]
    for name, section in document["sections"].items():
        lines += [f"**{SECTIONS[name].title}** ({section['status']})", ""]
        if section["rows"]:
            lines += [*table(SECTIONS[name].columns, section["rows"]), ""]
        remarks = [f"- failed: {text}" for text in section["failures"]] + [f"- {text}" for text in section["notes"]]
        remarks += [f"- not measured: {'; '.join(section['pending'])}"] if section["pending"] else []
        lines += [*map(_plain, remarks), ""] if remarks else []
    return "\n".join(lines).rstrip() + "\n"


def _machine(document: dict[str, Any]) -> str:
    hardware = document["hardware"]
    if hardware is None:
        return f"`{document['command']}`, {document['date']}. No section said what machine it ran on."
    devices = ", ".join(f"{num} x {kind}" for kind, num in hardware["devices"].items())
    versions = f"Python {hardware['versions']['python']}, jax {hardware['versions']['jax']}"
    torch = document["torch"]["version"]
    small = " **No accelerator: tiny networks on the CPU, to try the command. No figure means anything.**"
    return (
        f"`{document['command']}`, {document['date']}, {devices}, {hardware['cpu_cores']} cores of {hardware['cpu']}, "
        f"{versions}, PyTorch {torch or 'not measured'}.{small * document['small']}"
    )


def table(columns: Columns, rows: list[dict[str, Any]]) -> list[str]:
    """Returns the lines of a table: the label, and the columns; a value that is missing leaves its cell empty."""
    keys = {key for key, _ in columns.values()}
    lines = [("", *columns), ("---", *["---:"] * len(columns))]
    lines += [(row["label"], *cells(dict.fromkeys(keys) | row, columns)) for row in rows]
    return [f"| {' | '.join(map(_plain, line))} |" for line in lines]


def _plain(text: str) -> str:
    """Returns text that does not end a cell or a line."""
    return text.replace("|", "\\|").replace("\n", " ")
