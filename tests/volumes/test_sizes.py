"""Cropping and resizing against block means, NumPy's interpolation and nibabel's orientations."""

import numpy as np
import pytest

from jaxgen.volumes.kinds import Volume, affine_of
from jaxgen.volumes.sizes import fit_volume, is_cut, upright


def volume(*shape, spacing=(1.0, 1.0, 1.0), seed=0) -> Volume:
    return Volume(np.random.default_rng(seed).random((*shape, 1), np.float32), affine_of(spacing))


def test_whole_factors_give_block_means():
    x = volume(12, 12, 12)
    expected = x.values.reshape(4, 3, 4, 3, 4, 3).mean((1, 3, 5))
    np.testing.assert_allclose(fit_volume(x, 4)[..., 0], expected, rtol=1e-5)
    assert not is_cut(x)


def test_other_factors_keep_the_mean():
    x = volume(10, 10, 10)
    assert fit_volume(x, 7).mean() == pytest.approx(x.values.mean(), rel=1e-5)


def test_enlarging_is_linear():
    x = volume(5, 5, 5)
    found = fit_volume(x, 10)[..., 0]
    places = (np.arange(10) + 0.5) / 2 - 0.5
    expected = x.values[..., 0]
    for axis in range(3):
        expected = np.apply_along_axis(lambda line: np.interp(places, np.arange(5), line), axis, expected)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_central_cube_is_taken():
    x = volume(8, 4, 6)
    np.testing.assert_array_equal(fit_volume(x, 4), x.values[2:6, :, 1:5])
    assert is_cut(x)
    assert fit_volume(x, None) is x.values


def test_the_cube_is_one_in_millimetres():
    """Four thick slices of eight thin rows are a cube, of which nothing is left out."""
    x = volume(4, 8, 8, spacing=(2.0, 1.0, 1.0))
    assert not is_cut(x)
    expected = x.values.reshape(4, 4, 2, 4, 2).mean((2, 4))
    np.testing.assert_allclose(fit_volume(x, 4)[..., 0], expected, rtol=1e-5)


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "AIL", "SPR"])
def test_upright_is_what_nibabel_calls_canonical(orientation):
    nibabel = pytest.importorskip("nibabel")
    array = np.random.default_rng(0).random((3, 4, 5), np.float32)
    lean = np.array([[2, 0.1, 0, 5], [0.2, 3, 0, 6], [0, 0.1, 4, 7], [0, 0, 0, 1]])
    turn = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(orientation)
    )
    image = nibabel.Nifti1Image(array, lean).as_reoriented(turn)
    found = upright(Volume(np.ascontiguousarray(image.get_fdata(dtype=np.float32).T)[..., None], image.affine))
    np.testing.assert_array_equal(found.values[..., 0], array.T)
    np.testing.assert_allclose(found.affine, lean)
