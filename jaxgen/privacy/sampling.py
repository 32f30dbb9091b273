"""Poisson batches: each step draws each image with the same probability, independently, by secret random numbers."""

import math
import secrets
from collections.abc import Iterator

import numpy as np
from scipy import stats

from jaxgen.data.base import Source
from jaxgen.errors import require
from jaxgen.privacy.clipping import num_parts
from jaxgen.privacy.noise import WORDS

OVERFLOW = 1e-15
"""Probability that a step draws more images than a batch holds. It ends the training; over a million steps that adds
less than 1e-9 to delta."""
UNIT = 128
"""Batches are padded to a multiple of it on each process."""


def capacity(num_images: int, batch_size: int, q: float) -> int:
    """Returns the size of the padded batches: more images are drawn with a probability below `OVERFLOW`.

    Args:
      num_images: images that are drawn from.
      batch_size: mean size of a whole batch; devices that divide it also divide the result, except for odd numbers.
      q: probability of each image.
    """
    most = int(stats.binom.isf(OVERFLOW, num_images, q)) + 1
    odd = batch_size // (batch_size & -batch_size)
    unit = math.lcm(UNIT if most > UNIT else 8, odd if odd < UNIT // 2 else 1)
    return -(-most // unit) * unit


def slots(size: int) -> np.ndarray:
    """Returns the places of a batch in the order in which they are filled: one part of `clipped_sum` after another."""
    return np.arange(size).reshape(-1, num_parts(size)).T.ravel()


def poisson_batches(
    source: Source,
    *,
    batch_size: int,
    seed: int = 0,
    start: int = 0,
    flip: bool = False,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[dict[str, np.ndarray]]:
    """Returns endless Poisson batches of constant shape, in place of those of `jaxgen.data.pipeline`.

    Nothing of them can be repeated: seed and position do not count. Of several processes each draws from its own part
    of the images, so that together they draw from all.

    Args:
      source: the images.
      batch_size: the mean number of images of the global batch; q is its ratio to the number of images.
      seed: not used.
      start: not used.
      flip: whether half of the images are mirrored left to right.
      process_index: number of this process, from 0.
      process_count: number of processes.

    Returns:
      Iterator of `images`, uint8 [n, *spatial, c] with n = `capacity`; `labels`, int32 [n], if the source has them;
      `mask`, float32 [n], 1 for the images drawn, and 0 for padding; `secret`, uint32 [n, WORDS], random bits in each
      row: those of row 0 are for the step.

    Raises:
      InputError: the mean is above the number of images, or the source cuts random pieces.
    """
    del seed, start
    most = source.num_images
    require(1 <= batch_size <= most, "batch_size", batch_size, f"1 to {most:,}, the number of images")
    require(not source.crops, "crop_size", source.shape[0], "None for a private training, which counts whole images")
    mine = np.arange(process_index, most, process_count)
    # the largest part of any process, so that all have the same shape
    size = capacity(-(-most // process_count), batch_size, batch_size / most)
    return _batches(source, mine, batch_size / most, size, flip)


def _batches(source: Source, mine: np.ndarray, q: float, size: int, flip: bool) -> Iterator[dict[str, np.ndarray]]:
    while True:
        generator = np.random.default_rng(secrets.randbits(256))
        drawn = mine[generator.random(len(mine)) < q]
        if len(drawn) > size:
            raise RuntimeError(f"a Poisson batch of {len(drawn)} images, more than {size}: start again with --resume")
        images, places = np.zeros((size, *source.shape), np.uint8), slots(size)[: len(drawn)]
        images[places] = source.take(drawn)
        if flip:
            mirrored = np.flatnonzero(generator.random(size) < 0.5)
            images[mirrored] = images[mirrored][..., ::-1, :]
        labels = {}
        if source.labels is not None:
            labels["labels"] = np.zeros(size, np.int32)
            labels["labels"][places] = source.labels[drawn]
        mask = np.zeros(size, np.float32)
        mask[places] = 1.0
        secret = np.frombuffer(secrets.token_bytes(4 * WORDS * size), np.uint32).reshape(size, WORDS)
        yield {"images": images, **labels, "mask": mask, "secret": secret}
