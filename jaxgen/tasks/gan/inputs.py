"""The inputs of a generator that a user asks for: from a seed, from one seed for each image, or from a file."""

import re
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int32, UInt32

from jaxgen.errors import InputError, require
from jaxgen.tasks.base import Trained
from jaxgen.tasks.gan.pictures import Inputs, interpolate

MAX_SEEDS = 1_000_000
SEEDS = "numbers and ranges from 0 to 4294967295, such as 1-50 or 3,8,10-12"


def class_names(gan: Trained) -> tuple[str, ...]:
    """Returns the names of the classes that a GAN can generate, in order; none if it is not conditional."""
    return () if gan.config.gan.conditioning == "none" else gan.facts.class_names


def parse_labels(texts: str | Sequence[str], names: tuple[str, ...]) -> list[int]:
    """Returns the classes that a text, or several, stand for, in order.

    A text that is no class as a whole is a list of classes, separated by commas. A class may be called by its number
    from 0, unless the names are numbers themselves; a name comes first.

    Raises:
      InputError: a class is unknown; lists the known ones.
    """
    quoted = [repr(name) if "," in name else name for name in names]
    by_number = {} if all(map(str.isdecimal, names)) else {str(i): i for i in range(len(names))}
    listed = (f"{quoted[i]} ({i})" if by_number and name != str(i) else quoted[i] for i, name in enumerate(names))
    known = ", ".join(listed)
    numbers = by_number | {name: i for i, name in enumerate(names)}
    found = []
    for text in [texts] if isinstance(texts, str) else texts:
        require(len(names) > 0, "label", text, "none, since this run was trained without classes")
        parts = [text] if text in numbers else [part.strip() for part in text.split(",")]
        for part in parts:
            require(part in numbers, "label", part, known)
        found += [numbers[part] for part in parts]
    return found


def parse_seeds(text: str) -> UInt32[np.ndarray, "n"]:
    """Returns the seeds of a list of numbers and ranges, such as 1-50 or 3,8,10-12, in order.

    Raises:
      InputError: not such a list, or more than `MAX_SEEDS` seeds.
    """
    ranges: list[range] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,10})\s*(?:-\s*(\d{1,10})\s*)?", part)
        first, last = (0, -1) if match is None else (int(match[1]), int(match[2] or match[1]))
        require(first <= last < 2**32, "seeds", part, SEEDS)
        ranges.append(range(first, last + 1))
    require(sum(map(len, ranges)) <= MAX_SEEDS, "seeds", text, f"at most {MAX_SEEDS:,} seeds")
    return np.concatenate([np.arange(r.start, r.stop, dtype=np.uint32) for r in ranges])


def inputs_of_seed(gan: Trained, num: int, seed: int, labels: Sequence[int] = ()) -> Inputs:
    """Returns the inputs of `num` images; row i of a seed is the same whatever `num` is.

    Args:
      gan: result of `load`.
      num: number of images, 1 or more.
      seed: seed of the latents, and of the classes if they are not given.
      labels: classes, repeated in order up to `num`; none draws them.

    Returns:
      `latents` (num, z) and, of a conditional GAN, `condition` (num, n).
    """
    return gan.algorithm.draw_inputs(jax.random.key(seed), num, _labels_up_to(num, labels))


def inputs_of_seeds(gan: Trained, seeds: np.ndarray, labels: Sequence[int] = ()) -> Inputs:
    """Returns the inputs of one image for each seed: those of the only image of `inputs_of_seed` with that seed.

    Args:
      gan: result of `load`.
      seeds: whole numbers from 0 to 2^32 - 1, (b,).
      labels: classes, repeated in order; none draws the class of an image from its seed.
    """
    one = jax.jit(lambda seed, label: gan.algorithm.draw_inputs(jax.random.key(seed), 1, label))
    asked = _labels_up_to(len(seeds), labels)
    rows = [jax.device_get(one(s, None if asked is None else asked[i : i + 1])) for i, s in enumerate(seeds)]
    return {name: jnp.concatenate([row[name] for row in rows]) for name in rows[0]}


def inputs_of_file(gan: Trained, path: Path, seed: int = 0, labels: Sequence[int] = ()) -> Inputs:
    """Returns the inputs that an .npz archive holds, in its order.

    Args:
      gan: result of `load`.
      path: archive with `latents`, floats (b, z), and for a conditional GAN perhaps `labels`, integers (b,).
      seed: seed of the classes, if neither the file nor `labels` gives any.
      labels: classes in place of those of the file, repeated in order.

    Raises:
      InputError: not such an archive, or one for another GAN.
    """
    arrays = _read(path)
    latents, given = arrays.get("latents"), arrays.get("labels")
    if latents is None:
        raise InputError(f"{path}: has no array latents; accepted: an .npz archive with latents (n, z)")
    size, known = gan.config.gan.latent_dim, len(class_names(gan))
    fits = np.issubdtype(latents.dtype, np.floating) and latents.ndim == 2 and latents.shape[1] == size
    if not fits or len(latents) == 0 or not np.isfinite(latents).all():
        accepted = f"finite floats (n, {size}), as the generator of this run takes"
        raise InputError(f"{path}: latents is {latents.dtype} of shape {latents.shape}; accepted: {accepted}")
    if given is not None:
        accepted = f"integers ({len(latents)},) from 0 to {known - 1}" if known else "none, as this run has no classes"
        right = known > 0 and np.issubdtype(given.dtype, np.integer) and given.shape == (len(latents),)
        if not right or given.min() < 0 or given.max() >= known:
            raise InputError(f"{path}: labels is {given.dtype} of shape {given.shape}; accepted: {accepted}")
        labels = labels or given.tolist()
    inputs = inputs_of_seed(gan, len(latents), seed, labels)
    return {**inputs, "latents": jnp.asarray(latents, jnp.float32)}


def truncate(inputs: Inputs, psi: float) -> Inputs:
    """Returns the inputs with the latents multiplied by psi: less variety, and images that are more typical.

    This is the truncation trick as StyleGAN writes it, w' = mean + psi (w - mean), applied to the latents z, whose mean
    is 0. It is the same for one image as for many, and goes steadily from the images of the seed (psi = 1) to the
    middle (psi = 0). BigGAN instead draws anew what lies beyond a threshold.

    Args:
      inputs: with `latents` (b, z).
      psi: 0 to 1.

    References:
      Karras et al., "A Style-Based Generator Architecture for Generative Adversarial Networks", 2019, appendix B.
      Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis", 2019, section 3.1.
    """
    return {**inputs, "latents": inputs["latents"] * jnp.float32(psi)}


def between(inputs: Inputs, steps: int) -> Inputs:
    """Returns the inputs on the way from each row to the next, in `steps` equal steps: latents spherically.

    Classes are mixed linearly on the way.

    Args:
      inputs: arrays (b, ...), b at least 2.
      steps: 1 or more.

    Returns:
      Arrays of (b - 1) * steps + 1 rows; every `steps`-th is one of `inputs`.
    """
    num = (len(inputs["latents"]) - 1) * steps + 1
    moving = {"latents": interpolate(inputs["latents"], steps)[:num]}  # without the way back to the first
    if "condition" in inputs:
        start = inputs["condition"]
        share = (jnp.arange(steps, dtype=start.dtype) / steps)[None, :, None]
        mixed = (1.0 - share) * start[:, None] + share * jnp.roll(start, -1, axis=0)[:, None]
        moving["condition"] = mixed.reshape(-1, start.shape[-1])[:num]
    return moving


def _labels_up_to(num: int, labels: Sequence[int]) -> Int32[jax.Array, "n"] | None:
    return jnp.resize(jnp.asarray(labels, jnp.int32), (num,)) if len(labels) else None


def _read(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays `latents` and `labels` of an archive; refuses objects, because unpickling runs code."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name]) for name in archive.files if name in ("latents", "labels")}
    except Exception as error:  # NumPy raises almost anything for a file that is no archive
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        raise InputError(f"{path}: cannot be read ({reason}); accepted: an .npz archive with latents (n, z)") from None
