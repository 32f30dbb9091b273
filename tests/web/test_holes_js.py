"""The middle of large holes as the page fills it, in Node.js: as jaxgen/bundles/holes.py does, up to rounding."""

from pathlib import Path

import numpy as np
import pytest
from skimage import data

from jaxgen.bundles.holes import fill_large_holes
from tests.web.node import run_script, with_alpha

SCRIPT = """
import { fillLargeHoles } from "./holes.mjs";
import { readFileSync, writeFileSync } from "node:fs";
const { width, height } = JSON.parse(process.argv[2]);
const picture = { data: new Uint8ClampedArray(readFileSync("picture")), width, height };
const before = picture.data.slice();
const { data, mask } = fillLargeHoles(picture, new Uint8Array(readFileSync("mask")));
if (Buffer.compare(Buffer.from(before), Buffer.from(picture.data))) throw new Error("the picture has changed");
writeFileSync("filled", data);
writeFileSync("left", mask);
"""


def filled_by_page(folder: Path, pixels: np.ndarray, missing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The filled picture, and where pixels are missing still."""
    height, width = missing.shape
    (folder / "picture").write_bytes(with_alpha(pixels))
    (folder / "mask").write_bytes(missing.astype(np.uint8).tobytes())
    run_script(folder, "holes", SCRIPT, width=width, height=height)
    filled = np.frombuffer((folder / "filled").read_bytes(), np.uint8).reshape(height, width, 4)
    return filled[..., :3], np.frombuffer((folder / "left").read_bytes(), np.uint8).reshape(height, width) == 1


def ramp(height: int, width: int) -> np.ndarray:
    """uint8 (h, w, 3): linear along the width, along the height, and along both."""
    y, x = np.meshgrid(np.linspace(0, 120, height), np.linspace(0, 130, width), indexing="ij")
    return np.rint(np.stack([2 * y, 255 - x, x + y], axis=-1)).astype(np.uint8)


@pytest.mark.parametrize("size", [12, 96, 230])
@pytest.mark.parametrize("first", [0, 20])
def test_flat_pictures_and_ramps_are_continued(tmp_path: Path, size: int, first: int) -> None:
    missing = np.zeros((256, 261), bool)
    missing[first : first + size, first : first + size] = True
    red = np.zeros((*missing.shape, 3), np.uint8)
    red[..., 0] = 255
    for clean, tolerance in ((red, 0), (ramp(*missing.shape), 2)):
        filled, left = filled_by_page(tmp_path, np.where(missing[..., None], np.uint8(99), clean), missing)
        done = missing & ~left
        assert done.any()
        np.testing.assert_allclose(filled[done].astype(int), clean[done], atol=tolerance)
        np.testing.assert_array_equal(filled[~done], np.where(missing[..., None], 99, clean)[~done])
        np.testing.assert_array_equal(left, ~fill_large_holes(clean, ~missing)[1])


def test_a_photograph_is_filled_as_the_library_fills_it(tmp_path: Path) -> None:
    photo, missing = data.chelsea()[:256, 100:420], np.zeros((256, 320), bool)
    missing[100:180, 60:150] = missing[30:50, 100:300] = missing[90:101, 200:211] = True
    filled, left = filled_by_page(tmp_path, photo, missing)
    expected, known = fill_large_holes(photo, ~missing)
    np.testing.assert_array_equal(left, ~known)
    np.testing.assert_allclose(filled.astype(int), expected, atol=2)


@pytest.mark.parametrize("mask", ["none", "all", "small", "one line known"])
def test_what_there_is_to_see_decides(tmp_path: Path, mask: str) -> None:
    missing = np.full((40, 50), mask in ("all", "one line known"))
    missing[:, 0] = mask == "all"
    missing[5:15, 5:45] |= mask == "small"
    grey = np.full((40, 50, 3), 77, np.uint8)
    filled, left = filled_by_page(tmp_path, grey, missing)
    np.testing.assert_array_equal(filled, grey)
    np.testing.assert_array_equal(left, ~fill_large_holes(grey, ~missing)[1])
