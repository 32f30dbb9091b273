"""`python -m jaxgen restore` with a model of volumes, as a user types it, and the same from Python."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tifffile
from PIL import Image

import jaxgen
from jaxgen.bundles import volume_tiles
from jaxgen.config_json import to_dict
from jaxgen.tasks.load import load
from jaxgen.tasks.restoration.config import RestorationConfig
from jaxgen.tasks.restoration.pixels import make_restore, one_model
from jaxgen.tasks.restoration.restorers import make_restorer
from jaxgen.types import Observation
from jaxgen.volumes.kinds import Volume, affine_of
from jaxgen.volumes.sizes import cubic_sizes, resize
from jaxgen.weights import save_params
from tests.command_line import call

nibabel = pytest.importorskip("nibabel")
CONFIG = RestorationConfig(widths=(2,), depth=1)
AFFINE = np.array([[0.0, -1.2, 0.0, 30.0], [1.1, 0.0, 0.0, -7.0], [0.0, 0.0, 1.3, 5.0], [0.0, 0.0, 0.0, 1.0]])
SHAPE = (6, 9, 10)
NOISE = np.random.default_rng(0)


def save_model(path, shape, config=CONFIG, scale=3.0):
    """Writes weights that half precision holds, large enough that the network changes what it sees."""
    network = make_restorer(config, shape)
    init = jax.jit(network.init)(jax.random.key(0), Observation(jnp.zeros((1, *shape))))["params"]
    params = jax.tree.map(lambda x: jnp.asarray(np.asarray(scale * x + 0.05, np.float16), jnp.float32), init)
    save_params(path, params, {"restoration": json.dumps(to_dict(config)), "shape": json.dumps(shape)})
    network = jax.jit(network.apply)
    return path, lambda x, *masks: np.asarray(network({"params": params}, Observation(jnp.asarray(x), *masks)))


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("volumes") / "restorer.safetensors", (8, 8, 8, 1))


@pytest.fixture(scope="module")
def model(both):
    return both[0]


@pytest.fixture(scope="module")
def network(both):
    """Volume (d, h, w) in [-1, 1], and perhaps what is known -> what the network alone makes of it, cut to [-1, 1]."""

    def apply(x, known=None):
        x = np.asarray(x, np.float32)[None, ..., None]
        masks = () if known is None else (jnp.asarray(known[None, ..., None], jnp.float32),)
        return np.clip(both[1](x if known is None else x * masks[0], *masks)[0, ..., 0], -1, 1)

    return apply


@pytest.fixture(scope="module")
def of_images(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("images") / "restorer.safetensors", (8, 8, 1))[0]


@pytest.fixture
def scan(tmp_path):
    """A scan of 16 bits with a factor, an oblique affine and words in its header; w is its first axis."""
    numbers = NOISE.integers(-900, 1100, SHAPE[::-1], np.int16)
    image = nibabel.Nifti1Image(numbers, AFFINE)
    image.header["descrip"] = b"a scan of noise"
    image.header.set_slope_inter(0.5, -3.0)
    path = tmp_path / "in" / "scan.nii.gz"
    path.parent.mkdir()
    nibabel.save(image, path)
    return path


def run(monkeypatch, tmp_path, model, *flags):
    return call(monkeypatch, "restore", *flags, "--model", model, "--out", tmp_path / "out")


def refused(monkeypatch, tmp_path, capsys, model, *flags):
    """The one line of an error."""
    assert run(monkeypatch, tmp_path, model, *flags) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
    return error


def numbers_of(path):
    """The numbers of a NIfTI file as they are stored, (d, h, w)."""
    return np.asarray(nibabel.load(path).dataobj.get_unscaled()).T


def expected_numbers(numbers, x, restored, low, half):
    """The restored values in numbers of 16 bits of the scan."""
    return np.where(restored == x, numbers, np.rint((low + (restored + 1) * half + 3.0) / 0.5)).astype(int)


def test_a_scan_comes_out_as_the_network_says_with_its_affine_type_and_header(
    network, model, scan, monkeypatch, tmp_path, capsys
):
    assert run(monkeypatch, tmp_path, model, scan) == 0
    before, after = nibabel.load(scan), nibabel.load(tmp_path / "out" / "scan.nii.gz")
    np.testing.assert_array_equal(after.affine, before.affine)
    assert {k: str(v) for k, v in after.header.items()} == {k: str(v) for k, v in before.header.items()}
    numbers = numbers_of(scan)
    values = 0.5 * numbers - 3.0
    half = np.ptp(values) / 2
    x = (values - values.min()) / half - 1
    expected = expected_numbers(numbers, x, network(x), values.min(), half)
    found = numbers_of(tmp_path / "out" / "scan.nii.gz")
    assert found.dtype == np.int16
    assert np.abs(found - expected).max() <= 1
    assert np.abs(found.astype(int) - numbers).max() > 20
    out = capsys.readouterr().out
    assert "6 x 9 x 10" in out
    assert f"values {values.min():g} to {values.max():g} as black to white" in out
    assert "mm" not in out


def test_with_strength_0_the_file_is_the_same_to_the_byte(model, scan, monkeypatch, tmp_path):
    assert run(monkeypatch, tmp_path, model, scan, "--strength", "0") == 0
    assert (tmp_path / "out" / "scan.nii.gz").read_bytes() == scan.read_bytes()


@pytest.mark.parametrize("resample", [(), ("--resample",)])
@pytest.mark.parametrize("kind", [np.float64, np.int32, np.float32, np.uint8])
def test_what_a_mask_leaves_is_the_same_to_the_bit(kind, resample, model, monkeypatch, tmp_path):
    """Also numbers with more digits than the network computes in."""
    values = (NOISE.uniform(0, 1, SHAPE) * (2**30 if kind == np.int32 else 255)).astype(kind)
    missing = np.zeros(SHAPE, np.uint8)
    missing[2:4, 3:6, 2:5] = 1
    np.savez(tmp_path / "a.npz", x=values, affine=affine_of((2.0, 1.0, 1.0)))
    np.save(tmp_path / "mask.npy", missing)
    assert run(monkeypatch, tmp_path, model, tmp_path / "a.npz", "--mask", tmp_path / "mask.npy", *resample) == 0
    with np.load(tmp_path / "out" / "a.npz") as found:
        restored = found["volumes"]
    assert restored.dtype == kind
    np.testing.assert_array_equal(restored[missing == 0], values[missing == 0])
    assert (restored != values)[missing > 0].mean() > 0.9


def test_missing_voxels_are_filled_whatever_they_hold(network, model, scan, monkeypatch, tmp_path):
    """They count neither for the window nor for the network."""
    missing = np.zeros(SHAPE, bool)
    missing[1:4, 2:5, 3:6] = True
    image = nibabel.load(scan)
    numbers = numbers_of(scan).copy()
    numbers[missing] = -32_000
    spoilt = nibabel.Nifti1Image(numbers.T, image.affine, image.header)
    spoilt.header.set_slope_inter(0.5, -3.0)
    nibabel.save(spoilt, scan)
    nibabel.save(nibabel.Nifti1Image(missing.T.astype(np.uint8), AFFINE), tmp_path / "mask.nii")
    assert run(monkeypatch, tmp_path, model, scan, "--mask", tmp_path / "mask.nii") == 0
    values = 0.5 * numbers - 3.0
    low, half = values[~missing].min(), np.ptp(values[~missing]) / 2
    restored = network((values - low) / half - 1, ~missing)
    expected = np.rint((low + (restored + 1) * half + 3.0) / 0.5)
    found = numbers_of(tmp_path / "out" / "scan.nii.gz")
    np.testing.assert_array_equal(found[~missing], numbers[~missing])
    assert np.abs(found - expected)[missing].max() <= 1


def test_voxels_beyond_the_window_stay_and_are_counted(network, model, scan, monkeypatch, tmp_path, capsys):
    assert run(monkeypatch, tmp_path, model, scan, "--window", "-100", "300") == 0
    numbers = numbers_of(scan)
    values = 0.5 * numbers - 3.0
    beyond = (values < -100) | (values > 300)
    x = np.clip((values + 100) / 200 - 1, -1, 1)
    expected = np.where(beyond, numbers, expected_numbers(numbers, x, network(x), -100, 200))
    found = numbers_of(tmp_path / "out" / "scan.nii.gz")
    np.testing.assert_array_equal(found[beyond], numbers[beyond])
    assert np.abs(found - expected).max() <= 1
    assert f"{beyond.sum()} voxels beyond them are left as they were" in capsys.readouterr().out


def test_other_files_and_folders(network, model, monkeypatch, tmp_path, capsys):
    folder = tmp_path / "in"
    (folder / "more").mkdir(parents=True)
    volume = NOISE.integers(0, 256, SHAPE, np.uint8)
    tifffile.imwrite(folder / "stack.tif", volume)
    np.save(folder / "more" / "x.npy", volume)
    (folder / "broken.nii").write_bytes(b"no volume")
    assert run(monkeypatch, tmp_path, model, folder) == 1
    shown = capsys.readouterr()
    assert "broken.nii" in shown.err
    assert "1 of 3 volumes could not be restored" in shown.err
    expected = (network(volume / 127.5 - 1) + 1) * 127.5
    stack, array = tifffile.imread(tmp_path / "out" / "stack.tif"), np.load(tmp_path / "out" / "more" / "x.npy")
    assert stack.dtype == array.dtype == np.uint8
    np.testing.assert_array_equal(stack, array)
    assert np.abs(stack - expected).max() <= 0.51
    assert run(monkeypatch, tmp_path, model, folder) == 2
    assert "overwritten only with --force" in capsys.readouterr().err


def test_one_time_of_several(network, model, monkeypatch, tmp_path, capsys):
    values = NOISE.uniform(0, 1, (*SHAPE[::-1], 2)).astype(np.float32)
    path = tmp_path / "times.nii"
    nibabel.save(nibabel.Nifti1Image(values, AFFINE), path)
    assert "has 4 axes, 2 times; accepted: one volume, or one of the times by --time N" in refused(
        monkeypatch, tmp_path, capsys, model, path
    )
    assert run(monkeypatch, tmp_path, model, path, "--time", "1") == 0
    expected = (network(2 * values[..., 1].T - 1) + 1) / 2
    found = nibabel.load(tmp_path / "out" / "times.nii")
    assert found.shape == SHAPE[::-1]
    np.testing.assert_allclose(np.asarray(found.dataobj).T, expected, atol=1e-5)


@pytest.mark.slow
def test_longer_voxels_are_kept_or_resampled_and_back(network, model, monkeypatch, tmp_path, capsys):
    values = NOISE.uniform(0, 1, SHAPE).astype(np.float32)
    np.savez(tmp_path / "a.npz", x=values, affine=affine_of((3.0, 1.0, 1.0)))
    assert run(monkeypatch, tmp_path, model, tmp_path / "a.npz") == 0
    assert "voxels of 3 x 1 x 1 mm kept, though the model was trained on cubic ones (--resample)" in (
        capsys.readouterr().out
    )
    with np.load(tmp_path / "out" / "a.npz") as found:
        np.testing.assert_allclose(found["volumes"], (network(2 * values - 1) + 1) / 2, atol=1e-5)
    assert run(monkeypatch, tmp_path, model, tmp_path / "a.npz", "--resample", "--force") == 0
    assert "resampled to cubic ones and back" in capsys.readouterr().out
    # linear between the centres of slices, and means of three slices on the way back
    places = np.clip((np.arange(18) + 0.5) / 3 - 0.5, 0, 5)
    below = np.minimum(places.astype(int), 4)
    share = (places - below)[:, None, None]
    fine = (1 - share) * (2 * values - 1)[below] + share * (2 * values - 1)[below + 1]
    change = (network(fine) - fine).reshape(6, 3, 9, 10).mean(1)
    with np.load(tmp_path / "out" / "a.npz") as found:
        np.testing.assert_allclose(found["volumes"], np.clip(values + change / 2, 0, 1), atol=1e-5)
        np.testing.assert_array_equal(found["affine"], affine_of((3.0, 1.0, 1.0)))


def test_sizes_on_cubic_voxels():
    volume = Volume(np.zeros((6, 9, 10, 1), np.float32), affine_of((2.5, 1.0, 0.5)))
    assert cubic_sizes(volume) == (30, 18, 10)
    assert resize(volume.values, cubic_sizes(volume)).shape == (30, 18, 10, 1)


def tiles_of(path, x, known, tile):
    """A restored volume, and in how many tiles it was."""
    calls = []
    restore = make_restore(one_model(load(path), 3), 1.0, tile)
    return restore(x, known, lambda done, total: calls.append(total)).pixels, len(calls)


@pytest.mark.slow
def test_tiles_along_three_axes_equal_the_whole_volume(tmp_path):
    """Sizes are no multiples; the network is told to find the noise."""
    config = RestorationConfig(widths=(3,), depth=1, damage="gaussian:0-0.2", repairs=("noise",))
    path, apply = save_model(tmp_path / "restorer.safetensors", (8, 8, 8, 1), config, 1.5)
    x = NOISE.uniform(-1, 1, (31, 33, 29, 1)).astype(np.float32)
    found, num = tiles_of(path, x, None, 4)
    assert num == 2 * 3 * 2
    expected = np.clip(apply(x[None], None, jnp.full((1, 1), -1.0))[0], -1, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - x).max() > 0.1


def test_tiles_equal_the_whole_volume_where_voxels_are_missing(both):
    path, apply = both
    x, known = NOISE.uniform(-1, 1, (11, 9, 95, 1)).astype(np.float32), NOISE.random((11, 9, 95)) < 0.7
    found, num = tiles_of(path, x, known, 10)
    assert num == 3
    masks = jnp.asarray(known[None, ..., None], jnp.float32)
    expected = np.where(known[..., None], x, np.clip(apply(x[None] * masks, masks)[0], -1, 1))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: np.save(path, np.zeros((1, 5, 6))), "has one slice, of shape (1, 5, 6)"),
        (lambda path: np.save(path, np.zeros((5, 6))), "is a picture of shape (5, 6)"),
        (lambda path: np.save(path, np.zeros((2, 5, 6, 7))), "of shape (2, 5, 6, 7)"),
        (lambda path: np.save(path, np.where(np.arange(24).reshape(2, 3, 4) % 23 == 7, np.nan, 1.0)),
         "has 1 values that are infinite or not a number, the first at (0, 1, 3) in (d, h, w)"),
        (lambda path: path.write_bytes(b"x"), "cannot be read"),
    ],
)  # fmt: skip
def test_a_volume_that_cannot_be_taken_gets_one_line(write, said, model, monkeypatch, tmp_path, capsys):
    path = tmp_path / "x.npy"
    write(path)
    error = refused(monkeypatch, tmp_path, capsys, model, path)
    assert said in error
    assert "x.npy" in error


def test_files_and_models_of_another_kind(model, of_images, scan, monkeypatch, tmp_path, capsys):
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(tmp_path / "a.png")
    error = refused(monkeypatch, tmp_path, capsys, model, tmp_path / "a.png")
    assert "restorer.safetensors" in error
    assert "a.png" in error
    error = refused(monkeypatch, tmp_path, capsys, of_images, scan)
    assert "model: got 'restorer.safetensors, a network for images" in error
    assert "scan.nii.gz is a volume" in error
    error = refused(monkeypatch, tmp_path, capsys, of_images, tmp_path / "a.png", "--window", "0", "1")
    assert "window: got (0.0, 1.0); accepted: none" in error
    assert call(monkeypatch, "restore", scan, "--out", tmp_path / "out") == 2
    assert "a network for volumes" in capsys.readouterr().err


def test_options_and_masks_that_do_not_fit(model, scan, monkeypatch, tmp_path, capsys):
    def refusal(*flags):
        return refused(monkeypatch, tmp_path, capsys, model, scan, *flags)

    assert "strength: got 2.0; accepted: 0 to 1" in refusal("--strength", "2")
    assert "tile: got 0; accepted: 1 or more" in refusal("--tile", "0")
    assert "window: got (2.0, 1.0); accepted: LOW HIGH" in refusal("--window", "2", "1")
    assert "compare: got True; accepted: none with volumes" in refusal("--compare")
    np.save(tmp_path / "m.npy", np.eye(9, 10)[None] * np.ones((5, 1, 1)))
    assert "has 5 x 9 x 10 voxels; accepted: 6 x 9 x 10" in refusal("--mask", tmp_path / "m.npy")
    np.save(tmp_path / "m.npy", NOISE.uniform(0, 1, SHAPE))
    assert "with 540 levels'; accepted: two" in refusal("--mask", tmp_path / "m.npy")
    nibabel.save(nibabel.Nifti1Image(np.eye(10, 9, dtype=np.uint8)[..., None] * np.ones(6, np.uint8), np.eye(4)),
                 tmp_path / "m.nii")  # fmt: skip
    assert "with another affine than" in refusal("--mask", tmp_path / "m.nii")


def test_volumes_of_one_value_are_left_and_filled_with_it(model, monkeypatch, tmp_path):
    np.save(tmp_path / "x.npy", np.full(SHAPE, 7, np.int16))
    assert run(monkeypatch, tmp_path, model, tmp_path / "x.npy") == 0
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "x.npy"), np.full(SHAPE, 7))


def test_volumes_from_python(network, model, of_images):
    volume = NOISE.integers(0, 256, SHAPE, np.uint8)
    expected = (network(volume / 127.5 - 1) + 1) * 127.5
    found = jaxgen.restore(volume, model=model)
    assert found.dtype == np.uint8
    assert np.abs(found - expected).max() <= 0.51
    several = jaxgen.restore(np.stack([volume, volume])[..., None], model=load(model))
    np.testing.assert_array_equal(several, np.stack([found, found])[..., None])
    colours = jaxgen.restore(np.stack([volume, volume[::-1], volume], -1)[None], model=model)
    np.testing.assert_array_equal(colours[0, ..., 0], found)  # channel by channel
    assert np.abs(colours[0, ..., 1] - (network(volume[::-1] / 127.5 - 1) + 1) * 127.5).max() <= 0.51
    shares = jaxgen.restore(volume / np.float32(255), model=model)
    assert shares.dtype == np.float32
    np.testing.assert_allclose(shares, expected / 255, atol=1e-4)
    missing = np.zeros(SHAPE, bool)
    missing[2:4, 2:4, 2:4] = True
    filled = jaxgen.restore(volume, missing, model=model)
    np.testing.assert_array_equal(filled[~missing], volume[~missing])
    assert (filled != volume)[missing].any()
    for image, chosen, said in [
        (volume, of_images, r"image: got \(6, 9, 10\); accepted: \(h, w\)"),
        (volume[0], model, r"image: got \(9, 10\); accepted: \(d, h, w\) or \(n, d, h, w, c\)"),
        (volume[:1], model, r"image: got \(1, 9, 10\)"),
    ]:
        with pytest.raises(jaxgen.InputError, match=said):
            jaxgen.restore(image, model=chosen)


def test_volumes_too_large_for_the_memory_are_tiled_by_themselves(monkeypatch, model):
    x = np.zeros((11, 9, 160, 1), np.float32)
    monkeypatch.setattr(volume_tiles, "MOST_VOXELS", 12 * 10 * 120)
    assert tiles_of(model, x, None, None)[1] == 2
    monkeypatch.setattr(volume_tiles, "MOST_VOXELS", 12 * 10 * 160)
    assert tiles_of(model, x, None, None)[1] == 1
