"""Projection: a GAN's own images are found again, in the right class, and what is wrong with a picture is said."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import jaxgen
from jaxgen.errors import InputError
from jaxgen.tasks.base import Facts, Trained
from jaxgen.tasks.gan import project as projection
from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.tasks.gan.config import GanConfig, GanRecipe
from jaxgen.tasks.gan.project import find_latents, fit_to
from jaxgen.tasks.gan.project_files import project_files
from jaxgen.tasks.gan.sample import draw
from jaxgen.tasks.gan.task import TASK

SHAPE = (12, 12, 1)
STEPS = 100


def make(num_classes=0, shape=SHAPE, latent_dim=4):
    """A GAN of random weights; they are enlarged, so that its images are far from grey and from each other."""
    conditioning = "concat" if num_classes else "none"
    config = GanRecipe(
        gan=GanConfig(architecture="mlp", base_channels=2, latent_dim=latent_dim, conditioning=conditioning)
    )
    algorithm = make_gan(config.gan, shape, 4, num_classes)
    state = algorithm.init(jax.random.key(0), vars(config.hparams) | {"schedule_images": 1.0})
    loud = jax.tree.map(lambda x: 1.6 * x, state.ema_params)
    return Trained(TASK, config, algorithm, state.replace(ema_params=loud), Facts(shape, tuple("abc"[:num_classes])))


@pytest.fixture(scope="module")
def gan():
    return make()


@pytest.fixture(scope="module")
def found(gan):
    images = draw(gan, 3, 7)["images"]
    return images, find_latents(gan, images, steps=STEPS)


def decibels(a, b):
    return -10 * np.log10(np.mean((a / 255.0 - b / 255.0) ** 2, axis=(1, 2, 3)))


def test_its_own_images_are_found_again_and_not_only_the_nearest_of_many(gan, found):
    images, result = found
    random = draw(gan, projection.POOL, 0)["images"]
    nearest = np.array([decibels(random, image[None]).max() for image in images])
    assert (decibels(result.images, images) > 30).all()
    assert (decibels(result.images, images) > nearest + 6).all()


def test_the_images_are_drawn_from_the_latents_and_the_distance_is_to_them(gan, found):
    images, result = found
    drawn = gan.algorithm.predict(gan.state, {"latents": jnp.asarray(result.latents)}, jax.random.key(0)).images
    np.testing.assert_allclose(result.images, (np.asarray(drawn) + 1) * 127.5, atol=0.51)
    np.testing.assert_allclose(result.distances, 10 ** (-decibels(result.images, images) / 20), rtol=1e-4)
    assert result.labels is None
    assert (result.latents**2).mean() < 3  # they stay where latents are likely


def test_the_class_is_found_and_one_that_is_given_is_kept():
    gan = make(3)
    images = draw(gan, 3, 5, [2, 0, 1])["images"]
    result = find_latents(gan, images, steps=STEPS)
    np.testing.assert_array_equal(result.labels, [2, 0, 1])
    assert (decibels(result.images, images) > 30).all()
    given = find_latents(gan, images, [2, 2, 2], steps=40)
    np.testing.assert_array_equal(given.labels, [2, 2, 2])
    assert given.distances[0] < 10 ** (-20 / 20) < given.distances[1:].min()


def test_many_images_go_in_parts_with_the_same_result(gan, found, monkeypatch):
    images, result = found
    monkeypatch.setattr(projection, "ROWS", projection.WIDE)
    calls = []
    alone = find_latents(gan, images, steps=STEPS, watch=lambda what, items, num: calls.append(num) or items)
    np.testing.assert_allclose(alone.latents, result.latents, atol=1e-3)
    assert calls == [3 * (2 + 5)]  # chunks of 20 steps: of 25, and of 100


def test_the_loss_is_the_squared_error_and_the_length_of_the_latents(gan):
    latents, images = np.float32([[1, 0, 2, 0]]), draw(gan, 1, 3)["images"]
    moving = jnp.asarray(latents)
    search = projection.Search(jnp.int32(5), moving, projection._adam(jnp.float32(0)).init(moving))
    after, losses = projection._advance(
        gan.algorithm.predict, gan.state, search, {"images": jnp.asarray(images)}, jnp.int32(5)
    )
    drawn = np.asarray(gan.algorithm.predict(gan.state, {"latents": moving}, jax.random.key(0)).images)
    expected = np.mean((drawn - (images / 127.5 - 1)) ** 2) + projection.SIGMA**2 * 5 / 144
    np.testing.assert_allclose(losses, [expected], rtol=1e-5)
    np.testing.assert_array_equal(after.latents, latents)  # all five steps are done


def test_the_search_keeps_its_types_with_64_bits(gan):
    moving = jnp.zeros((1, 4), jnp.float32)
    search = projection.Search(jnp.int32(0), moving, projection._adam(jnp.float32(0)).init(moving))
    given = {"images": jnp.zeros((1, *SHAPE), jnp.uint8)}
    with jax.enable_x64(True):
        after, losses = jax.eval_shape(
            partial(projection._advance, gan.algorithm.predict), gan.state, search, given, jnp.int32(5)
        )
    assert [x.dtype for x in jax.tree.leaves(after)] == [x.dtype for x in jax.tree.leaves(search)]
    assert losses.dtype == np.float32


@pytest.mark.parametrize(("num_classes", "width", "expected"), [(2, 4, 4), (2, 5, 4), (6, 4, 4)])
def test_the_starts_are_the_nearest_of_each_class(num_classes, width, expected):
    noise = np.random.default_rng(0)
    images = noise.integers(0, 256, (num_classes, 5, 2, 2, 1)).astype(np.uint8)
    pool = projection.Pool(np.arange(num_classes) + 1, np.arange(5.0)[:, None], images)
    image = noise.integers(0, 256, (2, 2, 1)).astype(np.uint8)
    latents, classes = projection._nearest(pool, image, np.arange(num_classes) + 1, width)
    distance = ((images / 1.0 - image) ** 2).sum((2, 3, 4))
    each = max(1, width // num_classes)
    ranked = [(distance[c, k], c + 1, k) for c in range(num_classes) for k in np.argsort(distance[c])[:each]]
    assert len(classes) == expected
    assert {*zip(classes, latents[:, 0], strict=True)} == {(c, k) for _, c, k in sorted(ranked)[:width]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"images": np.zeros((1, 8, 8, 1), np.uint8)},
            r"images: got 'uint8 \(1, 8, 8, 1\)'; accepted: uint8 \(n, 12, 12, 1",
        ),
        ({"images": np.zeros((0, *SHAPE), np.uint8)}, "images: got"),
        ({"labels": [0]}, "labels: .*no classes"),
        ({"steps": 0}, "steps: got 0"),
    ],
)
def test_bad_input_is_refused(gan, change, message):
    with pytest.raises(InputError, match=message):
        find_latents(gan, **{"images": np.zeros((1, *SHAPE), np.uint8), **change})


def test_arrays_of_any_size_are_projected_from_python(gan, found):
    images, _ = found
    large = images.repeat(2, 1).repeat(2, 2) / 255
    result = jaxgen.project(gan, large[..., 0], steps=20)
    fitted = np.stack([fit_to(image, SHAPE) for image in images.repeat(2, 1).repeat(2, 2)])
    np.testing.assert_array_equal(result.latents, find_latents(gan, fitted, steps=20).latents)
    for images, message in (
        (large * 2, "images: got 'floats from 0 to 2'"),
        (large[0, 0], "images: got uint8 of shape"),
    ):
        with pytest.raises(InputError, match=message):
            jaxgen.project(gan, images)
    with pytest.raises(InputError, match=r"labels: got .*; accepted: None, since it has no classes"):
        jaxgen.project(gan, large, 7)
    with pytest.raises(
        InputError, match="model: got 'photos', of task restoration; accepted: a run of task gan or private_gan, digits"
    ):
        jaxgen.project("photos", large)


def test_pictures_are_fitted_as_training_images_are():
    square = np.zeros((20, 40, 3), np.uint8)
    square[:, 10:30] = 200
    np.testing.assert_array_equal(fit_to(square, (8, 8, 1)), np.full((8, 8, 1), 200))
    wide = np.zeros((4, 6, 1), np.uint8)
    assert fit_to(wide, (4, 6, 3)).shape == (4, 6, 3)
    with pytest.raises(InputError, match="size: got '6 x 4'; accepted: 5 x 4"):
        fit_to(wide, (4, 5, 1))


def test_files_are_projected_and_those_that_cannot_be_read_are_named(tmp_path, capsys):
    gan = make(3)
    for i, image in enumerate(draw(gan, 2, 5, [2, 1])["images"]):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{i}.png")
    Image.new("RGB", (30, 20)).save(tmp_path / "2.png")
    (tmp_path / "3.png").write_bytes(b"nonsense")
    out = tmp_path / "out" / "x.png"
    assert project_files(gan, [str(tmp_path)], (), 20, 0, out) == 1
    lines, errors = capsys.readouterr()
    assert f"{tmp_path}/2.png: 30 x 20 pixels, cut to its middle square, resized to 12 x 12, made grey\n" in lines
    assert f"{tmp_path}/3.png: is not a PNG" in errors
    arrays = np.load(out.with_suffix(".npz"))
    assert {name: array.shape for name, array in arrays.items()} == {
        "latents": (3, 4),
        "distances": (3,),
        "labels": (3,),
    }
    for i, distance in enumerate(arrays["distances"]):
        assert f"{i}.png: PSNR {-20 * np.log10(distance):.2f} dB, class {'abc'[arrays['labels'][i]]}\n" in lines
    assert Image.open(out).size == (5 * (2 + 2 * 14), 5 * (2 + 3 * 14))
    assert project_files(gan, [str(tmp_path / "0.png")], ("b",), 1, 0, out) == 0
    assert np.load(out.with_suffix(".npz"))["labels"].tolist() == [1]
    with pytest.raises(InputError, match=r"label: got \('a', 'b'\); accepted: one class, or one for each of the 4"):
        project_files(gan, [str(tmp_path / "*.png")], ("a", "b"), 1, 0, out)
    with pytest.raises(InputError, match=r"pictures: got .*; accepted: a picture that can be read"):
        project_files(gan, [str(tmp_path / "3.png")], (), 1, 0, out)
