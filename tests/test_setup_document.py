"""The commands of TPU_SETUP.md can be typed as they stand: a shell can read them, and none undoes the one before."""

import os
import re
import subprocess
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[1] / "TPU_SETUP.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", TEXT, re.S)
[JOB] = [block for block in BLOCKS if "scontrol requeue" in block]
[SPOT] = [block for block in BLOCKS if "new_tpu()" in block]


@pytest.mark.parametrize("block", BLOCKS, ids=[" ".join(block.split("\n")[1:])[:40] for block in BLOCKS])
def test_a_shell_reads_the_commands(block: str) -> None:
    assert "…" not in block
    exported = [
        name for line in re.findall(r"^export (.*?)(?: #.*)?$", block, re.M) for name in re.findall(r"(\w+)=", line)
    ]
    assert len(exported) == len(set(exported)), exported
    read = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
    assert (read.returncode, read.stderr) == (0, "")


@pytest.mark.parametrize("block", BLOCKS, ids=[" ".join(block.split("\n")[1:])[:40] for block in BLOCKS])
def test_a_block_says_where_it_runs_and_uses_one_python(block: str) -> None:
    assert block.startswith(("# on ", "#!/bin/bash\n#SBATCH"))
    assert not re.findall(r"(?<!\.venv/bin/)\bpython3? -", block)
    assert not re.findall(r"^install\(\)", block, re.M)  # a command of the system
    assert ("delete" in block) <= ("create" not in block or block == SPOT)
    assert ("gcsfuse --" in block) <= ("mountpoint -q" in block and "install --yes gcsfuse" in block)


def run_with(tools: dict[str, str], script: str, folder: Path, **variables: str) -> list[str]:
    """Returns the calls of `tools`, each a line of shell that stands for a program, in a run of `script`."""
    for name, line in tools.items():
        (folder / name).write_text(f'#!/bin/bash\necho "{name} $*" >> {folder}/calls\n{line}\n')
        (folder / name).chmod(0o755)
    env = {"PATH": f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin", **variables}
    subprocess.run(["bash"], input=script, text=True, env=env, cwd=folder, capture_output=True, timeout=30)
    return (folder / "calls").read_text().splitlines()


@pytest.mark.parametrize(
    ("code", "status", "requeued"),
    [
        (0, "stopped by SIGTERM", True),
        (0, "complete", False),
        (1, "failed: no space", False),
        (2, None, False),
        (137, "running", False),
    ],
)
def test_a_job_is_queued_again_only_if_it_was_stopped_in_order(
    code: int, status: str | None, requeued: bool, tmp_path: Path
) -> None:
    if status is not None:
        run = tmp_path / "runs" / "7" / "gan_mnist" / "1"
        run.mkdir(parents=True)
        (run / "run.json").write_text(f'{{\n  "status": "{status}"\n}}')
    script = JOB.replace("/shared/runs", str(tmp_path / "runs"))
    calls = run_with({"srun": f"exit {code}", "scontrol": ""}, script, tmp_path, SLURM_JOB_ID="7")
    assert len([call for call in calls if call.startswith("srun")]) == 1
    assert ("scontrol requeue 7" in calls) == requeued


GCLOUD = """case "$*" in
  *queued-resources\\ describe*) if [ -e taken ]; then echo SUSPENDED; else echo ACTIVE; fi ;;
  *tpu-vm\\ describe*) echo READY ;;
  *queued-resources\\ create*) rm -f taken ;;
  *storage\\ ls*config.json*) [ -e begun ] ;;
  *storage\\ ls*run.json*) echo gs://runs/run.json ;;
  *storage\\ cat*) cat run.json ;;
esac"""


@pytest.mark.parametrize(
    ("endings", "trainings", "made"),
    [
        (["complete 0"], 1, 0),
        (["none 2"], 1, 0),
        (["running 1"], 1, 0),
        (["running 255 taken", "complete 0"], 2, 1),
        (["stopped 0 taken", "running 255 taken", "complete 0"], 3, 2),
        (["running 255 taken", "running 2"], 2, 1),
    ],
)
def test_a_tpu_is_asked_for_anew_only_if_it_was_taken(
    endings: list[str], trainings: int, made: int, tmp_path: Path
) -> None:
    (tmp_path / "endings").write_text("\n".join(endings) + "\n")
    on_all = """put_jaxgen() { :; }; mount_bucket() { :; }
on_all() {
  echo "train $1" | tr '\\n' ' ' >> calls; echo >> calls
  read -r status code gone < <(head -1 endings); sed -i 1d endings; touch begun
  echo "\\"status\\": \\"$status\\"" > run.json; [ -z "$gone" ] || touch taken; return $code
}
"""
    names = {"BUCKET": "runs", "TPU": "t", "ZONE": "z", "TYPE": "y", "RUNTIME": "r"}
    calls = run_with({"gcloud": GCLOUD, "sleep": ""}, on_all + SPOT, tmp_path, **names)
    resumed = ["--resume latest" in call for call in calls if call.startswith("train")]
    assert resumed == [False] + [True] * (trainings - 1)
    for verb in ("delete", "create"):
        assert len([call for call in calls if f"queued-resources {verb}" in call]) == made


def test_links_within_the_page_lead_somewhere() -> None:
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", TEXT, flags=re.S), re.M)
    anchors = {re.sub(r"[^\w\s-]", "", title.lower()).replace(" ", "-") for title in titles}
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    links = re.findall(r"\]\(#([^)]*)\)", TEXT) + re.findall(r"\]\(TPU_SETUP.md#([^)]*)\)", readme)
    assert len(links) > 8
    assert set(links) <= anchors
