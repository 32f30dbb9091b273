"""Masks: shares, places and shapes of what is missing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from jaxgen.degradations.masks import (
    apply_mask,
    brush_strokes,
    centre_hole,
    random_boxes,
    random_hole,
    random_pixels,
    scratches,
)

RANDOM = [random_pixels, random_boxes, brush_strokes]


def draw(fn, shape: tuple[int, int, int], levels: np.ndarray, seed: int = 0) -> np.ndarray:
    """What is missing, bool (b, h, w); fails if a mask is something else than 0 and 1."""
    masks = np.asarray(jax.jit(fn, static_argnums=1)(jax.random.key(seed), shape, jnp.asarray(levels, jnp.float32)))
    assert masks.shape == (*shape, 1)
    assert masks.dtype == np.float32
    assert set(np.unique(masks)) <= {0.0, 1.0}
    return masks[..., 0] == 0


@pytest.mark.parametrize("fn", RANDOM)
def test_each_image_has_its_own_share_and_mask(fn) -> None:
    missing = draw(fn, (5, 32, 24), np.array([0, 0.3, 0.3, 0.8, 1]))
    assert not missing[0].any()
    assert missing[4].all()
    assert not np.array_equal(missing[1], missing[2])
    assert missing[3].mean() > 1.3 * missing[1].mean()
    np.testing.assert_array_equal(missing, draw(fn, (5, 32, 24), np.array([0, 0.3, 0.3, 0.8, 1])))
    assert not np.array_equal(missing[1], draw(fn, (5, 32, 24), np.array([0, 0.3, 0.3, 0.8, 1]), seed=1)[1])


def test_random_pixels_are_missing_independently() -> None:
    missing = draw(random_pixels, (2, 64, 64), np.array([0.2, 0.7]))
    for image, share in zip(missing, (0.2, 0.7), strict=True):
        assert image.mean() == pytest.approx(share, abs=4 * (share * (1 - share)) ** 0.5 / 64)
        for axis in (0, 1):
            assert abs(np.corrcoef(image.ravel(), np.roll(image, 1, axis).ravel())[0, 1]) < 0.06


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7])
def test_boxes_cover_their_share_on_average_and_every_pixel_as_often(share: float) -> None:
    missing = draw(random_boxes, (2000, 12, 20), np.full(2000, share))
    assert missing.mean() == pytest.approx(share, abs=0.01)
    spread = 5 * (share * (1 - share) / 2000) ** 0.5
    np.testing.assert_allclose(missing.mean(0), share, atol=spread)


def test_boxes_are_boxes_of_different_proportions() -> None:
    missing = draw(random_boxes, (300, 48, 48), np.full(300, 0.04))
    tall, wide = [], []
    for image in missing:
        labels, num = scipy.ndimage.label(image)
        assert num <= 8  # four, some of them cut in two by the edges
        boxes = scipy.ndimage.find_objects(labels)
        full = [box for i, box in enumerate(boxes) if (labels[box] == i + 1).all()]
        inside = [box for box in full if all(s.start > 0 and s.stop < 48 for s in box)]
        tall += [box[0].stop - box[0].start for box in inside]
        wide += [box[1].stop - box[1].start for box in inside]
    assert len(tall) > 300
    ratio = np.array(tall) / np.array(wide)
    assert ratio.min() < 0.7
    assert ratio.max() > 1.4
    assert abs(np.log(ratio).mean()) < 0.1
    assert np.mean(np.array(tall) * np.array(wide)) == pytest.approx(48**2 * (1 - 0.96**0.25), rel=0.06)


@pytest.mark.parametrize("shape", [(40, 48), (64, 32)])
def test_strokes_cover_exactly_their_share_and_are_few_connected_pieces(shape: tuple[int, int]) -> None:
    shares = np.repeat([0.02, 0.1, 0.3, 0.6], 8)
    missing = draw(brush_strokes, (32, *shape), shares)
    np.testing.assert_allclose(missing.sum((1, 2)), np.rint(shares * shape[0] * shape[1]), atol=2)
    # a stroke is in one piece; one more for each sixteenth of the image
    for image, share in zip(missing, shares, strict=True):
        assert scipy.ndimage.label(image, np.ones((3, 3)))[1] <= (1 + share * 16 if share > 0.05 else 8)
    assert missing[8:16].mean(0).max() < 1  # not the same place in every image
    edges = np.concatenate([missing[16:24, 0].ravel(), missing[16:24, -1].ravel()])
    assert 0.02 < edges.mean() < 0.7


def test_strokes_are_long_and_their_width_varies() -> None:
    missing = draw(brush_strokes, (40, 64, 64), np.full(40, 0.05))
    extents, thickness = [], []
    for image in missing:
        rows, columns = np.nonzero(image)
        extents.append(max(np.ptp(rows), np.ptp(columns)))
        thickness.append(2 * scipy.ndimage.distance_transform_edt(image).max())
    assert np.median(extents) > 20
    assert np.median(thickness) < 12  # a disk of this share is 16 wide


def test_strokes_follow_the_image_in_size() -> None:
    small, large = (draw(brush_strokes, (1, n, n), np.array([0.2]))[0] for n in (32, 96))
    shrunk = large.reshape(32, 3, 32, 3).mean((1, 3)) > 0.5
    assert (shrunk == small).mean() > 0.95


def test_centre_hole() -> None:
    masks = np.asarray(jax.jit(centre_hole, static_argnums=0)((6, 9, 12), jnp.array([0, 1, 4, 5, 3.6, 40.0])))
    missing = masks[..., 0] == 0
    expected = np.zeros((6, 9, 12), bool)
    expected[1, 4:5, 5:6] = expected[2, 2:6, 4:8] = expected[3, 2:7, 3:8] = expected[4, 2:6, 4:8] = expected[5] = True
    np.testing.assert_array_equal(missing, expected)


def test_random_hole_is_a_square_at_every_place_inside() -> None:
    missing = draw(random_hole, (600, 7, 9), np.full(600, 4))
    corners = set()
    for image in missing:
        rows, columns = np.nonzero(image)
        assert np.ptp(rows) == np.ptp(columns) == 3
        assert image.sum() == 16
        corners.add((rows.min(), columns.min()))
    assert corners == {(y, x) for y in range(4) for x in range(6)}
    widths = draw(random_hole, (3, 7, 9), np.array([0, 2, 30])).sum((1, 2))
    np.testing.assert_array_equal(widths, [0, 4, 63])


def test_missing_pixels_become_mid_grey() -> None:
    images = jnp.arange(1.0, 13.0).reshape(1, 2, 3, 2)
    masks = jnp.array([[1.0, 0, 1], [0, 1, 1]]).reshape(1, 2, 3, 1)
    expected = [[[1, 2], [0, 0], [5, 6]], [[0, 0], [9, 10], [11, 12]]]
    np.testing.assert_array_equal(apply_mask(images, masks)[0], expected)


def test_scratches_paint_one_light_or_dark_colour_over_their_share() -> None:
    images = jnp.broadcast_to(jnp.linspace(-0.2, 0.2, 32 * 32 * 3).reshape(1, 32, 32, 3), (40, 32, 32, 3))
    levels = jnp.concatenate([jnp.zeros(1), jnp.full(39, 0.1)])
    painted = np.asarray(jax.jit(scratches)(jax.random.key(0), images, levels))
    np.testing.assert_array_equal(painted[0], images[0])
    changed = (painted != np.asarray(images)).all(-1)
    np.testing.assert_array_equal(changed, (painted != np.asarray(images)).any(-1))
    np.testing.assert_allclose(changed[1:].sum((1, 2)), 102, atol=2)
    colours = np.array(
        [np.unique(image[mask], axis=0)[0] for image, mask in zip(painted[1:], changed[1:], strict=True)]
    )
    for image, mask, colour in zip(painted[1:], changed[1:], colours, strict=True):
        np.testing.assert_array_equal(image[mask], np.broadcast_to(colour, (mask.sum(), 3)))
    assert ((np.abs(colours) >= 0.5) & (np.abs(colours) <= 1)).all()
    assert (np.abs(np.sign(colours).sum(1)) == 3).all()  # light or dark in all channels
    assert 8 < (colours[:, 0] > 0).sum() < 31
    assert len(np.unique(colours, axis=0)) == 39
    thickness = [2 * scipy.ndimage.distance_transform_edt(mask).max() for mask in changed[1:]]
    assert np.median(thickness) <= 5
