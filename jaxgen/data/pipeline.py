"""The endless stream of batches: a pure function that plans the order, and its execution by NumPy or tf.data."""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from jaxgen.data import base
from jaxgen.data.base import Source, crop
from jaxgen.errors import require

NUM_THREADS = 2
"""Number of threads of tf.data; it is small, so that XLA keeps its cores."""


def plan(
    seed: int, num_images: int, start: int, count: int
) -> tuple[Int64[np.ndarray, "count"], Bool[np.ndarray, "count"]]:
    """Returns which image stands at each of `count` positions of the endless stream, and whether it is mirrored.

    Position p lies in epoch p // num_images. Each epoch is a permutation of all images, drawn from a generator seeded
    with (seed, epoch) alone: the plan has no state, so a run can resume at any position.

    Args:
      seed: 0 or more.
      num_images: n, 1 or more.
      start: first position, 0 or more.
      count: number of positions; may span any number of epochs.

    Returns:
      `(index, flip)`, each [count]: the image number in [0, n), and whether the image belongs to the mirrored half.
    """
    epochs = [(_epoch(seed, num_images, epoch), span) for epoch, span in _spans(num_images, start, count)]
    index, flip = (np.concatenate([epoch[i][span] for epoch, span in epochs]) for i in (0, 1))
    return index, flip


def places(seed: int, num_images: int, start: int, count: int) -> Float64[np.ndarray, "count 3"]:
    """Returns the crop at each of `count` positions of the stream: down, right and rotation, as shares in [0, 1).

    Like the result of `plan`, they are drawn from a generator seeded with (seed, epoch) alone.
    """
    spans = _spans(num_images, start, count)
    return np.concatenate([_epoch(seed, num_images, epoch)[2][span] for epoch, span in spans])


def _spans(num_images: int, start: int, count: int) -> Iterator[tuple[int, slice]]:
    """Yields the epochs of the positions from `start` to `start + count`, and the part of each that they cover."""
    end = start + count
    while True:  # at least one, which may be empty
        epoch, place = divmod(start, num_images)
        part = min(end - start, num_images - place)
        yield epoch, slice(place, place + part)
        start += part
        if start == end:
            return


def batches(
    source: Source,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
    flip: bool = False,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[dict[str, np.ndarray]]:
    """Returns the endless batches of one process; batch s holds positions start + s * batch_size and following.

    The global batch does not depend on the number of processes: each takes its contiguous part. tf.data carries out
    the plan for a source that uses TensorFlow or must be read image by image; NumPy does so for all others, with equal
    results.

    Args:
      source: the images.
      batch_size: images in the global batch, a multiple of `process_count`.
      seed: seed of the order and of the mirroring, 0 or more.
      start: number of images to skip; it is all that a run must store to resume.
      flip: whether half of the images are mirrored left to right, drawn anew in each epoch.
      process_index: number of this process, from 0.
      process_count: number of processes.

    Returns:
      Iterator of `images`, uint8 [b, *spatial, c] with b = batch_size / process_count, and `labels`, int32 [b],
      if the source has them.

    Raises:
      InputError: a number is out of range, or `batch_size` is not divisible by `process_count`.
    """
    require(batch_size >= 1, "batch_size", batch_size, "1 or more")
    require(seed >= 0, "seed", seed, "0 or more")
    require(start >= 0, "start", start, "0 or more")
    divisible = batch_size % process_count == 0
    require(divisible, "batch_size", batch_size, f"a multiple of the number of processes ({process_count})")
    local = batch_size // process_count

    positions = itertools.count(start + process_index * local, batch_size)
    if source.crops:
        return (_crops(source, seed, position, local, flip) for position in positions)

    def shards() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for position in positions:
            index, mirrored = plan(seed, source.num_images, position, local)
            yield index, mirrored & flip

    if source.uses_tensorflow or source.images is None:
        return _tensorflow_batches(source, shards, local)
    return (_numpy_batch(source, index, mirrored) for index, mirrored in shards())


@functools.lru_cache(maxsize=4)
def _epoch(seed: int, num_images: int, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns order, mirroring and crops of one epoch; they are cached, as a batch needs only a small part of them."""
    order = np.random.default_rng((seed, epoch, 0)).permutation(num_images)
    mirrored = np.random.default_rng((seed, epoch, 1)).random(num_images) < 0.5
    return order, mirrored, np.random.default_rng((seed, epoch, 2)).random((num_images, 3))


def _numpy_batch(source: Source, index: np.ndarray, mirrored: np.ndarray) -> dict[str, np.ndarray]:
    images = source.images[index]
    images[mirrored] = images[mirrored][..., ::-1, :]  # left to right, of a volume too
    return {"images": images} | ({} if source.labels is None else {"labels": source.labels[index]})


def _crops(source: Source, seed: int, start: int, count: int, flip: bool) -> dict[str, np.ndarray]:
    """Returns a batch of crops; with `flip` half are mirrored, and all are rotated by a multiple of 90 degrees."""
    index, mirrored = plan(seed, source.num_images, start, count)
    where = places(seed, source.num_images, start, count)
    pieces = [crop(source.read(int(i)), source.shape[0], *place[:2]) for i, place in zip(index, where, strict=True)]
    if flip:
        pieces = [np.rot90(piece, int(4 * place[2])) for piece, place in zip(pieces, where, strict=True)]
        pieces = [piece[:, ::-1] if turned else piece for piece, turned in zip(pieces, mirrored, strict=True)]
    return {"images": np.stack(pieces)} | ({} if source.labels is None else {"labels": source.labels[index]})


def _tensorflow_batches(
    source: Source, shards: Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]], local: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yields the batches by tf.data: gathers or decodes in order, mirrors, batches and prefetches."""
    tf = base.import_tensorflow()
    # Bound here, because the module is already empty if the generator is closed at interpreter exit.
    failures, tensorflow_error = list[Exception](), tf.errors.OpError
    signature = (tf.TensorSpec([local], tf.int64), tf.TensorSpec([local], tf.bool))
    dataset = tf.data.Dataset.from_generator(shards, output_signature=signature)
    dataset = _decode(tf, dataset, source, local, failures) if source.images is None else _gather(tf, dataset, source)
    dataset = dataset.map(functools.partial(_finish, tf, source.labels), NUM_THREADS, deterministic=True)
    options = tf.data.Options()
    options.threading.private_threadpool_size = NUM_THREADS
    iterator = dataset.prefetch(tf.data.AUTOTUNE).with_options(options).as_numpy_iterator()
    try:
        yield from iterator
    except tensorflow_error as error:
        # TensorFlow wraps an error of `read` in pages of its own text; the user needs the cause.
        raise (failures[0] if failures else error) from None


def _gather(tf: Any, dataset: Any, source: Source) -> Any:
    """Maps (index, flip) to (images, index, flip), with images from memory."""
    images = tf.constant(source.images)
    return dataset.map(lambda index, flip: (tf.gather(images, index), index, flip), NUM_THREADS, deterministic=True)


def _decode(tf: Any, dataset: Any, source: Source, local: int, failures: list[Exception]) -> Any:
    """Maps (index, flip) to (images, index, flip), with images by `source.read`, several at a time."""

    def read(index: np.int64) -> np.ndarray:
        try:
            return source.read(int(index))
        except Exception as error:
            failures.append(error)
            raise

    @tf.autograph.experimental.do_not_convert
    def element(index: Any, flip: Any) -> tuple[Any, Any, Any]:
        image = tf.numpy_function(read, [index], tf.uint8)
        return tf.ensure_shape(image, source.shape), index, flip

    return dataset.unbatch().map(element, NUM_THREADS, deterministic=True).batch(local)


def _finish(tf: Any, labels: np.ndarray | None, images: Any, index: Any, flip: Any) -> dict[str, Any]:
    """Mirrors the images marked in `flip` and adds the labels."""
    axes = len(images.shape)
    images = tf.where(tf.reshape(flip, [-1] + [1] * (axes - 1)), tf.reverse(images, [axes - 2]), images)
    return {"images": images} | ({} if labels is None else {"labels": tf.gather(labels, index)})
