"""The commands of TPU_SETUP.md can be typed as they stand: a shell can read them, and none undoes the one before."""

import re
import subprocess
from pathlib import Path

import pytest

BLOCKS = re.findall(r"```sh\n(.*?)```", (Path(__file__).parents[1] / "TPU_SETUP.md").read_text(), re.S)


@pytest.mark.parametrize("block", BLOCKS, ids=[block.split("\n")[0][:40] for block in BLOCKS])
def test_a_shell_reads_the_commands(block: str) -> None:
    assert "…" not in block
    exported = [
        name for line in re.findall(r"^export (.*?)(?: #.*)?$", block, re.M) for name in re.findall(r"(\w+)=", line)
    ]
    assert len(exported) == len(set(exported)), exported
    read = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
    assert (read.returncode, read.stderr) == (0, "")


def test_links_within_the_page_lead_somewhere() -> None:
    text = (Path(__file__).parents[1] / "TPU_SETUP.md").read_text()
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    anchors = {re.sub(r"[^\w\s-]", "", title.lower()).replace(" ", "-") for title in titles}
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    links = re.findall(r"\]\(#([^)]*)\)", text) + re.findall(r"\]\(TPU_SETUP.md#([^)]*)\)", readme)
    assert len(links) > 8
    assert set(links) <= anchors
