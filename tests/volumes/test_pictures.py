"""Pictures of volumes: which slice stands where, and which side of a body is seen."""

import numpy as np
import pytest

from jaxgen.errors import InputError
from jaxgen.images import BACKGROUND
from jaxgen.volumes.pictures import PIXELS, montage, orthogonal_slices, surface_view, turning

NOISE = np.random.default_rng(0).integers(0, 256, (2, 6, 8, 4, 1), np.uint8)


def test_middle_slices_across_each_axis():
    slices = orthogonal_slices(NOISE)
    assert slices.shape == (2, 3, 8, 8, 1)
    np.testing.assert_array_equal(slices[:, 0, :, 2:6], NOISE[:, 3])
    np.testing.assert_array_equal(slices[:, 1, 1:7, 2:6], NOISE[:, :, 4])
    np.testing.assert_array_equal(slices[:, 2, 1:7], NOISE[:, :, :, 2])
    assert slices[:, 0, :, :2].max() == 0


def test_floats_are_those_of_networks():
    np.testing.assert_array_equal(orthogonal_slices(NOISE / 127.5 - 1), orthogonal_slices(NOISE))


def test_a_montage_has_three_slices_and_a_view_of_each():
    picture = montage(NOISE, columns=1)
    assert picture.shape == (2 * 10 + 2, 4 * 10 + 2, 1)
    np.testing.assert_array_equal(picture[12:20, 12:20], orthogonal_slices(NOISE)[1, 1])


def body(d, h, w) -> np.ndarray:
    """A body in one half of each axis."""
    volume = np.zeros((24, 24, 24, 1), np.uint8)
    volume[tuple(slice(2, 10) if side < 0 else slice(14, 22) for side in (d, h, w))] = 255
    return volume


def middle(view) -> tuple[float, float]:
    rows, columns = np.nonzero(view != BACKGROUND)
    return rows.mean() - PIXELS / 2, columns.mean() - PIXELS / 2


@pytest.mark.parametrize(("angle", "side"), [(0.0, 1), (180.0, -1)])
def test_a_view_has_w_to_the_right_and_turns(angle, side):
    _, columns = middle(surface_view(body(-1, 1, 1), angle))
    assert side * columns > 10


def test_a_view_has_h_downwards_and_is_from_above():
    """What is below lies below; of two bodies at one height the nearer one is lower in the picture."""
    near_low, far_low, near_high = (middle(surface_view(body(*at)))[0] for at in ((-1, 1, 1), (1, 1, 1), (-1, -1, 1)))
    assert near_high < far_low < near_low


def test_what_is_nearer_hides_what_is_behind():
    both = np.maximum(body(-1, 1, 1), body(1, 1, 1))
    only_near = surface_view(body(-1, 1, 1))
    seen = only_near != BACKGROUND
    np.testing.assert_allclose(surface_view(both)[seen].astype(int), only_near[seen].astype(int), atol=2)


def test_light_comes_from_above():
    ball = np.indices((24, 24, 24)) - 11.5
    view = surface_view((np.sqrt((ball**2).sum(0)) < 9)[..., None] * np.uint8(255)).astype(float)
    centre = PIXELS // 2
    assert view[centre - 25, centre] > view[centre + 25, centre] + 20


def test_turning_begins_at_the_front_and_an_empty_volume_is_blank():
    frames = turning(np.stack([body(-1, 1, 1), np.zeros_like(body(1, 1, 1))]), frames=4, columns=2)
    assert frames.shape == (4, PIXELS + 4, 2 * PIXELS + 6, 1)
    np.testing.assert_array_equal(frames[0, 2:-2, 2 : 2 + PIXELS, 0], surface_view(body(-1, 1, 1)))
    assert (frames[:, 2:-2, PIXELS + 4 : -2] == BACKGROUND).all()
    assert len(np.unique(frames.reshape(4, -1), axis=0)) == 4


def test_one_volume_without_its_axis_is_refused():
    with pytest.raises(InputError, match="volumes: got "):
        montage(NOISE[0])
