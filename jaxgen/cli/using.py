"""Commands that use what was trained. What a command needs is imported when it runs, so that --help needs no JAX."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tyro

from jaxgen.data.config import DataConfig
from jaxgen.errors import InputError, require
from jaxgen.tasks.table import pretrained
from jaxgen.training.config import TrainConfig

RUNS = Path("runs")


def find_trained(name: str, field: str = "run", also: str = "") -> Path:
    """A run folder: itself, or by the name of a recipe its newest run in `runs`; "latest" is the newest of all.

    `also` ends the list of what is accepted, in the message of the error.

    Raises:
      InputError: there is no such folder.
    """
    if name == "latest" or not Path(name).exists():
        found = [path.parent for path in RUNS.glob("*/*/config.json") if name in ("latest", path.parts[-3])]
        known = ", ".join(sorted({path.parts[-3] for path in RUNS.glob("*/*/config.json")}))
        accepted = f"a run folder (OUT/RECIPE/TIMESTAMP){f', latest, or one of {known}' if known else ''}{also}"
        require(len(found) > 0, field, name, accepted)
        return max(found, key=lambda folder: folder.name)
    return Path(name)


def _setup() -> None:
    from jaxgen.training.parallel import setup_backend

    setup_backend()


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _model(name: str | None) -> str | None:
    return None if name is None else _shipped_or_run(name, "model")


def _shipped_or_run(name: str, field: str = "run") -> str:
    """Returns the name of weights that the package carries, or a run folder."""
    known = pretrained()
    return name if name in known else str(find_trained(name, field, f"; {', '.join(known)}"))


def _load_for(use: str, folder: Path, checkpoint: str) -> tuple[Any, Callable[..., Any]]:
    """Returns what a run has trained, and the function that its task has for a command."""
    from jaxgen.tasks.load import load, require_use

    _setup()
    trained = require_use(load(folder, checkpoint), use, "run", folder)
    return trained, trained.task.uses[use].run


def sample(
    run: tyro.conf.Positional[str],
    num: int | None = None,
    label: str | None = None,
    seed: int = 0,
    out: str = "samples.png",
    checkpoint: str = "latest",
    force: bool = False,
) -> None:
    """Draws images from a GAN's run, finished or running.

    Args:
      run: run folder, OUT/RECIPE/TIMESTAMP, the name of a recipe for its newest run in runs, or latest.
      num: how many images; 64, or as many as there are labels.
      label: of a conditional GAN, the class, as 7, or several in order, as 3,1,4,1,5.
      seed: decides which.
      out: a picture of them all (.png), or arrays `images` (uint8, n h w c) and, where there are any, `labels` (.npz).
      checkpoint: latest, best (by the distance followed in training) or a step.
      force: overwrite a file that exists.
    """
    folder = find_trained(run)
    if Path(out).exists() and not force:
        raise InputError(f"out: {out} exists already; overwritten only with --force")
    trained, draw = _load_for("sample", folder, checkpoint)
    print(draw(trained, num, seed, Path(out), label))


def evaluate(
    run: tyro.conf.Positional[str | None] = None,
    samples: str | None = None,
    num: int = 10_000,
    checkpoint: str = "latest",
    dataset: str = "mnist",
    data_dir: str | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    inception_weights: str | None = None,
    seed: int = 0,
) -> None:
    """Measures how good the images of a GAN's run, or of a file, are.

    Args:
      run: run folder, OUT/RECIPE/TIMESTAMP, the name of a recipe for its newest run in runs, or latest.
      samples: in its place, an .npz with `images` (n h w c, uint8 or floats in 0 to 1) and perhaps `labels`.
      num: how many images to judge; figures for other numbers are not comparable.
      checkpoint: of the run: latest, best or a step.
      dataset: real images that the samples are compared with; a run knows its own.
      data_dir: folder that holds TFDS data sets; a run knows where its own lay.
      image_size: pixels to cut the real images to, as the samples are; a run knows its own.
      channels: 1 (grey) or 3 (RGB) of the real images, as the samples have; a run knows its own.
      inception_weights: weights file of the FID literature (.pth or .safetensors), to compare in its features.
      seed: of every random choice.
    """
    if (run is None) == (samples is None):
        raise InputError(f"run: got {run!r} and --samples {samples!r}; accepted: one of the two")
    require(num > 5, "num", num, "6 or more")
    require(0 <= seed < 2**32, "seed", seed, "0 to 4294967295")
    folder = None if run is None else find_trained(run)
    if folder is not None:
        trained, judge = _load_for("evaluate", folder, checkpoint)
        judge(trained, folder, num, seed, data_dir, _path(inception_weights))
    else:
        from jaxgen.tasks.gan.evaluate import evaluate_samples

        _setup()
        data = DataConfig(dataset, data_dir, image_size=image_size, channels=channels)
        evaluate_samples(Path(samples), data, num, seed, _path(inception_weights))


def restore(
    photos: tyro.conf.Positional[tuple[str, ...]],
    out: str = "restored",
    strength: float = 1.0,
    mask: str | None = None,
    model: str | None = None,
    checkpoint: str = "latest",
    compare: bool = False,
    force: bool = False,
    allow_large: bool = False,
) -> None:
    """Restores photographs: noise, JPEG, salt and pepper, scratches, and regions marked by a mask.

    Args:
      photos: files, folders or patterns; JPEG, PNG, WebP, TIFF or BMP, 8 or 16 bits.
      out: folder for the results.
      strength: 0 gives the photo back, 1 is all that the network does.
      mask: file of the photo's size, white where it is to be filled in; all else stays as it is.
      model: a run of your own, as of sample, or its restorer.safetensors, in place of the shipped one.
      checkpoint: of that run: latest, best or a step.
      compare: also write photo and result side by side.
      force: overwrite results that exist.
      allow_large: also photos above the limit that guards against decompression bombs.
    """
    from jaxgen.tasks.restoration.pixels import photo_models
    from jaxgen.tasks.restoration.restore import RestoreOptions, restore_photos

    _setup()
    models = photo_models(_model(model), checkpoint)
    options = RestoreOptions(_path(mask), strength, compare, force, allow_large)
    code = restore_photos(photos, Path(out), models, options)
    if code:
        sys.exit(code)


def evaluate_restoration(
    folder: tyro.conf.Positional[str],
    model: str | None = None,
    checkpoint: str = "latest",
    num: int | None = None,
    seed: int = 0,
    out: str | None = None,
) -> None:
    """Damages clean photographs in the standard ways, restores them, and prints PSNR and SSIM beside classical floors.

    Args:
      folder: clean photographs.
      model: a run of your own, as of sample, or its restorer.safetensors, in place of the shipped one.
      checkpoint: of that run: latest, best or a step.
      num: the first so many photographs; all where it is not given.
      seed: of the damage.
      out: folder for table.json and sheet.png.
    """
    from jaxgen.tasks.restoration.evaluate import evaluate_photos

    _setup()
    evaluate_photos(Path(folder), _model(model), checkpoint, num, seed, _path(out))


def export(
    run: tyro.conf.Positional[str] = "photos",
    out: str = "bundle",
    format: str = "stablehlo",
    checkpoint: str = "latest",
    iterations: int | None = None,
    force: bool = False,
) -> None:
    """Writes a bundle: a trained network that runs without the code that trained it, by jaxgen.load or an ONNX runtime.

    Args:
      run: as of sample, also of a restorer, or a scan's members/NUMBER; photos, photos-grey: the shipped ones.
      out: folder of the bundle.
      format: stablehlo, onnx (model.onnx as well), or safetensors (weights and manifest alone).
      checkpoint: latest, best or a step.
      iterations: of a recurrent network; as many as it was trained with.
      force: replace a bundle that is there.
    """
    from jaxgen.export.bundle import export_run

    _setup()
    print(export_run(_shipped_or_run(run), Path(out), format, checkpoint, iterations, force))


def web(
    runs: tyro.conf.Positional[tuple[str, ...]] = (),
    out: str = "page",
    serve: bool = False,
    port: int = 8000,
    ort: str | None = None,
    force: bool = False,
) -> None:
    """Makes a web page of trained models: a folder for any file server, which computes in the browser.

    Args:
      runs: as of export, or folders that it wrote with --format onnx.
      out: folder for the page.
      serve: then serve it to this machine alone until Ctrl-C; without `runs`, serve a page made before.
      port: to serve on.
      ort: folder with onnxruntime-web's dist files, or its .tgz, in place of what npm fetches.
      force: replace an earlier page in `out`.
    """
    from jaxgen.web.command import make_page
    from jaxgen.web.models import is_bundle

    if "latest" in runs or not all(map(is_bundle, runs)):  # else no JAX, which takes long to load, and to clear away
        _setup()
        runs = tuple(map(_shipped_or_run, runs))
    make_page(runs, Path(out), serve, port, _path(ort), force)


def doctor(out: str = "runs") -> None:
    """Says what this machine is, how fast it is, and what would be slow; needs no data and no network.

    Args:
      out: where runs would go.
    """
    require("://" not in out, "out", out, "a folder; a bucket can be mounted as one (TPU_SETUP.md)")
    from jaxgen.doctor.report import diagnose
    from jaxgen.training import distributed

    _setup()
    distributed.start(TrainConfig())
    diagnose(Path(out))
