"""The command line: `jaxgen COMMAND`, `python -m jaxgen COMMAND`, and the recipes of experiments/.

Bad input gives one line on stderr and exit code 2. JAX is imported only after the flags have been parsed.
"""

from jaxgen.cli.commands import main
from jaxgen.cli.commands_for_gans import evaluate, sample
from jaxgen.cli.commands_for_models import doctor, evaluate_restoration, restore
from jaxgen.cli.commands_for_runs import runs
from jaxgen.cli.exits import exit_cleanly, fail
from jaxgen.cli.flags import parse
from jaxgen.cli.recipes import run_recipe

__all__ = [
    "doctor", "evaluate", "evaluate_restoration", "exit_cleanly", "fail", "main", "parse", "restore", "run_recipe",
    "runs", "sample",
]  # fmt: skip
