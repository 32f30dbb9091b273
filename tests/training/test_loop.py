"""The loop on a counting algorithm whose every value is known in advance."""

import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.errors import NonFiniteError
from jaxgen.training.loop import Callback, chunk_sizes, require_finite_state, train
from jaxgen.training.step import TrainState


def make_state(step: int = 0, value: float = 0.0) -> TrainState:
    return TrainState(
        jnp.asarray(step, jnp.int32), jnp.zeros((), jnp.int32), {"net": jnp.asarray(value)}, {}, {}, {}, {}
    )


def dispatch(state, values):
    """Adds up the batch values; the metric is each value."""
    total = state.params["net"] + values.sum()
    return state.replace(step=state.step + len(values), params={"net": total}), {"loss/x": values}


def run(chunks, state=None, callbacks=(), **options):
    seen = []
    chunks = [jnp.asarray(c, jnp.float32) for c in chunks]
    state, stop = train(
        dispatch,
        state or make_state(),
        iter(chunks),
        on_metrics=lambda step, values: seen.append((step, values["loss/x"].tolist())),
        callbacks=list(callbacks),
        **options,
    )
    return state, stop, seen


@pytest.mark.parametrize(
    ("start", "total", "k", "sizes"),
    [(0, 10, 5, [5, 5]), (0, 7, 5, [5, 2]), (5, 12, 5, [5, 2]), (3, 12, 5, [2, 5, 2]), (10, 10, 5, []), (0, 2, 5, [2])],
)
def test_dispatch_sizes_end_on_multiples(start, total, k, sizes):
    assert list(chunk_sizes(start, total, k)) == sizes


def test_every_chunk_is_used_and_every_metric_seen():
    state, stop, seen = run([[1, 2], [3, 4], [5]])
    assert (stop.step, stop.reason) == (5, "finished")
    assert float(state.params["net"]) == 15
    assert seen == [(2, [1, 2]), (4, [3, 4]), (5, [5])]


def test_callbacks_run_when_a_multiple_is_passed_and_once_at_the_end():
    steps = {"three": [], "four": []}
    callbacks = [
        Callback(every, lambda s, _, n=name: steps[n].append(s)) for every, name in ((3, "three"), (4, "four"))
    ]
    run([[0, 0]] * 5, callbacks=callbacks)
    assert steps == {"three": [4, 6, 10], "four": [4, 8, 10]}


def test_a_callback_that_ran_at_the_last_step_does_not_run_twice():
    steps = []
    run([[0, 0]] * 2, callbacks=[Callback(4, lambda s, _: steps.append(s))])
    assert steps == [4]


def test_counting_goes_on_from_the_state():
    steps = []
    _, stop, _ = run([[0, 0]], state=make_state(step=7), callbacks=[Callback(8, lambda s, _: steps.append(s))])
    assert stop.step == 9
    assert steps == [9]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_non_finite_metric_stops_and_names_step_and_metric(bad):
    saved = []
    with pytest.raises(NonFiniteError, match=f"loss/x became {bad} at step 4"):
        run([[0, 0], [0, bad], [0, 0]], callbacks=[Callback(1, lambda s, _: saved.append(s))])
    assert saved == [2]  # nothing is saved after the bad step


def test_a_state_that_is_not_finite_is_refused():
    require_finite_state(1, make_state(value=1.0))
    with pytest.raises(NonFiniteError, match="by step 3"):
        require_finite_state(3, make_state(value=np.nan))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_after_the_dispatch_and_only_urgent_callbacks_run(number):
    steps = {"urgent": [], "slow": []}

    def on_metrics(step, _):
        if step == 4:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    callbacks = [
        Callback(100, lambda s, _: steps["slow"].append(s)),
        Callback(100, lambda s, _: steps["urgent"].append(s), at_signal=True),
    ]
    chunks = iter([jnp.zeros(2)] * 5)
    _, stop = train(dispatch, make_state(), chunks, on_metrics=on_metrics, callbacks=callbacks)
    assert (stop.step, stop.reason) == (4, signal.Signals(number).name)
    assert steps == {"urgent": [4], "slow": []}
    assert signal.getsignal(number) == before


def test_a_signal_during_the_last_callbacks_is_not_lost():
    done = []

    def measure(step, _):
        os.kill(os.getpid(), signal.SIGTERM)
        done.append(step)

    callbacks = [Callback(100, measure), Callback(100, lambda s, _: done.append(-s), at_signal=True)]
    _, stop, _ = run([[0, 0]] * 2, callbacks=callbacks)
    assert (stop.step, stop.reason, done) == (4, "SIGTERM", [4, -4])


def test_a_second_interrupt_does_not_wait():
    def on_metrics(step, _):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(dispatch, make_state(), iter([jnp.zeros(2)] * 5), on_metrics=on_metrics, callbacks=[])


@pytest.mark.parametrize(
    ("code", "reason", "says", "ran"),
    [(1, "time", [0, 0, 1], ["all", "urgent"]), (3, "SIGTERM", [0, 0], ["urgent"])],
)
def test_what_another_process_says_stops_this_one_too(code, reason, says, ran):
    asked, done = [], []

    def agree(own):
        asked.append(own)
        return code if len(asked) == 2 else own

    callbacks = [
        Callback(100, lambda s, _: done.append("all")),
        Callback(100, lambda s, _: done.append("urgent"), True),
    ]
    _, stop, _ = run([[0]] * 5, callbacks=callbacks, agree=agree)
    assert (stop.step, stop.reason, asked, done) == (2, reason, says, ran)


def test_time_bounds_the_call():
    _, stop, seen = run([[0]] * 5, minutes=1e-9)
    assert (stop.step, stop.reason) == (1, "time")
    assert len(seen) == 1


def test_no_chunks_change_nothing():
    state, stop, _ = run([], state=make_state(step=3, value=2.0))
    assert (stop.step, stop.reason, float(state.params["net"])) == (3, "finished", 2.0)
    assert jax.tree.structure(state) == jax.tree.structure(make_state())
