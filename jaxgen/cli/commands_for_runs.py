"""The command about the folders of runs."""

from pathlib import Path

from tyro.conf import Positional

from jaxgen.cli.commands_for_models import find_run_by_name
from jaxgen.errors import require
from jaxgen.runs import listing


def runs(
    what: Positional[str] = "runs", first: Positional[str | None] = None, second: Positional[str | None] = None
) -> None:
    """Lists runs with data, progress, metrics, size and age; `compare RUN RUN` compares two.

    Args:
      what: a folder of runs, or the word compare.
      first: the first run to compare: run folder (OUT/RECIPE/TIMESTAMP), name of a recipe (its newest run), or latest.
      second: the second run to compare.
    """
    if what == "compare":
        print(listing.compare(_run("first", first), _run("second", second)))
        return
    require(first is None, "first", first, "nothing; did you mean: jaxgen runs compare A B?")
    require(
        what == "runs" or Path(what).is_dir(), "runs", what, "a folder that holds runs, made by jaxgen train (--out)"
    )
    print(listing.show_runs(Path(what)))


def _run(field: str, name: str | None) -> Path:
    """Returns the folder of a run to compare."""
    require(name is not None, field, name, "a run, as in: jaxgen runs compare A B")
    folder = find_run_by_name(name, field)
    require((folder / "config.json").is_file(), field, name, "a run folder, as in: jaxgen runs compare A B")
    return folder
