"""Every row of every table on images and on volumes: it works on both alike, or says which it takes."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxgen.degradations import blur, masks, noise, resampling
from jaxgen.degradations.compose import KINDS, Damage, degrade, mixture, parse_mixture
from jaxgen.degradations.jpeg import jpeg
from jaxgen.errors import InputError
from jaxgen.evaluation.classifier import MAX_SHIFT, shift
from jaxgen.losses.reconstruction import RECONSTRUCTION_LOSSES
from jaxgen.metrics.quality import psnr, ssim
from jaxgen.networks import layers
from jaxgen.networks.convolution import conv
from jaxgen.networks.inception import prepare_images
from jaxgen.networks.initial_fill import fill, suspected_impulses
from jaxgen.tasks.base import Facts
from jaxgen.tasks.gan.diffaugment import AUGMENTATIONS, augment_each
from jaxgen.tasks.restoration.algorithm import all_levels_of_noise, one_channel
from jaxgen.tasks.restoration.config import RestorationConfig
from jaxgen.tasks.restoration.pixels import require_any_size
from jaxgen.tasks.restoration.restorers import make_restorer
from jaxgen.types import Observation, per_image
from tests.stand_ins import restorer_of

DEPTH = 4
SIZES = {2: (6, 8), 3: (DEPTH, 6, 8)}
"""By number of spatial axes."""
KEY = jax.random.key(0)


def draw(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).uniform(-1.0, 1.0, shape), jnp.float32)


def volume_of(images: Any) -> jax.Array:
    """A volume of which all slices are the image."""
    return jnp.repeat(jnp.asarray(images)[:, None], DEPTH, axis=1)


def assert_slices(volumes: Any, images: Any, atol: float = 1e-5) -> None:
    """All slices are the image, to rounding."""
    np.testing.assert_allclose(volumes, np.repeat(np.asarray(images)[:, None], len(volumes[0]), axis=1), atol=atol)


# damage

SLICE_BY_SLICE = {"grey": 0.5}
"""Kinds that draw nothing and look along no axis: what they do to a slice they do to a volume of it."""
SHARES = {"pixels": 0.25, "boxes": 0.25, "missing_slices": 0.25}
"""Masks whose expected share is the level."""


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if 3 in kind.ranks])
def test_a_kind_of_damage_on_volumes(name: str) -> None:
    """Shapes; level 0 is the identity; volumes differ; a missing voxel is 0."""
    volumes, high = jnp.repeat(draw(1, *SIZES[3], 3), 3, axis=0), min(KINDS[name].highest, 3.0)
    images, known, sigma = jax.jit(KINDS[name].apply)(KEY, volumes, jnp.array([0.0, high, high]))
    assert (images.shape, known.shape, sigma) == (volumes.shape, (3, *SIZES[3], 1), None)
    np.testing.assert_array_equal(images[0], volumes[0])
    assert (np.asarray(images[1]) != np.asarray(volumes[1])).any()
    missing = np.broadcast_to(np.asarray(known) == 0.0, images.shape)
    assert missing.any() == (name in ("pixels", "boxes", "hole", "centre_hole", "missing_slices"))
    np.testing.assert_array_equal(np.asarray(images)[missing], 0.0)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if 3 not in kind.ranks])
def test_a_kind_of_damage_for_images_alone_says_so(name: str) -> None:
    with pytest.raises(InputError, match=rf"damage {name}: got volumes \(3 spatial axes\); accepted: images \(2\)"):
        degrade(KEY, draw(1, *SIZES[3], 3), (Damage(name, 0.1, 0.1),))


@pytest.mark.parametrize("name", SLICE_BY_SLICE)
def test_damage_without_draws_is_that_of_each_slice(name: str) -> None:
    images, level = draw(2, *SIZES[2], 3), jnp.full(2, SLICE_BY_SLICE[name])
    assert_slices(KINDS[name].apply(KEY, volume_of(images), level).images, KINDS[name].apply(KEY, images, level).images)


@pytest.mark.parametrize("name", SHARES)
def test_voxels_are_missing_with_the_probability_asked_for(name: str) -> None:
    num, share = 2000, SHARES[name]
    known = jax.jit(KINDS[name].apply)(KEY, jnp.zeros((num, 4, 5, 6, 1)), jnp.full(num, share)).masks
    missing = 1.0 - np.asarray(known)
    deviation = float(missing.mean((1, 2, 3, 4)).std()) / num**0.5
    assert missing.mean() == pytest.approx(share, abs=4 * deviation)
    np.testing.assert_allclose(missing.mean(0), share, atol=5 * (share * (1 - share) / num) ** 0.5)


def test_holes_are_cubes() -> None:
    centre = np.asarray(masks.centre_hole((1, 5, 6, 7), jnp.array([3.0])))[0, ..., 0]
    expected = np.ones((5, 6, 7))
    expected[1:4, 1:4, 2:5] = 0
    np.testing.assert_array_equal(centre, expected)
    anywhere = 1 - np.asarray(masks.random_hole(KEY, (50, 5, 6, 7), jnp.full(50, 2.0)))[..., 0]
    np.testing.assert_array_equal(anywhere.sum((1, 2, 3)), 8)
    for axis in range(3):
        starts = anywhere.any(tuple(i + 1 for i in range(3) if i != axis)).argmax(1)
        assert set(starts) == set(range(4 + axis))


def test_noise_of_volumes_has_the_same_deviation() -> None:
    clean = jnp.zeros((2, 16, 16, 16, 3))
    for fn in (noise.gaussian_noise, noise.correlated_gaussian_noise):
        result = np.asarray(fn(KEY, clean, jnp.array([0.1, 0.3])))
        np.testing.assert_allclose(np.sqrt((result**2).mean((1, 2, 3, 4))), [0.2, 0.6], rtol=0.03)


def test_damage_one_after_another_and_mixtures_take_volumes() -> None:
    volumes = draw(5, *SIZES[3], 1)
    choices = parse_mixture("gaussian:0.1+pixels:0.5|downsample:0.5|gaussian:0")
    result = jax.jit(lambda x: mixture(KEY, x, choices))(volumes)
    assert (result.images.shape, result.masks.shape) == (volumes.shape, volumes.shape)
    np.testing.assert_array_equal(np.asarray(result.images)[np.asarray(result.masks) == 0], 0.0)
    both = (Damage("pixels", 0.5, 0.5), Damage("gaussian", 0.1, 0.1))
    shuffled = jax.eval_shape(lambda x: degrade(KEY, x, both, random_order=True), volumes)
    assert shuffled.images.shape == volumes.shape


def in_plane(angle: float) -> jax.Array:
    """An axis within the slices, (d, h, w)."""
    return jnp.array([[0.0, np.sin(angle), np.cos(angle)]], jnp.float32)


def test_a_gaussian_blur_of_volumes_is_that_of_the_slices_and_one_along_each_axis() -> None:
    images, widths = draw(1, *SIZES[2], 2), (jnp.array([1.5]), jnp.array([0.7]))
    volume_kernels = blur.gaussian_kernels_along(*widths, in_plane(0.4), 7)
    np.testing.assert_allclose(jnp.sum(volume_kernels), 1.0, atol=1e-6)
    flat = blur.gaussian_kernels(*widths, jnp.array([0.4]), 7)
    apply = jax.jit(blur.blur)
    assert_slices(apply(volume_of(images), volume_kernels), apply(images, flat))
    line = np.exp(-0.5 * (np.arange(-3, 4) / 0.7) ** 2)  # the same in all directions: a product of Gaussians
    cube = line[:, None, None] * line[:, None] * line
    round_kernels = blur.gaussian_kernels_along(widths[1], widths[1], in_plane(1.0), 7)
    np.testing.assert_allclose(round_kernels[0], cube / cube.sum(), atol=1e-6)


LINEAR: dict[str, Callable[[jax.Array], jax.Array]] = {
    "mask": lambda x: masks.apply_mask(x, masks.random_pixels(KEY, x.shape[:-1], jnp.full(len(x), 0.4))),
    "blur": lambda x: blur.blur(x, blur.gaussian_kernels_along(jnp.array([1.2, 0.4]), jnp.array([0.5, 0.4]), AXES, 5)),
    "lower resolution": lambda x: resampling.lower_resolution(x, jnp.array([2.0, 1.7])),
    "missing slices": lambda x: masks.apply_mask(x, masks.missing_slices(KEY, x.shape[:-1], jnp.full(len(x), 0.4))),
    "thick slices": lambda x: resampling.thick_slices(KEY, x, jnp.array([2.0, 1.7])),
    "grey": lambda x: resampling.grey(x, jnp.array([0.3, 1.0])),
    "translation": lambda x: AUGMENTATIONS["translation"](KEY, x),
    "cutout": lambda x: AUGMENTATIONS["cutout"](KEY, x),
}
"""Linear damage and augmentation of volumes, (2, 4, 6, 8, 3)."""
AXES = jnp.array([[1.0, 0.0, 0.0], [0.6, 0.0, 0.8]])


@pytest.mark.parametrize("name", LINEAR)
def test_adjoints_of_linear_damage_of_volumes(name: str) -> None:
    x = draw(2, *SIZES[3], 3)
    y = jax.jit(LINEAR[name])(x)
    other = draw(*y.shape, seed=1)
    (back,) = jax.jit(jax.linear_transpose(LINEAR[name], x))(other)
    assert float(jnp.vdot(y, other)) == pytest.approx(float(jnp.vdot(x, back)), rel=1e-4, abs=1e-3)
    assert float(jnp.abs(y).max()) > 0.1


SAME_ON_SLICES: dict[str, Callable[[jax.Array], jax.Array]] = {
    "lower resolution": lambda x: resampling.lower_resolution(x, jnp.array([2.0, 1.0])),
    "luma": resampling.luma,
    "suspected_impulses": lambda x: suspected_impulses(jnp.round(x)),
    "binomial blur": layers.binomial_blur,
    "upsample": layers.upsample,
    "downsample": layers.downsample,
    "one channel": lambda x: one_channel(x, jnp.array([True, False])),
}
"""Functions of images, (2, 6, 8, 3), that repeat edges or look along no axis."""


@pytest.mark.parametrize("name", SAME_ON_SLICES)
def test_a_volume_of_equal_slices_gives_what_the_slice_gives(name: str) -> None:
    images = draw(2, *SIZES[2], 3)
    fn = jax.jit(SAME_ON_SLICES[name])
    assert_slices(fn(volume_of(images)), fn(images))


def test_jpeg_inception_photographs_and_strokes_name_what_they_take() -> None:
    volumes = draw(1, *SIZES[3], 3)
    for fn in (lambda x: jpeg(x, jnp.array([50.0])), prepare_images):
        with pytest.raises(InputError, match=r"images: got volumes \(3 spatial axes\); accepted: images \(2\)"):
            fn(volumes)
    volumes = restorer_of(None)._replace(facts=Facts((8, 8, 8, 1), name="x"))
    with pytest.raises(InputError, match=r"model: got 'x'; accepted: a network for images \(2 spatial axes\)"):
        require_any_size(volumes)
    with pytest.raises(AssertionError, match="2 spatial axes"):
        masks.brush_strokes(KEY, (1, 4, 4, 4), jnp.array([0.2]))
    with pytest.raises(InputError, match=r"shape: got .*; accepted: .*volumes"):
        make_restorer(RestorationConfig(), (8, 1))


# augmentation, losses, measures


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentations_of_volumes(name: str) -> None:
    """Each volume by its own draws, as if it were alone."""
    volumes, keys = draw(3, 8, 8, 16, 2), jax.random.split(KEY, 3)
    result = jax.jit(augment_each, static_argnums=2)(keys, volumes, (name,))
    assert result.shape == volumes.shape
    alone = jax.jit(AUGMENTATIONS[name])(jax.random.fold_in(keys[1], 0), volumes[1:2])
    np.testing.assert_allclose(result[1:2], alone, atol=1e-6)


def test_colour_is_that_of_each_slice() -> None:
    images = draw(2, *SIZES[2], 3)
    assert_slices(AUGMENTATIONS["color"](KEY, volume_of(images)), AUGMENTATIONS["color"](KEY, images))


def test_cutout_of_volumes_blanks_a_cube_and_translation_moves_by_whole_voxels() -> None:
    volumes = 2.0 + draw(20, 8, 8, 16, 1)
    gone = np.asarray(AUGMENTATIONS["cutout"](KEY, volumes) == 0)[..., 0]
    for hole in gone:
        box = np.ix_(*(np.flatnonzero(hole.any(tuple(j for j in range(3) if j != i))) for i in range(3)))
        assert hole[box].all()
        assert (np.array(hole[box].shape) <= (4, 4, 8)).all()
    moved = np.asarray(AUGMENTATIONS["translation"](KEY, volumes))[0, ..., 0]
    padded = np.pad(np.asarray(volumes)[0, ..., 0], ((1, 1), (1, 1), (2, 2)))
    views = np.lib.stride_tricks.sliding_window_view(padded, moved.shape).reshape(-1, *moved.shape)
    assert sum(np.array_equal(view, moved) for view in views) == 1


def test_shifts_of_volumes_repeat_the_edge() -> None:
    volumes = draw(4, 3, 4, 5, 1)
    moved = np.asarray(shift(KEY, volumes))
    for before, after in zip(np.asarray(volumes), moved, strict=True):
        padded = np.pad(before[..., 0], MAX_SHIFT, mode="edge")
        views = np.lib.stride_tricks.sliding_window_view(padded, after.shape[:-1]).reshape(-1, *after.shape[:-1])
        assert any(np.array_equal(view, after[..., 0]) for view in views)


@pytest.mark.parametrize("name", RECONSTRUCTION_LOSSES)
def test_losses_of_volumes_of_equal_slices_are_those_of_the_slice(name: str) -> None:
    loss, (a, b) = RECONSTRUCTION_LOSSES[name], (draw(3, *SIZES[2], 2), draw(3, *SIZES[2], 2, seed=1))
    result = loss(volume_of(a), volume_of(b))
    assert result.shape == (3,)
    np.testing.assert_allclose(result, loss(a, b), rtol=1e-5)


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_measures_of_volumes_of_equal_slices_are_those_of_the_slice(measure: Any) -> None:
    clean = np.random.default_rng(0).integers(0, 256, (2, 13, 12, 3)).astype(np.uint8)
    restored = (clean * 0.9).astype(np.uint8)
    volumes = [np.repeat(x[:, None], 11, axis=1) for x in (restored, clean)]
    np.testing.assert_allclose(measure(*volumes), measure(restored, clean), rtol=1e-9)


def test_similarity_of_volumes_needs_the_window_along_every_axis() -> None:
    small = np.zeros((1, 10, 12, 12, 1), np.uint8)
    with pytest.raises(InputError, match=r"accepted: d, h and w 11 or more"):
        ssim(small, small)


def test_noise_of_the_first_phase_takes_volumes() -> None:
    volumes = draw(2, *SIZES[3], 2)
    seen = all_levels_of_noise(KEY, volumes, True).degraded
    assert seen.images.shape == volumes.shape
    np.testing.assert_array_equal(seen.masks, np.full((2, *SIZES[3], 1), 0.5))
    levels = jnp.array([1.0, 2.0])
    np.testing.assert_array_equal(per_image(levels, volumes), np.array([1.0, 2.0]).reshape(2, 1, 1, 1, 1))


# layers and networks


def plain_conv(x: jax.Array, kernel: jax.Array, padding: Any = "SAME") -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (1, 1, 1), padding, dimension_numbers=("NDHWC", "DHWIO", "NDHWC"))


@pytest.mark.parametrize(
    ("taps", "padding"), [((3, 3, 3), None), ((4, 1, 2), None), ((2, 3, 3), ((2, 3), (0, 1), (1, 1)))]
)
def test_convolutions_of_volumes_and_their_gradients_are_those_of_xla(taps: tuple[int, ...], padding: Any) -> None:
    x, kernel = draw(2, *SIZES[3], 2), draw(*taps, 2, 3, seed=1)

    def slopes(fn: Any) -> Any:
        def penalty(x: jax.Array, kernel: jax.Array) -> jax.Array:  # differentiated twice
            return jnp.sum(jnp.square(jax.grad(lambda x: jnp.sum(jnp.square(fn(x, kernel))))(x)))

        return jax.jit(lambda x, kernel: (fn(x, kernel), jax.grad(penalty, (0, 1))(x, kernel)))(x, kernel)

    found = slopes(lambda x, kernel: conv(x, kernel, padding))
    expected = slopes(lambda x, kernel: plain_conv(x, kernel, padding or "SAME"))
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-4 * np.abs(e).max()), found, expected)


def test_convolutions_of_volumes_in_a_map_over_members() -> None:
    x, kernels = draw(2, *SIZES[3], 2), draw(3, 3, 3, 3, 2, 2, seed=1)
    found = jax.jit(jax.vmap(jax.grad(lambda k: jnp.sum(jnp.square(conv(x, k))))))(kernels)
    slope = jax.jit(jax.grad(lambda k: jnp.sum(jnp.square(plain_conv(x, k)))))
    expected = jnp.stack([slope(k) for k in kernels])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("rank", [2, 3])
def test_rearrangement_is_undone(rank: int) -> None:
    x = draw(2, *SIZES[rank], 3)
    halves = layers.space_to_depth(x)
    assert halves.shape == (2, *(size // 2 for size in SIZES[rank]), 3 * 2**rank)
    np.testing.assert_array_equal(layers.depth_to_space(halves), x)


def test_missing_voxels_of_a_smooth_volume_are_filled() -> None:
    """A slope along each axis in the middle; the steps stay stable over three axes."""
    places = np.stack(np.meshgrid(*(np.linspace(-1, 1, 16),) * 3, indexing="ij"))
    volume = jnp.asarray(places.mean(0)[None, ..., None], jnp.float32)
    known = jnp.asarray(np.random.default_rng(0).random((1, 16, 16, 16, 1)) < 0.5, jnp.float32)
    filled = np.asarray(jax.jit(functools.partial(fill, levels=3))(volume * known, known))
    np.testing.assert_array_equal(filled[np.asarray(known) == 1], np.asarray(volume)[np.asarray(known) == 1])
    inside = (0, *(slice(3, -3),) * 3)
    np.testing.assert_allclose(filled[inside], volume[inside], atol=0.06)


RESTORERS = {
    "inverse": RestorationConfig(architecture="inverse", widths=(2,), depth=1),
    "dense": RestorationConfig(architecture="dense"),
    "recurrent": RestorationConfig(architecture="recurrent", widths=(2,), blocks=1, iterations=2),
}


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("name", RESTORERS)
def test_a_restorer_has_estimates_of_images_and_volumes(name: str, rank: int) -> None:
    sizes = (3, 5, 6)[:rank]
    config = dataclasses.replace(RESTORERS[name], widths=(2, 3))
    network, seen = make_restorer(config, (*sizes, 2)), Observation(jnp.zeros((2, *sizes, 2)))
    params = jax.eval_shape(network.init, KEY, seen)
    found = jax.eval_shape(functools.partial(network.apply, method="estimates"), params, seen)
    assert (found.shape, found.dtype) == ((2 if name == "recurrent" else 1, 2, *sizes, 2), jnp.float32)
    assert jax.eval_shape(network.apply, params, seen).shape == (2, *sizes, 2)


@pytest.mark.parametrize("name", RESTORERS)
def test_volumes_are_restored_where_they_are_missing_and_their_known_voxels_kept(name: str) -> None:
    config = dataclasses.replace(RESTORERS[name], keep_known=True)
    network, volumes = make_restorer(config, (3, 5, 6, 2)), draw(2, 3, 5, 6, 2)
    known = (draw(2, 3, 5, 6, 1, seed=1) > 0).astype(jnp.float32)
    seen = Observation(volumes * known, known, jnp.array([0.1, 0.2]))
    found, _ = jax.jit(functools.partial(network.init_with_output, method="estimates"))(KEY, seen)
    there = np.broadcast_to(np.asarray(known) > 0, volumes.shape)
    for estimate in np.asarray(found):
        np.testing.assert_array_equal(estimate[there], np.asarray(volumes)[there])
        assert (estimate[~there] != 0.0).all()
        assert np.isfinite(estimate).all()
