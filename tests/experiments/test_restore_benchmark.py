"""The benchmark of restorers: speeds from times, a document that can be read again, and a twin that is the same."""

import dataclasses
import importlib.util
import json
import os
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from experiments.benchmarks import common, restore
from jaxgen.errors import InputError
from jaxgen.tasks.restoration import algorithm as restoration
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationHparams
from jaxgen.tasks.restoration.restorers import make_restorer
from jaxgen.training import parallel
from jaxgen.types import Observation

pytestmark = pytest.mark.slow
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="needs PyTorch, which jaxgen does without"
)
SMALL = RestorationConfig(
    widths=(4, 6, 5), blocks=2, depth=1, loss="l1", damage="gaussian:0-0.2", schedule="damage:1000"
)
HPARAMS = dataclasses.asdict(
    RestorationHparams(lr=0.5, lr_final=0.1, noise_share=0.0, ema_half_life=10.0, schedule_images=20.0)
)


@pytest.fixture
def small(monkeypatch):
    """Networks of a few channels in place of the pretrained ones."""
    tiny_restorers = {c: dataclasses.replace(r, widths=(4,), blocks=1, depth=1) for c, r in restore.INVERSE.items()}
    monkeypatch.setattr(restore, "INVERSE", tiny_restorers)
    monkeypatch.setattr(
        restore, "RECURRENT", dataclasses.replace(restore.RECURRENT, widths=(4,), blocks=1, iterations=3)
    )
    monkeypatch.setattr(restore, "CROP", 8)


def random_params(config, channels, seed=0):
    """Parameters of which none is zero, since biases that are would hide a wrong order."""
    draw = np.random.default_rng(seed).normal
    shapes = jax.eval_shape(
        make_restorer(config, (28, 28, channels)).init, jax.random.key(0), Observation(jnp.zeros((1, 28, 28, channels)))
    )
    return jax.tree.map(lambda p: jnp.asarray(0.7 * draw(size=p.shape) / p.size**0.4, jnp.float32), shapes["params"])


def images_of(*shape):
    return np.random.default_rng(0).uniform(-1.0, 1.0, shape).astype(np.float32)


def channels_first(images):
    import torch

    return torch.tensor(np.asarray(images)).permute(0, 3, 1, 2)


@needs_torch
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(16, 24), (16, 13), (7, 9)])
def test_twin_is_the_same_network(channels, size):
    import torch

    from experiments.benchmarks.torch_restoration import load_parameters, make_twin

    params, images = random_params(SMALL, channels), images_of(2, *size, channels)
    twin = make_twin(SMALL, channels)
    load_parameters(twin, params)
    assert sum(p.numel() for p in twin.parameters()) == common.num_parameters(params)
    network = make_restorer(SMALL, (16, 16, channels))
    expected = jax.jit(network.apply)({"params": params}, Observation(jnp.asarray(images)))
    assert np.abs(expected - images).max() > 0.01
    for memory in (torch.contiguous_format, torch.channels_last):
        x = channels_first(images).contiguous(memory_format=memory)
        restored = twin.to(memory_format=memory)(x).permute(0, 2, 3, 1).detach().numpy()
        np.testing.assert_allclose(restored, expected, atol=1e-5, rtol=1e-5)


@needs_torch
def test_twin_has_the_same_gradients():
    from torch.nn import functional as F

    from experiments.benchmarks.torch_restoration import load_parameters, make_twin

    params, clean, images = random_params(SMALL, 3), images_of(2, 14, 16, 3), images_of(4, 14, 16, 3)[2:]
    task = restoration.Restoration(SMALL, make_restorer(SMALL, (14, 16, 3)), (), (), (14, 16, 3), 2)
    degraded = Observation(jnp.asarray(images), jnp.ones((2, 14, 16, 1)))
    grads = jax.jit(
        jax.grad(lambda p: restoration.reconstruction(task, p, restoration.Examples(jnp.asarray(clean), degraded))[0])
    )(params)
    twin, expected = make_twin(SMALL, 3), make_twin(SMALL, 3)
    load_parameters(twin, params)
    load_parameters(expected, grads)  # to bring them into PyTorch's order
    F.l1_loss(twin(channels_first(images)), channels_first(clean)).backward()
    for (name, p), ours in zip(twin.named_parameters(), expected.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), ours.detach().numpy(), atol=1e-5, rtol=1e-4, err_msg=name)
        # none but those of the planes that are not told is zero everywhere
        assert p.grad.abs().max() > 1e-6


@needs_torch
@pytest.mark.parametrize("channels_last", [False, True])
def test_torch_steps_are_the_same_steps(channels_last, monkeypatch):
    """Parameters, average and loss of three steps under the same noise, rising and falling learning rates included."""
    from experiments.benchmarks.torch_restoration import TorchRestoration, load_parameters, make_twin

    shape, batch = (8, 8, 3), 4
    noise = 0.3 * images_of(batch, *shape)
    masks = jnp.ones((batch, 8, 8, 1))
    monkeypatch.setattr(
        restoration, "damage_in_phase", lambda task, key, clean, *_: Observation(clean + jnp.asarray(noise), masks)
    )
    algorithm = restoration.make_restoration(SMALL, shape, batch)
    params = random_params(SMALL, 3)
    state = algorithm.init(jax.random.key(0), HPARAMS)
    state = state.replace(params={"restorer": params}, ema_params={"restorer": jax.tree.map(jnp.copy, params)})
    theirs = TorchRestoration(SMALL, HPARAMS, 3, channels_last)
    theirs.load(params)
    step = jax.jit(algorithm.step)
    for i in range(3):
        clean = np.random.default_rng(i).integers(0, 256, (batch, *shape), np.uint8)
        state, metrics = step(state, {"images": jnp.asarray(clean)}, jax.random.key(7))
        torch_metrics = theirs.step(channels_first(clean), channels_first(noise))
        # Adam's first steps go by the sign of a gradient, and signs of what is zero but for rounding differ
        np.testing.assert_allclose(
            torch_metrics["loss/restorer"], metrics["loss/restorer"], rtol=1e-4 if i == 0 else 0.01
        )
        for module, ours in ((theirs.network, state.params), (theirs.average, state.ema_params)):
            expected = make_twin(SMALL, 3)
            load_parameters(expected, ours["restorer"])
            couples = zip(module.parameters(), expected.parameters(), strict=True)
            difference = np.concatenate([(a - b).abs().detach().numpy().ravel() for a, b in couples])
            assert np.median(difference) < 1e-4
            assert np.mean(difference > 1e-3) <= 0.02


@needs_torch
def test_noise_of_the_torch_step_has_a_level_for_each_image():
    import torch

    from experiments.benchmarks.torch_restoration import TorchRestoration

    torch.manual_seed(0)
    theirs = TorchRestoration(dataclasses.replace(SMALL, damage="gaussian:0.05-0.15"), HPARAMS, 1)
    sigma = theirs.draw_noise(torch.zeros(400, 1, 32, 32)).std(dim=(1, 2, 3)).numpy() / 2.0
    low, middle, high = np.quantile(sigma, (0.0, 0.5, 1.0))
    assert 0.045 < low < 0.055 < 0.09 < middle < 0.11 < 0.145 < high < 0.16


@needs_torch
def test_twin_refuses_what_it_does_not_have():
    from experiments.benchmarks.torch_restoration import TorchRestoration

    wrong = [
        {"architecture": "dense"},
        {"keep_known": True},
        {"optimizer": "muon"},
        {"loss": "mse"},
        {"schedule": "noise:5,damage:5"},
        {"damage": "jpeg:0.5"},
        {"damage": "gaussian:0-0.2|gaussian:0-0.1"},
    ]
    for change in wrong:
        with pytest.raises(InputError):
            TorchRestoration(dataclasses.replace(SMALL, **change), HPARAMS, 1)
    with pytest.raises(InputError):
        TorchRestoration(SMALL, {**HPARAMS, "grey_share": 0.5}, 1)


@needs_torch
def test_dncnn_is_the_published_one():
    import torch

    from experiments.benchmarks.torch_restoration import DnCNN

    network = DnCNN()
    assert len(network.convs) == 17
    assert sum(p.numel() for p in network.parameters()) == 555_137
    images = torch.rand(2, 1, 5, 7)
    with torch.no_grad():
        assert network(images).shape == (2, 1, 5, 7)
        network.convs[-1].weight.zero_()
        network.convs[-1].bias.fill_(0.25)
        np.testing.assert_allclose(network(images), images - 0.25)


def test_speeds_come_from_times():
    timings = {
        "jaxgen": common.Timing(0.5, 0.4, 0.6, 0.7),
        "PyTorch DnCNN-17": common.Timing(4.0, 3.0, 5.0, 6.0),
        "PyTorch DnCNN-17, channels_last": common.Timing(2.0, 1.0, 3.0, 4.0),
        "PyTorch twin": common.Timing(0.1, 0.1, 0.1, 0.1),
    }
    rows = restore.inference_rows(timings, 500, 2000)
    assert [row["megapixels_per_second"] for row in rows] == pytest.approx([2.0, 0.25, 0.5, 10.0])
    assert [row["ratio_to_dncnn"] for row in rows] == pytest.approx([4.0, 0.5, 1.0, 20.0])
    (row,) = restore.inference_rows({"jaxgen": timings["jaxgen"]}, 500, 2000)
    assert row["ratio_to_dncnn"] is None


def test_muon_has_no_ratio_and_adam_has():
    seconds = {"jaxgen adam": 2.0, "jaxgen muon": 4.0, "PyTorch eager": 3.0, "PyTorch eager, channels_last": 1.0}
    timings = {label: common.Timing(value, value, value, value) for label, value in seconds.items()}
    assert [row["ratio_to_pytorch"] for row in restore.train_rows(timings, 8)] == [0.5, None, 1.0 / 3.0, 1.0]


def test_unrolled_network_is_the_scanned_one(small):
    scanned, *unrolled = (
        restore.FORMS[form](tuple(restore.RECURRENT.widths), restore.RECURRENT.blocks, restore.RECURRENT.iterations)
        for form in restore.FORMS
    )
    assert scanned.clone(dtype="float32") == make_restorer(restore.RECURRENT, restore.DIGIT)
    assert [network.checkpointed for network in unrolled] == [False, True]
    params, images = random_params(restore.RECURRENT, 1), jnp.asarray(images_of(2, 7, 9, 1))
    masks = jnp.asarray(images_of(2, 7, 9, 1) > 0.0, jnp.float32)

    def loss(network, params):
        estimates = network.apply({"params": params}, Observation(images, masks), method="estimates")
        assert estimates.shape == (3, 2, 7, 9, 1)
        return jnp.sum(jnp.square(estimates) * jnp.arange(1.0, 4.0)[:, None, None, None, None])

    results = [jax.jit(jax.value_and_grad(lambda p, n=n: loss(n, p)))(params) for n in (scanned, *unrolled)]
    for other in results[1:]:
        for a, b in zip(jax.tree.leaves(other), jax.tree.leaves(results[0]), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_the_checkpoint_is_there_or_not(small):
    text = {}
    for form in restore.FORMS:
        algorithm = restore.recurrent_algorithm(form, 2)
        state = jax.eval_shape(algorithm.init, jax.random.key(0), restore.hparams(2))
        batch = {"images": jax.ShapeDtypeStruct((2, *restore.DIGIT), jnp.uint8)}
        text[form] = str(jax.make_jaxpr(algorithm.step)(state, batch, jax.random.key(0)))
    assert ["remat" in t or "checkpoint" in t for t in text.values()] == [True, False, True]


def test_compilation_is_measured_without_caches(tmp_path):
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    for name, value in zip(names, (str(tmp_path), 0.0), strict=True):
        jax.config.update(name, value)
    try:
        program, facts = common.compile_afresh(jax.jit(lambda x: jnp.sin(x) * 3.0), np.ones(7, np.float32))
        assert not os.listdir(tmp_path)
        assert jax.config.jax_enable_compilation_cache
        jax.jit(lambda x: jnp.cos(x) * 3.0)(np.ones(7, np.float32))
        assert os.listdir(tmp_path)  # as it is with the caches
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
    np.testing.assert_allclose(program(np.ones(7, np.float32)), 3.0 * np.sin(np.ones(7)), rtol=1e-6)
    assert facts["compile_seconds"] > 0.0
    assert facts["megabytes"] >= 0.0


def document_of(config, out):
    """What a benchmark wrote, by case."""
    restore.run(dataclasses.replace(config, out=str(out)))
    document = json.loads(out.read_text())
    assert document["benchmark"] == "restore"
    assert document["hardware"]["versions"]["jax"] == jax.__version__
    assert (document["torch"]["version"] is not None) == config.torch
    assert not [row for case in document["cases"] for row in case["rows"] if "does_not_work" in row]
    return {case["case"]: case for case in document["cases"]}


@pytest.mark.parametrize("torch", [False, pytest.param(True, marks=needs_torch)])
def test_a_small_race_leaves_a_readable_document(torch, small, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(parallel.STEPS_PER_DISPATCH, "cpu", 1)  # with one device: one row by adam
    colours = {"grey": 1, "colour": 3} if torch else {"colour": 3}
    monkeypatch.setattr(restore, "COLOURS", colours)
    config = restore.RestoreConfig(2, 1, 12, 1, cases=("inference", "train"), torch=torch)
    cases = document_of(config, tmp_path / "result.json")
    assert list(cases) == ["inference", *[f"train_{colour}" for colour in colours]]
    inference = cases["inference"]
    assert len(inference["rows"]) == (8 if torch else 1)
    for row in inference["rows"]:
        assert row["megapixels_per_second"] == pytest.approx(144e-6 / row["seconds_per_step"])
        assert (row["ratio_to_dncnn"] is not None) == torch
    # 3 x 3 from 4 (c + 3) to 4 channels, twice from 4 to 4, from 4 to 4 (c + 1), and as many biases as outputs
    sizes = {colour: 144 * (c + 3) + 4 + 2 * 148 + (144 + 4) * (c + 1) for colour, c in colours.items()}
    assert inference["parameters"] == sizes
    for colour in colours:
        case = cases[f"train_{colour}"]
        assert case["parameters"] == sizes[colour]
        assert ["muon" in row["label"] for row in case["rows"]] == [False, True] + [False] * 2 * torch
        for row in case["rows"]:
            assert row["images_per_second"] == pytest.approx(1 / row["seconds_per_step"])
            assert (row["ratio_to_pytorch"] is not None) == (torch and "muon" not in row["label"])
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("MP/s", "× DnCNN", "images/s", "result.json"))


def test_scan_and_unrolling_are_raced(small, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(parallel.STEPS_PER_DISPATCH, "cpu", 1)
    config = restore.RestoreConfig(2, 1, batch_size=2, cases=("recurrent",), torch=False)
    rows = document_of(config, tmp_path / "result.json")["recurrent"]["rows"]
    assert [row["label"] for row in rows] == list(restore.FORMS)
    assert rows[0]["ratio_to_scan"] == 1.0
    for row in rows:
        assert row["ratio_to_scan"] == pytest.approx(rows[0]["seconds_per_step"] / row["seconds_per_step"])
        assert row["compile_seconds"] > 0
        assert row["megabytes"] >= 0
    assert "compile s" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flag",
    [
        ["--repeats", "0"],
        ["--image-size", "0"],
        ["--batch-size", "many"],
        ["--cases", "nonsense"],
        ["--out", "no/such/folder/x.json"],
    ],
)
def test_bad_flags_end_in_one_line_and_exit_code_2(flag, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["restore", *flag])
    with pytest.raises(SystemExit) as end:
        restore.main()
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert flag[0] in error or flag[0].strip("-").replace("-", "_") in error
