"""Damage as data: the grammar, sequences, orders and mixtures."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxgen.degradations.compose import (
    KINDS,
    Damage,
    degrade,
    format_damage,
    format_mixture,
    mixture,
    parse_damage,
    parse_mixture,
)
from jaxgen.degradations.jpeg import jpeg
from jaxgen.degradations.resampling import grey
from jaxgen.errors import InputError
from jaxgen.types import Observation


def noise_images(b: int, size: int = 16, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).uniform(-0.9, 0.9, (b, size, size, 3)), jnp.float32)


def damages() -> st.SearchStrategy[Damage]:
    def of_kind(kind: str) -> st.SearchStrategy[Damage]:
        level = st.floats(0, KINDS[kind].highest)
        return st.tuples(level, level).map(lambda ends: Damage(kind, min(ends), max(ends)))

    return st.sampled_from(sorted(KINDS)).flatmap(of_kind)


sequences = st.lists(damages(), min_size=1, max_size=4).map(tuple)


@given(st.lists(sequences, min_size=1, max_size=3).map(tuple))
@settings(max_examples=50, deadline=None)
def test_what_is_written_is_read_back(choices: tuple[tuple[Damage, ...], ...]) -> None:
    assert parse_mixture(format_mixture(choices)) == choices
    assert parse_damage(format_damage(choices[0])) == choices[0]


@given(st.text("abgin:-+|.0159 e", max_size=12))
@settings(max_examples=100, deadline=None)
def test_no_text_does_anything_but_be_read_or_refused(text: str) -> None:
    try:
        choices = parse_mixture(text)
    except InputError:
        return
    assert all(0 <= d.low <= d.high <= KINDS[d.kind].highest for sequence in choices for d in sequence)


def test_the_grammar() -> None:
    assert parse_damage("gaussian:0-0.2+jpeg:.1-0.9") == (Damage("gaussian", 0, 0.2), Damage("jpeg", 0.1, 0.9))
    assert parse_damage(" hole : 12 ") == (Damage("hole", 12, 12),)
    assert parse_mixture("grey:1|pixels:0.2-0.5+jpeg:1.") == (
        (Damage("grey", 1, 1),), (Damage("pixels", 0.2, 0.5), Damage("jpeg", 1, 1)),
    )  # fmt: skip
    assert format_damage(parse_damage("gaussian:0.00001-0.20+hole:12.0")) == "gaussian:0.00001-0.2+hole:12"


@pytest.mark.parametrize(
    "text",
    ["", "gaussian", "gaussian:", "gaussian:-0.1", "gaussian:0.1-", "gaussian:1e-3", "gaussian:0.1+", "gaussian:²"],
)
def test_what_cannot_be_read_is_refused_with_the_grammar(text: str) -> None:
    with pytest.raises(
        InputError, match=r"^damage: got .*; accepted: KIND:LOW-HIGH .* gaussian 1, .* hole 256$"
    ) as caught:
        parse_damage(text)
    assert repr(text) in str(caught.value)


def test_unknown_kinds_and_levels_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match=r"^damage: got 'gauss:0.1'; accepted: kinds and .* gaussian 1, "):
        parse_damage("gauss:0.1")
    for text in ("gaussian:0.3-0.2", "jpeg:0.1+gaussian:0-1.01"):
        with pytest.raises(InputError, match=r"gaussian:LOW-HIGH with 0 <= LOW <= HIGH <= 1 \(standard deviation\)$"):
            parse_damage(text)
    for bad in (Damage("gauss", 0, 1), Damage("gaussian", 0, 2)):
        with pytest.raises(InputError, match="damage"):
            degrade(jax.random.key(0), noise_images(1), (bad,))
    with pytest.raises(InputError, match="one or more choices"):
        mixture(jax.random.key(0), noise_images(1), ())


def test_levels_are_uniform_in_their_range_one_an_image() -> None:
    images = jnp.asarray(np.full((4000, 1, 1, 3), [1.0, 0.0, 0.0]), jnp.float32)  # luma 0.299
    run = jax.jit(partial(degrade, damages=parse_damage("grey:0.2-0.6")))
    amount = (1 - np.asarray(run(jax.random.key(0), images).images)[:, 0, 0, 0]) / (1 - 0.299)
    assert 0.2 <= amount.min() + 1e-5 < 0.21
    assert 0.59 < amount.max() - 1e-5 <= 0.6
    assert amount.mean() == pytest.approx(0.4, abs=0.008)
    assert amount.std() == pytest.approx(0.4 / 12**0.5, rel=0.04)
    fixed = jax.jit(partial(degrade, damages=parse_damage("grey:0.25")))(jax.random.key(0), images[:5]).images
    np.testing.assert_allclose(fixed[:, 0, 0, 1], 0.25 * 0.299, rtol=1e-5)


def test_damages_follow_each_other_as_written() -> None:
    images = noise_images(2)
    first, then = jax.jit(lambda x: grey(x, jnp.full((2,), 0.9))), jax.jit(lambda x: jpeg(x, jnp.full((2,), 20.0)))
    run = jax.jit(degrade, static_argnums=(2, 3))
    result = run(jax.random.key(0), images, parse_damage("grey:0.9+jpeg:0.8"))
    np.testing.assert_allclose(result.images, then(first(images)), atol=1e-5)
    swapped = run(jax.random.key(0), images, parse_damage("jpeg:0.8+grey:0.9"))
    np.testing.assert_allclose(swapped.images, first(then(images)), atol=1e-5)
    assert np.abs(np.asarray(result.images - swapped.images)).max() > 0.01
    nothing = degrade(jax.random.key(0), images, ())
    np.testing.assert_array_equal(nothing.images, images)
    np.testing.assert_array_equal(nothing.masks, 1.0)


def test_in_random_order_every_order_comes_as_often() -> None:
    """Of six orders salt and pepper is seen after three (last, or before grey alone), grey in between after one."""
    images, sequence = noise_images(1, 8), parse_damage("salt_and_pepper:1+random_impulse:1+grey:1")
    run = jax.jit(jax.vmap(lambda key: degrade(key, images, sequence, True).images[0]))
    results = np.asarray(run(jax.random.split(jax.random.key(0), 300)))
    extreme = (np.abs(results) > 0.999).all((1, 2, 3))
    grey = (np.ptp(results, axis=3) < 1e-5).all((1, 2))
    for found, share in ((extreme & grey, 1 / 2), (~extreme & ~grey, 1 / 3), (~extreme & grey, 1 / 6)):
        assert found.mean() == pytest.approx(share, abs=4 * (share * (1 - share) / 300) ** 0.5)


def test_a_step_has_draws_of_its_own() -> None:
    images = jnp.zeros((2, 32, 32, 1))
    run = jax.jit(degrade, static_argnums=2)
    twice = np.asarray(run(jax.random.key(0), images, parse_damage("gaussian:0.1+gaussian:0.1")).images)
    assert twice.std() == pytest.approx(0.2 * 2**0.5, rel=0.05)  # the same draws would give 0.4


def test_masks_multiply_and_missing_pixels_stay_mid_grey() -> None:
    images = noise_images(4, 32) + 2.0
    text = "centre_hole:8+pixels:0.3+gaussian:0.1+grey:1"
    result = jax.jit(partial(degrade, damages=parse_damage(text)))(jax.random.key(0), images)
    masks = np.asarray(result.masks)
    assert not masks[:, 12:20, 12:20].any()
    assert (1 - masks).mean() == pytest.approx(1 - 0.7 * (1 - 64 / 1024), abs=0.03)
    np.testing.assert_array_equal(np.asarray(result.images) == 0, np.broadcast_to(masks == 0, images.shape))


CHOICES = parse_mixture("centre_hole:2|centre_hole:4|centre_hole:6+gaussian:0")


def widths(result: Observation) -> np.ndarray:
    return np.sqrt((np.asarray(result.masks) == 0).sum((1, 2, 3)))


@pytest.mark.parametrize("b", [1, 6])
def test_a_mixture_damages_each_image_in_one_way_and_in_its_place(b: int) -> None:
    images = noise_images(b) + 2.0
    run = jax.jit(partial(mixture, choices=CHOICES))
    for seed in range(3):
        result = run(jax.random.key(seed), images)
        assert set(widths(result)) <= {2, 4, 6}
        np.testing.assert_array_equal(result.images, np.asarray(images) * np.asarray(result.masks))
        if b == 6:
            np.testing.assert_array_equal(np.sort(widths(result).reshape(2, 3), 1), [[2, 4, 6]] * 2)


def test_a_mixture_chooses_uniformly_at_every_place() -> None:
    images = noise_images(5, 8)
    run = jax.jit(jax.vmap(lambda key: mixture(key, images, CHOICES)))
    result = run(jax.random.split(jax.random.key(0), 900))
    drawn = np.sqrt((np.asarray(result.masks) == 0).sum((2, 3, 4)))
    for width in (2, 4, 6):
        np.testing.assert_allclose((drawn == width).mean(0), 1 / 3, atol=4 * (2 / 9 / 900) ** 0.5)
    # rows draw orders of their own: the fourth image knows nothing of the first
    assert (drawn[:, 0] == drawn[:, 3]).mean() == pytest.approx(1 / 3, abs=4 * (2 / 9 / 900) ** 0.5)


def test_a_mixture_of_one_is_a_sequence_and_choices_draw_apart() -> None:
    images = jnp.zeros((4, 16, 16, 1))
    run = jax.jit(mixture, static_argnums=2)
    alone = np.asarray(run(jax.random.key(0), images, parse_mixture("gaussian:0.1")).images)
    assert alone.std() == pytest.approx(0.2, rel=0.1)
    pair = np.asarray(run(jax.random.key(0), images, parse_mixture("gaussian:0.1|gaussian:0.1")).images)
    assert len(np.unique(pair)) > 0.99 * pair.size


def test_a_batch_over_devices_is_damaged_as_one_on_a_single_device() -> None:
    images, choices = noise_images(8), parse_mixture("gaussian_blur:1|pixels:0.3")
    mesh = jax.make_mesh((2,), ("data",), (AxisType.Auto,), devices=jax.devices()[:2])
    spread = jax.device_put(images, NamedSharding(mesh, PartitionSpec("data")))
    run = jax.jit(partial(mixture, choices=choices))
    one, two = run(jax.random.key(0), images), run(jax.random.key(0), spread)
    np.testing.assert_array_equal(one.masks, two.masks)
    np.testing.assert_allclose(one.images, two.images, atol=1e-5)
