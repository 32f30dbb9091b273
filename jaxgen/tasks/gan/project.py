"""Projection of images: latents from which a GAN draws given images, found by gradient descent."""

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Float, Float32, Int, Int32, UInt8

from jaxgen.data.base import fit_image
from jaxgen.errors import require
from jaxgen.images import to_float
from jaxgen.tasks.base import Trained
from jaxgen.tasks.gan.pictures import Inputs, filled, render_all
from jaxgen.tasks.gan.sample import class_names
from jaxgen.training.optimizers import cosine, make_optimizer
from jaxgen.training.parallel import on_all_devices, spread
from jaxgen.training.step import TrainState
from jaxgen.types import Grid, Latents

STEPS = 200
"""Default number of steps."""
POOL = 512
"""Random images, over all classes, among which the starts of each image are chosen."""
WIDE, NARROW = 32, 4
"""Starts for each image, which take a quarter of the steps; and the best of them, which take all steps."""
ROWS, VALUES = 256, 2**22
"""Largest number of images that are drawn at once, and of their values (pixels times channels)."""
CHUNK = 20
"""Steps in one call of the compiled program; the progress is shown between calls."""
RATE = 0.2
"""Adam's learning rate at the start; a cosine brings it to 0. Latents have a standard deviation of 1."""
SIGMA = 0.2
"""Standard deviation of pixels in [-1, 1] around the generated image, which is the weight of the prior."""


class Search(NamedTuple):
    """Latents (b, z) that are moved, after so many steps, and Adam's state."""

    step: Array
    latents: Latents
    adam: Any


class Projection(NamedTuple):
    """Latents for images, and what the GAN draws from them.

    Attributes:
      latents: (n, z).
      labels: classes (n,); None if the GAN is not conditional.
      images: uint8 (n, h, w, c), drawn from the latents.
      distances: (n,), root of the mean squared difference from the given images, for pixels in [0, 1].
    """

    latents: Float32[np.ndarray, "n z"]
    labels: Int32[np.ndarray, " n"] | None
    images: UInt8[np.ndarray, "n h w c"]
    distances: Float32[np.ndarray, " n"]


class Pool(NamedTuple):
    """Random images: those of all classes (m,) from the same latents (k, z); images uint8 (m, k, h, w, c)."""

    classes: np.ndarray
    latents: np.ndarray
    images: np.ndarray


def fit_to(image: UInt8[np.ndarray, "h w c"], shape: Grid) -> UInt8[np.ndarray, "s t d"]:
    """Returns an image of 1 to 4 channels in the shape (h, w, c): its central square, resized, in grey or RGB.

    Raises:
      InputError: the shape is no square, and the image has another size.
    """
    (height, width, channels), size = shape, image.shape[:2]
    fits = height == width or size == (height, width)
    require(fits, "size", f"{size[1]} x {size[0]}", f"{width} x {height}, as the GAN draws no squares")
    return fit_image(image, height if height == width else None, channels)


def require_pictures(gan: Trained) -> Grid:
    """Returns the shape (h, w, c) of a GAN's images; raises `InputError` unless they are pictures in grey or RGB."""
    shape = gan.facts.shape
    drawable = len(shape) == 3 and shape[-1] in (1, 3)
    require(drawable, "model", f"{gan.facts.name}, of shape {shape}", "a GAN of pictures in grey or RGB")
    return shape


def find_latents(
    gan: Trained,
    images: UInt8[np.ndarray, "n h w c"],
    labels: Sequence[int] | None = None,
    steps: int = STEPS,
    seed: int = 0,
    watch: Callable[[str, Iterable[Any], int], Iterable[Any]] = lambda what, items, num: items,
) -> Projection:
    """Returns latents from which a GAN draws the given images as nearly as was found.

    They minimise mean((G(z) - x)^2) + SIGMA^2 |z|^2 / D for images x of D values: the most probable latents if pixels
    are normal around G(z) and latents are standard normal. Each image starts from the nearest of `POOL` random images:
    `WIDE` of them, spread over the classes that it may have, of which the best `NARROW` go on.

    Args:
      gan: result of `load`, or a GAN trained in this process.
      images: uint8 (n, h, w, c) of the GAN's shape.
      labels: class of each image (n,); None for the best of all classes.
      steps: steps of Adam, 1 or more.
      seed: seed of the random images.
      watch: wraps an iterable to show its progress, as `track_pass` does.

    Raises:
      InputError: images of another shape, or labels that the GAN does not have.

    References:
      Zhu et al., "Generative Visual Manipulation on the Natural Image Manifold", 2016, section 4.1; Karras et al.,
      "Analyzing and Improving the Image Quality of StyleGAN", 2020, appendix D.
    """
    shape, num_classes = gan.facts.shape, len(class_names(gan))
    fits = images.dtype == np.uint8 and images.shape[1:] == shape and len(images) > 0
    require(fits, "images", f"{images.dtype} {images.shape}", f"uint8 (n, {', '.join(map(str, shape))}), n 1 or more")
    require(steps >= 1, "steps", steps, "1 or more")
    allowed = _allowed_classes(labels, len(images), num_classes)
    gan = gan._replace(state=on_all_devices(gan.state))
    predict = jax.jit(gan.algorithm.predict)
    pool = _draw_pool(gan, predict, np.unique(allowed), seed)
    rows = int(np.clip(VALUES // math.prod(shape), NARROW, ROWS))
    at_once = min(len(images), max(1, rows // WIDE))
    parts = [slice(start, start + at_once) for start in range(0, len(images), at_once)]
    rounds = [(max(1, steps // 4), NARROW), (steps, 1)]
    found = []

    def search() -> Iterator[None]:
        for part in parts:
            starts = [_nearest(pool, *pair, min(WIDE, rows)) for pair in zip(images[part], allowed[part], strict=True)]
            latents, classes = (np.stack(arrays) for arrays in zip(*starts, strict=True))
            for length, keep in rounds:
                given = {"images": np.repeat(images[part], latents.shape[1], 0), **_conditions(classes, num_classes)}
                latents, losses = yield from _descend(gan, latents, given, length, at_once)
                best = np.argsort(losses, axis=1)[:, :keep]
                latents = np.take_along_axis(latents, best[..., None], axis=1)
                classes = np.take_along_axis(classes, best, axis=1)
            found.append((latents[:, 0], classes[:, 0]))

    calls = len(parts) * sum(math.ceil(length / CHUNK) for length, _ in rounds)
    for _ in watch("projecting", search(), calls):
        pass
    latents, classes = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    inputs = {"latents": jnp.asarray(latents), **_conditions(classes, num_classes)}
    drawn = render_all(predict, gan.state, inputs)
    errors = (drawn.astype(np.float32) - images) / np.float32(255)
    distances = np.sqrt(np.mean(errors**2, axis=(1, 2, 3)))
    return Projection(latents, classes.astype(np.int32) if num_classes else None, drawn, distances)


def _allowed_classes(labels: Sequence[int] | None, num: int, num_classes: int) -> Int[np.ndarray, "n m"]:
    """Returns the classes that each of `num` images may have; raises `InputError` for labels that do not exist."""
    if labels is None:
        return np.tile(np.arange(max(1, num_classes)), (num, 1))
    known = len(labels) == num and set(labels) <= set(range(num_classes))
    accepted = f"0 to {num_classes - 1}, one for each image" if num_classes else "None, since it has no classes"
    require(known, "labels", list(labels), accepted)
    return np.array(labels)[:, None]


def _draw_pool(gan: Trained, predict: Callable[..., Any], classes: np.ndarray, seed: int) -> Pool:
    """Returns about `POOL` random images, as many of each of the classes, but at least one."""
    num = max(1, POOL // len(classes))
    latents = gan.algorithm.draw_inputs(jax.random.key(seed), num)["latents"]
    conditions = _conditions(np.repeat(classes, num), len(class_names(gan)))
    drawn = render_all(predict, gan.state, {"latents": jnp.tile(latents, (len(classes), 1)), **conditions})
    return Pool(classes, np.asarray(latents), drawn.reshape(len(classes), num, *gan.facts.shape))


def _nearest(pool: Pool, image: np.ndarray, allowed: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns latents and classes of the images of the pool that are nearest to an image, `width` at most.

    They are as many of each of the classes (a,) that are allowed, or else one of each of those that come nearest.
    """
    each = min(max(1, width // len(allowed)), len(pool.latents))
    places = np.searchsorted(pool.classes, allowed)
    target = image.astype(np.float32)
    errors = np.stack([[np.mean((drawn - target) ** 2) for drawn in pool.images[place]] for place in places])
    order = np.argsort(errors, axis=1)[:, :each]
    flat = np.argsort(np.take_along_axis(errors, order, axis=1), axis=None)[:width]
    return pool.latents[order.ravel()[flat]], np.repeat(allowed, each)[flat]


def _conditions(classes: np.ndarray, num_classes: int) -> Inputs:
    """Returns the one-hot conditions (b, n) of classes of any shape, flattened; nothing for a GAN without classes."""
    return {"condition": jax.nn.one_hot(classes.ravel(), num_classes, dtype=jnp.float32)} if num_classes else {}


def _descend(
    gan: Trained, latents: Float32[np.ndarray, "p s z"], given: dict[str, Any], steps: int, at_once: int
) -> Generator[None, None, tuple[np.ndarray, np.ndarray]]:
    """Moves latents of p images from s starts each; yields after each call of the program.

    Args:
      gan: GAN with its state on all devices.
      latents: (p, s, z).
      given: `images` uint8 (p * s, h, w, c) and, of a conditional GAN, `condition` (p * s, n).
      steps: number of steps.
      at_once: number of images for which the program is compiled, p or more.

    Returns:
      The latents, and their losses (p, s).
    """
    (num, starts, size), devices = latents.shape, len(gan.state.step.sharding.device_set)
    rows = at_once * starts
    rows += -rows % devices
    arrays = {"latents": latents.reshape(-1, size), **given}
    arrays = spread({name: filled(np.asarray(x), rows) for name, x in arrays.items()}, devices)
    moving = arrays.pop("latents")
    search = Search(jnp.zeros((), jnp.int32), moving, _adam(jnp.float32(RATE)).init(moving))
    for _ in range(0, steps, CHUNK):
        search, losses = _advance(gan.algorithm.predict, gan.state, search, arrays, jnp.int32(steps))
        jax.block_until_ready(losses)
        yield
    kept = slice(num * starts)
    return np.asarray(search.latents)[kept].reshape(latents.shape), np.asarray(losses)[kept].reshape(num, starts)


@partial(jax.jit, static_argnums=0)
def _advance(
    predict: Callable[..., Any], state: TrainState, search: Search, given: Inputs, steps: Array
) -> tuple[Search, Float[Array, " b"]]:
    """Returns the search after `CHUNK` steps or at the last of all `steps`, and the losses (b,) of its latents."""
    targets = to_float(given["images"])
    conditions = {name: x for name, x in given.items() if name != "images"}

    def losses(latents: Latents) -> Float[Array, " b"]:
        images = predict(state, {"latents": latents, **conditions}, jax.random.key(0)).images
        axes = tuple(range(1, images.ndim))
        prior = SIGMA**2 * jnp.sum(latents**2, axis=1) / math.prod(images.shape[1:])
        return jnp.mean((images - targets) ** 2, axis=axes) + prior

    def move(step: Array, search: Search) -> Search:
        grads = jax.grad(lambda latents: jnp.sum(losses(latents)))(search.latents)
        progress = step.astype(jnp.float32) / steps.astype(jnp.float32)
        rate = cosine(jnp.float32(RATE), jnp.float32(0), progress)
        with jax.numpy_dtype_promotion("standard"):  # optax raises a float decay to an integer count
            updates, adam = _adam(rate).update(grads, search.adam)
        return Search(step + 1, search.latents + updates, adam)

    search = lax.fori_loop(search.step, jnp.minimum(search.step + CHUNK, steps), move, search)
    return search, losses(search.latents)


def _adam(rate: Array) -> optax.GradientTransformation:
    return make_optimizer("adam", rate, jnp.float32(0.9), jnp.float32(0.999))
