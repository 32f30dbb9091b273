"""What a network is told, and what it should return: repairs asked for, others that stay, and true levels."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.degradations.compose import parse_damage
from jaxgen.tasks.restoration.algorithm import make_restoration
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationHparams
from jaxgen.tasks.restoration.examples import Example, told_example

IMAGES = jnp.asarray(np.random.default_rng(0).uniform(-0.8, 0.8, (400, 8, 8, 1)), jnp.float32)


def example(damage: str, *repairs: str, seed: int = 0) -> Example:
    make = jax.jit(partial(told_example, repairs), static_argnums=2)
    return jax.tree.map(np.asarray, make(jax.random.key(seed), IMAGES, parse_damage(damage)))


def test_what_is_asked_for_goes_and_what_is_not_stays() -> None:
    found = example("scratches:0.1", "scratches")
    told, scratched = found.degraded.levels[:, 0], (found.degraded.images != IMAGES).any((1, 2, 3))
    assert scratched.all()
    gone = (found.clean == np.asarray(IMAGES)).all((1, 2, 3))
    np.testing.assert_array_equal(gone, told != 0)
    np.testing.assert_array_equal(found.clean[~gone], found.degraded.images[~gone])
    assert gone.mean() == pytest.approx(0.7, abs=4 * (0.21 / 400) ** 0.5)
    assert (told < 0).sum() / gone.sum() == pytest.approx(0.3, abs=0.1)


def test_damage_of_no_repair_that_the_network_knows_belongs_to_the_picture() -> None:
    found = example("grain:0.1+scratches:0.1", "scratches")
    asked = found.degraded.levels[:, 0] != 0
    noisy = example("grain:0.1+scratches:0", "scratches").degraded.images
    np.testing.assert_array_equal(found.clean[asked], noisy[asked])
    np.testing.assert_array_equal(found.clean[~asked], found.degraded.images[~asked])


def test_missing_pixels_are_always_to_be_filled() -> None:
    found = example("pixels:0.5", "noise")
    np.testing.assert_array_equal(found.clean, IMAGES)
    assert 0.4 < found.degraded.masks.mean() < 0.6


def test_the_level_of_noise_is_what_it_changes() -> None:
    found = example("gaussian:0-0.06+rounding:1", "noise")
    change = np.sqrt(np.mean((found.degraded.images - IMAGES) ** 2, axis=(1, 2, 3))) / 2
    loud = change > 0.02
    np.testing.assert_allclose(found.levels[loud, 0], change[loud], rtol=0.06)
    told = found.degraded.levels[:, 0]
    ratio = told[loud & (told > 0)] / found.levels[loud & (told > 0), 0]
    assert np.log(ratio).std() == pytest.approx(0.15, rel=0.2)


def test_damage_that_changes_nothing_has_no_level() -> None:
    flat = jnp.zeros((4, 16, 16, 1))
    make = jax.jit(partial(told_example, ("jpeg",)), static_argnums=2)
    found = make(jax.random.key(0), flat, parse_damage("jpeg:0.6"))
    np.testing.assert_array_equal(found.levels, 0.0)
    assert (example("jpeg:0.6", "jpeg").levels == np.float32(0.6)).all()


@pytest.mark.slow
def test_a_told_network_learns_both_tasks() -> None:
    """One step moves the weights of the network and of its estimator, and its result depends on what it is told."""
    config = RestorationConfig(
        widths=(4,), depth=1, repairs=("noise",), schedule="damage:9", damage="gaussian:0.1-0.2", optimizer="adam"
    )
    algorithm = make_restoration(config, (16, 16, 1), 2)
    hparams = vars(RestorationHparams(noise_share=0.0, schedule_images=100.0))
    before = algorithm.init(jax.random.key(0), hparams)
    step, state = jax.jit(algorithm.step), before
    for _ in range(3):
        state, metrics = step(state, {"images": jnp.zeros((2, 16, 16, 1))}, jax.random.key(1))
    assert set(metrics) == {"loss/restorer", "loss/levels", "schedule/lr", "schedule/noise"}
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), before.params, state.params)["restorer"]
    assert all(any(jax.tree.leaves(moved[name])) for name in ("estimator", "Block_0", "Conv_0"))
    assert moved["Block_0"]["Dense_0"]["kernel"]
