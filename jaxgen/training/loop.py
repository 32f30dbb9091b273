"""The training loop: batch, step, metrics, and callbacks at intervals. It is the same for every algorithm."""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxgen.errors import NonFiniteError
from jaxgen.training.parallel import Dispatch
from jaxgen.training.step import TrainState, all_finite

REASONS = ("finished", "time", signal.SIGINT.name, signal.SIGTERM.name)
"""The reasons why training ends. If several apply, on any process, the last of them is given."""

TIME = REASONS.index("time")


class Callback(NamedTuple):
    """A function `run(step, state)`, called when training passes a multiple of `every` steps, and at the end.

    After a signal there is little time, so only callbacks with `at_signal` are called.
    """

    every: int
    run: Callable[[int, TrainState], None]
    at_signal: bool = False


class Stop(NamedTuple):
    """The step at which training ended, and the reason: one of `REASONS`."""

    step: int
    reason: str


def chunk_sizes(start: int, total: int, per_dispatch: int) -> Iterator[int]:
    """Yields the steps of each dispatch from `start` to `total`; all but the last end on multiples of `per_dispatch`.

    The boundaries do not depend on where a run was interrupted, so a resumed run has the same dispatches.
    """
    step = start
    while step < total:
        end = min(total, (step // per_dispatch + 1) * per_dispatch)
        yield end - step
        step = end


@contextmanager
def catch_signals() -> Iterator[list[str]]:
    """Collects the names of SIGINT and SIGTERM in place of their usual effect; a second SIGINT interrupts at once.

    In any thread but the main one it collects nothing, as only the main thread gets signals.
    """
    caught: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def handle(number: int, _: Any) -> None:
        if caught and number == signal.SIGINT:
            raise KeyboardInterrupt
        caught.append(signal.Signals(number).name)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train(
    dispatch: Dispatch,
    state: Any,
    chunks: Iterable[Any],
    *,
    on_metrics: Callable[[int, dict[str, np.ndarray]], None],
    callbacks: list[Callback],
    minutes: float | None = None,
    agree: Callable[[int], int] = lambda code: code,
) -> tuple[Any, Stop]:
    """Trains until the chunks end, time is up or a signal arrives.

    Args:
      dispatch: from `parallel.compile_steps`; donates the state.
      state: the initial `TrainState` or `Population`; training goes on from `state.step`.
      chunks: batches on the devices, arrays (k, b, ...), one item for each dispatch.
      on_metrics: called after each dispatch with the step reached and the metrics of its k steps, (k,) or (k, p) each.
      callbacks: called in order; none is called with a state that followed a non-finite metric.
      minutes: the time limit of this call.
      agree: called after each dispatch and at the end with the reason of this process to stop, an index in `REASONS`;
        returns the highest index of all processes, so that all stop at the same step.

    Returns:
      The last state, and the step and the reason of the end.

    Raises:
      NonFiniteError: a metric is not finite; the message names it, its value and the step.
    """
    began = time.monotonic()
    step, code = int(state.step), 0
    done_at = {i: step for i in range(len(callbacks))}
    with catch_signals() as caught:
        for batches in chunks:
            state, metrics = dispatch(state, batches)
            # waiting costs little, since a dispatch has many steps, and it keeps a single dispatch in flight
            values = jax.device_get(metrics)
            require_finite(values, step)
            before, step = step, step + len(next(iter(values.values())))
            on_metrics(step, values)
            for i, callback in enumerate(callbacks):
                if step // callback.every > before // callback.every:
                    callback.run(step, state)
                    done_at[i] = step
            late = minutes is not None and time.monotonic() - began >= minutes * 60
            code = agree(REASONS.index(caught[0]) if caught else int(late))
            if code:
                break
        for i, callback in enumerate(callbacks):
            if done_at[i] < step and (callback.at_signal or code <= TIME):
                callback.run(step, state)
        if code <= TIME:  # a signal that arrived during the last callbacks counts too
            code = agree(REASONS.index(caught[0]) if caught else code)
    return state, Stop(step, REASONS[code])


def require_finite(values: dict[str, np.ndarray], before: int) -> None:
    """Raises `NonFiniteError` for the first step after `before` at which a metric (k,) is not finite."""
    bad = {name: np.flatnonzero(~np.isfinite(value)) for name, value in values.items()}
    bad = {name: steps[0] for name, steps in bad.items() if len(steps)}
    if bad:
        name = min(bad, key=bad.__getitem__)
        raise NonFiniteError(f"{name} became {values[name][bad[name]]} at step {before + bad[name] + 1}")


_all_finite = jax.jit(all_finite)


def require_finite_state(step: int, state: Any) -> None:
    """Raises `NonFiniteError` if any array of the state is not finite; such a state must not be saved as a good one."""
    if not bool(_all_finite(state)):
        raise NonFiniteError(f"parameters or optimizer state became non-finite by step {step}")
