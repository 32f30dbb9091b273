"""The commands about runs: a list, a comparison, and an audit of what a model gives away."""

from pathlib import Path
from typing import Any

from tyro.conf import Positional

from jaxgen.cli.commands_for_models import find_run_by_name, load_for
from jaxgen.errors import require
from jaxgen.runs import listing


def runs(
    what: Positional[str] = "runs", first: Positional[str | None] = None, second: Positional[str | None] = None
) -> None:
    """Lists runs with data, progress, metrics, size and age; `compare RUN RUN` compares two runs.

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


def audit(
    run: Positional[str],
    num: int | None = None,
    seed: int = 0,
    checkpoint: str = "latest",
    shadows: str | None = None,
) -> None:
    """Measures by membership inference how much a trained model reveals about its training images.

    Guesses which canaries were trained on; train with `--canaries 1000` to have some. Prints the AUC, the true positive
    rate at a false positive rate of 1%, and a lower bound of epsilon, and writes them to RUN/private. Without canaries
    it tells training images from held-out ones, which shows overfitting and proves no bound.

    Args:
      run: run folder (OUT/RECIPE/TIMESTAMP), name of a recipe (its newest run in runs/), or latest.
      num: number of images to generate with a GAN and to search for copies; by default 10,000.
      seed: random seed of the generated images, or of the damage that a restorer gets.
      checkpoint: latest, best or a step.
      shadows: folder of a scan (jaxgen scan RECIPE --seed 1 --seeds 8 --canaries NUMBER) of the same recipe on the same
        images, with other seeds; its members are shadow models, which calibrate each attack.
    """
    require(num is None or num >= 1, "num", num, "1 or more")
    require(0 <= seed < 2**32, "seed", seed, "0 to 4294967295")
    folder = find_run_by_name(run)
    trained, attack = load_for("audit", str(folder), checkpoint)
    attack(trained, folder, num, seed, () if shadows is None else _shadows(shadows))


def _shadows(scan: str) -> list[Any]:
    """Returns the members of a scan as shadow models."""
    from jaxgen.scans.extract import members_as_runs
    from jaxgen.tasks.candidates import Shadow

    runs = members_as_runs(find_run_by_name(scan, "shadows"))
    return [Shadow(load_for("audit", str(run), "latest")[0], run) for run in runs]
