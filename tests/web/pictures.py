"""Pictures that are given to the page and read from it."""

from pathlib import Path

import numpy as np

from tests.web.chromium import Page

STATUS = "document.querySelector('#status').textContent"


def take(page: Page, path: Path) -> None:
    page.choose("#file", path)
    page.wait(f"{STATUS} !== ''")
    page.idle()


def array(page: Page, what: str) -> np.ndarray:
    """uint8 (h, w, 3) of an ImageData."""
    return rgba(page, what)[..., :3]


def rgba(page: Page, what: str) -> np.ndarray:
    """uint8 (h, w, 4) of an ImageData, over the protocol as hexadecimal digits."""
    height, width, text = page.run(
        f"(p => [p.height, p.width, Array.from(p.data, v => v.toString(16).padStart(2, '0')).join('')])({what})"
    )
    return np.frombuffer(bytes.fromhex(text), np.uint8).reshape(height, width, 4)
