"""jaxgen from Python: arrays in, arrays out, by the same loop as the command line. Errors are raised, nothing exits.

Interrupting a training (Ctrl-C, the stop button of a notebook) ends it after the steps under way and returns what was
trained so far; a second interrupt raises KeyboardInterrupt. Signal handlers are as before once a function returns.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgen.data.base import Source
from jaxgen.data.config import DataConfig
from jaxgen.data.sources import array_source, open_source
from jaxgen.errors import require
from jaxgen.evaluation.features import choose_network
from jaxgen.evaluation.generated import Generated
from jaxgen.evaluation.protocol import evaluate as judge
from jaxgen.runs.driver import Hooks, fix_schedule, run_training
from jaxgen.runs.folder import Run, new_run
from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.tasks.gan.config import GanConfig, GanHparams, GanRecipe
from jaxgen.tasks.gan.evaluate import generated_by, open_splits
from jaxgen.tasks.gan.load import TrainedGan, load_gan
from jaxgen.tasks.gan.sample import draw
from jaxgen.tasks.gan.task import run_gan
from jaxgen.tasks.restoration.algorithm import make_restoration
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationHparams, RestorationRecipe
from jaxgen.tasks.restoration.load import TrainedRestorer, photo_model, photo_models
from jaxgen.tasks.restoration.restore import make_restore
from jaxgen.tasks.restoration.restorers import make_restorer
from jaxgen.tasks.restoration.task import run_restoration
from jaxgen.training.config import TrainConfig
from jaxgen.training.parallel import on_all_devices, setup_backend
from jaxgen.training.step import Algorithm, TrainState

History = dict[str, np.ndarray]
TILE = 512


def train_gan(
    images: Any,
    labels: Any = None,
    *,
    steps: int = 1_000,
    batch_size: int = 32,
    seed: int = 0,
    image_size: int | None = None,
    config: GanConfig | None = None,
    hparams: GanHparams | None = None,
    minutes: float | None = None,
    out: str | None = None,
    progress: bool = True,
    resume: TrainedGan | None = None,
) -> tuple[TrainedGan, History]:
    """Trains a GAN, conditional if there are labels.

    Args:
      images: uint8 or floats in [0, 1], (n, h, w) or (n, h, w, c); or what `--dataset` takes: "digits", "folder:PATH".
      labels: class of each image, integers from 0, (n,).
      steps: generator updates in all.
      batch_size: images per update.
      seed: decides weights, noise and the order of the data, as on the command line.
      image_size: pixels to crop and resize to; None keeps the size.
      config: structure; None chooses by size, and `projection` where there are labels.
      hparams: numbers.
      minutes: stop after so many, if that comes first.
      out: folder for a run with pictures, checkpoints and a report, as the command line leaves it; None keeps nothing.
      progress: shows a bar.
      resume: go on from what was returned before; `steps` counts those done too.

    Returns:
      The trained GAN, for `sample`, with its `state`; and every metric of each step trained now, (steps,) by name.

    Raises:
      InputError: arrays, names or numbers that are not accepted (a ValueError).
      NonFiniteError: training diverged.
    """
    setup_backend()
    data, source = _open(images, labels, image_size)
    config = config or _gan_for(source, labels is not None)
    train = _settings(steps, batch_size, seed, minutes, out)
    recipe = fix_schedule(GanRecipe(data, config, hparams or GanHparams(), train))
    algorithm = make_gan(config, source.shape, batch_size, source.num_classes)
    begin = None if resume is None else resume.state
    state, history = _run("gan", recipe, algorithm, source, out, progress, run_gan, begin)
    names = (source.class_names or ()) if config.conditioning != "none" else ()
    trained = TrainedGan(recipe, algorithm, on_all_devices(state), int(state.step), source.shape, names)
    return trained, history


def train_restorer(
    images: Any,
    *,
    damage: str = "gaussian:0-0.2",
    steps: int = 1_000,
    batch_size: int = 32,
    seed: int = 0,
    image_size: int | None = None,
    config: RestorationConfig | None = None,
    hparams: RestorationHparams | None = None,
    minutes: float | None = None,
    out: str | None = None,
    progress: bool = True,
    resume: TrainedRestorer | None = None,
) -> tuple[TrainedRestorer, History]:
    """Trains a restorer on clean images: a tenth of the steps under noise of all levels, the others under `damage`.

    Args:
      images: as of `train_gan`.
      damage: KIND:LOW-HIGH, one after another with +, one of several for each image with |.
      steps: updates in all.
      batch_size: images per update.
      seed: decides weights, damage and the order of the data.
      image_size: as of `train_gan`.
      config: structure, with its own schedule and damage, which then count.
      hparams: numbers.
      minutes: as of `train_gan`.
      out: as of `train_gan`; one image in twenty is then held out.
      progress: shows a bar.
      resume: as of `train_gan`.

    Returns:
      The restorer, for `restore`, with its `state`; and every metric of each step trained now, (steps,) by name.

    Raises:
      InputError: as `train_gan` does.
      NonFiniteError: training diverged.
    """
    setup_backend()
    data, source = _open(images, None, image_size)
    train = _settings(steps, batch_size, seed, minutes, out)
    noise = f"noise:{steps // 10}," if steps >= 10 else ""
    config = config or RestorationConfig(schedule=f"{noise}damage:{steps - steps // 10}", damage=damage)
    recipe = fix_schedule(RestorationRecipe(data, config, hparams or RestorationHparams(), train))
    algorithm = make_restoration(config, source.shape, batch_size)
    begin = None if resume is None else resume.state
    state, history = _run("restorer", recipe, algorithm, source, out, progress, run_restoration, begin)
    params = on_all_devices(state).ema_params["restorer"]
    network = make_restorer(config, source.shape)
    return TrainedRestorer(f"step {int(state.step)}", network, params, source.shape, state), history


def sample(model: TrainedGan | str | Path, num: int = 64, labels: Any = None, seed: int = 0) -> np.ndarray:
    """Images of a GAN, uint8 (num, h, w, c).

    Args:
      model: from `train_gan`, or a run folder.
      num: 1 or more.
      labels: of a conditional GAN, a class or several, repeated in order to `num`; None draws them.
      seed: decides which.

    Raises:
      InputError: no such run, or classes that it does not know.
    """
    gan = model if isinstance(model, TrainedGan) else load_gan(Path(model))
    require(num >= 1, "num", num, "1 or more")
    asked = None if labels is None else [int(label) for label in np.ravel(labels)]
    known = len(gan.class_names)
    accepted = f"0 to {known - 1}" if known else "None, since this GAN was trained without classes"
    require(asked is None or (asked != [] and set(asked) <= set(range(known))), "labels", labels, accepted)
    return draw(gan, num, seed, asked)["images"]


def restore(
    image: Any, mask: Any = None, strength: float | int = 1.0, model: TrainedRestorer | str | Path | None = None
) -> np.ndarray:
    """The restored image, of the shape and type of `image`.

    Args:
      image: uint8, uint16 or floats in [0, 1]; (h, w), (h, w, 1) or (h, w, 3), of any size.
      mask: (h, w), true or above 0 where it is to be filled in, all else stays; None restores everywhere.
      strength: 0 gives the image back, 1 is all that the network does.
      model: from `train_restorer`, a run or its restorer.safetensors, "photos", "photos-grey"; None: of these two.

    Raises:
      InputError: arrays of another shape or range, or no such model.
    """
    pixels = np.asarray(image)
    shaped = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (1, 3))
    require(shaped and pixels.size > 0, "image", pixels.shape, "(h, w), (h, w, 1) or (h, w, 3), not empty")
    require(0 <= strength <= 1, "strength", strength, "0 to 1")
    known = None if mask is None else ~(np.asarray(mask) > 0)
    require(known is None or known.shape == pixels.shape[:2], "mask", np.shape(mask), f"{pixels.shape[:2]}")
    deep = pixels if pixels.dtype in (np.uint8, np.uint16) else _to_integers(pixels, "image", np.uint16)
    if strength == 0:
        return pixels.copy()
    planes = deep[..., None] if deep.ndim == 2 else deep
    if isinstance(model, TrainedRestorer):
        models = dict.fromkeys((1, 3), photo_model(model))
    else:
        models = photo_models(model)
    result = make_restore(models, strength, known is not None, TILE)(planes, known).reshape(pixels.shape)
    if deep is pixels:
        return result
    return (result / np.float64(65_535)).astype(pixels.dtype)


def evaluate(
    images: Any, reference: Any = "mnist", *, labels: Any = None, num: int = 10_000, seed: int = 0
) -> dict[str, float]:
    """How good generated images are: Fréchet and kernel distance, precision, recall, coverage and what else applies.

    Args:
      images: arrays as of `train_gan`, or a GAN, which draws `num`.
      reference: real images, arrays or what `--dataset` takes; a data set with a test split is judged against that.
      labels: classes of the images, (n,).
      num: images that a GAN draws.
      seed: of every random choice.

    Raises:
      InputError: images of another shape than the reference, or too few.
    """
    named = isinstance(reference, str)
    train, held_out = open_splits(DataConfig(reference)) if named else (array_source(_to_bytes(reference)), None)
    if isinstance(images, TrainedGan):
        generated = generated_by(images, train, num, seed)
    else:
        given = array_source(_to_bytes(images), labels)

        def batches(at_once: int) -> Any:
            for start in range(0, given.num_images, at_once):
                part = slice(start, start + at_once)
                yield given.images[part], None if given.labels is None else given.labels[part]

        generated = Generated(given.origin, given.num_images, given.shape, given.labels is not None, batches)
    result = judge(generated, train, held_out, choose_network(generated.shape), seed, lambda what, items, num: items)
    return {name: figure.value for name, figure in result.figures.items()}


def _open(images: Any, labels: Any, image_size: int | None) -> tuple[DataConfig, Source]:
    """What to train on, and its description for the record."""
    if isinstance(images, str):
        require(labels is None, "labels", type(labels).__name__, "None with a named data set, which has its own")
        size = image_size or (64 if images.startswith("folder:") else None)
        data = DataConfig(images, image_size=size)
        return data, open_source(data)
    data = DataConfig("arrays", image_size=image_size)
    return data, array_source(_to_bytes(images), labels, data)


def _settings(steps: int, batch_size: int, seed: int, minutes: float | None, out: str | None) -> TrainConfig:
    """Without a folder to keep, nothing is drawn and saved on the way."""
    config = TrainConfig(steps=steps, minutes=minutes, batch_size=batch_size, seed=seed, out=out or "runs")
    rare = {} if out else {"sample_every": steps, "checkpoint_every": steps}
    return TrainConfig(**(vars(config) | rare))


def _gan_for(source: Source, conditional: bool) -> GanConfig:
    """The pair that is made for a size."""
    height, width, _ = source.shape
    square = height == width
    architecture = "mlp"
    if square and height in (28, 32):
        architecture = "dcgan"
    elif square and height % 4 == 0 and 8 <= height <= 256:
        architecture = "resnet"
    return GanConfig(architecture=architecture, conditioning="projection" if conditional else "none")


def _run(
    name: str, recipe: Any, algorithm: Algorithm, source: Source, out: str | None, progress: bool,
    keep: Callable[..., TrainState], begin: TrainState | None,
) -> tuple[TrainState, History]:  # fmt: skip
    """Trains by the loop of the command line, in a run folder that is kept or in one that goes; collects metrics."""
    parts: list[dict[str, np.ndarray]] = []
    more = {"watch": lambda step, values: parts.append(values), "begin": begin}
    if out is not None:
        run = new_run(name, out, f"jaxgen.train_{name}")._replace(show="all" if progress else "nothing")
        state = keep(run, recipe, source, **more)
    else:
        hooks = Hooks(lambda step, state: None, lambda state: {"score": 0.0}, "nothing")
        with tempfile.TemporaryDirectory() as folder:
            run = Run(name, Path(folder) / "run", f"jaxgen.train_{name}", False, "bar" if progress else "nothing")
            state = run_training(run, recipe, algorithm, source, lambda _: hooks, lambda _: None, **more)
    names = parts[0] if parts else {}
    return jax.block_until_ready(state), {key: np.concatenate([part[key] for part in parts]) for key in names}


def _to_bytes(images: Any) -> np.ndarray:
    """uint8 of uint8 or of floats in [0, 1]."""
    array = np.asarray(images)
    return _to_integers(array, "images", np.uint8) if np.issubdtype(array.dtype, np.floating) else array


def _to_integers(array: np.ndarray, field: str, dtype: Any) -> np.ndarray:
    """Floats in [0, 1] to all values of an integer type."""
    real = np.issubdtype(array.dtype, np.floating)
    accepted = "uint8 or floats in [0, 1]" if dtype is np.uint8 else "uint8, uint16 or floats in [0, 1]"
    require(real, field, str(array.dtype), accepted)
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    require(low >= 0 and high <= 1, field, f"floats from {low:g} to {high:g}", accepted)
    return np.rint(array.astype(np.float64) * np.iinfo(dtype).max).astype(dtype)
