"""The choice of the library that computes the convolutions of a train step on a CPU, by time when a run starts.

XLA uses YNNPACK by default. Its kernel gradient is slow for some sizes: there a step with Eigen takes as little as
0.8 of the time. Other steps are slower with Eigen. So both are timed, and the result is kept beside the compiled
programs.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jaxlib
import numpy as np
from jax.sharding import Mesh

from jaxgen.data.base import Source
from jaxgen.errors import require
from jaxgen.files import write_json
from jaxgen.hardware import cpu_model, num_cores
from jaxgen.training.parallel import Dispatch, batch_sharding, compile_steps
from jaxgen.training.step import Algorithm, TrainState
from jaxgen.types import PRNGKey

DEFAULT = "ynn"
OPTIONS: dict[str, dict[str, str]] = {DEFAULT: {}, "eigen": {"xla_cpu_experimental_ynn_fusion_type": ""}}
"""Compiler options of each library, by its name."""
NAMES = {"ynn": "YNNPACK", "eigen": "Eigen"}
MIN_STEPS, MIN_SECONDS, MIN_RATIO = 500, 60.0, 10.0
"""Libraries are timed only if at least `MIN_STEPS` and `MIN_SECONDS` of the run are left, and `MIN_RATIO` times the
compile time: a second program takes as long to compile, and saves at most a fifth of the rest."""
GAIN = 0.97
"""Another library is chosen if its best round takes at most this share of the default's, and every round takes less."""
MIN_ROUNDS, MAX_ROUNDS, ROUNDS_SECONDS = 3, 5, 10.0
"""Bounds on the timed rounds: no round after `MIN_ROUNDS` starts once `ROUNDS_SECONDS` have passed."""

Trial = Callable[[], None]
"""A function that runs a compiled program once and waits for its result."""


class Choice(NamedTuple):
    """A chosen library by its name in `OPTIONS`, and the seconds of a step with each library, if they were timed."""

    library: str
    seconds: dict[str, float] | None = None
    remembered: bool = False

    @property
    def line(self) -> str | None:
        """Returns one line with the choice and its reason; None if nothing was timed."""
        if self.seconds is None:
            return None
        times = ", ".join(f"{NAMES[name]} {1e3 * value:.1f} ms a step" for name, value in self.seconds.items())
        return f"convolutions: {NAMES[self.library]} ({times}{', timed by an earlier run' * self.remembered})"


def fastest_steps(
    algorithm: Algorithm,
    key: PRNGKey,
    mesh: Mesh,
    state: TrainState,
    batches: Any,
    steps_left: int,
    parallel: Literal["jit", "pmap"] = "jit",
    accumulate: int = 1,
    library: str | None = None,
) -> tuple[Dispatch, Choice]:
    """Returns the steps that `compile_steps` compiles with the faster library, and the choice.

    Libraries are timed only for a program with convolutions that one process runs on a CPU, without pmap, if enough of
    the run is left (`MIN_STEPS`, `MIN_SECONDS`, `MIN_RATIO`); otherwise the default is chosen. A resumed run must pass
    the library that it started with, since the libraries differ in the last bits.

    Args:
      algorithm: see `compile_steps`, also for `key`, `mesh`, `parallel` and `accumulate`.
      key: base key of the run.
      mesh: the devices.
      state: where the run starts; neither changed nor donated.
      batches: the batches of a dispatch, (k, b, ...): arrays on the devices, or `batch_shapes` to draw random ones.
      steps_left: steps that the run still has to do.
      parallel: "jit" or "pmap".
      accumulate: micro-batches per update.
      library: a name in `OPTIONS`, which is used without timing; None times them.

    Raises:
      InputError: the library is unknown, or `compile_steps` raises it.
    """
    require(library in (None, *OPTIONS), "library", library, ", ".join(OPTIONS))

    def compiled(name: str) -> Dispatch:
        options = OPTIONS[name] if jax.default_backend() == "cpu" else None
        return compile_steps(algorithm, key, mesh, parallel, accumulate, options)

    dispatch = compiled(library or DEFAULT)
    if library is not None or steps_left < MIN_STEPS or not _has_choice(parallel):
        return dispatch, Choice(library or DEFAULT)
    batches = _arrays(batches, mesh)
    program = dispatch.lower(state, batches).as_text()
    if "stablehlo.convolution" not in program:
        return dispatch, Choice(DEFAULT)
    dispatches = {DEFAULT: dispatch}

    def start(name: str) -> Trial:
        dispatches[name] = dispatches.get(name) or compiled(name)
        return _trial(dispatches[name], state, batches)

    steps = len(jax.tree.leaves(batches)[0])
    choice = choose(start, steps, steps_left, memory_of(program))
    return dispatches.get(choice.library) or compiled(choice.library), choice


def batch_shapes(steps: int, algorithm: Algorithm, source: Source) -> dict[str, Any]:
    """Returns the shapes of the batches of a dispatch, for `fastest_steps`; see `data.pipeline` and `batches`."""
    num = algorithm.images_per_step
    if algorithm.batches is not None:
        whole = algorithm.batches(source, batch_size=num, start=num)  # the first one may read all images
        return {name: jax.ShapeDtypeStruct((steps, *x.shape), x.dtype) for name, x in next(whole).items()}
    shapes = {"images": jax.ShapeDtypeStruct((steps, num, *source.shape), np.uint8)}
    return shapes | ({} if source.labels is None else {"labels": jax.ShapeDtypeStruct((steps, num), np.int32)})


def _has_choice(parallel: str) -> bool:
    """Returns whether a library can be chosen: on a CPU, for a program that a single process compiles."""
    return jax.default_backend() == "cpu" and jax.process_count() == 1 and parallel == "jit"


def _arrays(batches: Any, mesh: Mesh) -> Any:
    """Returns random arrays on the devices in place of shapes: uint8 values for images, 0 or 1 for labels."""
    rng = np.random.default_rng(0)

    def make(leaf: Any) -> Any:
        if isinstance(leaf, jax.Array):
            return leaf
        values = rng.integers(0, 256 if leaf.dtype == np.uint8 else 2, leaf.shape)
        return jax.device_put(values.astype(leaf.dtype), batch_sharding(mesh))

    return jax.tree.map(make, batches)


def _trial(dispatch: Dispatch, state: TrainState, batches: Any) -> Trial:
    """Returns a trial that trains a copy of the state, always with the same batches."""
    # through NumPy, since a copy on the devices would compile a program for each shape
    copy = jax.tree.map(lambda leaf: jax.device_put(np.array(leaf), leaf.sharding), state)

    def run() -> None:
        nonlocal copy
        copy, metrics = dispatch(copy, batches)
        jax.device_get(metrics)  # as the training loop does

    return run


def choose(
    start: Callable[[str], Trial],
    steps: int,
    steps_left: int,
    memory: Path | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Choice:
    """Returns the remembered choice, or times the libraries and remembers the result.

    Args:
      start: (library) -> its trial, which may compile the program in its first run.
      steps: steps of a trial.
      steps_left: steps that the run still has to do.
      memory: the file that holds the choice; None remembers nothing.
      clock: returns the time in seconds.
    """
    remembered = _read(memory)
    if remembered is not None:
        return remembered
    trials = {DEFAULT: start(DEFAULT)}
    first = _seconds(trials[DEFAULT], clock)  # compiles, which a run without a choice does too
    left = _seconds(trials[DEFAULT], clock) / steps * steps_left
    if left < max(MIN_SECONDS, MIN_RATIO * first):
        return Choice(DEFAULT)
    print("timing the convolution libraries of this machine; the choice is remembered", flush=True)
    try:
        for name in OPTIONS:
            if name not in trials:
                trials[name] = start(name)
                trials[name]()
    except jax.errors.JaxRuntimeError:  # this version of XLA has no such option
        return Choice(DEFAULT)
    rounds = _race(trials, clock)
    choice = Choice(_fastest(rounds), {name: min(values) / steps for name, values in rounds.items()})
    _write(memory, choice)
    return choice


def _fastest(rounds: Mapping[str, list[float]]) -> str:
    """Returns the library of the shortest time, if it is clearly shorter than that of the default."""
    name = min(rounds, key=lambda name: min(rounds[name]))
    always = all(value < default for value, default in zip(rounds[name], rounds[DEFAULT], strict=True))
    clearly = always and min(rounds[name]) <= GAIN * min(rounds[DEFAULT])
    return name if clearly else DEFAULT


def _race(trials: Mapping[str, Trial], clock: Callable[[], float]) -> dict[str, list[float]]:
    """Returns the seconds of each trial by round; trials take turns, so that other work disturbs them equally."""
    rounds: dict[str, list[float]] = {name: [] for name in trials}
    began = clock()
    for i in range(MAX_ROUNDS):
        if i >= MIN_ROUNDS and clock() - began > ROUNDS_SECONDS:
            break
        for name in list(trials)[:: -1 if i % 2 else 1]:
            rounds[name].append(_seconds(trials[name], clock))
    return rounds


def _seconds(trial: Trial, clock: Callable[[], float]) -> float:
    began = clock()
    trial()
    return clock() - began


def memory_of(program: str) -> Path | None:
    """Returns the file that remembers the choice for a program on this machine; None without a compilation cache.

    Args:
      program: the text of the program before XLA compiles it.
    """
    folder = jax.config.jax_compilation_cache_dir
    if not folder or "://" in folder or not jax.config.jax_enable_compilation_cache:
        return None
    flags = os.environ.get("XLA_FLAGS", "")
    facts = [program, cpu_model(), num_cores(), jax.device_count(), jax.__version__, jaxlib.__version__, flags]
    name = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
    return Path(folder) / "convolutions" / f"{name}.json"


def _read(memory: Path | None) -> Choice | None:
    """Returns the remembered choice; None if there is none, or none that is valid."""
    try:
        values = json.loads(memory.read_text()) if memory else {}
        seconds = {name: float(values["seconds"][name]) for name in OPTIONS}
        return Choice(values["library"], seconds, remembered=True) if values["library"] in OPTIONS else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _write(memory: Path | None, choice: Choice) -> None:
    """Writes the choice; ignores a full disk or a folder without write permission."""
    if memory:
        with contextlib.suppress(OSError):
            write_json(memory, {"library": choice.library, "seconds": choice.seconds})
