"""A population: many trainings with numbers and keys of their own, in one compiled program.

A population is a state whose leaves have a leading axis of members. How they run is a `Layout`: in turn (`lax.map`), side
by side (`vmap`), blocks of the second in the order of the first, and all of that on one device or spread over many.
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
from jaxgen.training.step import Algorithm, TrainState
from jaxgen.types import Batch, PopulationMetrics, StackedMetrics

AXIS = "members"
FINITE = "population/finite"
"""Metric of each step: 1 while all else that the member measures is finite."""


@flax.struct.dataclass
class Member:
    """One training (or, with a leading axis p, all of them).

    Attributes:
      state: a `TrainState`, what its step reads and changes.
      key: data of the base key of its steps, uint32 (2,).
      alive: bool; a member that diverged is kept as it last was while all was finite, and trains no more.
      stream: int32, which of the streams of batches is its own.
    """

    state: Any
    key: Any
    alive: Any
    stream: Any


@flax.struct.dataclass
class Population:
    """The number of steps that the whole has done, int32 scalar, and a `Member` whose leaves have a leading axis p."""

    step: Any
    members: Any


class Layout(NamedTuple):
    """How members run: over so many devices, on each of them in turn by blocks of so many side by side."""

    devices: int
    block: int


PopulationDispatch = Callable[[Population, Batch], tuple[Population, PopulationMetrics]]


def parse_layout(text: str, num_members: int) -> Layout:
    """`vmap` and `map` (one device), `shard` (all devices, in turn on each); `map:4`, `shard:4` in blocks of four.

    Raises:
      InputError: another text, or one device where several processes share the members.
    """
    found = re.fullmatch(r"(vmap)|(map|shard)(?::([1-9]\d*))?", text)
    require(found is not None, "population", text, "auto, vmap, map, shard, map:BLOCK or shard:BLOCK")
    several = jax.process_count() > 1
    require(not several or text.startswith("shard"), "population", text, "auto or shard with several processes")
    devices = min(len(jax.devices()), num_members) if found[2] == "shard" else 1
    # with several processes each of them must hold a part
    devices = len(jax.devices()) if several else devices
    block = num_members if found[1] else int(found[3] or 1)
    on_each = -(-num_members // devices)
    return Layout(devices, max(n for n in range(1, on_each + 1) if on_each % n == 0 and n <= block))


def num_slots(layout: Layout, num_members: int) -> int:
    """Places for members: a multiple of the devices. Those left over stay empty and cost next to nothing."""
    return -(-num_members // layout.devices) * layout.devices


def member_mesh(layout: Layout) -> Mesh:
    """A one-axis mesh ("members") over the layout's devices."""
    return jax.make_mesh((layout.devices,), (AXIS,), (AxisType.Auto,), devices=jax.devices()[: layout.devices])


def init_population(
    algorithm: Algorithm,
    layout: Layout,
    hparams: Sequence[Mapping[str, float]],
    seeds: Sequence[int],
    streams: Sequence[int],
) -> Population:
    """Members before their first step, each what a run of its own with this seed would begin with.

    Args:
      algorithm: of all members.
      layout: decides where they live.
      hparams: numbers of each member.
      seeds: of each member.
      streams: of each member, which stream of batches it reads.
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


def shardings(layout: Layout) -> Population:
    """Where the parts of a population live."""
    mesh = member_mesh(layout)
    return Population(*(NamedSharding(mesh, spec) for spec in (PartitionSpec(), PartitionSpec(AXIS))))


def population_target(algorithm: Algorithm, layout: Layout, hparams: Mapping[str, float], slots: int) -> Population:
    """Shapes of a population with so many slots, a copy on every device of the layout: what a checkpoint is read into."""
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
    """A population read from a checkpoint, of any number of slots, where the layout wants it."""
    index = np.minimum(np.arange(num_slots(layout, num_members)), num_members - 1)
    real = np.arange(len(index)) < num_members

    def spread(population: Population) -> Population:
        members = jax.tree.map(lambda x: x[index], population.members)
        return population.replace(members=members.replace(alive=members.alive & real))

    return jax.jit(spread, out_shardings=shardings(layout))(population)


def compile_population(algorithm: Algorithm, layout: Layout, *, together: bool = True) -> PopulationDispatch:
    """Train steps of all members in one compiled call: (population, batches (k, streams, b, ...)) -> metrics (k, p).

    The population given is donated. A member whose metrics or state stop being finite is kept as it was before the call
    and is dead from then on; its metrics are 0 where `FINITE` is 0. No member has an effect on another.

    Args:
      algorithm: whose `step` each member runs k times by `scan`.
      layout: how.
      together: all members began at the same step: their step counter is one number, so that under `vmap` a
        `lax.cond` on it stays one, where a counter for each member would have both branches computed.
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
            check_vma=False,  # nothing is summed over devices
        )(population.step, population.members, batches)
        return Population(population.step + len(next(iter(metrics.values()))), members), metrics

    where, whole = shardings(layout), NamedSharding(member_mesh(layout), PartitionSpec())
    return jax.jit(run, in_shardings=(where, whole), out_shardings=(where, whole), donate_argnums=0)


def _train_member(
    algorithm: Algorithm, step: jax.Array | None, batches: Batch, member: Member
) -> tuple[Member, StackedMetrics]:
    """k steps of one member, undone if anything in it stops being finite."""
    key = jax.random.wrap_key_data(member.key)
    own = jax.tree.map(lambda x: x[:, member.stream], batches)  # k b ...
    start = member.state if step is None else member.state.replace(step=step)
    state, metrics = lax.scan(lambda s, batch: algorithm.step(s, batch, key), start, own)
    finite = member.alive & jnp.stack([jnp.isfinite(value) for value in metrics.values()]).all(0)
    alive = finite.all() & _all_finite(state)
    finite = finite.at[-1].set(alive)
    kept = jax.tree.map(functools.partial(jnp.where, alive), state, member.state)
    metrics = {name: jnp.where(finite, value, 0.0) for name, value in metrics.items()}
    return member.replace(state=kept, alive=alive), {**metrics, FINITE: finite.astype(jnp.float32)}


def _unless_dead(
    train_fn: Callable[[Member], tuple[Member, StackedMetrics]], member: Member
) -> tuple[Member, StackedMetrics]:
    """What `train_fn` does for a member that is alive; a dead one takes no time."""
    _, metrics = jax.eval_shape(train_fn, member)
    nothing = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), metrics)
    return lax.cond(member.alive, train_fn, lambda member: (member, nothing), member)


def _all_finite(tree: Any) -> jax.Array:
    floats = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.stack([jnp.isfinite(x).all() for x in floats]).all()


def make_pick(layout: Layout) -> Callable[[Population, int], TrainState]:
    """(population, i) -> state of member i, with a copy on every device of the layout."""
    whole = NamedSharding(member_mesh(layout), PartitionSpec())
    return jax.jit(lambda population, i: jax.tree.map(lambda x: x[i], population.members.state), out_shardings=whole)


def make_replace(layout: Layout) -> Callable[[Population, Any, Population], Population]:
    """(population, chosen (p,) bool, fresh) -> population whose chosen members are those of `fresh`; donates it."""

    def replace(population: Population, chosen: jax.Array, fresh: Population) -> Population:
        def pick(old: jax.Array, new: jax.Array) -> jax.Array:
            return jnp.where(chosen.reshape(-1, *(1,) * (old.ndim - 1)), new, old)

        return population.replace(members=jax.tree.map(pick, population.members, fresh.members))

    return jax.jit(replace, out_shardings=shardings(layout), donate_argnums=0)


class Measured(NamedTuple):
    """A way to run members: its name, layout, compiled call and seconds of a step of one member."""

    name: str
    layout: Layout
    dispatch: PopulationDispatch
    seconds: float


def candidate_names(num_members: int) -> list[str]:
    """The ways that `auto` tries: each a layout of its own."""
    names = ["shard", "shard:4", f"shard:{num_members}"]
    names = names if jax.process_count() > 1 else ["map", "vmap", "map:4", *names]
    layouts = {parse_layout(name, num_members): name for name in reversed(names)}
    return list(reversed(layouts.values()))


def measure_layout(
    algorithm: Algorithm, name: str, hparams: Sequence[Mapping[str, float]], batches: Batch, *, together: bool
) -> Measured:
    """Times one call of k steps by this layout, after one that is not timed, on members of its own.

    Args:
      algorithm: of the members.
      name: of the layout.
      hparams: numbers of each member.
      batches: arrays (k, streams, b, ...); all members read the first stream.
      together: as `compile_population` takes it.
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
    if jax.process_count() > 1:  # all choose by the clock of the first
        seconds = float(multihost_utils.broadcast_one_to_all(np.float32(seconds)))
    return Measured(name, layout, dispatch, seconds)
