"""Standard damages to evaluate a restorer under, each with its baselines: classical methods to compare with."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxgen.degradations.blur import blur, gaussian_kernels
from jaxgen.degradations.compose import degrade, parse_damage
from jaxgen.degradations.kinds import unmasked
from jaxgen.degradations.resampling import lower_resolution
from jaxgen.tasks.restoration.evaluation import baselines, deconvolution, denoising
from jaxgen.types import Grid, Images, Observation, PRNGKey

Baseline = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(image float (*s, c) around [0, 1], mask bool (*s, 1), True where known) -> image in [0, 1]."""
KERNEL_SIZE = 15
FILLS: dict[str, Baseline] = {
    "normalised mean": baselines.normalised_mean,
    "Delaunay": baselines.delaunay,
    "biharmonic": baselines.biharmonic,
}
"""Methods of missing pixels of images."""


class Case(NamedTuple):
    """One damage at one level.

    Attributes:
      damage: name of the damage.
      level: its level in words, for the table.
      apply: (key, images (b, *s, c) in [-1, 1]) -> `Observation`.
      baselines: classical methods by name.
      repair: what a restorer is asked to repair; None for what it does by default.
    """

    damage: str
    level: str
    apply: Callable[[PRNGKey, Images], Observation]
    baselines: dict[str, Baseline]
    repair: tuple[str, ...] | None = None


class Suite(NamedTuple):
    """Cases under a name, with the largest number of images to evaluate on."""

    name: str
    num_images: int
    cases: tuple[Case, ...]


def suite_for(shape: Grid, photos: bool) -> Suite:
    """Returns the suite for images of this shape: that for volumes, for photographs, or for small images."""
    size = min(shape[:-1])
    if len(shape) == 4:
        return volume_suite(size)
    return photo_suite() if photos or size > 64 else digit_suite(size)


def photo_suite() -> Suite:
    """Returns the suite for photographs: noise, salt and pepper, missing pixels, strokes, scratches, JPEG and blur."""
    cases = [*(_noise(sigma) for sigma in (15, 25, 50)), *(_salt_and_pepper(share) for share in (30, 50, 70))]
    cases += [_missing("pixels", f"{share}%", share / 100) for share in (50, 80)]
    cases += [_missing("strokes", "10%", 0.1), _plain("scratches", "2%", 0.02)._replace(repair=("scratches",))]
    cases += [_plain("jpeg", f"quality {quality}", 1 - quality / 100) for quality in (10, 30)]
    return Suite("photos-1", 100, (*cases, _blur(1.6, 0.002)))


def digit_suite(size: int = 28) -> Suite:
    """Returns the suite for images of about 28 px: noise, salt and pepper, missing pixels, strokes, holes and blur.

    Args:
      size: height or width of the images, the smaller one; holes of this size or more are left out.
    """
    cases = [*(_noise(sigma) for sigma in (50, 100)), *(_salt_and_pepper(share) for share in (30, 50, 70))]
    cases += [_missing("pixels", f"{share}%", share / 100) for share in (50, 80)]
    cases += [_missing("strokes", "20%", 0.2)]
    cases += [_missing("centre_hole", f"{width} px", float(width)) for width in (6, 10, 14) if width < size]
    return Suite("digits-1", 200, (*cases, _blur(1.6, 0.0003)))


def volume_suite(size: int = 32) -> Suite:
    """Returns the suite for volumes: noise, magnitudes of noise, missing and thick slices, boxes and holes.

    Args:
      size: depth, height or width of the volumes, the smallest one; thicker slices and larger holes are left out.
    """
    cases = [case(sigma) for case in (_volume_noise, _rician) for sigma in (0.1, 0.2)]
    slices: dict[str, Baseline] = {"linear along the axis": baselines.linear_slices}
    boxes: dict[str, Baseline] = {"normalised mean": baselines.normalised_mean}
    for share in (25, 50):
        cases.append(_missing("missing_slices", f"{share}%", share / 100, slices))
    cases += [_thick_slices(thickness) for thickness in (3, 5) if thickness < size]
    cases.append(_missing("boxes", "30%", 0.3, boxes))
    holes = {**boxes, "biharmonic": baselines.biharmonic}  # which solves for all missing voxels at once
    cases += [_missing("centre_hole", f"{width} voxels", float(width), holes) for width in (6, 10) if width < size]
    return Suite("volumes-1", 20, tuple(cases))


def _volume_noise(sigma: float) -> Case:
    """Returns the case of white Gaussian noise of volumes, sigma on the scale of 0 to 1."""
    found = {
        "non-local means": lambda volume, _: denoising.nl_means(volume, sigma),
        "adaptive Wiener": lambda volume, _: denoising.adaptive_wiener(volume, sigma),
    }
    return Case("gaussian", f"{sigma:g}", _from_text(f"gaussian:{sigma}"), found, ("noise",))


def _rician(sigma: float) -> Case:
    """Returns the case of Rician noise; the baselines are those of Gaussian noise, without the bias of magnitudes."""

    def unbiased(method: Baseline) -> Baseline:
        return lambda volume, mask: denoising.without_rician_bias(method(volume, mask), sigma)

    found = {f"{name}, unbiased": unbiased(method) for name, method in _volume_noise(sigma).baselines.items()}
    return Case("rician", f"{sigma:g}", _from_text(f"rician:{sigma}"), found, ("noise",))


def _thick_slices(thickness: int) -> Case:
    """Returns the case of slices across d that are an odd number of voxels thick, interpolated by cubic convolution."""

    def apply(_: PRNGKey, volumes: Images) -> Observation:
        factors = jnp.broadcast_to(jnp.asarray([thickness, 1.0, 1.0], jnp.float32), (len(volumes), 3))
        return unmasked(lower_resolution(volumes, factors))

    found = {"linear along the axis": lambda volume, _: baselines.linear_thick_slices(volume, thickness)}
    return Case("thick_slices", f"{thickness} voxels", apply, found)


def _from_text(text: str) -> Callable[[PRNGKey, Images], Observation]:
    damages = parse_damage(text)
    return lambda key, images: degrade(key, images, damages)


def _noise(sigma: int) -> Case:
    """Returns the case of white Gaussian noise, sigma on the scale of 0 to 255."""
    found = {"non-local means": lambda image, _: denoising.nl_means(image, sigma / 255)}
    return Case("gaussian", f"{sigma}/255", _from_text(f"gaussian:{sigma / 255:.6f}"), found)


def _salt_and_pepper(share: int) -> Case:
    found = {
        "adaptive median": lambda image, _: baselines.adaptive_median(image),
        "normalised mean": lambda image, _: _fill(baselines.normalised_mean, image, clean_pixels(image)),
        "biharmonic": lambda image, _: _fill(baselines.biharmonic, image, clean_pixels(image)),
    }
    return Case("salt_and_pepper", f"{share}%", _from_text(f"salt_and_pepper:{share / 100}"), found)


def clean_pixels(image: np.ndarray) -> np.ndarray:
    """Returns the mask (h, w, 1) of pixels neither all 0 nor all 1; if there are none, of those that are not all 1."""
    extreme = np.all(image <= 0, axis=-1, keepdims=True) | np.all(image >= 1, axis=-1, keepdims=True)
    return ~extreme if not extreme.all() else ~np.all(image >= 1, axis=-1, keepdims=True)


def _missing(kind: str, level: str, value: float, methods: dict[str, Baseline] = FILLS) -> Case:
    """Returns the case of missing pixels, whose places are known."""
    found = {name: partial(_fill, method) for name, method in methods.items()}
    return Case(kind, level, _from_text(f"{kind}:{value}"), found)


def _fill(method: Baseline, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns the image with its unknown pixels filled; unchanged if none is known, as may happen at a few px."""
    return method(image, mask) if mask.any() else image


def _plain(kind: str, level: str, value: float) -> Case:
    """Returns the case of a damage that no baseline undoes."""
    return Case(kind, level, _from_text(f"{kind}:{value:.6f}"), {})


def _blur(sigma: float, balance: float) -> Case:
    """Returns the case of isotropic Gaussian blur with noise of 2/255.

    The baselines are given the kernel, which a blind network is not. `balance` is the best of six values for the images
    of the suite; 40 iterations are the best number up to 40.
    """
    widths = (jnp.full((1,), x, jnp.float32) for x in (sigma, sigma, 0.0))
    kernel = np.asarray(gaussian_kernels(*widths, KERNEL_SIZE))[0]
    noise = _from_text(f"gaussian:{2 / 255:.6f}")

    def apply(key: PRNGKey, images: Images) -> Observation:
        kernels = jnp.broadcast_to(jnp.asarray(kernel), (len(images), *kernel.shape))
        return noise(key, unmasked(blur(images, kernels)).images)

    found = {
        "Wiener": lambda image, _: _padded(lambda x: deconvolution.wiener(x, kernel, balance), image),
        "Richardson-Lucy": lambda image, _: _padded(lambda x: deconvolution.richardson_lucy(x, kernel, 40), image),
    }
    return Case("gaussian_blur", f"{sigma} px", apply, found, ("noise", "blur"))


def _padded(deconvolve: Callable[[np.ndarray], np.ndarray], image: np.ndarray) -> np.ndarray:
    """Returns the deconvolved image; it is padded by mirroring first, as the deconvolution wraps around."""
    n = KERNEL_SIZE
    padded = np.pad(image, ((n, n), (n, n), (0, 0)), mode="symmetric")
    return deconvolve(padded)[n:-n, n:-n]
