"""One member of a scan as a run of its own, which can be sampled, evaluated and gone on with like any other."""

import math
from pathlib import Path
from typing import Any

import jax

from jaxgen.config_json import save_config, to_dict
from jaxgen.errors import require
from jaxgen.files import write_json
from jaxgen.hardware import describe_hardware
from jaxgen.runs import checkpoints
from jaxgen.runs.outputs import BEST_METRIC
from jaxgen.runs.reading import read_metrics
from jaxgen.runs.recording import open_metrics
from jaxgen.scans.ledger import Entry, from_json, last_score
from jaxgen.scans.setup import Task
from jaxgen.training.population import make_pick, parse_plan, population_target


def extract_member(directory: Path, task: Task, number: int) -> Path:
    """Writes SCAN/members/NUMBER from the newest checkpoint of a scan.

    Args:
      directory: of the scan.
      task: what was scanned.
      number: of the member.

    Returns:
      The folder of the new run.

    Raises:
      InputError: there is no such member (any more), no checkpoint, or the folder is there already.
    """
    folder = directory / "checkpoints"
    step, meta = checkpoints.read_meta(folder)
    ledger = from_json(meta["ledger"])
    there = {e.number: e for e in ledger if e.slot >= 0}
    names = ", ".join(map(str, sorted(there)))
    require(number in there, "extract", number, f"a member of the checkpoint of step {step}: {names}")
    entry, out = there[number], directory / "members" / str(number)
    require(not out.exists(), "extract", str(out), "a folder that is not there yet")
    plan = parse_plan("map", meta["slots"])
    target = population_target(task.algorithm, plan, entry.hparams, meta["slots"])
    population, _ = checkpoints.restore(folder, target, step)
    config = task.member_config(entry.hparams, entry.seed)
    _write_run(out, directory, config, task, entry, make_pick(plan)(population, entry.slot))
    return out


def _write_run(out: Path, scan: Path, config: Any, task: Task, entry: Entry, state: Any) -> None:
    """config.json, run.json, metrics.jsonl and a checkpoint."""
    out.mkdir(parents=True)
    save_config(config, out / "config.json")
    _write_metrics(out, scan, entry, task.algorithm.images_per_step)
    position = int(jax.device_get(state.step))
    write_json(
        out / "run.json",
        {
            "recipe": task.recipe,
            "member": f"{entry.number} of {scan.name}",
            "status": f"extracted ({entry.status})",
            "steps": position,
            "data": {"source": task.source.name, "used": task.source.origin, "images": task.source.num_images},
            "hardware": describe_hardware(),
        },
    )
    source = task.source
    meta = {"config": to_dict(config), "position": position, "shape": source.shape, "class_names": source.class_names}
    store = checkpoints.open_checkpoints(out / "checkpoints", best_metric=BEST_METRIC)
    try:
        checkpoints.save(store, position, state, meta, {BEST_METRIC: last_score(entry)})
    finally:
        checkpoints.close(store)


def _write_metrics(out: Path, scan: Path, entry: Entry, images_per_step: int) -> None:
    """The member's part of each line of the scan's metrics, by its own steps."""
    suffix, writer = f".{entry.number}", open_metrics(out)
    try:
        for row in read_metrics(scan):
            own = {n.removesuffix(suffix): math.nan if v is None else v for n, v in row.items() if n.endswith(suffix)}
            step = row["step"] - entry.born
            if own:
                writer.write(step, {"images": step * images_per_step, **own})
    finally:
        writer.close()
