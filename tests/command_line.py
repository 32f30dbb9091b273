"""The command line in this process, for tests."""

import sys

import pytest

from jaxgen import cli


def call(monkeypatch: pytest.MonkeyPatch, *args: object) -> int:
    """The exit code of `jaxgen ARGS`."""
    monkeypatch.setattr(sys, "argv", ["jaxgen", *map(str, args)])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0
