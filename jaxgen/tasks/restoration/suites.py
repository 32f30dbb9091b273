"""Standard damages to judge a restorer by, each with the classical methods that it has to beat."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxgen.degradations.blur import blur, gaussian_kernels
from jaxgen.degradations.compose import degrade, parse_damage
from jaxgen.degradations.kinds import unmasked
from jaxgen.tasks.restoration import baselines
from jaxgen.types import Images, Observation, PRNGKey

Floor = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(image float (h, w, c) around [0, 1], mask bool (h, w, 1), True where known) -> image in [0, 1]."""
KERNEL_SIZE = 15


class Case(NamedTuple):
    """One damage at one level.

    Attributes:
      damage: its name.
      level: in words, for the table.
      apply: (key, images (b, h, w, c) in [-1, 1]) -> `Observation`.
      floors: classical methods by name.
    """

    damage: str
    level: str
    apply: Callable[[PRNGKey, Images], Observation]
    floors: dict[str, Floor]


class Suite(NamedTuple):
    """Cases under a name, and how many images they are judged on at most."""

    name: str
    num_images: int
    cases: tuple[Case, ...]


def suite_for(shape: tuple[int, int, int], photos: bool) -> Suite:
    """The suite for images of this shape: of photographs, or of small images such as digits."""
    return photo_suite() if photos or min(shape[:2]) > 64 else digit_suite()


def photo_suite() -> Suite:
    """Gaussian noise, salt and pepper, missing pixels, holes, JPEG, scratches and blur at the usual levels."""
    cases = [*(_noise(sigma) for sigma in (15, 25, 50)), *(_salt_and_pepper(share) for share in (30, 50, 70))]
    cases += [_missing("pixels", f"{share}%", share / 100) for share in (50, 80)]
    cases += [_missing("strokes", "10%", 0.1), _plain("scratches", "2%", 0.02)]
    cases += [_plain("jpeg", f"quality {quality}", 1 - quality / 100) for quality in (10, 30)]
    return Suite("photos-1", 100, (*cases, _blur(1.6, 0.002)))


def digit_suite() -> Suite:
    """Noise, salt and pepper, missing pixels, strokes, holes of 6 to 14 pixels and blur, for images of about 28 px."""
    cases = [*(_noise(sigma) for sigma in (50, 100)), *(_salt_and_pepper(share) for share in (30, 50, 70))]
    cases += [_missing("pixels", f"{share}%", share / 100) for share in (50, 80)]
    cases += [_missing("strokes", "20%", 0.2)]
    cases += [_missing("centre_hole", f"{width} px", float(width)) for width in (6, 10, 14)]
    return Suite("digits-1", 200, (*cases, _blur(1.6, 0.0003)))


def hole_suite(widths: tuple[int, ...]) -> Suite:
    """Square holes of these widths in pixels, at random places, without baselines."""
    cases = (_missing("hole", f"{width} px", float(width))._replace(floors={}) for width in widths)
    return Suite("holes-1", 500, tuple(cases))


def _from_text(text: str) -> Callable[[PRNGKey, Images], Observation]:
    damages = parse_damage(text)
    return lambda key, images: degrade(key, images, damages)


def _noise(sigma: int) -> Case:
    """White Gaussian noise, sigma on the scale of 0 to 255."""
    floor = {"non-local means": lambda image, _: baselines.nl_means(image, sigma / 255)}
    return Case("gaussian", f"{sigma}/255", _from_text(f"gaussian:{sigma / 255:.6f}"), floor)


def _salt_and_pepper(share: int) -> Case:
    found = {
        "adaptive median": lambda image, _: baselines.adaptive_median(image),
        "normalised mean": lambda image, _: baselines.normalised_mean(image, clean_pixels(image)),
        "biharmonic": lambda image, _: baselines.biharmonic(image, clean_pixels(image)),
    }
    return Case("salt_and_pepper", f"{share}%", _from_text(f"salt_and_pepper:{share / 100}"), found)


def clean_pixels(image: np.ndarray) -> np.ndarray:
    """Pixels (h, w, 1) that are neither all 0 nor all 1; where that leaves none, those that are not all 1."""
    extreme = np.all(image <= 0, axis=-1, keepdims=True) | np.all(image >= 1, axis=-1, keepdims=True)
    return ~extreme if not extreme.all() else ~np.all(image >= 1, axis=-1, keepdims=True)


def _missing(kind: str, level: str, value: float) -> Case:
    """Pixels known to be missing."""
    found = {
        "normalised mean": baselines.normalised_mean,
        "Delaunay": baselines.delaunay,
        "biharmonic": baselines.biharmonic,
    }
    return Case(kind, level, _from_text(f"{kind}:{value}"), found)


def _plain(kind: str, level: str, value: float) -> Case:
    """Damage that no classical method here undoes."""
    return Case(kind, level, _from_text(f"{kind}:{value:.6f}"), {})


def _blur(sigma: float, balance: float) -> Case:
    """Isotropic Gaussian blur and noise of 2/255; the floors know the kernel, a blind network does not.

    `balance` is the best of six for the images in question, the number of iterations the best up to 40.
    """
    kernel = np.asarray(gaussian_kernels(*(jnp.full((1,), x, jnp.float32) for x in (sigma, sigma, 0.0)), KERNEL_SIZE))[
        0
    ]
    noise = _from_text(f"gaussian:{2 / 255:.6f}")

    def apply(key: PRNGKey, images: Images) -> Observation:
        kernels = jnp.broadcast_to(jnp.asarray(kernel), (len(images), *kernel.shape))
        return noise(key, unmasked(blur(images, kernels)).images)

    found = {
        "Wiener": lambda image, _: _padded(lambda x: baselines.wiener(x, kernel, balance), image),
        "Richardson-Lucy": lambda image, _: _padded(lambda x: baselines.richardson_lucy(x, kernel, 40), image),
    }
    return Case("gaussian_blur", f"{sigma} px", apply, found)


def _padded(floor: Callable[[np.ndarray], np.ndarray], image: np.ndarray) -> np.ndarray:
    """A deconvolution that wraps around at the border, kept away from it by mirrored edges."""
    n = KERNEL_SIZE
    padded = np.pad(image, ((n, n), (n, n), (0, 0)), mode="symmetric")
    return floor(padded)[n:-n, n:-n]
