"""A run: its folder, its record, and the whole of training from a configuration to a final checkpoint."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from jaxgen.config_json import to_dict
from jaxgen.data.base import Source
from jaxgen.data.pipeline import batches
from jaxgen.data.transfer import chunks, put_global
from jaxgen.errors import require
from jaxgen.runs import checkpoints
from jaxgen.runs.folder import Run
from jaxgen.runs.locks import one_writer
from jaxgen.runs.outputs import BEST_METRIC, Outputs, open_outputs
from jaxgen.runs.recording import MetricWriter
from jaxgen.training import distributed, parallel
from jaxgen.training.config import TrainConfig
from jaxgen.training.loop import Callback, Stop, chunk_sizes, require_finite_state, train
from jaxgen.training.step import Algorithm, TrainState

C = TypeVar("C")
Watch = Callable[[int, dict[str, np.ndarray]], None]


class Hooks(NamedTuple):
    """What an algorithm's recipe adds to training.

    Attributes:
      sample: (step, state) -> None, writes pictures; called before the first step and every `sample_every` steps.
      evaluate: (state) -> metrics by name, the one that chooses the best checkpoint (lower is better) first; called
        before each checkpoint.
      protocol: what that metric is, in one line.
    """

    sample: Callable[[int, TrainState], None]
    evaluate: Callable[[TrainState], dict[str, float]]
    protocol: str


def fix_schedule(config: C) -> C:
    """The recipe's configuration with `hparams.schedule_images` set to the whole run where it is None."""
    if config.hparams.schedule_images is not None:
        return config
    images = float(config.train.steps * config.train.batch_size)
    return replace(config, hparams=replace(config.hparams, schedule_images=images))


@one_writer
def run_training(
    run: Run,
    config: Any,
    algorithm: Algorithm,
    source: Source,
    make_hooks: Callable[[MetricWriter], Hooks],
    finish: Callable[[TrainState], None],
    watch: Watch = lambda step, values: None,
    begin: TrainState | None = None,
) -> TrainState:
    """Trains from scratch, or on from the newest whole checkpoint, and records it all in the run folder.

    Args:
      run: from `new_run`, or an earlier run's folder.
      config: the recipe's configuration, with the fields `train`, `data` and `hparams`; recorded as config.json and
        with each checkpoint. On resume its `hparams` replace the checkpoint's.
      algorithm: what to train.
      source: what to train on.
      make_hooks: what the recipe adds, given the run's metric writer.
      finish: draws the final pictures from the last state; not called after a signal.
      watch: called after each dispatch with the step reached and every metric of its steps, (k,) each.
      begin: go on from a copy of this state, in place of a checkpoint, with the numbers of `config`.

    Returns:
      The last state, also after a signal.

    Raises:
      InputError: bad devices or batch size, nothing to resume from, another process trains there.
      OSError: a file cannot be written; names it.
      NonFiniteError: training diverged; names the step, the value and the last good checkpoint.
    """
    settings: TrainConfig = config.train
    distributed.require_same("configuration and data", _fingerprint(config, source))
    mesh = parallel.make_mesh(settings.batch_size, settings.devices, settings.shard, settings.accumulate)
    key_init, key_steps = jax.random.split(jax.random.key(settings.seed))
    state = parallel.init_state(algorithm, key_init, asdict(config.hparams), mesh)
    if run.resumed:
        state = _restore(run, state)
    elif begin is not None:
        state = _copy_into(state, begin)
    start = int(state.step)
    require(settings.steps >= start, "steps", settings.steps, f"at least {start}, the step that the run has reached")
    dispatch = parallel.compile_steps(algorithm, key_steps, mesh, settings.parallel, settings.accumulate)
    with open_outputs(run, config, source, start, algorithm.images_per_step) as outputs:
        hooks = make_hooks(outputs.writer)
        outputs.progress.message(f"best checkpoint by: {hooks.protocol}")
        outputs.notes["best_checkpoint_by"] = hooks.protocol
        outputs.record(start, "running")
        sample = _sampler(hooks)
        if start == 0:
            sample(0, state)
        callbacks = [
            Callback(settings.sample_every, sample),
            Callback(settings.checkpoint_every, _saver(outputs, config, algorithm, source, hooks), at_signal=True),
        ]
        log = _logger(outputs, settings.log_every, start, algorithm.images_per_step)

        def on_metrics(step: int, values: dict[str, np.ndarray]) -> None:
            log(step, values)
            watch(step, values)

        with _feed(config, algorithm, source, mesh, start) as feed:
            state, stop = train(
                dispatch, state, feed, on_metrics=on_metrics, callbacks=callbacks, minutes=settings.minutes,
                agree=distributed.highest,
            )  # fmt: skip
        checkpoints.wait(outputs.store)
        outputs.record(stop.step, "complete" if stop.reason == "finished" else f"stopped by {stop.reason}")
        _finish(run, outputs, state, stop, finish)
    return state


def _finish(run: Run, outputs: Outputs, state: TrainState, stop: Stop, finish: Callable[[TrainState], None]) -> None:
    """Final pictures, unless a signal asks for haste; says where all is and how to go on."""
    outputs.progress.close()
    if stop.reason in ("finished", "time"):
        shown = parallel.for_prediction(state)
        if distributed.is_main():
            finish(shown)
        outputs.progress.message(f"done: {run.directory / 'report.html'}")
    else:
        outputs.progress.message(f"{stop.reason}: saved step {stop.step}; continue with --resume {run.directory}")


def _fingerprint(config: Any, source: Source) -> str:
    """What must not differ between processes, in a few words."""
    words = json.dumps([to_dict(config), source.origin, source.num_images, source.shape], sort_keys=True)
    return hashlib.sha256(words.encode()).hexdigest()[:12]


def _sampler(hooks: Hooks) -> Callable[[int, TrainState], None]:
    """A callback that draws pictures, on the process that writes."""

    def sample(step: int, state: TrainState) -> None:
        shown = parallel.for_prediction(state)
        if distributed.is_main():
            hooks.sample(step, shown)

    return sample


def _restore(run: Run, state: TrainState) -> TrainState:
    """The newest whole checkpoint in the place of `state`, but with the numbers of `state`."""
    restored, _ = checkpoints.restore(run.directory / "checkpoints", state)
    return restored.replace(hparams=state.hparams)


def _copy_into(state: TrainState, begin: TrainState) -> TrainState:
    """The values of `begin`, laid out as `state` is and with its numbers; a copy, since a step takes its buffers."""
    shapes = [[(x.shape, x.dtype) for x in jax.tree.leaves(tree)] for tree in (state, begin)]
    require(shapes[0] == shapes[1], "resume", "a state of other networks", "what was trained with the same settings")
    copied = jax.tree.map(lambda new, old: jax.device_put(np.array(old), new.sharding), state, begin)
    return copied.replace(hparams=state.hparams)


@contextmanager
def _feed(config: Any, algorithm: Algorithm, source: Source, mesh: jax.sharding.Mesh, start: int) -> Iterator[Any]:
    """Batches on the devices from step `start` on, stacked for each dispatch, loaded in the background."""
    settings: TrainConfig = config.train
    per_dispatch = settings.steps_per_dispatch or parallel.STEPS_PER_DISPATCH.get(jax.default_backend(), 10)
    stream = batches(
        source, batch_size=algorithm.images_per_step, seed=settings.seed, start=start, flip=config.data.flip,
        process_index=jax.process_index(), process_count=jax.process_count(),
    )  # fmt: skip
    sharding = parallel.batch_sharding(mesh)
    ready = chunks(stream, chunk_sizes(start, settings.steps, per_dispatch), lambda tree: put_global(tree, sharding))
    try:
        yield ready
    finally:
        ready.close()


def _saver(
    outputs: Outputs, config: Any, algorithm: Algorithm, source: Source, hooks: Hooks
) -> Callable[[int, TrainState], None]:
    """A callback that evaluates a state and saves it with its score, if it is finite."""

    def save(step: int, state: TrainState) -> None:
        require_finite_state(step, state)
        values = hooks.evaluate(parallel.for_prediction(state))
        outputs.writer.write(step, {"images": step * algorithm.images_per_step, **values})
        meta = {"config": to_dict(config), "position": step, "shape": source.shape, "class_names": source.class_names}
        score = {BEST_METRIC: next(iter(values.values()))}
        checkpoints.save(outputs.store, step, state, meta, score)

    return save


def _logger(
    outputs: Outputs, every: int, start: int, images_per_step: int
) -> Callable[[int, dict[str, np.ndarray]], None]:
    """A function for the loop: shows each dispatch, writes means over `every` steps."""
    window: list[dict[str, np.ndarray]] = []
    before = start

    def on_metrics(step: int, values: dict[str, np.ndarray]) -> None:
        nonlocal before
        window.append(values)
        outputs.progress.update(step, {name: value[-1] for name, value in values.items() if name.startswith("loss/")})
        if step // every > before // every:
            means = {name: float(np.mean(np.concatenate([v[name] for v in window]))) for name in values}
            outputs.writer.write(step, {"images": step * images_per_step, **means})
            window.clear()
        before = step

    return on_metrics
