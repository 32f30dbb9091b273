"""The choice of a library: by the clock, remembered, given, or none where there is nothing to choose."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxgen.errors import InputError
from jaxgen.training import convolution_library as library
from jaxgen.training import parallel
from jaxgen.training.step import Algorithm, TrainState, advanced, as_hparams

STEPS = 10


class Machine:
    """A clock that runs on by what each library's dispatch takes, and the libraries that were compiled."""

    def __init__(self, **seconds: list[float] | float) -> None:
        self.now, self.compiled, self.dispatches = 0.0, [], 0
        self.seconds = {name: value if isinstance(value, list) else [value] for name, value in seconds.items()}

    def clock(self) -> float:
        return self.now

    def start(self, name: str) -> Callable[[], None]:
        self.compiled.append(name)
        times = self.seconds[name]
        ran = 0

        def trial() -> None:
            nonlocal ran
            self.now += times[min(ran, len(times) - 1)]
            ran, self.dispatches = ran + 1, self.dispatches + 1

        return trial

    def choose(self, memory: Path | None = None, steps_left: int = 3000) -> library.Choice:
        return library.choose(self.start, STEPS, steps_left, memory, self.clock)


@pytest.mark.parametrize(("eigen", "expected"), [(0.8, "eigen"), (0.96, "eigen"), (0.98, "ynn"), (1.3, "ynn")])
def test_the_other_library_is_taken_where_it_is_clearly_faster(eigen: float, expected: str) -> None:
    choice = Machine(ynn=1.0, eigen=eigen).choose()
    assert choice.library == expected
    assert choice.seconds == pytest.approx({"ynn": 0.1, "eigen": eigen / STEPS})


def test_compiling_does_not_count_and_one_lucky_round_is_not_enough() -> None:
    assert Machine(ynn=[20.0, 1.0], eigen=[40.0, 0.8]).choose().library == "eigen"
    assert Machine(ynn=1.0, eigen=[1.0, 0.5, 1.0, 1.0, 1.0]).choose().library == "ynn"
    assert Machine(ynn=[1.0, 1.0, 1.0, 5.0, 5.0, 5.0], eigen=1.0).choose().library == "ynn"
    assert Machine(ynn=1.0, eigen=[0.8, 0.8, 0.8, 1.1, 0.8, 0.8]).choose().library == "ynn"


def test_slow_programs_are_run_less_often() -> None:
    fast, slow = Machine(ynn=0.5, eigen=0.5), Machine(ynn=20.0, eigen=20.0)
    fast.choose()
    slow.choose()
    assert (fast.dispatches, slow.dispatches) == (3 + 2 * library.MAX_ROUNDS, 3 + 2 * library.MIN_ROUNDS)


def test_the_line_names_the_choice_and_both_times() -> None:
    choice = Machine(ynn=1.0, eigen=0.8).choose()
    assert choice.line == "convolutions: Eigen (YNNPACK 100.0 ms a step, Eigen 80.0 ms a step)"
    assert library.Choice("ynn").line is None


@pytest.mark.parametrize(("ynn", "steps_left"), [([1.0], 590), ([31.0, 1.0], 3000)])
def test_a_short_rest_is_not_worth_a_second_program(ynn: list[float], steps_left: int) -> None:
    machine = Machine(ynn=ynn, eigen=0.5)
    assert machine.choose(steps_left=steps_left) == library.Choice("ynn")
    assert machine.compiled == ["ynn"]


def test_the_next_run_neither_compiles_nor_times(tmp_path: Path) -> None:
    memory = tmp_path / "new" / "choice.json"
    first = Machine(ynn=1.0, eigen=0.8).choose(memory)
    machine = Machine(ynn=1.0, eigen=2.0)
    second = machine.choose(memory)
    assert (machine.compiled, second[:2]) == ([], first[:2])
    assert second.line == first.line[:-1] + ", timed by an earlier run)"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"library": "eigen"}', '{"library": "x", "seconds": {"ynn": 1, "eigen": 1}}',
     '{"library": [], "seconds": {"ynn": 1, "eigen": 1}}', '{"library": "ynn", "seconds": {"ynn": null, "eigen": 1}}'],
)  # fmt: skip
def test_a_damaged_memory_is_written_anew(tmp_path: Path, text: str) -> None:
    memory = tmp_path / "choice.json"
    memory.write_text(text)
    assert Machine(ynn=1.0, eigen=0.8).choose(memory).library == "eigen"
    assert json.loads(memory.read_text())["library"] == "eigen"


def test_a_memory_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for memory in (tmp_path / "file" / "choice.json", tmp_path):
        assert Machine(ynn=1.0, eigen=0.8).choose(memory).library == "eigen"


def test_an_option_that_the_compiler_does_not_know_leaves_the_default() -> None:
    machine = Machine(ynn=1.0, eigen=0.8)

    def start(name: str) -> Callable[[], None]:
        if name == "eigen":
            raise jax.errors.JaxRuntimeError("INVALID_ARGUMENT: No such compile option")
        return machine.start(name)

    assert library.choose(start, STEPS, 3000, None, machine.clock) == library.Choice("ynn")


def test_the_memory_belongs_to_a_program_and_a_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = jax.config.jax_compilation_cache_dir
    first = library.memory_of("a")
    assert (first.parent.parent, library.memory_of("a"), library.memory_of("b") == first) == (
        Path(folder),
        first,
        False,
    )
    monkeypatch.setattr(library, "cpu_model", lambda: "another")
    assert library.memory_of("a") != first
    jax.config.update("jax_compilation_cache_dir", "gs://bucket")
    try:
        assert library.memory_of("a") is None
    finally:
        jax.config.update("jax_compilation_cache_dir", folder)


def blur(state: TrainState, batch: dict[str, Any], key: jax.Array) -> tuple[TrainState, dict[str, Any]]:
    images = batch["images"].astype(jnp.float32)
    out = lax.conv_general_dilated(
        images, state.params["net"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return advanced(state, 0), {"loss/x": out.mean()}


def no_convolution(state: TrainState, batch: dict[str, Any], key: jax.Array) -> tuple[TrainState, dict[str, Any]]:
    return advanced(state, 0), {"loss/x": batch["images"].astype(jnp.float32).mean()}


def init(key: jax.Array, hparams: dict[str, Any]) -> TrainState:
    return TrainState(
        jnp.zeros((), jnp.int32),
        jnp.zeros((), jnp.int32),
        {"net": jnp.ones((3, 3, 1, 1))},
        {},
        {},
        as_hparams(hparams),
        {},
    )


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The compiler options of every program that is made."""
    seen: list[Any] = []

    def compile_steps(*args: Any) -> parallel.Dispatch:
        seen.append(args[-1])
        return parallel.compile_steps(*args)

    monkeypatch.setattr(library, "compile_steps", compile_steps)
    return seen


def steps(step: Callable[..., Any], **options: Any) -> tuple[np.ndarray, library.Choice]:
    """The metrics of a dispatch of what `fastest_steps` gives, from a state that is whole after it."""
    algorithm, mesh = Algorithm(init, step, lambda *_: None, None, 8), parallel.make_mesh(8, 2)
    state = parallel.init_state(algorithm, jax.random.key(0), {}, mesh)
    shapes = {
        "images": jax.ShapeDtypeStruct((2, 8, 4, 4, 1), np.uint8),
        "labels": jax.ShapeDtypeStruct((2, 8), np.int32),
    }
    options = {"steps_left": 1000, **options}
    dispatch, choice = library.fastest_steps(algorithm, jax.random.key(1), mesh, state, shapes, **options)
    batches = {"images": np.ones((2, 8, 4, 4, 1), np.uint8), "labels": np.zeros((2, 8), np.int32)}
    return np.asarray(dispatch(state, batches)[1]["loss/x"]), choice


def test_programs_are_timed_and_the_next_run_makes_the_chosen_one(
    monkeypatch: pytest.MonkeyPatch, compiled: list[Any], tmp_path: Path
) -> None:
    monkeypatch.setattr(library, "MIN_SECONDS", 0.0)
    monkeypatch.setattr(library, "MIN_RATIO", 0.0)
    monkeypatch.setattr(library, "memory_of", lambda program: tmp_path / "choice.json")
    monkeypatch.setattr(library, "_fastest", lambda rounds: "eigen")
    values, choice = steps(blur)
    assert (choice.library, choice.remembered, set(choice.seconds)) == ("eigen", False, {"ynn", "eigen"})
    assert compiled == [{}, library.OPTIONS["eigen"]]
    np.testing.assert_allclose(values, [6.25, 6.25], rtol=1e-6)
    again, choice = steps(blur)
    assert (choice.library, choice.remembered) == ("eigen", True)
    np.testing.assert_array_equal(again, values)


@pytest.mark.parametrize("name", ["ynn", "eigen"])
def test_a_given_choice_is_taken(compiled: list[Any], name: str) -> None:
    assert steps(blur, library=name)[1] == library.Choice(name)
    assert compiled == [library.OPTIONS[name]]


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(InputError, match="library: got 'x'; accepted: ynn, eigen"):
        steps(blur, library="x")


def test_nothing_is_timed_where_there_is_no_choice(monkeypatch: pytest.MonkeyPatch, compiled: list[Any]) -> None:
    monkeypatch.setattr(library, "choose", None)
    assert steps(blur, steps_left=library.MIN_STEPS - 1)[1] == library.Choice("ynn")
    assert steps(no_convolution)[1] == library.Choice("ynn")
    with monkeypatch.context() as patch:
        patch.setattr(jax, "process_count", lambda: 2)
        assert not library._has_choice("jit")
    assert library._has_choice("jit")
    assert not library._has_choice("pmap")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert steps(blur, library="eigen")[1] == library.Choice("eigen")
    assert steps(blur)[1] == library.Choice("ynn")
    assert compiled == [{}, {}, None, None]
