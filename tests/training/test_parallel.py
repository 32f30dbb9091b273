"""Where batches and states lie, and what numbers of devices are accepted."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.errors import InputError
from jaxgen.training import parallel
from jaxgen.training.step import Algorithm, TrainState


def shapes(tree: Any) -> Any:
    """Shape of the part of each array that one device holds."""
    return jax.tree.map(lambda a: a.sharding.shard_shape(a.shape), tree)


def zeros(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def init(key: jax.Array, hparams: dict[str, Any]) -> TrainState:
    """A kernel (3, 6), a bias (5,) and a number."""
    params = {"net": {"kernel": jax.random.normal(key, (3, 6)), "bias": jnp.zeros(5)}}
    return TrainState(
        jnp.zeros((), jnp.int32),
        jnp.zeros((), jnp.int32),
        params,
        {"net": params["net"]},
        {},
        {"lr": hparams["lr"]},
        {},
    )


COUNTER = Algorithm(init, lambda *_: None, lambda *_: None, None, 1)


@pytest.mark.parametrize(("batch", "devices", "expected"), [(8, None, 8), (6, None, 6), (7, 7, 7), (10, None, 5)])
def test_the_most_devices_that_divide_the_batch(batch: int, devices: int | None, expected: int) -> None:
    mesh = parallel.make_mesh(batch, devices)
    assert (mesh.axis_names, mesh.devices.shape) == (("data", "model"), (expected, 1))
    assert list(mesh.devices.flat) == jax.devices()[:expected]


@pytest.mark.parametrize(
    ("batch", "devices", "shard", "message"),
    [
        (18, 9, 1, "devices: got 9; accepted: at most 8 on this machine"),
        (8, 3, 1, "batch_size: got 8; accepted: a multiple of the 3 devices"),
        (8, 4, 3, "devices: got 4; accepted: a multiple of 3"),
        (8, None, 3, "batch_size: got 8; accepted: a multiple of the 3 devices"),
        (16, None, 16, "devices: got 16; accepted: at most 8"),
    ],
)
def test_numbers_that_do_not_divide_are_refused(batch: int, devices: int | None, shard: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parallel.make_mesh(batch, devices, shard)


def test_on_a_cpu_volumes_stay_on_one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    volumes = (16, 16, 16, 1)
    assert parallel.make_mesh(8, shape=volumes).size == 1
    assert parallel.make_mesh(8, shape=volumes[1:]).size == 8
    assert parallel.make_mesh(8, 4, shape=volumes).size == 4
    assert parallel.make_mesh(8, None, 2, shape=volumes).size == 2
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert parallel.make_mesh(8, shape=volumes).size == 8


def test_parts_of_a_batch_are_spread() -> None:
    assert parallel.make_mesh(24, accumulate=4).size == 6
    with pytest.raises(
        InputError, match="batch_size: got 24; accepted: a multiple of the 8 devices times 4 micro-batches"
    ):
        parallel.make_mesh(24, 8, accumulate=4)


def test_a_batch_is_spread_over_both_axes() -> None:
    mesh = parallel.make_mesh(8, 8, 2)
    placed = jax.device_put(np.zeros((3, 8, 2)), parallel.batch_sharding(mesh))
    assert shapes(placed) == (3, 1, 2)


def test_a_state_is_cut_along_the_longest_axis_that_divides() -> None:
    mesh = parallel.make_mesh(8, 8, 2)
    tree = {"kernel": zeros(3, 3, 4, 6), "turned": zeros(8, 6), "odd": zeros(3, 5), "none": zeros(0), "number": zeros()}
    cut = {name: s.shard_shape(tree[name].shape) for name, s in parallel.state_sharding(mesh, tree).items()}
    assert cut == {"kernel": (3, 3, 4, 3), "turned": (4, 6), "odd": (3, 5), "none": (0,), "number": ()}
    whole = parallel.state_sharding(parallel.make_mesh(8, 8), tree)
    assert all(sharding.is_fully_replicated for sharding in whole.values())


def test_an_initial_state_is_made_where_it_will_live_with_the_same_values() -> None:
    states = [
        parallel.init_state(COUNTER, jax.random.key(0), {"lr": 0.1}, parallel.make_mesh(8, 4, shard))
        for shard in (1, 2)
    ]
    assert shapes(states[1].params) == shapes(states[1].opt_state) == {"net": {"kernel": (3, 3), "bias": (5,)}}
    jax.tree.map(np.testing.assert_array_equal, *states)


def test_alone_a_process_predicts_from_the_state_itself() -> None:
    state = parallel.init_state(COUNTER, jax.random.key(0), {"lr": 0.1}, parallel.make_mesh(8, 4))
    assert parallel.for_prediction(state) is state


@pytest.mark.parametrize(
    ("how", "message"), [({"accumulate": 2}, "accumulate: got 2"), ({"parallel": "pmap"}, "parallel")]
)
def test_an_algorithm_that_takes_no_gradient_accumulates_none(how: dict[str, Any], message: str) -> None:
    algorithm = COUNTER._replace(takes_gradient=False)
    with pytest.raises(InputError, match=f"{message}.* for this algorithm"):
        parallel.compile_steps(algorithm, jax.random.key(0), parallel.make_mesh(8, 4), **how)
