"""The benchmark of private gradients, in small."""

import json
from pathlib import Path

import pytest

from experiments.benchmarks import private_gradients


@pytest.mark.slow
def test_each_way_is_measured(tmp_path: Path) -> None:
    out = tmp_path / "rates.json"
    config = private_gradients.PrivateGradientsConfig(repeats=1, batch_size=4, base_channels=4, out=str(out))
    private_gradients.run(config)
    rows = json.loads(out.read_text())["rows"]
    assert [row["way"] for row in rows] == ["mean gradient", "taps", "vmap(grad)"]
    assert all(row["median"] > 0 for row in rows)
