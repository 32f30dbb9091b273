"""Weights for the package: the averaged weights of a run in 16 or 8 bits, with notes on their origin.

Command:  python -m experiments.ship_weights RUN --out jaxgen/tasks/gan/digits.safetensors --command TEXT --data TEXT
          --hardware TEXT --result TEXT

It prints the SHA-256, which belongs beside the name in `pretrained` of the task; the name also goes to the row of the
task in `jaxgen/tasks/table.py`.
"""

import json
import sys
from pathlib import Path

from tyro.conf import Positional

from jaxgen.cli import exit_cleanly
from jaxgen.cli.flags import call
from jaxgen.config_json import to_dict
from jaxgen.errors import require
from jaxgen.networks.inverse import ESTIMATOR
from jaxgen.tasks.load import DATA, load, save_weights
from jaxgen.weights import sha256_of


def ship(
    run: Positional[str],
    out: str,
    command: str,
    data: str,
    hardware: str,
    result: str,
    licence: str = "Apache-2.0",
    checkpoint: str = "latest",
    without: str = "",
    estimator_of: str = "",
    bits: int = 16,
) -> None:
    """Writes the averaged weights of a run for the package.

    Args:
      run: folder of the run.
      out: safetensors file to write.
      command: command of the training.
      data: what it was trained on.
      hardware: the machine, and the time.
      result: what was reached, with the protocol.
      licence: licence of the weights.
      checkpoint: latest, best or a step.
      without: part of the network that is left out, such as the estimator of levels where another one is used.
      estimator_of: run or weights whose estimator of levels takes the place of this run's.
      bits: bits of a weight, 16 or 8.
    """
    require(bits in (8, 16), "bits", bits, "8 or 16")
    path = Path(out)
    notes = {"command": command, "data": data, "hardware": hardware, "result": result, "licence": licence}
    trained = load(run, checkpoint)
    ((network, params),) = trained.state.ema_params.items()
    kept = {name: part for name, part in params.items() if name != without}
    if estimator_of:
        kept[ESTIMATOR] = load(estimator_of).state.ema_params[network][ESTIMATOR]
    packed = trained._replace(state=trained.state.replace(ema_params={network: kept}))
    kind, _, place = trained.config.data.dataset.partition(":")
    named = {**to_dict(trained.config.data), "dataset": f"{kind}:{Path(place).name}" if place else kind}
    named.pop("data_dir")
    save_weights(path, packed, {**notes, DATA: json.dumps(named)}, bits)
    print(f"{path}: {path.stat().st_size:,} bytes, sha256 {sha256_of(path)}")


def main() -> None:
    """Writes the weights from the command line."""
    with exit_cleanly():
        call(ship, sys.argv[1:], "python -m experiments.ship_weights", "")


if __name__ == "__main__":
    main()
