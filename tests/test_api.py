"""The Python API: arrays in and out, and the weights of the command line."""

import signal
import sys
import threading

import jax
import numpy as np
import pytest

import jaxgen
from jaxgen import api
from jaxgen.api import training
from jaxgen.errors import InputError
from jaxgen.tasks.load import load
from jaxgen.tasks.restoration.config import RestorationConfig

IMAGES = np.random.default_rng(0).integers(0, 256, (48, 8, 8, 1), np.uint8)
LABELS = np.arange(48) % 3
SMALL = jaxgen.GanConfig(architecture="mlp", base_channels=1, latent_dim=4, penalties=())
RESTORER = RestorationConfig(widths=(2, 4), depth=1, schedule="damage:4")


@pytest.fixture(scope="module")
def trained():
    return api.train_gan(IMAGES, steps=12, batch_size=8, config=SMALL, progress=False)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_at_most_fifteen_public_names():
    assert len(jaxgen.__all__) <= 15
    assert jaxgen.train_gan is api.train_gan


def test_history_and_samples(trained, capsys):
    gan, history = trained
    assert gan.facts.step == 12
    assert {value.shape for value in history.values()} == {(12,)}
    assert "loss/generator" in history
    images = jaxgen.sample(gan, 5, seed=1)
    assert (images.shape, images.dtype) == ((5, 8, 8, 1), np.uint8)
    assert np.array_equal(images, jaxgen.sample(gan, 5, seed=1))
    assert not np.array_equal(images, jaxgen.sample(gan, 5, seed=2))
    assert capsys.readouterr().out == ""


def test_floats_are_the_same_images(trained):
    gan, _ = api.train_gan(IMAGES / 255, steps=12, batch_size=8, config=SMALL, progress=False)
    assert same(gan.state.params, trained[0].state.params)


@pytest.mark.slow
def test_the_command_line_gives_the_same_weights(trained, tmp_path, monkeypatch):
    from experiments import gan_mnist

    np.savez(tmp_path / "x.npz", images=IMAGES)
    flags = "--steps 12 --batch-size 8 --architecture mlp --base-channels 1 --latent-dim 4 --penalties"
    args = ["gan_mnist", *flags.split(), "--dataset", f"npz:{tmp_path / 'x.npz'}", "--out", str(tmp_path / "runs")]
    monkeypatch.setattr(sys, "argv", args)
    before = signal.getsignal(signal.SIGTERM)
    gan_mnist.main()
    signal.signal(signal.SIGTERM, before)
    (run,) = (tmp_path / "runs" / "gan_mnist").iterdir()
    assert same(load(run).state.params, trained[0].state.params)


def test_going_on_is_as_never_having_stopped(trained):
    hparams = jaxgen.GanHparams(schedule_images=96.0)
    more = {"batch_size": 8, "config": SMALL, "hparams": hparams, "progress": False}
    half, _ = api.train_gan(IMAGES, steps=10, **more)
    kept = jax.tree.map(np.array, half.state.params)
    whole, history = api.train_gan(IMAGES, steps=12, resume=half, **more)
    assert same(whole.state.params, trained[0].state.params)
    assert len(history["loss/generator"]) == 2
    assert same(half.state.params, kept)
    with pytest.raises(InputError, match="resume"):
        api.train_gan(IMAGES[:, :4, :4], steps=12, resume=half, **more)


def test_classes(capsys):
    config = jaxgen.GanConfig(architecture="mlp", base_channels=1, latent_dim=4, penalties=(), conditioning="concat")
    gan, _ = api.train_gan(IMAGES, LABELS, steps=2, batch_size=8, config=config)
    said = capsys.readouterr().out
    assert "classes: 3, 16 images each" in said
    assert "only 48 images: --augment" in said
    assert jaxgen.sample(gan, 4, labels=[2, 0]).shape == (4, 8, 8, 1)
    for wrong in (3, [], -1):
        with pytest.raises(InputError, match="labels"):
            jaxgen.sample(gan, 4, labels=wrong)


def test_classes_are_the_labels_that_occur_and_are_asked_for_by_them():
    config = jaxgen.GanConfig(architecture="mlp", base_channels=1, latent_dim=4, penalties=(), conditioning="concat")
    labels = np.array(["dog", "ant", "cat"])[LABELS]
    gan, _ = api.train_gan(IMAGES, labels, steps=2, batch_size=8, config=config, progress=False)
    other, _ = api.train_gan(IMAGES, np.array([77, 3, 8])[LABELS], steps=2, batch_size=8, config=config, progress=False)
    assert (gan.facts.class_names, other.facts.class_names) == (("ant", "cat", "dog"), ("3", "8", "77"))
    expected = jaxgen.sample(gan, 4, labels=[2, 0])  # by number; the order is the same, and so are the weights
    np.testing.assert_array_equal(jaxgen.sample(gan, 4, labels=["dog", "ant"]), expected)
    np.testing.assert_array_equal(jaxgen.sample(other, 4, labels=[77, 3]), expected)


def test_restorer_keeps_shape_type_and_what_is_not_masked():
    pictures = np.repeat(IMAGES, 3, -1)
    restorer, history = api.train_restorer(pictures, steps=4, batch_size=8, config=RESTORER, progress=False)
    assert history["loss/restorer"].shape == (4,)
    mask = np.zeros((9, 11), bool)
    mask[2:5, 3:6] = True
    for dtype, shape in ((np.uint8, (9, 11)), (np.uint16, (9, 11, 3)), (np.float32, (9, 11, 1))):
        image = np.random.default_rng(1).random(shape)
        image = image.astype(dtype) if dtype is np.float32 else (image * np.iinfo(dtype).max).astype(dtype)
        found = jaxgen.restore(image, mask, model=restorer)
        assert (found.shape, found.dtype) == (shape, dtype)
        assert np.abs(found[~mask].astype(float) - image[~mask]).max() <= (1e-4 if dtype is np.float32 else 0)
        assert not np.array_equal(found[mask], image[mask])
        assert np.array_equal(jaxgen.restore(image, strength=0, model=restorer), image)


@pytest.mark.parametrize(
    "call",
    [
        lambda: api.train_gan(IMAGES.astype(int), steps=1),
        lambda: api.train_gan(IMAGES * 2.0, steps=1),
        lambda: api.train_gan(IMAGES, LABELS[:3], steps=1),
        lambda: api.train_gan("digits", LABELS, steps=1),
        lambda: api.train_gan(IMAGES, steps=0),
        lambda: jaxgen.restore(np.zeros((4, 4, 2), np.uint8)),
        lambda: jaxgen.restore(np.zeros((4, 4), np.uint8), strength=2),
        lambda: jaxgen.restore(np.zeros((4, 4), np.uint8), np.zeros((4, 5))),
        lambda: jaxgen.restore(np.full((4, 4), np.nan)),
        lambda: jaxgen.sample("/nowhere"),
    ],
)
def test_bad_input_raises_a_value_error(call):
    with pytest.raises(ValueError, match="accepted"):
        call()


def test_an_interrupt_returns_what_was_trained_and_leaves_the_handlers(monkeypatch):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    whole = training.fit

    def interrupted(*args, on_metrics, **more):
        def then(step, values):
            on_metrics(step, values)
            signal.raise_signal(signal.SIGINT)

        return whole(*args, on_metrics=then, **more)

    monkeypatch.setattr(training, "fit", interrupted)
    gan, history = api.train_gan(IMAGES, steps=40, batch_size=8, config=SMALL, progress=False)
    assert 0 < gan.facts.step < 40
    assert len(history["loss/generator"]) == gan.facts.step
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_it_trains_in_a_thread():
    found = []
    work = threading.Thread(
        target=lambda: found.append(api.train_gan(IMAGES, steps=2, batch_size=8, config=SMALL, progress=False))
    )
    work.start()
    work.join()
    assert found[0][0].facts.step == 2


def test_evaluate_arrays():
    figures = jaxgen.evaluate(IMAGES, np.random.default_rng(1).random((60, 8, 8, 1)))
    assert {"frechet", "kernel", "precision", "coverage"} <= set(figures)
    assert all(isinstance(value, float) for value in figures.values())
