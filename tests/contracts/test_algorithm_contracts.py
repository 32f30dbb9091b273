"""What every algorithm must keep, whatever its structure: one trace, the same tree out as in, traced numbers."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.images import to_float
from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.tasks.gan.config import GanConfig, GanHparams
from jaxgen.tasks.restoration.algorithm import make_restoration
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationHparams
from jaxgen.tasks.super_resolution.algorithm import make_super_resolution
from jaxgen.tasks.super_resolution.config import SuperResolutionConfig, SuperResolutionHparams
from jaxgen.training.step import Algorithm, TrainState
from jaxgen.types import Observation

BATCH, NUM_CLASSES, SCHEDULE_IMAGES = 4, 3, 100.0
ALL_AUGMENTATIONS = ("translation", "cutout", "color")


class Setup(NamedTuple):
    """One structure of an algorithm."""

    make: Callable[[], Algorithm]
    hparams: dict[str, Any]
    shape: tuple[int, ...]
    numbers: tuple[str, ...]
    """Of those, some that only this structure reads."""
    warm_up: float
    """Share of the schedule over which the learning rate rises."""
    draws: bool = True
    """Whether a step draws random numbers."""


def gan(architecture: Any, shape: tuple[int, ...], **structure: Any) -> Setup:
    config = GanConfig(architecture=architecture, base_channels=2, latent_dim=3, **structure)
    hparams = GanHparams(lr=1e-2, lr_final=1e-3, r1=0.5, r2=0.5, schedule_images=SCHEDULE_IMAGES)
    return Setup(lambda: make_gan(config, shape, BATCH, NUM_CLASSES), vars(hparams), shape, config.penalties, 0.0)


def restorer(architecture: Any, shape: tuple[int, ...], **structure: Any) -> Setup:
    """In three steps it is in both phases."""
    usual = {"widths": (2, 3), "depth": 1, "iterations": 2, "schedule": "damage:1,noise:1,damage:1"}
    config = RestorationConfig(architecture=architecture, **{**usual, **structure})
    hparams = RestorationHparams(
        lr=1e-2, lr_final=1e-3, noise_share=0.5, grey_share=0.5, schedule_images=SCHEDULE_IMAGES
    )
    numbers = ("noise_share", "grey_share") if shape[-1] > 1 else ("noise_share",)
    return Setup(lambda: make_restoration(config, shape, BATCH), vars(hparams), shape, numbers, 0.01)


def upscaler(**structure: Any) -> Setup:
    shape, config = (28, 30, 3), SuperResolutionConfig(scale=(2,), width=3, blocks=1, **structure)
    hparams = SuperResolutionHparams(lr=1e-2, lr_final=1e-3, schedule_images=SCHEDULE_IMAGES)
    make = lambda: make_super_resolution(config, shape, BATCH)  # noqa: E731
    return Setup(make, vars(hparams), shape, ("weight_decay",), 0.01, draws=False)


CASES = {
    "mlp minimax": gan("mlp", (5, 7, 2), loss="minimax", penalties=()),
    "mlp hinge, lazy": gan("mlp", (4, 4, 1), loss="hinge", penalties=("r1",), penalty_interval=2),
    "mlp wasserstein": gan(
        "mlp", (4, 4, 3), loss="wasserstein", penalties=("gp",), discriminator_updates=2, optimizer="sgd"
    ),
    "mlp augmented": gan("mlp", (8, 8, 1), loss="non_saturating", penalties=("r1",), augment=ALL_AUGMENTATIONS),
    "dcgan relativistic": gan("dcgan", (28, 28, 1), penalties=("r1", "r2")),
    "mlp concat": gan("mlp", (4, 4, 1), conditioning="concat", penalties=("r1", "gp"), discriminator_updates=2),
    "dcgan projection": gan("dcgan", (28, 28, 1), conditioning="projection"),
    "resnet concat": gan("resnet", (8, 8, 3), conditioning="concat", augment=("translation",)),
    "resnet bfloat16": gan("resnet", (8, 8, 3), penalties=("r1",), dtype="bfloat16"),
    "inverse, blind mixture": restorer(
        "inverse", (7, 5, 3), damage="gaussian:0-0.2|salt_and_pepper:0.1-0.5|pixels:0.5"
    ),
    "inverse muon bfloat16": restorer("inverse", (8, 8, 1), optimizer="muon", loss="l1", dtype="bfloat16"),
    "dense, known pixels": restorer("dense", (6, 4, 2), damage="pixels:0.5-0.8", keep_known=True, loss="mse"),
    "recurrent, known pixels": restorer("recurrent", (6, 4, 3), damage="boxes:0.3-0.6", keep_known=True),
    "inverse, volumes": restorer(
        "inverse", (4, 6, 5, 1), widths=(2,), damage="rician:0.1-0.3|missing_slices:0.3-0.6|thick_slices:0.5-0.8"
    ),
    "recurrent, volumes": restorer("recurrent", (4, 4, 6, 1), widths=(2,), damage="missing_slices:0.5"),
    "upscaler": upscaler(),
}


class Traced(NamedTuple):
    """An algorithm, its compiled step and what that step did: the states before, between and after three steps."""

    setup: Setup
    algorithm: Algorithm
    step: Callable[..., tuple[TrainState, dict[str, jax.Array]]]
    traces: list[int]
    states: list[TrainState]
    metrics: list[dict[str, jax.Array]]
    batches: list[dict[str, np.ndarray]]


SLOW_CASES = ("resnet bfloat16", "inverse muon bfloat16", "recurrent, volumes")
"""Their parts are in other cases too."""


@pytest.fixture(
    scope="module",
    params=[pytest.param(x, id=name, marks=[pytest.mark.slow] * (name in SLOW_CASES)) for name, x in CASES.items()],
)
def case(request: pytest.FixtureRequest) -> Traced:
    setup: Setup = request.param
    algorithm = setup.make()
    traces: list[int] = []

    def counted(*args: Any) -> Any:
        traces.append(1)
        return algorithm.step(*args)

    step = jax.jit(counted)
    noise = np.random.default_rng(0)
    sizes = (3, algorithm.images_per_step, *setup.shape)
    labels = np.resize(np.arange(NUM_CLASSES, dtype=np.int32), sizes[:2])
    images = noise.integers(0, 256, sizes).astype(np.uint8)
    batches = [{"images": x, "labels": y} for x, y in zip(images, labels, strict=True)]
    states, metrics = [jax.jit(algorithm.init)(jax.random.key(0), setup.hparams)], []
    for batch in batches:
        state, values = step(states[-1], batch, jax.random.key(1))
        states.append(state)
        metrics.append(values)
    return Traced(setup, algorithm, step, traces, states, metrics, batches)


def layout(tree: Any) -> Any:
    return jax.tree.map(lambda a: (a.shape, a.dtype), tree)


def differ(a: Any, b: Any) -> list[bool]:
    return [not np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)]


def with_hparams(state: TrainState, **values: float) -> TrainState:
    return state.replace(hparams={**state.hparams, **{k: jnp.asarray(v, jnp.float32) for k, v in values.items()}})


@pytest.mark.slow
def test_traces_once_over_steps_and_over_numbers(case: Traced) -> None:
    assert len(case.traces) == 1
    changed = {name: 0.5 * float(value) for name, value in case.states[0].hparams.items()}
    case.step(with_hparams(case.states[1], **changed), case.batches[0], jax.random.key(2))
    assert len(case.traces) == 1


def test_same_tree_shapes_and_dtypes_out_as_in(case: Traced) -> None:
    for state in case.states[1:]:
        assert layout(state) == layout(case.states[0])
    assert [int(state.step) for state in case.states] == [0, 1, 2, 3]
    weights = jax.tree.leaves((case.states[-1].params, case.states[-1].ema_params))
    assert {a.dtype for a in weights} == {jnp.dtype("float32")}


def test_metrics_are_finite_scalars_named_group_and_name_the_same_at_every_step(case: Traced) -> None:
    for values in case.metrics:
        assert layout(values) == layout(case.metrics[0])
        assert all(re.fullmatch(r"[a-z]+/[a-z0-9_]+", name) for name in values)
        assert all(value.shape == () and value.dtype == jnp.float32 for value in values.values())
        assert all(np.isfinite(value) for value in values.values())


def averaged(state: TrainState) -> dict[str, Any]:
    """Parameters of the networks that predict."""
    return {name: state.params[name] for name in state.ema_params}


def test_every_parameter_array_moves_and_numbers_stay(case: Traced) -> None:
    first, last = case.states[0], case.states[-1]
    assert all(differ(averaged(first), averaged(last)))
    assert all(differ(first.ema_params, last.ema_params))
    moved = differ(first.params, last.params)
    sizes = [a.size for a in jax.tree.leaves(first.params)]
    # of a discriminator an offset common to all logits cancels in the losses that compare real with fake
    assert [size for size, has_moved in zip(sizes, moved, strict=True) if not has_moved] in ([], [1])
    assert not any(differ(first.hparams, last.hparams))
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(last.params))


def test_a_step_is_a_function_of_state_batch_and_key(case: Traced) -> None:
    args = case.states[1], case.batches[1]
    assert not any(differ(case.step(*args, jax.random.key(1))[0], case.states[2]))
    assert any(differ(case.step(*args, jax.random.key(5))[0].params, case.states[2].params)) == case.setup.draws
    assert any(differ(case.step(case.states[1], case.batches[2], jax.random.key(1))[0].params, case.states[2].params))


def test_numbers_are_traced_and_matter(case: Traced) -> None:
    many = {"step": jnp.asarray(1000, jnp.int32), "images": jnp.asarray(1000 * BATCH, jnp.int32)}
    late = case.states[1].replace(**many)  # past the schedule and past the average's ramp

    def after(state: TrainState, **values: float) -> TrainState:
        return case.step(with_hparams(state, **values), case.batches[1], jax.random.key(1))[0]

    still, usual = after(late, lr_final=0.0), after(late)
    assert not any(differ(still.params, late.params))
    assert all(differ(averaged(after(late, lr_final=0.02)), averaged(usual)))
    assert all(differ(averaged(after(case.states[1], lr=0.02)), averaged(case.states[2])))
    averages = after(late, ema_half_life=1.0).ema_params, usual.ema_params
    assert any(differ(*averages))
    for name in case.setup.numbers:
        assert any(differ(after(late, **{name: 5.0}).params, usual.params)), name
    assert len(case.traces) == 1


def test_rate_in_the_metrics_follows_the_cosine_in_images(case: Traced) -> None:
    for number, values in enumerate(case.metrics):
        progress, warm_up = number * case.algorithm.images_per_step / SCHEDULE_IMAGES, case.setup.warm_up
        rise = min(1.0, (progress + 1e-4) / warm_up) if warm_up else 1.0
        expected = rise * (1e-3 + 9e-3 * (1 + np.cos(np.pi * progress)) / 2)
        assert float(values["schedule/lr"]) == pytest.approx(expected, rel=1e-5)


def test_prediction_has_the_shape_of_the_images(case: Traced) -> None:
    draw = case.algorithm.draw_inputs
    inputs = (
        Observation(to_float(jnp.asarray(case.batches[0]["images"][:3])))
        if draw is None
        else draw(jax.random.key(0), 3)
    )
    images = jax.jit(case.algorithm.predict)(case.states[-1], inputs, jax.random.key(0)).images
    *sizes, channels = case.setup.shape
    scale = case.algorithm.sizes.scale if case.algorithm.sizes else 1
    assert (images.shape, images.dtype) == ((3, *(scale * size for size in sizes), channels), jnp.float32)
    assert len({image.tobytes() for image in np.asarray(images)}) == 3
    # what is added to an image is not clipped
    assert draw is None or float(jnp.max(jnp.abs(images))) <= 1.0
