"""Commands for trained GANs alone. They import JAX only when they run, so that --help is fast."""

import sys
from pathlib import Path

import tyro

from jaxgen.cli.commands_for_models import load_for, shipped_or_run
from jaxgen.errors import InputError, require


def project(
    run: tyro.conf.Positional[str],
    pictures: tyro.conf.Positional[tuple[str, ...]],
    label: str | None = None,
    steps: int = 200,
    seed: int = 0,
    out: str = "projected.png",
    checkpoint: str = "latest",
    force: bool = False,
) -> None:
    """Finds the latents from which a GAN draws given pictures as nearly as it can.

    Args:
      run: as for sample.
      pictures: files, folders or patterns; cut to their middle square and resized to the GAN's size.
      label: class of the pictures of a conditional GAN, or of each in order (7 or 3,1,4); by default the best.
      steps: steps of the search; more come nearer.
      seed: random seed of the starts.
      out: .png with each picture beside its projection; the latents go to an .npz file of the same name.
      checkpoint: latest, best or a step.
      force: overwrite existing files.
    """
    model, picture = shipped_or_run(run, use="project"), Path(out)
    require(picture.suffix == ".png", "out", out, "a file name that ends in .png")
    require(steps >= 1, "steps", steps, "1 or more")
    require(0 <= seed < 2**32, "seed", seed, "0 to 4294967295")
    for path in (picture, picture.with_suffix(".npz")):
        if path.exists() and not force:
            raise InputError(f"out: {path} exists already; overwritten only with --force")
    trained, find = load_for("project", model, checkpoint)
    code = find(trained, pictures, label, steps, seed, picture)
    if code:
        sys.exit(code)
