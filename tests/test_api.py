"""The Python API: arrays in and out, and the weights of the command line."""

import doctest
import importlib.metadata
import inspect
import signal
import sys
import threading
import typing

import jax
import numpy as np
import pytest
from PIL import Image

import jaxgen
from jaxgen import api
from jaxgen.api import training
from jaxgen.api.arguments import as_config, as_stack
from jaxgen.errors import InputError
from jaxgen.tasks.load import load
from jaxgen.tasks.restoration import apply
from jaxgen.tasks.restoration.config import RestorationConfig
from jaxgen.tasks.super_resolution.enlarge import make_enlarge
from tests.upscalers import upscaler_of

IMAGES = np.random.default_rng(0).integers(0, 256, (48, 8, 8, 1), np.uint8)
LABELS = np.arange(48) % 3
SMALL = jaxgen.GanConfig(architecture="mlp", base_channels=1, latent_dim=4, penalties=())
RESTORER = RestorationConfig(widths=(2, 4), depth=1, schedule="damage:4")


@pytest.fixture(scope="module")
def trained():
    return api.train_gan(IMAGES, steps=12, batch_size=8, config=SMALL, progress=False)


@pytest.fixture(scope="module")
def restorer():
    pictures = np.repeat(IMAGES, 3, -1)
    restorer, history = api.train_restorer(pictures, steps=4, batch_size=8, config=RESTORER, progress=False)
    assert history["loss/restorer"].shape == (4,)
    return restorer


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_the_classes_of_public_signatures_are_public_and_no_others():
    functions = [f for f in (getattr(jaxgen, name) for name in jaxgen.__all__) if inspect.isfunction(f)]
    hints = [hint for f in functions for hint in typing.get_type_hints(f).values()]
    named = {c.__name__ for hint in hints for c in classes_in(hint) if c.__module__.startswith("jaxgen")}
    assert {"RestorationConfig", "Trained", "GanHparams"} <= named <= set(jaxgen.__all__)
    assert len(jaxgen.__all__) <= len(functions) + len(named) + 4  # errors, TrainConfig, TrainState
    assert jaxgen.__version__ == importlib.metadata.version("jaxgen")


def classes_in(hint):
    return [hint] if inspect.isclass(hint) else [c for part in typing.get_args(hint) for c in classes_in(part)]


@pytest.mark.slow
def test_the_examples_of_docstrings_run(trained, restorer):
    photo = np.random.default_rng(2).integers(0, 256, (10, 12, 3), np.uint8)
    names = {"jaxgen": jaxgen, "images": IMAGES, "photo": photo, "gan": trained[0], "restorer": restorer}
    names["upscaler"] = upscaler_of()
    runner = doctest.DocTestRunner()
    functions = [name for name in jaxgen.__all__ if inspect.isfunction(getattr(jaxgen, name))]
    assert len(functions) >= 9
    for name in functions:
        (test,) = doctest.DocTestFinder(recurse=False).find(getattr(jaxgen, name), name, globs=dict(names))
        assert test.examples, name
        assert runner.run(test).failed == 0


def test_a_model_is_shown_in_three_lines(trained):
    gan, _ = trained
    num = {name: sum(np.size(x) for x in jax.tree.leaves(net)) for name, net in gan.state.params.items()}
    sizes = ", ".join(f"{name} {num:,}" for name, num in num.items())
    assert repr(gan) == f"Trained(gan, step 12\n  images: 8 x 8 x 1\n  parameters: {sizes})"


def test_pictures_come_as_pil_images_and_files_too(restorer, tmp_path):
    image = np.random.default_rng(2).integers(0, 256, (10, 12, 3), np.uint8)
    mask = np.zeros((10, 12), np.uint8)
    mask[2:5, 3:6] = 255
    expected = jaxgen.restore(image, mask, model=restorer)
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(mask).save(tmp_path / "m.png")
    for given, where in (
        (Image.fromarray(image), Image.fromarray(mask)),
        (str(tmp_path / "a.png"), tmp_path / "m.png"),
    ):
        assert np.array_equal(jaxgen.restore(given, where, model=restorer), expected)
    assert np.array_equal(as_stack([Image.fromarray(image), tmp_path / "a.png", image]), np.stack([image] * 3))


def test_new_sizes_compile_nothing(restorer):
    jaxgen.restore(np.zeros((9, 9), np.uint8), model=restorer)
    program = apply._program(restorer.algorithm, 3, 1, True)
    num = program._cache_size()
    for size, strength, mask in (((9, 30), 1, None), ((50, 7), 0.5, None), ((11, 11), 1, np.eye(11))):
        jaxgen.restore(np.zeros(size, np.uint8), mask, strength, model=restorer)
    assert program._cache_size() == num == 1


def test_runs_and_bundles_are_loaded_by_one_function(monkeypatch, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.setattr("jaxgen.tasks.load.load", lambda model, checkpoint, field: (model, checkpoint))
    assert jaxgen.load(str(tmp_path), "best") == (str(tmp_path), "best")
    assert jaxgen.load(tmp_path) == (tmp_path, "latest")


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


@pytest.mark.slow
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


def test_a_dict_is_a_configuration():
    found = as_config(jaxgen.GanConfig, {"latent_dim": 4, "penalties": []}, "config", architecture="mlp")
    assert found == jaxgen.GanConfig(architecture="mlp", latent_dim=4, penalties=())
    assert as_config(jaxgen.GanConfig, SMALL, "config", architecture="resnet") is SMALL


def test_restorer_keeps_shape_type_and_what_is_not_masked(restorer):
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


def test_upscaling_keeps_the_type_and_takes_what_restore_takes(tmp_path):
    upscaler = upscaler_of()
    image = np.random.default_rng(1).integers(0, 256, (5, 6, 3), np.uint8)
    expected = make_enlarge(upscaler, 2.5)(image)
    Image.fromarray(image).save(tmp_path / "a.png")
    for given in (image, Image.fromarray(image), tmp_path / "a.png"):
        np.testing.assert_array_equal(jaxgen.upscale(given, 2.5, model=upscaler), expected)
    floats = jaxgen.upscale((image / 255).astype(np.float32), 2.5, model=upscaler)
    assert floats.dtype == np.float32
    assert np.abs(floats * 255 - expected).max() <= 0.51
    grey = jaxgen.upscale(image[..., 0].astype(np.uint16) * 257, 3, model=upscaler)
    assert (grey.shape, grey.dtype) == ((15, 18), np.uint16)
    assert np.array_equal(jaxgen.upscale(image, 1, model=upscaler), image)
    plain = jaxgen.upscale(image, 2, strength=0, model=upscaler)
    np.testing.assert_array_equal(plain, make_enlarge(None, 2)(image))


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
        lambda: jaxgen.restore(Image.new("RGBA", (4, 4))),
        lambda: jaxgen.upscale(np.zeros((4, 4, 2), np.uint8), 2),
        lambda: jaxgen.upscale(np.zeros((4, 4), np.uint8), 9),
        lambda: jaxgen.upscale(np.zeros((4, 4), np.uint8), 2, kind="drawing"),
        lambda: jaxgen.upscale(np.zeros((4, 4), np.uint8), 2, kind="bicubic", model=upscaler_of()),
        lambda: jaxgen.upscale(np.zeros((4, 4), np.uint8), 2, model="/nowhere"),
        lambda: jaxgen.sample("/nowhere"),
        lambda: jaxgen.evaluate("pictures.png", IMAGES),
        lambda: api.train_gan([IMAGES[0], IMAGES[0, :4]], steps=1),
        lambda: api.train_gan(IMAGES, steps=1, config={"architektur": "mlp"}),
        lambda: api.train_gan(IMAGES, steps=1, hparams={"lr": "high"}),
    ],
)
def test_bad_input_raises_a_value_error(call):
    with pytest.raises(InputError, match=r"\A[^\n]*accepted[^\n]*\Z"):
        call()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("restore", {"image": np.zeros((4, 4), np.uint8), "strength": "all"}),
        ("upscale", {"image": np.zeros((4, 4), np.uint8), "scale": "2"}),
        ("upscale", {"image": np.zeros((4, 4), np.uint8), "scale": 2, "kind": ["photo"]}),
        ("sample", {"model": IMAGES}),
        ("load", {"folder": IMAGES}),
        ("train_gan", {"images": IMAGES, "steps": "5"}),
        ("train_gan", {"images": IMAGES, "steps": 1, "config": [1]}),
        ("train_restorer", {"images": IMAGES, "steps": "5"}),
    ],
)
def test_a_wrong_type_raises_a_value_error_of_one_line(name, arguments):
    function = inspect.unwrap(getattr(jaxgen, name))  # without the checks that only the tests have
    with pytest.raises(InputError, match=r"\A[^\n]*accepted[^\n]*\Z"):
        function(**arguments)


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


@pytest.mark.slow
def test_64_bits_change_nothing():
    def work():
        more = {"steps": 2, "batch_size": 8, "progress": False}
        gan, _ = api.train_gan(
            IMAGES, LABELS, config={"architecture": "mlp", "latent_dim": 4, "penalties": ["r1"]}, **more
        )
        kinds = "gaussian:0-0.2|pixels:0-0.5|strokes:0-0.3+jpeg:0.2-0.9|motion_blur:0-1"
        structure = {"widths": (2,), "depth": 1, "schedule": "noise:1,damage:1"}
        restorer, _ = api.train_restorer(IMAGES, damage=kinds, config=structure, **more)
        images = jaxgen.sample(gan, 4), jaxgen.restore(IMAGES[0], model=restorer)
        return images, [leaf.dtype for leaf in jax.tree.leaves((gan.state, restorer.state))]

    images, dtypes = work()
    with jax.enable_x64(True):
        apply._program.cache_clear()
        images_64, dtypes_64 = work()
    assert dtypes == dtypes_64
    for a, b in zip(images, images_64, strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1


def test_going_on_with_another_batch_size_counts_the_images_and_a_logger_may_fail(trained, capsys):
    """12 steps of 8 images, then 2 of 16."""
    logged = []

    def log(step, values):
        logged.append((step, sorted(values)))
        raise RuntimeError("no connection")

    more = {"steps": 14, "batch_size": 16, "config": SMALL}
    gan, _ = api.train_gan(IMAGES, **more, resume=trained[0], log=log)
    said = capsys.readouterr()
    assert int(gan.state.images) == 12 * 8 + 2 * 16
    assert "step 14/14  128 images" in said.out
    assert len(logged) == 1
    assert "loss/generator" in logged[0][1]
    assert "logger: failed at step 14 (RuntimeError('no connection')); it is not called again" in said.err
