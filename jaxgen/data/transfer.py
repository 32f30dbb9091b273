"""The transfer of batches to the device, in chunks of several steps that are prepared while the device works."""

import atexit
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

_END = object()


def chunks(
    batches: Iterator[dict[str, np.ndarray]],
    sizes: Iterable[int],
    put: Callable[[dict[str, np.ndarray]], Any],
    depth: int = 2,
) -> Iterator[Any]:
    """Returns an iterator over chunks of k stacked batches; a background thread puts them on the device in advance.

    Closing the iterator (or leaving its loop, as by `break`) ends the thread after its current chunk.

    Args:
      batches: batches of arrays [b, ...] by name.
      sizes: k of each chunk in turn, 1 or more: the training steps per dispatch.
      put: function that moves a dict of stacked arrays [k, b, ...] to the device; called in the thread.
      depth: largest number of chunks that are ready or in preparation, 1 or more.

    Returns:
      An iterator over the results of `put`, in order. It ends with `sizes`, or with `batches`, whose incomplete last
      chunk is dropped. An error of `batches`, `sizes` or `put` is raised at its place in the order.
    """
    ready: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
    slots, stop = threading.Semaphore(depth), threading.Event()

    def work() -> None:
        try:
            for chunk in _stacked(batches, sizes, slots, stop):
                ready.put((put(chunk), None))
            ready.put((_END, None))
        except BaseException as error:
            ready.put((_END, error))

    thread = threading.Thread(target=work, name="jaxgen-transfer", daemon=True)

    def end() -> None:
        if stop.is_set():  # the exit hook came first: the interpreter is shutting down
            return
        stop.set()
        slots.release()
        thread.join(timeout=5.0)
        atexit.unregister(end)

    return _deliver(ready, slots, thread, end)


def _stacked(
    batches: Iterator[dict[str, np.ndarray]],
    sizes: Iterable[int],
    slots: threading.Semaphore,
    stop: threading.Event,
) -> Iterator[dict[str, np.ndarray]]:
    """Yields stacked chunks, each begun only when there is a slot for it; ends early on `stop`."""
    for size in sizes:
        slots.acquire()
        taken: list[dict[str, np.ndarray]] = []
        while len(taken) < size and not stop.is_set():
            batch = next(batches, None)
            if batch is None:
                return
            taken.append(batch)
        if stop.is_set():
            return
        yield {name: np.stack([batch[name] for batch in taken]) for name in taken[0]}


def _deliver(
    ready: queue.SimpleQueue, slots: threading.Semaphore, thread: threading.Thread, end: Callable[[], None]
) -> Iterator[Any]:
    """Yields the ready chunks. At exit the thread is ended first, as in C++ code it could abort the process."""
    thread.start()
    atexit.register(end)
    try:
        while True:
            chunk, error = ready.get()
            if error is not None:
                raise error
            if chunk is _END:
                return
            slots.release()
            yield chunk
    finally:
        end()


def put_global(tree: Any, sharding: jax.sharding.Sharding) -> Any:
    """Moves host arrays to global arrays of one sharding.

    Args:
      tree: NumPy arrays: the whole batch with one process, this process's part of it with several.
      sharding: sharding of the global arrays over the devices of all processes.

    Returns:
      The same tree of `jax.Array`.
    """
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)
    return jax.tree.map(lambda part: jax.make_array_from_process_local_data(sharding, part), tree)
