"""Contracts compile much and run little: XLA's costly passes are left out while they run."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def quickly(quick_compilation: None) -> None:
    pass
