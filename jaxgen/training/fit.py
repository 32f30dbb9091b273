"""Training in memory, without a folder: from an algorithm, its numbers and a source to a trained state."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxgen.data.base import Source
from jaxgen.data.pipeline import batches
from jaxgen.data.transfer import chunks, put_global
from jaxgen.errors import require
from jaxgen.training import distributed, parallel
from jaxgen.training.config import TrainConfig
from jaxgen.training.convolution_library import DEFAULT, Choice, batch_shapes, fastest_steps
from jaxgen.training.loop import Callback, Stop, chunk_sizes, train
from jaxgen.training.step import Algorithm, TrainState

OnMetrics = Callable[[int, dict[str, np.ndarray]], None]
"""(step, metrics) -> None, called after each dispatch with the step reached and the metrics of its k steps: arrays
(k,), or (k, p) for p members."""


class Program(NamedTuple):
    """A training that is ready to run, of one state or of a population.

    Attributes:
      state: the initial `TrainState` or `Population`; training goes on from `state.step`.
      dispatch: (state, batches) -> (state, metrics), k steps in one compiled call; the state is donated.
      batches: (state) -> endless host batches that follow a state.
      sharding: the sharding of stacked batches (k, ...).
      per_dispatch: the most steps of a call.
      convolutions: the library that computes the convolutions.
    """

    state: Any
    dispatch: Callable[[Any, Any], tuple[Any, Any]]
    batches: Callable[[Any], Iterator[dict[str, np.ndarray]]]
    sharding: jax.sharding.Sharding
    per_dispatch: int
    convolutions: Choice = Choice(DEFAULT)


def prepare(
    algorithm: Algorithm,
    source: Source,
    hparams: Mapping[str, Any],
    settings: TrainConfig,
    flip: bool = False,
    library: str | None = None,
) -> Program:
    """Returns the program of one training: its initial state, its compiled steps and its batches.

    Args:
      algorithm: what to train.
      source: the training images.
      hparams: numbers by name; see `with_numbers`.
      settings: steps, devices, batch size and seed.
      flip: mirrors half of the images.
      library: the library that computed the convolutions of a resumed run; None chooses the faster one.

    Raises:
      InputError: the batch size does not fit the devices, or the algorithm does not support `parallel` or `accumulate`.
    """
    mesh = parallel.make_mesh(settings.batch_size, settings.devices, settings.shard, settings.accumulate, source.shape)
    key_init, key_steps = jax.random.split(jax.random.key(settings.seed))

    def host_batches(state: TrainState) -> Iterator[dict[str, np.ndarray]]:
        return (algorithm.batches or batches)(
            source, batch_size=algorithm.images_per_step, seed=settings.seed, start=int(state.images), flip=flip,
            process_index=jax.process_index(), process_count=jax.process_count(),
        )  # fmt: skip

    numbers = over_images(hparams, settings.steps * algorithm.images_per_step)
    state = parallel.init_state(algorithm, key_init, numbers, mesh)
    per_dispatch = settings.steps_per_dispatch or parallel.STEPS_PER_DISPATCH.get(jax.default_backend(), 10)
    shapes = batch_shapes(per_dispatch, algorithm, source)
    dispatch, choice = fastest_steps(
        algorithm, key_steps, mesh, state, shapes, settings.steps, settings.parallel, settings.accumulate, library
    )
    return Program(state, dispatch, host_batches, parallel.batch_sharding(mesh), per_dispatch, choice)


def run_steps(
    program: Program,
    steps: int,
    *,
    callbacks: Sequence[Callback] = (),
    on_metrics: OnMetrics = lambda step, values: None,
    minutes: float | None = None,
) -> tuple[Any, Stop]:
    """Trains a program up to a step, or until time is up or a signal arrives; loads batches in the background.

    Args:
      program: the program; its state is donated.
      steps: the step to end at.
      callbacks: functions to run at intervals and at the end.
      on_metrics: called after each dispatch.
      minutes: the time limit of this call.

    Returns:
      The last state, and the step and the reason of the end.

    Raises:
      NonFiniteError: training diverged; the message names the metric, its value and the step.
    """
    start = int(program.state.step)
    sizes = chunk_sizes(start, steps, program.per_dispatch)
    ready = chunks(program.batches(program.state), sizes, lambda tree: put_global(tree, program.sharding))
    with closing(ready) as feed:
        return train(
            program.dispatch, program.state, feed, on_metrics=on_metrics, callbacks=list(callbacks), minutes=minutes,
            agree=distributed.highest,
        )  # fmt: skip


def fit(
    algorithm: Algorithm,
    source: Source,
    hparams: Mapping[str, Any],
    settings: TrainConfig,
    *,
    flip: bool = False,
    begin: TrainState | None = None,
    callbacks: Sequence[Callback] = (),
    on_metrics: OnMetrics = lambda step, values: None,
) -> tuple[TrainState, Stop]:
    """Trains in memory and writes nothing; a recorded run uses the same functions and adds a folder.

    Args:
      algorithm: what to train.
      source: the training images.
      hparams: numbers by name; see `with_numbers`.
      settings: steps, batch size, seed, devices and minutes.
      flip: mirrors half of the images.
      begin: a state of the same networks to start from; it is copied, and `hparams` replace its numbers.
      callbacks: functions to run at intervals and at the end.
      on_metrics: called after each dispatch.

    Returns:
      The last state, and the step and the reason of the end.

    Raises:
      InputError: devices, numbers or a state that cannot work.
      NonFiniteError: training diverged.
    """
    program = prepare(algorithm, source, hparams, settings, flip)
    if begin is not None:
        state = copy_into(program.state, begin)
        state = with_numbers(state, hparams, settings.steps, algorithm.images_per_step)
        program = program._replace(state=state)
    require_steps_left(settings.steps, int(program.state.step))
    return run_steps(program, settings.steps, callbacks=callbacks, on_metrics=on_metrics, minutes=settings.minutes)


def over_images(hparams: Mapping[str, Any], images: int) -> dict[str, Any]:
    """Returns the numbers; `schedule_images`, if it is None, becomes the images that are read by the last step."""
    planned = {"schedule_images": float(images)} if hparams.get("schedule_images", 0) is None else {}
    return {**hparams, **planned}


def with_numbers(state: TrainState, hparams: Mapping[str, Any], steps: int, images_per_step: int) -> TrainState:
    """Returns a state to go on from, with these numbers; schedules without a length run from step 0 to the last step.

    Args:
      state: the state reached; its arrays are on devices.
      hparams: numbers by name; `schedule_images` None stands for all images read by the last step.
      steps: the last step.
      images_per_step: images of each step that is left.
    """
    numbers = over_images(hparams, int(state.images) + (steps - int(state.step)) * images_per_step)
    placed = {n: jax.device_put(np.float32(numbers[n]), old.sharding) for n, old in state.hparams.items()}
    return state.replace(hparams=placed)


def require_steps_left(steps: int, start: int) -> None:
    """Raises `InputError` if the last step is before `start`, the step that the training has reached."""
    require(steps >= start, "steps", steps, f"at least {start}, the step that the run has reached")


def copy_into(state: TrainState, begin: TrainState) -> TrainState:
    """Returns a copy of `begin` with the shardings of `state`; a copy, since steps donate their state.

    Raises:
      InputError: the networks of the two states differ.
    """
    shapes = [[(x.shape, x.dtype) for x in jax.tree.leaves(tree)] for tree in (state, begin)]
    require(shapes[0] == shapes[1], "resume", "a state of other networks", "what was trained with the same settings")
    return jax.tree.map(lambda new, old: jax.device_put(np.array(old), new.sharding), state, begin)
