"""Levels of damage as the page finds them, in Node.js: as jaxgen/bundles/levels.py does."""

import json
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from jaxgen.bundles.levels import estimate_levels, windows_of
from tests.web.node import run_script, with_alpha

SCRIPT = """
import { levelsOf, windowsOf } from "./levels.mjs";
import { readFileSync, writeFileSync } from "node:fs";
const { width, height, channels, repairs } = JSON.parse(process.argv[2]);
const windows = windowsOf({ data: new Uint8ClampedArray(readFileSync("picture")), width, height }, channels);
const found = new Float32Array(new Uint8Array(readFileSync("found")).buffer);
const levels = levelsOf({ data: found, dims: [48, repairs.length] }, windows, repairs);
writeFileSync("windows", new Uint8Array(windows.data.buffer));
writeFileSync("levels", JSON.stringify(levels));
"""
REPAIRS = ("noise", "jpeg", "blur")


@pytest.mark.parametrize("size", [(300, 451), (64, 64), (30, 200), (9, 5), (260, 81), (512, 512)])
@pytest.mark.parametrize("channels", [1, 3])
def test_windows_and_levels_are_those_of_the_library(tmp_path: Path, size: tuple[int, int], channels: int) -> None:
    pixels = np.ascontiguousarray(data.astronaut()[: size[0], : size[1]])
    found = np.random.default_rng(0).uniform(0.02, 0.3, (48, 3)).astype(np.float32)
    found[: 20 * (size[0] < 60), 0] = 0.0
    (tmp_path / "picture").write_bytes(with_alpha(pixels))
    (tmp_path / "found").write_bytes(found.tobytes())
    run_script(tmp_path, "levels", SCRIPT, width=size[1], height=size[0], channels=channels, repairs=REPAIRS)
    windows = np.frombuffer((tmp_path / "windows").read_bytes(), np.float32).reshape(48, 64, 64, channels)
    expected = windows_of(pixels)
    shown = expected if channels == 3 else expected.mean(axis=-1, keepdims=True)
    np.testing.assert_allclose(windows, shown, atol=1e-6)
    levels = json.loads((tmp_path / "levels").read_text())
    assert levels == pytest.approx(estimate_levels(lambda _: found, REPAIRS, channels, expected), abs=1e-6)
    assert levels["blur"] == 0  # below the least that counts
    assert (levels["noise"] > 0) == (size[0] >= 60)  # not everywhere
