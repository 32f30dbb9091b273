"""The commands that use trained models, and `doctor`. They import JAX only when they run, so that --help is fast."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tyro

from jaxgen.errors import reject, require
from jaxgen.tasks.table import pretrained
from jaxgen.training.config import TrainConfig

RUNS = Path("runs")
SUITES = {"standard": "restoration", "everyday": "restoration", "super-resolution": "super_resolution"}
"""Suites of `evaluate-restoration`, each with the task whose models it measures."""


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
            names = f", latest or one of {known} in {RUNS}/" if known else f" (there are no runs in {RUNS}/)"
            reject(field, name, f"a run folder (OUT/RECIPE/TIMESTAMP){names}{also()}")
        return max(found, key=lambda folder: folder.name)
    return Path(name)


def set_up() -> None:
    """Sets JAX up; imports it."""
    from jaxgen.training.parallel import setup_backend

    setup_backend()


def optional_path(text: str | None) -> Path | None:
    """Returns a path, or None for None."""
    return None if text is None else Path(text)


def _model(name: str | None, use: str = "restore") -> str | None:
    """Returns what `--model` names, or None for None; an error lists the weights for `use`."""
    return None if name is None else pretrained_or_run(name, "model", use)


def pretrained_or_run(name: str, field: str = "run", use: str | None = None) -> str:
    """Returns the name of pretrained weights unchanged, or else a run folder; an error lists the weights for `use`."""

    def weights() -> str:
        from jaxgen.tasks.load import pretrained_for

        return f"; {', '.join(pretrained() if use is None else pretrained_for(use))}"

    return name if name in pretrained() else str(find_run_by_name(name, field, weights))


def load_for(use: str, model: str, checkpoint: str) -> tuple[Any, Callable[..., Any]]:
    """Returns a trained model, and the function of its task that carries out a command.

    Args:
      use: name of the command.
      model: result of `pretrained_or_run`.
      checkpoint: checkpoint of a run.
    """
    from jaxgen.tasks.load import load, require_use

    set_up()
    trained = require_use(load(model, checkpoint), use, "run", model)
    return trained, trained.task.uses[use].run


def restore(
    photos: tyro.conf.Positional[tuple[str, ...]],
    out: str = "restored",
    repair: str | None = None,
    strength: float = 1.0,
    mask: str | None = None,
    model: str | None = None,
    checkpoint: str = "latest",
    compare: bool = False,
    force: bool = False,
    allow_large: bool = False,
    tile: int | None = None,
    window: tuple[float, float] | None = None,
    time: int | None = None,
    resample: bool = False,
) -> None:
    """Restores photographs: removes noise and JPEG artifacts; on request also blur, scratches and dust; fills holes.

    Restores volumes with a model that was trained on volumes.

    Args:
      photos: files, folders or patterns (*.jpg). Photographs: JPEG, PNG, WebP, TIFF or BMP with 8 or 16 bits. Volumes:
        .nii.gz, .nii, .tif, .npy or .npz; the result keeps affine, type and header.
      out: folder for the restored photographs.
      repair: what to repair, separated by commas: noise, jpeg, blur, scratches, dust, salt-and-pepper; or all. By
        default noise and jpeg where the network detects them, and salt and pepper where it is certain.
      strength: from 0 (the photo unchanged) to 1 (full restoration).
      mask: image of the same size, white where pixels are to be filled in, or a transparent image painted there; all
        other pixels stay unchanged.
      model: run (folder, recipe or latest) or a file restorer.safetensors; by default the pretrained weights.
      checkpoint: checkpoint of the run given by --model: latest, best or a step.
      compare: also write a picture of each photo beside its result.
      force: overwrite existing results.
      allow_large: accept photos above the size limit, which protects against decompression bombs.
      tile: approximate edge in pixels of the tiles that are restored one at a time; smaller tiles need less memory.
      window: volumes: the two values that the network sees as black and as white; voxels outside stay unchanged. By
        default 0 and 255 for bytes, 0 and 1 for floats in that range, else the least and the greatest value.
      time: volumes: index, from 0, of the time point to restore, if a file holds several.
      resample: volumes: restore on cubic voxels, then transfer the change to the voxels of the file.
    """
    from jaxgen.tasks.restoration import pixels

    set_up()
    restorer = None if model is None else pixels.open_restorer(str(_model(model)), checkpoint)
    if restorer is not None and pixels.takes_volumes(restorer):
        from jaxgen.tasks.restoration.restore_volumes import VolumeOptions, restore_volumes

        require(not compare, "compare", compare, "none with volumes")
        options = VolumeOptions(optional_path(mask), repair, strength, force, tile, window, time, resample)
        code = restore_volumes(photos, Path(out), restorer, options)
    else:
        from jaxgen.tasks.restoration.restore import RestoreOptions, restore_photos

        for field, value in (("window", window), ("time", time), ("resample", resample or None)):
            require(value is None, field, value, "none, as it is for volumes and this model for images")
        models = pixels.photo_models() if restorer is None else pixels.one_model(restorer)
        options = RestoreOptions(optional_path(mask), repair, strength, compare, force, allow_large, tile)
        code = restore_photos(photos, Path(out), models, options)
    if code:
        sys.exit(code)


def upscale(
    photos: tyro.conf.Positional[tuple[str, ...]],
    scale: float = 4.0,
    out: str = "upscaled",
    kind: str | None = None,
    strength: float = 1.0,
    model: str | None = None,
    checkpoint: str = "latest",
    compare: bool = False,
    force: bool = False,
    allow_large: bool = False,
) -> None:
    """Enlarges photographs by any factor from 1 to 8.

    Args:
      photos: files, folders or patterns (*.jpg); JPEG, PNG, WebP, TIFF or BMP with 8 or 16 bits.
      scale: factor for height and width, such as 4 or 2.5.
      out: folder for the enlarged photographs.
      kind: photo (the default) for photographs with some noise, blur or JPEG artifacts; bicubic for clean pictures that
        were made smaller by software.
      strength: from 0 (bicubic interpolation alone) to 1 (the network alone).
      model: run (folder, recipe or latest) or a file upscaler.safetensors; by default the pretrained weights.
      checkpoint: checkpoint of the run given by --model: latest, best or a step.
      compare: also write a picture of the bicubic enlargement beside the result.
      force: overwrite existing results.
      allow_large: accept photos and results above the size limits.
    """
    from jaxgen.tasks.super_resolution.enlarge import enlarging_model, require_factor
    from jaxgen.tasks.super_resolution.upscale import UpscaleOptions, upscale_photos

    require_factor(scale)
    set_up()
    named = None if model is None else pretrained_or_run(model, "model", "upscale")
    options = UpscaleOptions(strength, compare, force, allow_large)
    code = upscale_photos(photos, Path(out), enlarging_model(named, kind, checkpoint), scale, options)
    if code:
        sys.exit(code)


def evaluate_restoration(
    folder: tyro.conf.Positional[str],
    suite: str = "standard",
    model: str | None = None,
    checkpoint: str = "latest",
    num: int | None = None,
    seed: int = 0,
    out: str | None = None,
) -> None:
    """Measures restoration of artificially damaged photographs: PSNR and SSIM, beside classical methods.

    The everyday suite damages photographs as it happens in practice. It first measures harm: the change of clean
    pictures (photographs; with captions, dates, frames or snow; drawings). It reports PSNR, with the worst picture of
    each row. The super-resolution suite measures networks that enlarge, by the protocol of published tables: PSNR and
    SSIM of the luma after bicubic reduction; and after realistic damage.

    Args:
      folder: folder of clean photographs; everyday takes their central 256 x 256 pixels and skips smaller ones. For a
        model of volumes: folder of volumes, or .npz or .npy file.
      suite: standard (noise, salt and pepper, missing pixels, strokes, scratches, JPEG and blur at fixed levels);
        everyday (clean pictures; noise, camera noise, grain and JPEG; scratches, film lines, dust, salt and pepper with
        their repair requested); or super-resolution (enlargement by each factor of the network).
      model: run (folder, recipe or latest) or its file of weights; by default the pretrained weights.
      checkpoint: checkpoint of the run given by --model: latest, best or a step.
      num: use only the first NUM photographs.
      seed: random seed of the damage; super-resolution uses fixed seeds.
      out: folder for table.json and sheet.png; by default nothing is written.
    """
    require(suite in SUITES, "suite", suite, ", ".join(SUITES))
    set_up()
    if SUITES[suite] == "super_resolution":
        from jaxgen.tasks.super_resolution import evaluate as upscaling

        upscaling.evaluate_photos(Path(folder), _model(model, upscaling.USE), checkpoint, num, optional_path(out))
        return
    from jaxgen.tasks.restoration.evaluation.evaluate import evaluate_photos

    evaluate_photos(Path(folder), _model(model), checkpoint, num, seed, optional_path(out), suite)


def export(
    run: tyro.conf.Positional[str] = "photos",
    out: str = "bundle",
    format: str = "stablehlo",
    checkpoint: str = "latest",
    iterations: int | None = None,
    scale: int | None = None,
    force: bool = False,
) -> None:
    """Exports a trained model as a bundle, for jaxgen.load or an ONNX runtime.

    Args:
      run: run (folder, recipe or latest), SCAN/members/NUMBER, or pretrained weights: digits, photos, photos-grey,
        photos-marks, upscale, upscale-bicubic.
      out: folder for the bundle.
      format: stablehlo, onnx (StableHLO and ONNX) or safetensors (only weights and manifest).
      checkpoint: latest, best or a step.
      iterations: number of iterations of a recurrent network; by default as in training.
      scale: factor of a network that enlarges, one for each bundle; by default its largest.
      force: replace an existing bundle.
    """
    from jaxgen.export.bundle import export_run
    from jaxgen.tasks.base import ExportChoices

    set_up()
    choices = ExportChoices(iterations, scale)
    print(export_run(pretrained_or_run(run), Path(out), format, checkpoint, choices, force))


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
      serve: serve the page on this machine until Ctrl-C; without runs, serve an existing page.
      port: port to serve on.
      ort: folder or .tgz of onnxruntime-web; by default npm downloads it.
      force: replace an existing page.
    """
    from jaxgen.web.command import make_page, require_tools
    from jaxgen.web.models import is_bundle

    runs = tuple(run if is_bundle(run) else pretrained_or_run(run) for run in runs)
    require_tools(runs, optional_path(ort))
    if not all(map(is_bundle, runs)):  # a page of bundles needs no JAX, which is slow to import
        set_up()
    make_page(runs, Path(out), serve, port, optional_path(ort), force)


def doctor(out: str = "runs") -> None:
    """Reports hardware, software, speed and likely problems of this machine; needs no data and no internet.

    Args:
      out: folder of runs, whose disk is checked.
    """
    require("://" not in out, "out", out, "a folder; a bucket can be mounted as one (TPU_SETUP.md)")
    from jaxgen.doctor.report import diagnose
    from jaxgen.training import distributed

    set_up()
    distributed.start(TrainConfig())
    diagnose(Path(out))
