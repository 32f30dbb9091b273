"""A population: many trainings (members), each with its own numbers and key, in one compiled program.

The arrays of a population have a leading axis of members. Its `Layout` says how the members run: one after another
(`lax.map`), side by side (`vmap`), or in blocks of some side by side; and on how many devices.
"""

import functools
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxgen.data.transfer import put_global
from jaxgen.errors import require
from jaxgen.training.step import Algorithm, TrainState, all_finite
from jaxgen.types import Batch, PopulationMetrics, StackedMetrics

AXIS = "members"
FINITE = "population/finite"
"""Name of the metric that is 1 if all other metrics of a member are finite at a step, else 0."""


@flax.struct.dataclass
class Member:
    """One training (or, with a leading axis p, all of them).

    Attributes:
      state: the `TrainState`.
      key: data of the base key of the steps, uint32 (2,).
      alive: bool; False for a member that diverged: it keeps its state from before that call and does not train.
      stream: int32, number of the stream of batches that it reads.
    """

    state: Any
    key: Any
    alive: Any
    stream: Any


@flax.struct.dataclass
class Population:
    """The number of steps done, an int32 scalar, and a `Member` whose arrays have a leading axis p."""

    step: Any
    members: Any


class Layout(NamedTuple):
    """The number of devices, and the number of members that run side by side on each; such blocks run in turn."""

    devices: int
    block: int


PopulationDispatch = Callable[[Population, Batch], tuple[Population, PopulationMetrics]]


def parse_layout(text: str, num_members: int) -> Layout:
    """Returns the layout that a text means: `vmap`, `map`, `shard`, `map:BLOCK` or `shard:BLOCK`.

    `vmap` runs all members side by side and `map` one after another, both on one device; `shard` runs them one after
    another on each of all devices. With `:4`, blocks of four run side by side.

    Raises:
      InputError: the text is another one, or asks for one device though there are several processes.
    """
    found = re.fullmatch(r"(vmap)|(map|shard)(?::([1-9]\d*))?", text)
    require(found is not None, "population", text, "auto, vmap, map, shard, map:BLOCK or shard:BLOCK")
    several = jax.process_count() > 1
    require(not several or text.startswith("shard"), "population", text, "auto or shard with several processes")
    devices = min(len(jax.devices()), num_members) if found[2] == "shard" else 1
    # each of several processes must have members
    devices = len(jax.devices()) if several else devices
    block = num_members if found[1] else int(found[3] or 1)
    on_each = -(-num_members // devices)
    return Layout(devices, max(n for n in range(1, on_each + 1) if on_each % n == 0 and n <= block))


def num_slots(layout: Layout, num_members: int) -> int:
    """Returns the number of places for members: a multiple of the devices; empty places cost almost nothing."""
    return -(-num_members // layout.devices) * layout.devices


def member_mesh(layout: Layout) -> Mesh:
    """Returns a mesh of one axis, "members", over the devices of the layout."""
    # of the devices in their order: `jax.make_mesh` refuses three of the eight chips of a TPU, which are no cuboid
    return Mesh(np.asarray(jax.devices()[: layout.devices]), (AXIS,), axis_types=(AxisType.Auto,))


def init_population(
    algorithm: Algorithm,
    layout: Layout,
    hparams: Sequence[Mapping[str, float]],
    seeds: Sequence[int],
    streams: Sequence[int],
) -> Population:
    """Returns the members before their first step, each as a single run with its seed would begin.

    Args:
      algorithm: the algorithm of all members.
      layout: decides the devices.
      hparams: numbers of each member.
      seeds: seed of each member.
      streams: number of the stream of batches of each member.
    """
    num, slots = len(seeds), num_slots(layout, len(seeds))
    pairs = [jax.random.split(jax.random.key(seed)) for seed in seeds]
    fill = functools.partial(np.resize, new_shape=slots)
    numbers = {name: fill(np.array([h[name] for h in hparams], np.float32)) for name in hparams[0]}
    keys = np.stack([jax.random.key_data(pairs[i % num]) for i in range(slots)])  # p 2 2
    alive, stream = np.arange(slots) < num, fill(np.array(streams, np.int32))

    def one(args: tuple[Any, ...]) -> Member:
        numbers, (key_init, key_steps), alive, stream = args
        return Member(algorithm.init(jax.random.wrap_key_data(key_init), numbers), key_steps, alive, stream)

    mesh, spread = member_mesh(layout), PartitionSpec(AXIS)
    local = jax.shard_map(
        functools.partial(lax.map, one), mesh=mesh, in_specs=(spread,), out_specs=spread, check_vma=False
    )
    members = jax.jit(local)((numbers, keys, alive, stream))
    return Population(jax.device_put(np.zeros((), np.int32), NamedSharding(mesh, PartitionSpec())), members)


def with_numbers(population: Population, hparams: Sequence[Mapping[str, float]]) -> Population:
    """Returns the population with these numbers of its members; empty places repeat them."""

    def put(name: str, old: Any) -> Any:
        values = np.resize(np.array([h[name] for h in hparams], np.float32), old.shape)
        return jax.make_array_from_callback(old.shape, old.sharding, lambda index: values[index])

    state = population.members.state
    state = state.replace(hparams={name: put(name, old) for name, old in state.hparams.items()})
    return population.replace(members=population.members.replace(state=state))


def shardings(layout: Layout) -> Population:
    """Returns the shardings of the two parts of a population."""
    mesh = member_mesh(layout)
    return Population(*(NamedSharding(mesh, spec) for spec in (PartitionSpec(), PartitionSpec(AXIS))))


def population_target(algorithm: Algorithm, layout: Layout, hparams: Mapping[str, float], slots: int) -> Population:
    """Returns the shapes of a population of so many slots, whole on every device: a target to restore into."""
    one = Member(
        jax.eval_shape(algorithm.init, jax.random.key(0), hparams),
        jax.ShapeDtypeStruct((2,), np.uint32),
        jax.ShapeDtypeStruct((), np.bool_),
        jax.ShapeDtypeStruct((), np.int32),
    )
    whole = NamedSharding(member_mesh(layout), PartitionSpec())
    members = jax.tree.map(lambda a: jax.ShapeDtypeStruct((slots, *a.shape), a.dtype, sharding=whole), one)
    return Population(jax.ShapeDtypeStruct((), np.int32, sharding=whole), members)


def spread_members(population: Population, layout: Layout, num_members: int) -> Population:
    """Returns a population from a checkpoint, with any number of slots, in the given layout."""
    index = np.minimum(np.arange(num_slots(layout, num_members)), num_members - 1)
    real = np.arange(len(index)) < num_members

    def spread(population: Population) -> Population:
        members = jax.tree.map(lambda x: x[index], population.members)
        return population.replace(members=members.replace(alive=members.alive & real))

    return jax.jit(spread, out_shardings=shardings(layout))(population)


def compile_population(algorithm: Algorithm, layout: Layout, *, together: bool = True) -> PopulationDispatch:
    """Returns compiled steps of all members: (population, batches (k, streams, b, ...)) -> metrics (k, p).

    The population is donated. A member whose metrics or state become non-finite keeps its state from before the call
    and does not train again; its metrics are 0 where `FINITE` is 0. Members do not influence each other.

    Args:
      algorithm: the algorithm whose `step` each member runs k times by `scan`.
      layout: how the members run.
      together: whether all members began at the same step. They then share one step counter, so that `vmap` keeps a
        `lax.cond` on it; with a counter for each member, both branches would be computed.
    """

    def run(population: Population, batches: Batch) -> tuple[Population, PopulationMetrics]:
        def local(step: jax.Array, members: Member, batches: Batch) -> tuple[Member, PopulationMetrics]:
            one = functools.partial(_train_member, algorithm, step if together else None, batches)
            if layout.block == len(members.alive):
                members, metrics = jax.vmap(one)(members)
            elif layout.block == 1:
                members, metrics = lax.map(functools.partial(_unless_dead, one), members)
            else:
                members, metrics = lax.map(one, members, batch_size=layout.block)
            return members, jax.tree.map(jnp.transpose, metrics)

        spread, whole = PartitionSpec(AXIS), PartitionSpec()
        members, metrics = jax.shard_map(
            local,
            mesh=member_mesh(layout),
            in_specs=(whole, spread, whole),
            out_specs=(spread, PartitionSpec(None, AXIS)),
            check_vma=False,  # no sums over devices
        )(population.step, population.members, batches)
        return Population(population.step + len(next(iter(metrics.values()))), members), metrics

    where, whole = shardings(layout), NamedSharding(member_mesh(layout), PartitionSpec())
    return jax.jit(run, in_shardings=(where, whole), out_shardings=(where, whole), donate_argnums=0)


def _train_member(
    algorithm: Algorithm, step: jax.Array | None, batches: Batch, member: Member
) -> tuple[Member, StackedMetrics]:
    """Runs k steps of one member; undoes them if anything in it becomes non-finite."""
    key = jax.random.wrap_key_data(member.key)
    own = jax.tree.map(lambda x: x[:, member.stream], batches)  # k b ...
    start = member.state if step is None else member.state.replace(step=step)
    state, metrics = lax.scan(lambda s, batch: algorithm.step(s, batch, key), start, own)
    finite = member.alive & jnp.stack([jnp.isfinite(value) for value in metrics.values()]).all(0)
    alive = finite.all() & all_finite(state)
    finite = finite.at[-1].set(alive)
    kept = jax.tree.map(functools.partial(jnp.where, alive), state, member.state)
    metrics = {name: jnp.where(finite, value, 0.0) for name, value in metrics.items()}
    return member.replace(state=kept, alive=alive), {**metrics, FINITE: finite.astype(jnp.float32)}


def _unless_dead(
    train_fn: Callable[[Member], tuple[Member, StackedMetrics]], member: Member
) -> tuple[Member, StackedMetrics]:
    """Runs `train_fn` for a member that is alive; for a dead one it returns zeros without computing."""
    _, metrics = jax.eval_shape(train_fn, member)
    nothing = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), metrics)
    return lax.cond(member.alive, train_fn, lambda member: (member, nothing), member)


def make_pick(layout: Layout) -> Callable[[Population, int], TrainState]:
    """Returns the function (population, i) -> state of member i, with a copy on every device of the layout."""
    whole = NamedSharding(member_mesh(layout), PartitionSpec())
    return jax.jit(lambda population, i: jax.tree.map(lambda x: x[i], population.members.state), out_shardings=whole)


def make_replace(layout: Layout) -> Callable[[Population, Any, Population], Population]:
    """Returns the function (population, chosen (p,) bool, fresh) -> population with the chosen members of `fresh`."""

    def replace(population: Population, chosen: jax.Array, fresh: Population) -> Population:  # donates `population`
        def pick(old: jax.Array, new: jax.Array) -> jax.Array:
            return jnp.where(chosen.reshape(-1, *(1,) * (old.ndim - 1)), new, old)

        return population.replace(members=jax.tree.map(pick, population.members, fresh.members))

    return jax.jit(replace, out_shardings=shardings(layout), donate_argnums=0)


class Measured(NamedTuple):
    """A timed layout: its name, the layout, the compiled call, and the seconds of a step of one member."""

    name: str
    layout: Layout
    dispatch: PopulationDispatch
    seconds: float


def candidate_names(num_members: int) -> list[str]:
    """Returns the names of the layouts that `auto` tries; no two mean the same layout."""
    names = ["shard", "shard:4", f"shard:{num_members}"]
    names = names if jax.process_count() > 1 else ["map", "vmap", "map:4", *names]
    layouts = {parse_layout(name, num_members): name for name in reversed(names)}
    return list(reversed(layouts.values()))


def measure_layout(
    algorithm: Algorithm, name: str, hparams: Sequence[Mapping[str, float]], batches: Batch, *, together: bool
) -> Measured:
    """Measures the time of a call of k steps with a layout, after one untimed call, on new members.

    Args:
      algorithm: the algorithm of the members.
      name: the layout, as text for `parse_layout`.
      hparams: numbers of each member.
      batches: arrays (k, streams, b, ...); all members read the first stream.
      together: see `compile_population`.
    """
    num = len(hparams)
    layout = parse_layout(name, num)
    dispatch = compile_population(algorithm, layout, together=together)
    population = init_population(algorithm, layout, hparams, range(num), [0] * num)
    placed = put_global(batches, NamedSharding(member_mesh(layout), PartitionSpec()))
    population, metrics = dispatch(population, placed)
    jax.block_until_ready(metrics)
    began = time.perf_counter()
    population, metrics = dispatch(population, placed)
    steps = num * len(jax.device_get(metrics)[FINITE])
    seconds = (time.perf_counter() - began) / steps
    if jax.process_count() > 1:  # so that all processes choose the same
        seconds = float(multihost_utils.broadcast_one_to_all(np.float32(seconds)))
    return Measured(name, layout, dispatch, seconds)
