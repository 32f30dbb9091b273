"""The model to export: a trained network, and the facts about its origin for the manifest."""

import json
from pathlib import Path
from typing import Any

from jaxgen.config_json import to_dict
from jaxgen.errors import require
from jaxgen.runs.reading import read_metrics
from jaxgen.tasks import table
from jaxgen.tasks.base import NO_CHOICE, Exportable, ExportChoices, Trained
from jaxgen.tasks.load import load, pretrained_file
from jaxgen.weights import load_notes


def open_model(run: str, checkpoint: str = "latest", choices: ExportChoices = NO_CHOICE) -> Exportable:
    """Returns a run's network with its averaged weights, or a pretrained one.

    Args:
      run: a run folder, or a name of `table.pretrained`.
      checkpoint: "latest", "best" or a step.
      choices: see `ExportChoices`.

    Raises:
      InputError: no such run or checkpoint, the folder of a scan, or a choice that the network does not leave.
    """
    trained = load(run, checkpoint)
    task = trained.task
    require(task.export is not None, "run", f"{run}, of task {task.name}", "a run of a task that can be exported")
    model = task.export(trained, choices)
    packaged = run in table.pretrained()
    name, origin = (run, _of_package(run)) if packaged else (_name(Path(run)), _of_run(Path(run), trained))
    return model._replace(about={"kind": model.about["kind"], "name": name, **model.about, **origin})


def _name(run: Path) -> str:
    """Returns the name of the run's recipe, or that of its folder if the recipe is unknown."""
    try:
        return str(json.loads((run / "run.json").read_text())["recipe"])
    except (OSError, ValueError, KeyError, TypeError):
        return run.resolve().name


def _of_run(run: Path, trained: Trained) -> dict[str, Any]:
    """Returns step, configuration, metrics, data and licence of a run."""
    step, config = trained.facts.step, to_dict(trained.config)
    rows = [row for row in read_metrics(run) if row.get("step") == step] if run.is_dir() else []
    merged = {name: value for row in rows for name, value in row.items() if name != "step" and value is not None}
    data = config["data"]["dataset"]
    return {"step": step, "config": config, "metrics": merged, "data": data, "licence": "not stated"}


def _of_package(name: str) -> dict[str, Any]:
    """Returns configuration, metrics, data and licence of a pretrained network, from the notes in its weights file."""
    notes = load_notes(pretrained_file(name))
    task = table.pretrained()[name]
    return {
        "step": None,
        "config": {task: json.loads(notes[task]), "command": notes["command"]},
        "metrics": {"result": notes["result"]},
        "data": notes["data"],
        "licence": notes.get("licence", "Apache-2.0"),
    }
