"""What the page enlarges with, in Node.js: bicubic interpolation, and windows of enlarged pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from jaxgen.tasks.super_resolution.bicubic import bicubic_matrix
from tests.web.node import run_script

BICUBIC = """
import { enlargeBicubic } from "./bicubic.mjs";
import { readFileSync, writeFileSync } from "node:fs";
const { width, height, scale } = JSON.parse(process.argv[2]);
const large = enlargeBicubic({ data: new Uint8ClampedArray(readFileSync("picture")), width, height }, scale);
if (large.width !== scale * width || large.height !== scale * height) throw new Error("another size");
writeFileSync("large", large.data);
"""
TILES = """
import { enlarged, tiles } from "./tiling.mjs";
import { writeFileSync } from "node:fs";
const { width, height, scale, layout } = JSON.parse(process.argv[2]);
const windows = tiles(width, height, layout).map((window) => [window, enlarged(window, scale)]);
writeFileSync("windows.json", JSON.stringify(windows));
"""


def bicubic_by_page(folder: Path, pixels: np.ndarray, scale: int) -> np.ndarray:
    height, width = pixels.shape[:2]
    (folder / "picture").write_bytes(np.ascontiguousarray(pixels).tobytes())
    run_script(folder, "bicubic", BICUBIC, width=width, height=height, scale=scale)
    return np.frombuffer((folder / "large").read_bytes(), np.uint8).reshape(scale * height, scale * width, 4)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_bicubic_enlargement_is_that_of_the_library(tmp_path: Path, scale: int) -> None:
    for height, width in ((40, 53), (1, 7), (2, 1), (3, 3)):
        photo = data.astronaut()[100 : 100 + height, 200 : 200 + width]
        pixels = np.dstack([photo, photo[..., 1]])  # alpha is enlarged like the colours
        rows, columns = bicubic_matrix(height, scale * height), bicubic_matrix(width, scale * width)
        expected = np.clip(np.einsum("yh,xw,hwc->yxc", rows, columns, pixels.astype(np.float64), optimize=True), 0, 255)
        np.testing.assert_allclose(bicubic_by_page(tmp_path, pixels, scale), expected, atol=0.51)


def test_a_ramp_goes_on_as_a_ramp(tmp_path: Path) -> None:
    pixels = np.tile((8 * np.arange(30, dtype=np.uint8))[None, :, None], (5, 1, 4))
    found = bicubic_by_page(tmp_path, pixels, 4)
    expected = 8 * ((np.arange(120) + 0.5) / 4 - 0.5)
    np.testing.assert_allclose(found[:, 8:-8], np.broadcast_to(expected[8:-8, None], (20, 104, 4)), atol=0.51)


def test_enlarged_tiles_cover_the_result_once(tmp_path: Path) -> None:
    layout = {"tile": 20, "halo": 5, "multiple": 1}
    run_script(tmp_path, "tiling", TILES, width=61, height=33, scale=3, layout=layout)
    covered = np.zeros((99, 183), int)
    windows = json.loads((tmp_path / "windows.json").read_text())
    assert len(windows) == 6
    for small, large in windows:
        assert [large[name] for name in ("x", "y", "width", "height")] == [
            3 * small[name] for name in ("x", "y", "width", "height")
        ]
        x, y, width, height = (large["inner"][name] for name in ("x", "y", "width", "height"))
        covered[y : y + height, x : x + width] += 1
        assert x + width <= large["x"] + large["width"]
        assert y + height <= large["y"] + large["height"]
    assert (covered == 1).all()
