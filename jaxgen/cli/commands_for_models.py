"""The commands that use trained models, and `doctor`. They import JAX only when they run, so that --help is fast."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tyro

from jaxgen.data.config import DataConfig
from jaxgen.errors import InputError, reject, require
from jaxgen.tasks.table import pretrained
from jaxgen.training.config import TrainConfig

RUNS = Path("runs")


def find_run_by_name(name: str, field: str = "run", also: Callable[[], str] = str) -> Path:
    """Returns a run folder.

    Args:
      name: a path, the name of a recipe for its newest run in `RUNS`, or "latest" for the newest run there.
      field: the argument that an error is about.
      also: returns what an error lists as accepted besides runs.

    Raises:
      InputError: there is no such run.
    """
    if name == "latest" or not Path(name).exists():
        found = [path.parent for path in RUNS.glob("*/*/config.json") if name in ("latest", path.parts[-3])]
        known = ", ".join(sorted({path.parts[-3] for path in RUNS.glob("*/*/config.json")}))
        if not found:
            names = f", latest, or one of {known}" if known else ""
            reject(field, name, f"a run folder (OUT/RECIPE/TIMESTAMP){names}{also()}")
        return max(found, key=lambda folder: folder.name)
    return Path(name)


def _setup() -> None:
    """Sets JAX up; imports it."""
    from jaxgen.training.parallel import setup_backend

    setup_backend()


def _path(text: str | None) -> Path | None:
    """Returns a path, or None for None."""
    return None if text is None else Path(text)


def _model(name: str | None) -> str | None:
    """Returns what `--model` names, or None for None."""
    return None if name is None else shipped_or_run(name, "model", "restore")


def shipped_or_run(name: str, field: str = "run", use: str | None = None) -> str:
    """Returns the name of pretrained weights unchanged, or else a run folder; an error lists the weights for `use`."""

    def weights() -> str:
        from jaxgen.tasks.load import pretrained_for

        return f"; {', '.join(pretrained() if use is None else pretrained_for(use))}"

    return name if name in pretrained() else str(find_run_by_name(name, field, weights))


def load_for(use: str, model: str, checkpoint: str) -> tuple[Any, Callable[..., Any]]:
    """Returns a trained model, and the function of its task that carries out a command.

    Args:
      use: name of the command.
      model: result of `shipped_or_run`.
      checkpoint: checkpoint of a run.
    """
    from jaxgen.tasks.load import load, require_use

    _setup()
    trained = require_use(load(model, checkpoint), use, "run", model)
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
    """Draws images from a generative model, trained or still in training.

    Args:
      run: run folder (OUT/RECIPE/TIMESTAMP), name of a recipe (its newest run in runs/), latest, the file
        generator.safetensors of a run, or digits, the GAN of the package.
      num: number of images; by default 64, or one for each label.
      label: class of a conditional model, such as 7, or several in order, such as 3,1,4,1,5.
      seed: random seed.
      out: .png for one picture of all images; .npz for the arrays `images` (uint8, n h w c) and `labels` (if any).
      checkpoint: latest, best (lowest distance measured in training) or a step.
      force: overwrite an existing file.
    """
    model = shipped_or_run(run, use="sample")
    if Path(out).exists() and not force:
        raise InputError(f"out: {out} exists already; overwritten only with --force")
    trained, draw = load_for("sample", model, checkpoint)
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
    """Measures the quality of images from a generative model or a file.

    Args:
      run: as for sample.
      samples: .npz file to evaluate instead of a run: `images` (n h w c, uint8 or floats in [0, 1]), maybe `labels`.
      num: number of images; results are comparable only for the same number.
      checkpoint: latest, best or a step.
      dataset: real images to compare with; only for --samples.
      data_dir: folder of the TFDS data sets; by default that of the run.
      image_size: side in pixels of the real images; only for --samples.
      channels: 1 (grey) or 3 (RGB) for the real images; only for --samples.
      inception_weights: weights of the FID Inception network (.pth, .safetensors), to compare in its features.
      seed: random seed.
    """
    if (run is None) == (samples is None):
        raise InputError(f"run: got {run!r} and --samples {samples!r}; accepted: one of the two")
    require(num > 5, "num", num, "6 or more")
    require(0 <= seed < 2**32, "seed", seed, "0 to 4294967295")
    if run is not None:
        model = shipped_or_run(run, use="evaluate")
        trained, judge = load_for("evaluate", model, checkpoint)
        judge(trained, Path(model), num, seed, data_dir, _path(inception_weights))
    else:
        from jaxgen.evaluation.samples import evaluate_samples

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
    """Restores photographs: removes noise, JPEG artifacts, salt and pepper and scratches, fills masked regions.

    Args:
      photos: files, folders or patterns (*.jpg); JPEG, PNG, WebP, TIFF or BMP with 8 or 16 bits.
      out: folder for the restored photographs.
      strength: from 0 (the photo unchanged) to 1 (full restoration).
      mask: image of the photo's size, white where to fill in; the rest stays unchanged.
      model: run (folder, recipe or latest) or restorer.safetensors file; by default the pretrained model.
      checkpoint: of the run given by --model: latest, best or a step.
      compare: also write each photo beside its result.
      force: overwrite existing results.
      allow_large: accept photos above the size limit, which protects against decompression bombs.
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
    """Measures restoration of artificially damaged photographs: PSNR and SSIM, beside classical methods.

    Args:
      folder: folder of clean photographs.
      model: run (folder, recipe or latest) or restorer.safetensors file; by default the pretrained model.
      checkpoint: of the run given by --model: latest, best or a step.
      num: use only the first NUM photographs.
      seed: random seed of the damage.
      out: folder for table.json and sheet.png; by default nothing is written.
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
    """Exports a trained model as a bundle, for jaxgen.load or an ONNX runtime.

    Args:
      run: run (folder, recipe or latest), members/NUMBER of a scan, or pretrained digits, photos or photos-grey.
      out: folder for the bundle.
      format: stablehlo, onnx (StableHLO and ONNX) or safetensors (only weights and manifest).
      checkpoint: latest, best or a step.
      iterations: of a recurrent network; by default as in training.
      force: replace an existing bundle.
    """
    from jaxgen.export.bundle import export_run

    _setup()
    print(export_run(shipped_or_run(run), Path(out), format, checkpoint, iterations, force))


def web(
    runs: tyro.conf.Positional[tuple[str, ...]] = (),
    out: str = "page",
    serve: bool = False,
    port: int = 8000,
    ort: str | None = None,
    force: bool = False,
) -> None:
    """Makes a web page that runs trained models in the browser, as a folder for any web server.

    Args:
      runs: as for export, or bundles exported with --format onnx.
      out: folder for the page.
      serve: serve the page to this machine until Ctrl-C; without runs, serve an existing page.
      port: port to serve on.
      ort: folder or .tgz of onnxruntime-web; by default npm downloads it.
      force: replace an existing page.
    """
    from jaxgen.web.command import make_page
    from jaxgen.web.models import is_bundle

    if "latest" in runs or not all(map(is_bundle, runs)):  # a page of bundles needs no JAX, which is slow to import
        _setup()
        runs = tuple(map(shipped_or_run, runs))
    make_page(runs, Path(out), serve, port, _path(ort), force)


def doctor(out: str = "runs") -> None:
    """Reports hardware, software, speed and likely problems of this machine; needs no data and no network.

    Args:
      out: folder where runs would be written.
    """
    require("://" not in out, "out", out, "a folder; a bucket can be mounted as one (TPU_SETUP.md)")
    from jaxgen.doctor.report import diagnose
    from jaxgen.training import distributed

    _setup()
    distributed.start(TrainConfig())
    diagnose(Path(out))
