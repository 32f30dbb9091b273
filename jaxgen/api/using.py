"""What a trained model is used for from Python: images are drawn, restored, enlarged and judged."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.api.arguments import (
    as_class_numbers,
    as_missing,
    as_pixels,
    as_stack,
    require_model,
    require_number,
    require_seed,
    require_share,
    require_whole,
    shown,
    to_integers,
)
from jaxgen.compilation import keep_compiled
from jaxgen.data.config import DataConfig
from jaxgen.data.sources import array_source
from jaxgen.errors import require
from jaxgen.evaluation.features import choose_network
from jaxgen.evaluation.generated import Generated
from jaxgen.evaluation.protocol import NEIGHBOURS
from jaxgen.evaluation.protocol import evaluate as judge
from jaxgen.evaluation.samples import open_splits
from jaxgen.images import to_uint8
from jaxgen.photos.masks import any_missing
from jaxgen.tasks.base import Trained
from jaxgen.tasks.gan.evaluate import generated_by
from jaxgen.tasks.gan.project import STEPS, Projection, find_latents, require_pictures
from jaxgen.tasks.gan.sample import class_names, draw
from jaxgen.tasks.load import load, require_use
from jaxgen.tasks.restoration.pixels import (
    make_restore,
    one_model,
    open_restorer,
    photo_models,
    require_fills,
    require_repairs,
    takes_volumes,
)
from jaxgen.tasks.super_resolution.enlarge import KINDS, enlarging_model, make_enlarge, require_factor

GAN = "a GAN of jaxgen.train_gan"


def sample(model: Trained | str | Path, num: int = 64, labels: Any = None, seed: int = 0) -> np.ndarray:
    """Returns images from a GAN, uint8 (num, h, w, c).

    Args:
      model: from `train_gan`, a run folder, its generator.safetensors, or "digits", the pretrained GAN.
      num: number of images, 1 or more.
      labels: for a conditional GAN, a class or several, repeated in order up to `num`: the labels of its training, or
        numbers from 0. None draws random classes.
      seed: random seed, 0 to 2**32 - 1.

    Raises:
      InputError: there is no such run, or the GAN has no such class.

    Examples:
      >>> jaxgen.sample(gan, 4, seed=1).shape
      (4, 8, 8, 1)
    """
    keep_compiled()
    num, seed = require_whole(num, "num"), require_seed(seed)
    gan = _open_gan(model, "sample")
    asked = None if labels is None else as_class_numbers(labels, class_names(gan))
    return draw(gan, num, seed, asked)["images"]


def project(
    model: Trained | str | Path, images: Any, labels: Any = None, *, steps: int = STEPS, seed: int = 0
) -> Projection:
    """Returns latents from which a GAN draws given images as nearly as was found, what it draws, and how near that is.

    Args:
      model: from `train_gan`, a run folder, its generator.safetensors, or "digits", the pretrained GAN.
      images: uint8 or floats in [0, 1], (n, h, w) or (n, h, w, 1 or 3), or a list of images, PIL images or paths of one
        size; they are cut to their central square, resized to the size of the GAN and made grey or RGB as it is.
      labels: for a conditional GAN the class, or those of all images (n,), as in `sample`; None finds the best.
      steps: steps of the search, 1 or more; more come nearer.
      seed: random seed of the starts, 0 to 2**32 - 1.

    Returns:
      The `Projection`; its `labels` are places among the classes of the GAN, `model.facts.class_names`, from 0.

    Raises:
      InputError: there is no such model, an array has a wrong shape or range, or the GAN has no such class.

    Examples:
      >>> found = jaxgen.project(gan, images[:2], steps=3)
      >>> found.latents.shape[0], found.images.shape == images[:2].shape
      (2, True)
    """
    steps, seed = require_whole(steps, "steps"), require_seed(seed)
    gan = _open_gan(model, "project")
    height, width, channels = require_pictures(gan)
    pixels = as_stack(images)
    if np.issubdtype(pixels.dtype, np.floating) and pixels.size:
        inside = bool(pixels.min() >= 0 and pixels.max() <= 1)
        require(inside, "images", f"floats from {pixels.min():g} to {pixels.max():g}", "uint8 or floats in [0, 1]")
        pixels = to_uint8(2 * pixels - 1)
    size = height if height == width else None
    fitted = array_source(pixels, None, DataConfig("arrays", image_size=size, channels=channels)).images
    asked = None if labels is None else as_class_numbers(labels, class_names(gan))
    if asked is not None:
        accepted = f"one class, or one for each of {len(fitted)} images"
        require(len(asked) in (1, len(fitted)), "labels", f"{len(asked)} classes", accepted)
        asked = asked * len(fitted) if len(asked) == 1 else asked
    return find_latents(gan, fitted, asked, steps, seed)


def restore(
    image: Any,
    mask: Any = None,
    strength: float | int = 1.0,
    model: Trained | str | Path | None = None,
    repair: str | Sequence[str] | None = None,
) -> np.ndarray:
    """Returns the restored image or volume as an array, with the shape and type of `image`.

    Programs are compiled for a few sizes of windows, kept for the process and in the user's cache folder.

    Args:
      image: uint8, uint16 or floats in [0, 1]; (h, w), (h, w, 1) or (h, w, 3), of any size; or a PIL image, or
        the path of a file, which gives (h, w, c). For a model of volumes (d, h, w), or several (n, d, h, w, c).
      mask: (h, w) or (h, w, 1), true or above 0 where to fill in; or a picture, light where to fill in, or painted on
        transparency; the rest stays unchanged. None restores the whole image. For volumes (d, h, w) for each of them.
      strength: from 0 (the image unchanged) to 1 (full restoration).
      model: from `train_restorer`, a run folder, its restorer.safetensors, or a name of pretrained weights; None
        chooses among these by the channels of the image and by what is to be repaired.
      repair: names joined by commas, or a sequence of them: noise, jpeg, blur, scratches, dust, salt-and-pepper; or
        "all". None repairs noise and JPEG if there is any, and unmistakable salt and pepper.

    Raises:
      InputError: an array has a wrong shape or range, the mask covers all, or there is no such model.

    Examples:
      >>> restored = jaxgen.restore(photo, model=restorer)
      >>> restored.shape == photo.shape, restored.dtype
      (True, dtype('uint8'))
    """
    keep_compiled()
    strength = require_share(strength, "strength")
    if model is not None:
        require_model(model, "restore", "a restorer of jaxgen.train_restorer")
    opened = model
    if isinstance(model, Trained):
        opened = require_use(model, "restore", "model", _describe(model))
    elif model is not None:
        opened = open_restorer(model)
    axes = 3 if opened is not None and takes_volumes(opened) else 2
    pixels, deep = _picture(image, axes)
    stack = deep if deep.ndim == 5 else deep.reshape(1, *deep.shape[:axes], -1)
    known = None if mask is None else ~as_missing(mask)
    sizes = stack.shape[1:-1]
    require(known is None or known.shape == sizes, "mask", None if known is None else known.shape, f"{sizes}")
    if strength == 0 or (known is not None and not any_missing(~known)):
        return pixels.copy()
    models = photo_models() if opened is None else one_model(opened, axes)
    asked = require_repairs(models, repair)
    if known is not None:
        require_fills(models)
    change = make_restore(models, strength, None, asked)
    found = [change(planes, known).pixels for planes in stack]
    if all(after is before for after, before in zip(found, stack, strict=True)):
        return pixels.copy()
    result = np.stack(found).reshape(pixels.shape)
    if deep is pixels:
        return result
    return (result / np.float64(65_535)).astype(pixels.dtype)


def upscale(
    image: Any,
    scale: float | int,
    *,
    kind: str = "photo",
    strength: float | int = 1.0,
    model: Trained | str | Path | None = None,
) -> np.ndarray:
    """Returns the enlarged image as an array of the type of `image`; height and width are its own times `scale`.

    Programs are compiled for a few sizes of windows, kept for the process and in the user's cache folder.

    Args:
      image: uint8, uint16 or floats in [0, 1]; (h, w), (h, w, 1) or (h, w, 3), of any size; or a PIL image, or
        the path of a file, which gives (h, w, c).
      scale: factor for height and width, 1 to 8, also 2.5; the sizes are rounded.
      kind: of the pretrained weights: "photo" for photographs as they come, or "bicubic" for clean pictures that
        software has made smaller.
      strength: from 0 (plain bicubic enlargement) to 1 (that of the network alone).
      model: a network that enlarges images: a run folder, its upscaler.safetensors, or what `jaxgen.load` returns for
        these; None for the pretrained weights.

    Raises:
      InputError: an array has a wrong shape or range, a factor is not accepted, or there is no such model.

    Examples:
      >>> enlarged = jaxgen.upscale(photo, 2, model=upscaler)
      >>> enlarged.shape == (2 * photo.shape[0], 2 * photo.shape[1], 3), enlarged.dtype
      (True, dtype('uint8'))
    """
    keep_compiled()
    scale, strength = require_factor(require_number(scale, "scale")), require_share(strength, "strength")
    require(isinstance(kind, str), "kind", shown(kind), ", ".join(KINDS))
    if model is not None:
        require_model(model, "upscale", "a network that enlarges images")
    pixels, deep = _picture(image)
    planes = deep[..., None] if deep.ndim == 2 else deep
    chosen = kind if model is None or kind != "photo" else None
    opened = require_use(model, "upscale", "model", _describe(model)) if isinstance(model, Trained) else None
    require(opened is None or chosen is None, "kind", shown(kind), "photo with a model, which has its own")
    result = make_enlarge(opened or enlarging_model(model, chosen), scale, strength)(planes)
    if result is planes:
        return pixels.copy()
    result = result.reshape(*result.shape[:2], *pixels.shape[2:])
    return result if deep is pixels else (result / np.float64(65_535)).astype(pixels.dtype)


def _picture(image: Any, axes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Returns a picture, or volumes, as given and as uint8 or uint16; raises `InputError` unless grey or colour."""
    pixels = as_pixels(image, "image")
    if axes == 3:
        shaped = pixels.ndim == 3 or (pixels.ndim == 5 and pixels.shape[-1] in (1, 3))
        deep_enough = shaped and pixels.size > 0 and min(pixels.shape[pixels.ndim == 5 :][:3]) > 1
        require(deep_enough, "image", pixels.shape, "(d, h, w) or (n, d, h, w, c), d, h and w 2 or more, c 1 or 3")
    else:
        shaped = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (1, 3))
        require(shaped and pixels.size > 0, "image", pixels.shape, "(h, w), (h, w, 1) or (h, w, 3), not empty")
    deep = pixels if pixels.dtype in (np.uint8, np.uint16) else to_integers(pixels, "image", np.uint16)
    return pixels, deep


def evaluate(
    images: Any, reference: Any = "mnist", *, labels: Any = None, num: int = 10_000, seed: int = 0
) -> dict[str, float]:
    """Returns measures of quality by name: Fréchet and kernel distance, precision, recall, coverage and others.

    Args:
      images: generated images, arrays or a list as in `train_gan`; or a GAN, which draws `num` images.
      reference: real images, arrays or a value of `--dataset`; the test split is used if the data set has one.
      labels: classes of the images, (n,), as in the reference.
      num: number of images that a GAN draws, 6 or more. Their classes are as frequent as in the reference; if that
        has none, all are drawn equally often, and the measures of classes are left out.
      seed: random seed, 0 to 2**32 - 1.

    Raises:
      InputError: the images have another shape than the reference, there are too few, or there are labels where a GAN
        draws or the reference has no classes.

    Examples:
      >>> figures = jaxgen.evaluate(jaxgen.sample(gan, 48), images)
      >>> sorted(figures)[:3]
      ['coverage', 'density', 'frechet']
      >>> all(isinstance(value, float) for value in figures.values())
      True
    """
    keep_compiled()
    num, seed = require_whole(num, "num", NEIGHBOURS + 1), require_seed(seed)
    if isinstance(images, Trained):
        require_use(images, "evaluate", "images", _describe(images))
    named = isinstance(reference, str)
    train, held_out = open_splits(DataConfig(reference)) if named else (array_source(as_stack(reference)), None)
    used = labels is None or not (isinstance(images, Trained) or train.labels is None)
    require(used, "labels", shown(labels), "None for a GAN, which draws its classes, or a reference without classes")
    if isinstance(images, Trained):
        generated = generated_by(images, train, num, seed)
    else:
        given = array_source(as_stack(images), labels)

        def batches(at_once: int) -> Any:
            for start in range(0, given.num_images, at_once):
                part = slice(start, start + at_once)
                yield given.images[part], None if given.labels is None else given.labels[part]

        labelled = given.labels is not None
        generated = Generated(given.origin, given.num_images, given.shape, labelled, batches, given.class_names)
    result = judge(generated, train, held_out, choose_network(generated.shape), seed, lambda what, items, num: items)
    return {name: figure.value for name, figure in result.figures.items()}


def _open_gan(model: Any, use: str) -> Trained:
    """Returns a GAN that has a use of this name; raises `InputError` for any other model."""
    require_model(model, use, GAN)
    gan = model if isinstance(model, Trained) else load(model, field="model")
    return require_use(gan, use, "model", _describe(model))


def _describe(model: Any) -> str:
    """Returns the name of a model for error messages."""
    return model.facts.name if isinstance(model, Trained) else str(model)
