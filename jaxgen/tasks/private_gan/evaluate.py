"""The evaluation of a private GAN: it compares with the private images, so what it writes is private."""

from pathlib import Path

from jaxgen.evaluation.protocol import Evaluation
from jaxgen.files import write_bytes
from jaxgen.tasks.base import Trained
from jaxgen.tasks.gan.evaluate import keep, measured

PRIVATE = "private"
"""Folder of what must not be published."""
WARNING = """\
Do not publish these files.

They were computed from the private training images without noise: figures of quality, and pictures of the training
images that are closest to generated ones. The privacy guarantee of the run does not cover them. It covers the rest of
the run's folder and exported models.
"""


def evaluate_in_private(
    gan: Trained,
    run: Path,
    num: int,
    seed: int = 0,
    data_dir: str | None = None,
    inception_weights: Path | None = None,
) -> Evaluation:
    """Returns the evaluation of a private GAN; prints it and writes it to RUN/private, and nothing to the report.

    Takes what `evaluate_run` of a GAN does, and raises what it does. Of a file of weights the folder is beside it.
    """
    result = measured(gan, run, num, seed, data_dir, inception_weights)
    folder = (run if gan.from_run else run.parent) / PRIVATE
    keep(result, gan, folder / "evaluation", folder / f"{run.stem}-evaluation", seed)
    write_bytes(folder / "README.txt", WARNING.encode())
    print(f"private: {folder} was computed from the private images without noise; do not publish it")
    return result
