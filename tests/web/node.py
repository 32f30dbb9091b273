"""Parts of the page in Node.js, where it is installed."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxgen.web.build import SOURCES


def run_script(folder: Path, name: str, script: str, **given: Any) -> None:
    """Runs a module that imports ./NAME.mjs, the page's, in a folder; its process.argv[2] is `given` as JSON."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node.js here")
    (folder / f"{name}.mjs").write_bytes((SOURCES / f"{name}.js").read_bytes())
    (folder / "run.mjs").write_text(script)
    subprocess.run([node, "run.mjs", json.dumps(given)], cwd=folder, check=True, timeout=60)


def with_alpha(pixels: np.ndarray) -> bytes:
    """The bytes of an ImageData."""
    return np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)]).tobytes()
