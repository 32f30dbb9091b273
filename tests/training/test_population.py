"""Members of a population against runs of their own, in every way to run them; divergence, places, replacement."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from jaxgen.errors import InputError
from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.tasks.gan.config import GanConfig, GanHparams
from jaxgen.training import population as pop
from jaxgen.training.population import FINITE, Layout
from jaxgen.training.step import Algorithm

BATCH, SHAPE, STEPS, INTERVAL = 4, (4, 4, 1), 3, 2
CONFIG = GanConfig(
    architecture="mlp", base_channels=1, latent_dim=3, penalties=("r1",), penalty_interval=INTERVAL, optimizer="sgd"
)
SEEDS, STREAMS = [0, 1, 0, 1, 0], [0, 1, 0, 1, 0]
BATCHES = np.random.default_rng(0).integers(0, 256, (2 * STEPS, 2, BATCH, *SHAPE)).astype(np.uint8)


def numbers(lr: float) -> dict[str, float]:
    return vars(GanHparams(lr=lr, lr_final=lr, r1=0.5, schedule_images=100.0))


HPARAMS = [numbers(lr) for lr in (0.01, 0.02, 0.03, 0.04, 0.05)]


@pytest.fixture(scope="module")
def gan() -> Algorithm:
    return make_gan(CONFIG, SHAPE, BATCH)


@pytest.fixture(scope="module")
def solo(gan):
    """(seed, numbers, stream, first step of the data, steps) -> state and metrics of a run of its own."""
    init = jax.jit(gan.init)
    run = jax.jit(lambda state, images, key: lax.scan(lambda s, x: gan.step(s, {"images": x}, key), state, images))

    def train(seed, hparams, stream, first=0, steps=2 * STEPS):
        key_init, key_steps = jax.random.split(jax.random.key(seed))
        return run(init(key_init, hparams), BATCHES[first : first + steps, stream], key_steps)

    return train


def part(i: int, stream: int | None = None) -> dict[str, np.ndarray]:
    """Batches of call i: (k, streams, b, h, w, c), or those of one stream."""
    images = BATCHES[i * STEPS : (i + 1) * STEPS]
    return {"images": images if stream is None else images[:, stream]}


def assert_close(actual, expected, atol=1e-5):
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=0, atol=atol), actual, expected)


def counted(algorithm: Algorithm, traces: list[int]) -> Algorithm:
    def step(*args):
        traces.append(1)
        return algorithm.step(*args)

    return algorithm._replace(step=step)


@pytest.fixture(autouse=True)
def four_devices(monkeypatch):
    """Fewer devices than members, so that some hold two."""
    found = jax.devices()[:4]
    monkeypatch.setattr(jax, "devices", lambda: found)


LAYOUTS = {"map": Layout(1, 1), "vmap": Layout(1, 5), "shard": Layout(4, 1), "shard:2": Layout(4, 2)}


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_each_member_equals_its_solo_run(name, gan, solo):
    layout = pop.parse_layout(name, 5)
    assert layout == LAYOUTS[name]
    population = pop.init_population(gan, layout, HPARAMS, SEEDS, STREAMS)
    traces: list[int] = []
    dispatch = pop.compile_population(counted(gan, traces), layout)
    found = []
    for i in range(2):
        population, metrics = dispatch(population, part(i))
        found.append(jax.device_get(metrics))
        if i == 0:
            first = len(traces)
    assert len(traces) == first  # nothing is traced, and so nothing compiled, again
    assert int(population.step) == 2 * STEPS
    pick = pop.make_pick(layout)
    for i in range(5):
        state, metrics = solo(SEEDS[i], HPARAMS[i], STREAMS[i])
        assert_close(pick(population, i), state)
        for key, values in metrics.items():
            assert_close(np.concatenate([m[key][:, i] for m in found]), values)
    assert (np.concatenate([m[FINITE] for m in found])[:, :5] == 1).all()
    assert population.members.alive.tolist() == [True] * 5 + [False] * (layout.devices * 2 * (layout.devices > 1) - 5)


def conds(jaxpr) -> int:
    """Conditionals in a program, those of inner programs included."""
    inner = [
        v for e in jaxpr.eqns for v in jax.tree.leaves(list(e.params.values()), is_leaf=lambda v: hasattr(v, "eqns"))
    ]
    programs = [getattr(v, "jaxpr", v) for v in inner if hasattr(getattr(v, "jaxpr", v), "eqns")]
    return sum(e.primitive.name == "cond" for e in jaxpr.eqns) + sum(map(conds, programs))


@pytest.mark.parametrize(("together", "num"), [(True, 1), (False, 0)])
def test_one_step_counter_for_all_keeps_lazy_penalties_lazy_under_vmap(together, num, gan):
    layout = Layout(1, 5)
    population = pop.init_population(gan, layout, HPARAMS, SEEDS, STREAMS)
    dispatch = pop.compile_population(gan, layout, together=together)
    assert conds(jax.make_jaxpr(dispatch)(population, part(0)).jaxpr) == num


@pytest.mark.parametrize("name", ["map", "vmap"])
def test_a_diverged_member_is_flagged_and_frozen_and_hurts_no_other(name, gan, solo):
    layout = pop.parse_layout(name, 3)
    hot = numbers(1e30)
    population = pop.init_population(gan, layout, [HPARAMS[0], hot, HPARAMS[2]], [0, 1, 0], [0, 1, 0])
    dispatch, pick = pop.compile_population(gan, layout), pop.make_pick(layout)
    before = jax.device_get(pick(population, 1))
    for i in range(2):
        population, metrics = dispatch(population, part(i))
        values = jax.device_get(metrics)
        assert all(np.isfinite(v).all() for v in values.values())
        finite = values[FINITE]
        assert (finite[:, [0, 2]] == 1).all()
        assert finite[-1, 1] == 0
        assert (np.diff(finite[:, 1]) <= 0).all()
    assert not finite[:, 1].any()
    assert population.members.alive.tolist() == [True, False, True]
    assert_close(pick(population, 1), before, atol=0)
    for i in (0, 2):
        assert_close(pick(population, i), solo(0, HPARAMS[i], 0)[0])


@pytest.mark.parametrize("name", ["map", "vmap"])
def test_a_replaced_member_begins_anew_in_the_same_program(name, gan, solo):
    layout, traces = pop.parse_layout(name, 2), []
    dispatch = pop.compile_population(counted(gan, traces), layout, together=False)
    population = pop.init_population(gan, layout, HPARAMS[:2], SEEDS[:2], STREAMS[:2])
    population, _ = dispatch(population, part(0))
    first = len(traces)
    fresh = pop.init_population(gan, layout, [HPARAMS[0], HPARAMS[4]], [0, 7], [0, 1])
    population = pop.make_replace(layout)(population, np.array([False, True]), fresh)
    population, _ = dispatch(population, part(1))
    assert len(traces) == first
    pick = pop.make_pick(layout)
    assert_close(pick(population, 0), solo(0, HPARAMS[0], 0)[0])
    assert_close(pick(population, 1), solo(7, HPARAMS[4], 1, first=STEPS, steps=STEPS)[0])


def copied(population, layout: Layout):
    """A copy on every device of the layout, as from a checkpoint."""
    return jax.device_put(jax.device_get(population), NamedSharding(pop.member_mesh(layout), PartitionSpec()))


def test_members_move_between_devices(gan):
    few, many = pop.parse_layout("map", 5), pop.parse_layout("shard", 5)
    assert [pop.num_slots(layout, 5) for layout in (few, many)] == [5, 8]
    population = pop.init_population(gan, few, HPARAMS, SEEDS, STREAMS)
    target = pop.population_target(gan, few, HPARAMS[0], 5)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), target) == jax.tree.map(lambda a: (a.shape, a.dtype), population)
    spread = pop.spread_members(copied(population, many), many, 5)
    assert len(spread.members.alive.sharding.device_set) == 4
    assert spread.members.alive.tolist() == [True] * 5 + [False] * 3
    assert_close(jax.tree.map(lambda x: x[:5], jax.device_get(spread.members)), jax.device_get(population.members), 0)
    back = pop.spread_members(copied(spread, few), few, 5)
    assert_close(jax.device_get(back), jax.device_get(population), 0)


def test_plans():
    assert pop.parse_layout("shard", 3) == Layout(3, 1)  # no more devices than members
    assert pop.parse_layout("map:4", 6) == Layout(1, 3)  # blocks of one size
    assert pop.parse_layout("shard:99", 8) == Layout(4, 2)
    for text in ("auto", "pmap", "map:0", "vmap:2", "shard:"):
        with pytest.raises(InputError, match="population: got"):
            pop.parse_layout(text, 4)
    assert pop.candidate_names(8) == ["map", "vmap", "map:4", "shard", "shard:4"]
    assert pop.candidate_names(1) == ["map"]


def test_a_measured_layout_can_be_used(gan):
    measured = pop.measure_layout(gan, "map", HPARAMS[:2], part(0), together=True)
    assert measured.seconds > 0
    population = pop.init_population(gan, measured.layout, HPARAMS[:2], [0, 1], [0, 1])
    population, metrics = measured.dispatch(population, part(0))
    assert metrics[FINITE].shape == (STEPS, 2)
    assert jnp.isfinite(metrics["loss/generator"]).all()


@dataclasses.dataclass(frozen=True)
class Chip:
    """What JAX asks a device of a TPU of 2 x 4 chips for, to build a mesh."""

    id: int
    coords: tuple[int, int, int]
    core_on_chip: int = 0
    platform: str = "tpu"
    device_kind: str = "TPU v6 lite"
    process_index: int = 0


@pytest.mark.parametrize("num", [1, 3, 5, 7, 8])
def test_any_number_of_chips_of_a_tpu_holds_members(monkeypatch: pytest.MonkeyPatch, num: int) -> None:
    chips = [Chip(i, (i % 2, i // 2, 0)) for i in range(8)]
    if num in (3, 5, 7):  # no cuboid
        with pytest.raises(AssertionError):
            jax.make_mesh((num,), ("members",), devices=chips[:num])
    monkeypatch.setattr(jax, "devices", lambda: chips)
    layout = pop.parse_layout("shard", num)
    mesh = pop.member_mesh(layout)
    assert list(mesh.devices) == chips[:num]
    assert mesh.axis_names == ("members",)
