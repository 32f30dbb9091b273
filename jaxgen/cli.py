"""The command line: recipes of experiments/ and `python -m jaxgen`. One clear line and exit code 2 for bad input."""

import contextlib
import dataclasses
import functools
import io
import logging
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import jax
import tyro

from jaxgen.config import DataConfig, InputError, TrainConfig, require
from jaxgen.training import distributed
from jaxgen.training.loop import NonFiniteError
from jaxgen.training.parallel import setup_backend
from jaxgen.training.runs import Run, find_run, new_run, read_run_config

C = TypeVar("C")
T = TypeVar("T")


def run_recipe(recipe: str, default: Any, run: Callable[[Run, Any], None], description: str | None) -> None:
    """The `main` of an experiment: flags to a configuration, a run folder, training.

    With `--resume RUN` (or `latest`, also if no value follows) that run's own configuration takes the place of
    `default`, and the other flags change it.

    Args:
      recipe: name of the experiment, a folder in OUT.
      default: configuration dataclass with a field `train: TrainConfig`.
      run: trains, given the run's folder and the configuration.
      description: shown by --help.
    """
    with exit_cleanly():
        args = _name_the_latest(sys.argv[1:])
        config = parse(default, args, f"python -m experiments.{recipe}", description)
        command = shlex.join(["python", "-m", f"experiments.{recipe}", *sys.argv[1:]])
        setup_backend()
        distributed.start(config.train)
        resume, out = config.train.resume, config.train.out
        if resume is None:
            new = Path(distributed.decided_by_main(lambda: str(new_run(recipe, out, command).directory)))
            run(Run(recipe, new, command, resumed=False), _without_the_call(config))
            return
        directory = Path(distributed.decided_by_main(lambda: str(find_run(resume, recipe, out))))
        earlier = read_run_config(directory, type(default))
        config = parse(earlier, args, f"python -m experiments.{recipe}", description)
        run(Run(recipe, directory, command, resumed=True), _without_the_call(config))


def _without_the_call(config: C) -> C:
    """The configuration without what holds for one call alone: where to go on, and which process this is."""
    fields = ("resume", "coordinator", "num_processes", "process_id")
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **dict.fromkeys(fields)))


def parse(default: C, args: list[str], prog: str, description: str | None) -> C:
    """Flags to a configuration like `default`.

    Raises:
      InputError: a flag or value is not accepted; names it.
      SystemExit: --help was asked for.
    """
    read = functools.partial(tyro.cli, type(default), default=default, args=args, prog=prog, description=description)
    return _in_one_line(read, prog)


def _in_one_line(read: Callable[[], T], prog: str) -> T:
    """Calls tyro; what it would say in a frame becomes the one line of an `InputError`."""
    caught = io.StringIO()
    try:
        with contextlib.redirect_stderr(caught):
            return read()
    except SystemExit as end:
        if end.code:
            raise InputError(f"{_unboxed(caught.getvalue())} (see {prog} --help)") from None
        raise


@contextlib.contextmanager
def exit_cleanly() -> Iterator[None]:
    """One line and an exit code: 2 for bad input, 1 for divergence or a failing disk, 130 if interrupted early."""
    logging.basicConfig(level=logging.WARNING)
    for handler in logging.getLogger().handlers:  # a package may have set one up when it was imported
        if type(handler) is logging.StreamHandler:
            handler.setFormatter(logging.Formatter("%(message)s"))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except InputError as error:
        fail(str(error), 2)
    except NonFiniteError as error:
        fail(str(error), 1)
    except OSError as error:
        fail(f"{error.filename or 'output'}: {error.strerror or error}", 1)
    except KeyboardInterrupt:
        fail("interrupted; what was finished is kept", 130)
    except (distributed.LostProcessError, jax.errors.JaxRuntimeError) as error:
        if jax.process_count() == 1:
            raise
        fail(f"{distributed.LOST} ({str(error).splitlines()[0]})", 1)


def fail(message: str, code: int) -> NoReturn:
    """Prints one line to stderr and exits."""
    distributed.leave(f"error: {' '.join(message.split())}", code)


def _name_the_latest(args: list[str]) -> list[str]:
    """`--resume` without a value means `--resume latest`."""
    named = []
    for i, arg in enumerate(args):
        named.append(arg)
        if arg == "--resume" and (i + 1 == len(args) or args[i + 1].startswith("--")):
            named.append("latest")
    return named


def _unboxed(text: str) -> str:
    """The message of tyro's framed error, in one line."""
    lines = [line.strip("│ ").strip() for line in text.splitlines() if line.startswith("│")]
    message = []
    for line in lines:
        if line.startswith("──"):
            break
        message.append(line)
    return " ".join(message) or " ".join(text.split())


def sample(
    run: tyro.conf.Positional[str],
    num: int | None = None,
    label: str | None = None,
    seed: int = 0,
    out: str = "samples.png",
    checkpoint: str = "latest",
) -> None:
    """Draws images from a finished or running run.

    Args:
      run: run folder, OUT/RECIPE/TIMESTAMP.
      num: how many images; 64, or as many as there are labels.
      label: of a conditional GAN, the class, as 7, or several in order, as 3,1,4,1,5.
      seed: decides which.
      out: a picture of them all (.png), or arrays `images` (uint8, n h w c) and, where there are any, `labels` (.npz).
      checkpoint: latest, best (by the distance followed in training) or a step.
    """
    from jaxgen.inference.sample import sample_run

    setup_backend()
    print(sample_run(Path(run), num, seed, Path(out), label, checkpoint))


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
    """Measures how good the images of a run, or of a file, are.

    Args:
      run: run folder, OUT/RECIPE/TIMESTAMP.
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
    from jaxgen.inference.evaluate import evaluate_run, evaluate_samples

    setup_backend()
    if (run is None) == (samples is None):
        raise InputError(f"run: got {run!r} and --samples {samples!r}; accepted: one of the two")
    require(num > 5, "num", num, "6 or more")
    require(0 <= seed < 2**32, "seed", seed, "0 to 4294967295")
    weights = None if inception_weights is None else Path(inception_weights)
    if run is not None:
        evaluate_run(Path(run), num, seed, checkpoint, data_dir, weights)
    else:
        data = DataConfig(dataset, data_dir, image_size=image_size, channels=channels)
        evaluate_samples(Path(samples), data, num, seed, weights)


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
      model: run folder of your own, or its restorer.safetensors, in place of the shipped one.
      checkpoint: of that run: latest, best or a step.
      compare: also write photo and result side by side.
      force: overwrite results that exist.
      allow_large: also photos above the limit that guards against decompression bombs.
    """
    from jaxgen.inference.restore import RestoreOptions, restore_photos
    from jaxgen.inference.restorer import load_restorer, photo_model

    setup_backend()
    chosen = photo_model(load_restorer(None if model is None else Path(model), checkpoint))
    mask_path = None if mask is None else Path(mask)
    options = RestoreOptions(mask_path, strength, compare, force, allow_large)
    code = restore_photos(photos, Path(out), chosen, options)
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
      model: run folder, or its restorer.safetensors, in place of the shipped one.
      checkpoint: of that run: latest, best or a step.
      num: the first so many photographs; all where it is not given.
      seed: of the damage.
      out: folder for table.json and sheet.png.
    """
    from jaxgen.inference.evaluate_restoration import evaluate_photos

    setup_backend()
    model_path, out_path = (None if path is None else Path(path) for path in (model, out))
    evaluate_photos(Path(folder), model_path, checkpoint, num, seed, out_path)


def export(
    run: tyro.conf.Positional[str] = "photos",
    out: str = "bundle",
    format: str = "stablehlo",
    checkpoint: str = "latest",
    iterations: int | None = None,
    force: bool = False,
) -> None:
    """Writes a bundle: a trained network that runs without the code that trained it, `jaxgen.load` or an ONNX runtime.

    Args:
      run: run folder, OUT/RECIPE/TIMESTAMP, a scan's members/NUMBER, or photos for the shipped restorer.
      out: folder of the bundle.
      format: stablehlo, onnx (model.onnx as well), or safetensors (weights and manifest alone).
      checkpoint: latest, best or a step.
      iterations: of a recurrent network; as many as it was trained with.
      force: replace a bundle that is there.
    """
    from jaxgen.export.bundle import export_run

    setup_backend()
    print(export_run(run, Path(out), format, checkpoint, iterations, force))


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
      runs: run folders, folders that `export --format onnx` wrote, or photos, the shipped restorer.
      out: folder for the page.
      serve: then serve it to this machine alone until Ctrl-C; without `runs`, serve a page made before.
      port: to serve on.
      ort: folder with onnxruntime-web's dist files, or its .tgz, in place of what npm fetches.
      force: replace an earlier page in `out`.
    """
    from jaxgen.web.command import make_page

    setup_backend()
    make_page(runs, Path(out), serve, port, None if ort is None else Path(ort), force)


def doctor(out: str = "runs") -> None:
    """Says what this machine is, how fast it is, and what would be slow; needs no data and no network.

    Args:
      out: where runs would go.
    """
    from jaxgen.doctor.report import diagnose

    require("://" not in out, "out", out, "a folder; a bucket can be mounted as one (TPU_SETUP.md)")
    setup_backend()
    distributed.start(TrainConfig())
    diagnose(Path(out))


def _later(command: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """The command's flags, read as it would read them, but its work left for later: what it prints is its own."""

    @functools.wraps(command)
    def read(*args: Any, **kwargs: Any) -> Callable[[], None]:
        return functools.partial(command, *args, **kwargs)

    return read


def main() -> None:
    """Entry of `python -m jaxgen`."""
    with exit_cleanly():
        prog = "python -m jaxgen"
        commands = {
            "sample": sample,
            "evaluate": evaluate,
            "restore": restore,
            "evaluate-restoration": evaluate_restoration,
            "export": export,
            "web": web,
            "doctor": doctor,
        }
        readers = {name: _later(command) for name, command in commands.items()}
        work = _in_one_line(lambda: tyro.extras.subcommand_cli_from_dict(readers, prog=prog), prog)
        work()
