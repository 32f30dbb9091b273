"""What a bundle's restorer is told to repair, with networks in closed form in place of exported ones."""

import numpy as np
import pytest

from jaxgen.bundles.manifest import parse_manifest
from jaxgen.bundles.model import Model
from jaxgen.errors import InputError
from jaxgen.repairs import repair_levels

REPAIRS = ["noise", "jpeg", "salt_and_pepper"]


def record(repairs=REPAIRS, fills=True, channels=1, **fields):
    told = [{"name": "levels", "shape": ["b", len(repairs)], "dtype": "float32"}] if repairs else []
    images, missing = (
        {"name": name, "shape": ["b", "h", "w", c], "dtype": "float32"}
        for name, c in (("images", channels), ("missing", 1))
    )
    return {
        "format": "jaxgen-bundle",
        "version": 1,
        "kind": "restorer",
        "name": "told",
        "image": {"height": None, "width": None, "channels": channels, "range": [-1, 1]},
        "labels": [],
        "multiple": 4,
        "halo": 4,
        "inputs": [images, missing, *told],
        "outputs": [{"name": "restored", "shape": ["b", "h", "w", channels], "dtype": "float32"}],
        "files": {},
        **({"repairs": list(repairs), "fills": fills} if repairs else {}),
    } | fields


def model(network, **fields):
    return Model(parse_manifest(record(**fields)), network)


def never(*arrays):
    raise AssertionError("the network was called")


@pytest.mark.parametrize(
    ("repair", "levels"),
    [
        (None, [-1, -1, 0]),
        ("jpeg", [0, -1, 0]),
        ("salt-and-pepper, noise", [-1, 0, -1]),
        (("salt_and_pepper",), [0, 0, -1]),
        ("all", [-1, -1, -1]),
        ({"noise": 0.25, "salt-and-pepper": -1, "jpeg": 0}, [0.25, 0, -1]),
    ],
)
def test_levels_of_what_is_asked_for(repair, levels):
    np.testing.assert_array_equal(repair_levels(repair, REPAIRS), np.float32(levels))


def test_a_network_of_neither_noise_nor_jpeg_repairs_all():
    np.testing.assert_array_equal(repair_levels(None, ["dust", "salt_and_pepper"]), np.float32([0.03, -1]))
    np.testing.assert_array_equal(repair_levels({"all": 0.5}, ["dust", "blur"]), np.float32([0.5, 0.5]))
    np.testing.assert_array_equal(repair_levels("all", ["dust", "blur"]), np.float32([0.03, 1.2]))


@pytest.mark.parametrize(
    ("repair", "words"),
    [
        ("rain", "^repair: got 'rain'; accepted: noise, jpeg, salt-and-pepper joined by commas, or all$"),
        ("", "^repair: got ''"),
        ((), r"^repair: got \(\)"),
        ({"noise": -0.5}, "^repair: noise: got -0.5"),
        ({"noise": float("nan")}, "^repair: noise: got nan"),
    ],
)
def test_repairs_that_are_not_accepted(repair, words):
    with pytest.raises(InputError, match=words):
        repair_levels(repair, REPAIRS)


def test_what_a_network_does_not_do_is_refused_in_one_line():
    image, mask = np.zeros((5, 6), np.uint8), np.ones((5, 6), bool)
    with pytest.raises(
        InputError, match=r"^repair: got 'noise'; accepted: none, as this model repairs all that[^\n]*$"
    ):
        model(never, repairs=[]).restore(image, repair="noise")
    with pytest.raises(
        InputError, match=r"^mask: got 'a mask'; accepted: no mask, as this model was not trained[^\n]*$"
    ):
        model(never, fills=False).restore(image, mask)


def test_a_mask_alone_fills_the_hole_and_a_repair_is_done_after_it():
    """The network adds 0.25 for unknown noise, 2 x for noise of level x, and fills with 0."""
    calls = []

    def network(images, missing, levels):
        calls.append((levels.tolist(), bool(missing.any())))
        noise = levels[0, 0]
        return np.where(missing > 0, 0, images + (0.25 if noise == -1 else 2 * noise))

    told = model(network)
    image, mask = np.full((5, 7), 0.5, np.float32), np.zeros((5, 7), bool)
    mask[1:3, 2:4] = True
    image[mask] = 0.125
    np.testing.assert_array_equal(told.restore(image, mask), np.full((5, 7), 0.5))
    assert calls == [([[0, 0, 0]], True)]
    np.testing.assert_array_equal(told.restore(image, mask, "noise"), np.full((5, 7), 0.625))
    assert calls[1:] == [([[0, 0, 0]], True), ([[-1, 0, 0]], False)]
    np.testing.assert_array_equal(told.restore(image, repair={"noise": 0.125}), image + 0.125)


def test_nothing_to_repair_leaves_the_picture():
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    restored = model(never, channels=3).restore(image, repair={"noise": 0})
    np.testing.assert_array_equal(restored, image)


def test_a_colour_picture_of_equal_channels_is_restored_as_the_grey_one_that_it_is():
    """The network keeps red alone, of which the luma of ITU-R 601 is 0.299."""
    reddens = model(lambda images, missing: images * np.float32([1, 0, 0]), repairs=[], channels=3)
    grey = np.random.default_rng(0).uniform(0, 1, (6, 5)).astype(np.float32)
    expected = (0.299 * (2 * grey - 1) + 1) / 2
    np.testing.assert_allclose(reddens.restore(grey), expected, atol=1e-6)
    colour = np.repeat(grey[..., None], 3, axis=-1)
    np.testing.assert_allclose(reddens.restore(colour), np.stack([expected] * 3, axis=-1), atol=1e-6)
    colour[0, 0, 2] = 1 - colour[0, 0, 2]
    np.testing.assert_allclose(reddens.restore(colour)[..., 0], grey, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"repairs": "noise"}, "repairs: got 'noise'; accepted: a list"),
        ({"repairs": ["noise", "noise", "jpeg"]}, "repairs: got"),
        ({"repairs": ["noise", "jpeg", "<b>"]}, "repairs: got"),
        ({"repairs": ["noise", "jpeg", 3]}, "repairs: got"),
        ({"repairs": ["noise", "jpeg"]}, r"inputs: shape of levels: got \[\('b', 3\)\]; accepted: \[\('b', 2\)\]"),
        ({"repairs": []}, r"inputs: shape of levels: got \[\('b', 3\)\]; accepted: \[\]"),
        ({"inputs": record(repairs=[])["inputs"]}, r"inputs: shape of levels: got \[\]; accepted: \[\('b', 3\)\]"),
        ({"fills": "no"}, "fills: got 'no'; accepted: true, false"),
        (
            {"kind": "gan", "latent_dim": 2, "image": {"height": 2, "width": 2, "channels": 1, "range": [-1, 1]}},
            "repairs",
        ),
    ],
)
def test_manifests_that_are_not_right(fields, words):
    with pytest.raises(InputError, match=words) as caught:
        parse_manifest(record() | fields)
    assert "\n" not in str(caught.value)


def test_a_manifest_without_repairs_is_that_of_a_blind_network_which_fills():
    manifest = parse_manifest(record(repairs=[]))
    assert (manifest.repairs, manifest.fills) == ((), True)
