"""The one training loop: batch, step, metrics, and callbacks at intervals. It knows no algorithm."""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.errors import NonFiniteError
from jaxgen.training.parallel import Dispatch
from jaxgen.training.step import TrainState

REASONS = ("finished", "time", signal.SIGINT.name, signal.SIGTERM.name)
"""Why training ends; of several at once, on whatever process, the last."""

TIME = REASONS.index("time")


class Callback(NamedTuple):
    """`run(step, state)` whenever training passes a multiple of `every` steps, and once more at the end.

    After a signal there is little time: only callbacks with `at_signal` run then.
    """

    every: int
    run: Callable[[int, TrainState], None]
    at_signal: bool = False


class Stop(NamedTuple):
    """Where and why training ended: "finished", "time" or the name of a signal."""

    step: int
    reason: str


def chunk_sizes(start: int, total: int, per_dispatch: int) -> Iterator[int]:
    """Steps of each dispatch from `start` to `total`; all but the last end on multiples of `per_dispatch`.

    The boundaries do not depend on where a run was interrupted, so a resumed run takes the same dispatches.
    """
    step = start
    while step < total:
        end = min(total, (step // per_dispatch + 1) * per_dispatch)
        yield end - step
        step = end


@contextmanager
def catch_signals() -> Iterator[list[str]]:
    """Collects the names of SIGINT and SIGTERM instead of dying of them; a second SIGINT interrupts at once.

    In a thread other than the main one, which gets no signals, it collects nothing.
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
    """Runs dispatches until the chunks end, time is up or a signal arrives.

    Args:
      dispatch: from `parallel.compile_steps`; takes the state's buffers.
      state: where to start, a `TrainState` or a `Population`; counts on from `state.step`.
      chunks: batches on the devices, arrays (k, b, ...), one item for each dispatch.
      on_metrics: called after each dispatch with the step reached and every metric of its k steps, (k,) or (k, p) each.
      callbacks: run in order; none runs on a state that followed a non-finite metric.
      minutes: bound on the time of this call.
      agree: called after each dispatch with what this process makes of it, an index in `REASONS`; gives the highest of
        all processes, so that all stop at the same step.

    Returns:
      The last state, and where and why it ended.

    Raises:
      NonFiniteError: a metric is not finite; names it, its value and the step.
    """
    began = time.monotonic()
    step, code = int(state.step), 0
    done_at = {i: step for i in range(len(callbacks))}
    with catch_signals() as caught:
        for batches in chunks:
            state, metrics = dispatch(state, batches)
            # waiting here costs little, since a dispatch holds many steps; and it keeps one dispatch in flight
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


@jax.jit
def _all_finite(state: Any) -> jax.Array:
    floats = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.stack([jnp.isfinite(x).all() for x in floats]).all()


def require_finite_state(step: int, state: Any) -> None:
    """Raises `NonFiniteError` if any array of the state is not finite, before it is saved as a good one."""
    if not bool(_all_finite(state)):
        raise NonFiniteError(f"parameters or optimizer state became non-finite by step {step}")
