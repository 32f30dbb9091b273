"""What is drawn from a GAN for each way of asking, and where it is written; on runs made without training."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgen.errors import InputError
from jaxgen.images import BACKGROUND
from jaxgen.tasks.gan import sample
from jaxgen.tasks.gan.config import GanConfig, GanRecipe
from jaxgen.tasks.gan.inputs import parse_labels, parse_seeds
from jaxgen.tasks.gan.pictures import interpolate
from jaxgen.tasks.gan.sample import draw, sample_run
from jaxgen.tasks.load import load
from tests.bundle_runs import write_gan
from tests.command_line import call

SIZE = 4
NAMES = ("bright", "dark, large", "2", "grey")
CONFIG = GanConfig(architecture="mlp", base_channels=1, latent_dim=SIZE, conditioning="concat")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_gan(tmp_path_factory.mktemp("runs") / "small", GanRecipe(gan=CONFIG), class_names=NAMES)


@pytest.fixture(scope="module")
def gan(run):
    return load(run)


@pytest.fixture
def rows(tmp_path):
    """Latents of three images, and a file of them."""
    latents = np.random.default_rng(0).normal(size=(3, SIZE))
    np.savez(tmp_path / "z.npz", latents=latents, labels=[3, 0, 1])
    return latents, tmp_path / "z.npz"


def drawn(gan, tmp_path, *args, **options):
    sample_run(gan, None, 0, tmp_path / "x.npz", *args, **options)
    return np.load(tmp_path / "x.npz")


def by_hand(gan, latents, condition):
    """uint8 images of these inputs, by the network alone."""
    inputs = {"latents": jnp.asarray(latents, jnp.float32), "condition": jnp.asarray(condition, jnp.float32)}
    images = np.asarray(gan.algorithm.predict(gan.state, inputs, jax.random.key(0)).images)
    return np.clip(np.rint((images + 1) * 127.5), 0, 255).astype(int)


def assert_images(found, expected):
    assert np.ptp(expected) > 20
    np.testing.assert_allclose(found.astype(int), expected, atol=1)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["dark, large"], [1]),
        (["dark, large", "0"], [1, 0]),
        (["grey, bright,2"], [3, 0, 2]),
        (["2"], [2]),
        (["1", "3,1"], [1, 3, 1]),
        ("3,1", [3, 1]),
    ],
)
def test_a_class_with_a_comma_is_a_class_and_all_else_is_a_list(texts, expected):
    assert parse_labels(texts, NAMES) == expected


@pytest.mark.parametrize(("texts", "wrong"), [(["dark, large,0"], "dark"), (["0", "4"], "4"), ([""], "")])
def test_the_part_that_is_no_class_is_named(texts, wrong):
    with pytest.raises(InputError, match=rf"label: got '{wrong}'; accepted: bright \(0\), 'dark, large' \(1\), 2"):
        parse_labels(texts, NAMES)


def test_labels_are_repeated_on_the_command_line(run, tmp_path, monkeypatch):
    out = tmp_path / "x.npz"
    assert call(monkeypatch, "sample", "--label", "dark, large", "--label", "3", run, "--out", out) == 0
    np.testing.assert_array_equal(np.load(out)["labels"], [1, 3])


def test_lists_of_seeds():
    assert parse_seeds("3").tolist() == [3]
    assert parse_seeds("8, 10-12,4294967295").tolist() == [8, 10, 11, 12, 2**32 - 1]


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "5-2", "4294967296", "1.5", "0-4294967295"])
def test_lists_that_are_none(text):
    with pytest.raises(InputError, match="seeds: got "):
        parse_seeds(text)


def test_the_image_of_a_seed_depends_on_no_other(gan, tmp_path):
    many, few = (drawn(gan, tmp_path, seeds=text) for text in ("1-20,4294967295", "4294967295,7,3-4"))
    np.testing.assert_array_equal(few["images"], many["images"][[20, 6, 2, 3]])
    np.testing.assert_array_equal(few["labels"], many["labels"][[20, 6, 2, 3]])
    for row, seed in enumerate((2**32 - 1, 7)):  # it is the first of that seed
        alone = draw(gan, 1, seed)
        np.testing.assert_array_equal(few["images"][row], alone["images"][0])
        np.testing.assert_array_equal(few["labels"][row], alone["labels"][0])
    assert len(np.unique(many["images"], axis=0)) == 21
    assert drawn(gan, tmp_path, ("3", "0"), seeds="1-3")["labels"].tolist() == [3, 0, 3]


def test_the_latents_of_a_file_are_drawn_as_they_are(gan, tmp_path, rows):
    latents, path = rows
    found = drawn(gan, tmp_path, latents=path)
    assert_images(found["images"], by_hand(gan, latents, np.eye(4)[[3, 0, 1]]))
    assert found["labels"].tolist() == [3, 0, 1]
    assert drawn(gan, tmp_path, ("2",), latents=path)["labels"].tolist() == [2, 2, 2]


def test_between_latents_the_way_is_an_arc_and_classes_are_mixed(gan, tmp_path, rows):
    latents, path = rows
    found = drawn(gan, tmp_path, latents=path, interpolate=4)
    assert found["images"].shape == (9, 8, 8, 1)
    ends, steps, share = np.eye(4)[[3, 0, 1]], [], []
    for i, t in [(0, 0.0), (0, 0.25), (0, 0.5), (0, 0.75), (1, 0.0), (1, 0.25), (1, 0.5), (1, 0.75), (1, 1.0)]:
        a, b = latents[i], latents[i + 1]
        angle = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        steps.append((np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle))
        share.append((1 - t) * ends[i] + t * ends[i + 1])
    assert_images(found["images"], by_hand(gan, steps, share))
    assert found["labels"].tolist() == [3, 3, 0, 0, 0, 0, 0, 1, 1]  # of two equal shares the first
    sample_run(gan, None, 0, tmp_path / "x.png", latents=path, interpolate=4)
    assert Image.open(tmp_path / "x.png").size == (8 * (5 * 10 + 2), 8 * (2 * 10 + 2))  # a row for each pair


def test_latents_of_zero_are_a_way_too():
    assert np.isfinite(interpolate(jnp.array([[0.0, 0.0], [1.0, 2.0]]), 3)).all()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"latents": np.zeros((3, 5))}, r"latents is float64 of shape \(3, 5\); accepted: finite floats \(n, 4\)"),
        ({"latents": np.zeros((0, 4))}, r"\(0, 4\)"),
        ({"latents": np.zeros((3, 4), int)}, "int64"),
        ({"latents": np.full((3, 4), np.nan)}, "finite"),
        ({"images": np.zeros((3, 4))}, "no array latents"),
        (
            {"latents": np.zeros((3, 4)), "labels": [0, 1]},
            r"labels is int64 of shape \(2,\); accepted: integers \(3,\)",
        ),
        ({"latents": np.zeros((3, 4)), "labels": [0, 1, 4]}, "from 0 to 3"),
        ({"latents": np.zeros((3, 4)), "labels": [0, 1, -1]}, "from 0 to 3"),
        ({"latents": np.array([None])}, "cannot be read"),
    ],
)
def test_files_that_hold_no_latents_of_this_gan(gan, tmp_path, arrays, message):
    np.savez(tmp_path / "z.npz", **arrays)
    with pytest.raises(InputError, match=rf"z\.npz: .*{message}"):
        drawn(gan, tmp_path, latents=tmp_path / "z.npz")


def test_truncation_scales_the_latents(gan, tmp_path, rows):
    latents, path = rows
    found = drawn(gan, tmp_path, latents=path, truncation=0.7)
    assert_images(found["images"], by_hand(gan, 0.7 * latents, np.eye(4)[[3, 0, 1]]))
    middle = drawn(gan, tmp_path, ("0",), truncation=0.0)["images"]
    np.testing.assert_array_equal(middle, np.broadcast_to(middle[:1], middle.shape))


def test_a_folder_gets_a_file_for_each_image(gan, tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "AT_ONCE", 8)
    folder = tmp_path / "new" / "images"
    assert "20 images" in sample_run(gan, 20, 5, f"{folder}/")
    assert sorted(os.listdir(folder)) == [f"{i:05}.png" for i in range(20)]
    expected = draw(gan, 20, 5)["images"]
    for i in range(20):
        np.testing.assert_array_equal(np.asarray(Image.open(folder / f"{i:05}.png")), expected[i, ..., 0])
    (folder / "mine.png").write_bytes(b"mine")
    before = (folder / "00001.png").read_bytes()
    with pytest.raises(InputError, match=r"images holds 00019\.png; accepted: a folder without other numbered images"):
        sample_run(gan, 2, 6, folder)  # they would pass for one set
    assert (folder / "00001.png").read_bytes() == before
    sample_run(gan, 20, 6, folder)
    assert (folder / "00001.png").read_bytes() != before
    assert (folder / "mine.png").read_bytes() == b"mine"


def test_a_grid_has_the_rows_and_columns_asked_for(gan, tmp_path):
    sample_run(gan, None, 0, tmp_path / "x.png", ("0", "1"), grid="3x2")
    picture = np.asarray(Image.open(tmp_path / "x.png"))[::8, ::8]
    assert picture.shape == (3 * 10 + 2, 2 * 10 + 2)
    expected = draw(gan, 6, 0, [0, 1])["images"][..., 0]
    for i, image in enumerate(expected):
        row, column = divmod(i, 2)
        np.testing.assert_array_equal(picture[2 + 10 * row : 10 + 10 * row, 2 + 10 * column : 10 + 10 * column], image)
    assert (picture[::10] == BACKGROUND).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": "2x2", "num": 5}, "grid: got '2x2'; accepted: a grid with places for 5 images"),
        ({"grid": "4"}, "grid: got '4'; accepted: ROWSxCOLUMNS"),
        ({"grid": "0x4"}, "grid"),
        ({"grid": "2x2", "out": "x.npz"}, "grid: got '2x2'; accepted: none unless --out ends in .png"),
        ({"truncation": 1.1}, "truncation: got 1.1; accepted: 0 to 1"),
        ({"truncation": float("nan")}, "truncation"),
        ({"seed": -1}, "seed: got -1"),
        ({"seeds": "1-3", "num": 2}, "num: got 2; accepted: none with --seeds"),
        ({"seeds": "1-3", "latents": Path("z.npz")}, "seeds: got '1-3'; accepted: none with --latents"),
        ({"interpolate": 3}, "interpolate: got 3; accepted: none without --seeds or --latents"),
        ({"seeds": "1", "interpolate": 3}, "interpolate: got 3; accepted: none with fewer than two"),
        ({"seeds": "1-2", "interpolate": 0}, "interpolate: got 0; accepted: 1 or more"),
        ({"out": "x.jpg"}, "out: got '.*x.jpg'; accepted: a file name that ends in .png or .npz, or a folder"),
    ],
)
def test_what_does_not_go_together(gan, tmp_path, options, message):
    options = {"num": None, "seed": 0, "out": "x.png"} | options
    num, seed, out = (options.pop(name) for name in ("num", "seed", "out"))
    with pytest.raises(InputError, match=message):
        sample_run(gan, num, seed, tmp_path / out, **options)
    assert not any(path.name.startswith("x") for path in tmp_path.iterdir())


def test_a_folder_with_something_in_it_is_written_to_only_when_forced(run, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    assert call(monkeypatch, "sample", run, "--num", 1, "--out", folder) == 0  # it was empty
    assert call(monkeypatch, "sample", run, "--num", 1, "--out", folder) == 2
    assert "is a folder that is not empty; overwritten only with --force" in capsys.readouterr().err
    assert call(monkeypatch, "sample", run, "--num", 1, "--out", folder, "--force") == 0


def test_a_class_called_by_a_number_is_never_meant_by_its_place():
    assert parse_labels("77,3", ("3", "77")) == [1, 0]
    with pytest.raises(InputError, match="label: got '1'; accepted: 3, 77"):
        parse_labels("1", ("3", "77"))
