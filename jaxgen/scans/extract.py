"""Extraction: writes one member of a scan as a run, which can be sampled, evaluated and resumed like any other."""

import math
from pathlib import Path
from typing import Any

import jax

from jaxgen.checkpoints import folder as checkpoints
from jaxgen.config_json import save_config, to_dict
from jaxgen.data.canaries import record_canaries
from jaxgen.errors import InputError, require
from jaxgen.files import read_json, write_json
from jaxgen.hardware import describe_hardware
from jaxgen.runs.folder import read_run_config
from jaxgen.runs.ledger import Entry, from_json, last_score
from jaxgen.runs.outputs import BEST_METRIC
from jaxgen.runs.reading import read_metrics
from jaxgen.runs.recording import open_metrics
from jaxgen.scans.config import scan_type
from jaxgen.scans.setup import Scan, make_scan, member_config
from jaxgen.tasks import table
from jaxgen.training.fit import over_images
from jaxgen.training.population import make_pick, parse_layout, population_target


def extract_member(directory: Path, scan: Scan, number: int) -> Path:
    """Writes SCAN/members/NUMBER from the newest checkpoint of a scan.

    Args:
      directory: folder of the scan.
      scan: the scan.
      number: number of the member.

    Returns:
      The folder of the new run.

    Raises:
      InputError: the newest checkpoint has no such member, there is no checkpoint, or the folder exists already.
    """
    folder = directory / "checkpoints"
    step, meta = checkpoints.read_meta(folder)
    ledger = from_json(meta["ledger"])
    there = {e.number: e for e in ledger if e.slot >= 0}
    names = ", ".join(map(str, sorted(there)))
    require(number in there, "extract", number, f"a member of the checkpoint of step {step}: {names}")
    entry, out = there[number], directory / "members" / str(number)
    if out.exists():
        raise InputError(f"extract: member {number} is extracted already; use {out}, or remove that folder")
    layout = parse_layout("map", meta["slots"])
    target = population_target(scan.algorithm, layout, over_images(entry.hparams, 1), meta["slots"])
    population, _ = checkpoints.restore(folder, target, step)
    config = member_config(scan.config, entry.hparams, entry.seed)
    _write_run(out, directory, config, scan, entry, make_pick(layout)(population, entry.slot))
    return out


def members_as_runs(directory: Path) -> list[Path]:
    """Returns the folders of all members of a scan, as runs; those that are not there yet are written.

    Raises:
      InputError: this is no scan, or it has no checkpoint.
    """
    values = read_json(directory / "config.json")
    require("scan" in values, "shadows", str(directory), "the folder of a scan (OUT/RECIPE/TIMESTAMP)")
    task = table.task_of(values, "shadows", directory)
    scan = make_scan(read_run_config(directory, scan_type(task.config)), task)
    _, meta = checkpoints.read_meta(directory / "checkpoints")
    numbers = [e.number for e in from_json(meta["ledger"]) if e.slot >= 0 and e.status != "diverged"]
    there = {number: directory / "members" / str(number) for number in numbers}
    return [out if out.exists() else extract_member(directory, scan, number) for number, out in there.items()]


def _write_run(out: Path, directory: Path, config: Any, scan: Scan, entry: Entry, state: Any) -> None:
    """Writes config.json, run.json, metrics.jsonl and a checkpoint of the new run."""
    source = scan.source_of(entry.seed)
    out.mkdir(parents=True)
    save_config(config, out / "config.json")
    record_canaries(out, source)
    _write_metrics(out, directory, entry, scan.algorithm.images_per_step)
    position = int(jax.device_get(state.step))
    write_json(
        out / "run.json",
        {
            "recipe": scan.task.name,
            "task": scan.task.name,
            "member": f"{entry.number} of {directory.name}",
            "status": f"extracted ({entry.status})",
            "steps": position,
            "data": {"source": source.name, "used": source.origin, "images": source.num_images},
            "hardware": describe_hardware(),
        },
    )
    meta = {
        "task": scan.task.name,
        "config": to_dict(config),
        "position": position,
        "shape": source.shape,
        "class_names": source.class_names,
    }
    store = checkpoints.open_checkpoints(out / "checkpoints", best_metric=BEST_METRIC)
    try:
        checkpoints.save(store, position, state, meta, {BEST_METRIC: last_score(entry)})
    finally:
        checkpoints.close(store)


def _write_metrics(out: Path, scan: Path, entry: Entry, images_per_step: int) -> None:
    """Writes the member's part of each line of the scan's metrics, counted in its own steps."""
    suffix, writer = f".{entry.number}", open_metrics(out)
    try:
        for row in read_metrics(scan):
            own = {n.removesuffix(suffix): math.nan if v is None else v for n, v in row.items() if n.endswith(suffix)}
            step = row["step"] - entry.born
            if own:
                writer.write(step, {"images": step * images_per_step, **own})
    finally:
        writer.close()
