"""The benchmarks: fair timing, documents that can be read again, and a PyTorch counterpart that is the same GAN."""

import copy
import dataclasses
import importlib.util
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks import common, convolution, train_step
from jaxgen.errors import InputError
from jaxgen.networks import layers
from jaxgen.tasks.gan.algorithm import make_gan
from jaxgen.tasks.gan.config import GanConfig, GanHparams
from jaxgen.tasks.gan.pairs import make_gan_pair

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="needs PyTorch, which jaxgen does without"
)
SHAPE, BATCH = (28, 28, 1), 8
HPARAMS = dataclasses.asdict(GanHparams(lr=1e-3, lr_final=1e-4, r1=1.0, r2=0.5, schedule_images=40.0))


def test_race_takes_turns_and_reports_medians():
    order, clock = [], [0.0]

    def candidate(label, durations):
        left = iter(durations)

        def run():
            order.append(label)
            clock[0] += next(left)

        return common.Candidate(label, run, steps=2)

    candidates = [candidate("a", [9.0, 2.0, 4.0, 6.0]), candidate("b", [9.0, 1.0, 1.0, 1.0])]
    timings = common.race(candidates, 3, 2, clock=lambda: clock[0], cpu_clock=lambda: 2 * clock[0])
    assert order == ["a", "b", "a", "b", "b", "a", "a", "b"]
    assert timings == {"a": (2.0, 1.5, 2.5, 4.0), "b": (0.5, 0.5, 0.5, 1.0)}


def test_slow_dispatches_are_not_repeated_and_short_ones_are():
    runs = []
    candidates = [common.Candidate(str(k), lambda k=k: runs.append(k), steps=k) for k in (1, 10, 50)]
    common.race(candidates, 1, 10)
    assert runs[3:] == [1] * 10 + [10] + [50]


@pytest.mark.parametrize("flag", [["--repeats", "0"], ["--batch-size", "0"], ["--out", "no/such/folder/x.json"]])
@pytest.mark.parametrize("benchmark", [train_step, convolution])
def test_bad_flags_end_in_one_line_and_exit_code_2(benchmark, flag, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmark", *flag])
    with pytest.raises(SystemExit) as end:
        benchmark.main()
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


@pytest.mark.slow
def test_a_small_race_leaves_a_readable_document(tmp_path, capsys):
    out = tmp_path / "result.json"
    config = train_step.TrainStepConfig(
        repeats=2, steps=2, batch_size=8, cases=("gan_mnist_mlp",), steps_per_dispatch=(2,), torch=False, out=str(out)
    )
    train_step.run(config)
    document = json.loads(out.read_text())
    assert document["hardware"]["versions"]["jax"] == jax.__version__
    (case,) = document["cases"]
    assert case["parameters"] == {"generator": 64 * 1024 + 1024 + 1024 * 784 + 784, "discriminator": 785 * 1024 + 1025}
    for row in case["rows"]:
        assert row["images_per_second"] == pytest.approx(8 / row["seconds_per_step"])
        assert row["ratio_to_pytorch"] is None
    assert "images/s" in capsys.readouterr().out


def test_a_candidate_that_cannot_run_is_reported_and_does_not_end_the_race():
    def broken():
        raise RuntimeError("no double backward\nand more")

    usable, failures = common.usable_candidates(
        [("good", lambda: common.Candidate("good", lambda: None, 1)), ("bad", broken)]
    )
    assert [candidate.label for candidate in usable] == ["good"]
    assert failures == [common.Failure("bad", "no double backward")]


def test_plain_convolution_of_the_benchmark_is_the_same_function():
    key_x, key_k = jax.random.split(jax.random.key(0))
    x, kernel = jax.random.normal(key_x, (2, 6, 6, 3)), jax.random.normal(key_k, (3, 3, 3, 4))
    np.testing.assert_allclose(convolution.plain_conv(x, kernel), layers.conv(x, kernel), rtol=1e-5, atol=1e-5)
    volumes = convolution.volume_candidates(4, 2, 3)
    assert [candidate.run() for candidate in volumes] == [None] * 4
    before = layers.conv
    with convolution.using(convolution.plain_conv):
        assert layers.conv is convolution.plain_conv
    assert layers.conv is before


def both(architecture, optimizer, **mode):
    """The same GAN at the same parameters in jaxgen and in PyTorch, and the two batches of latents of step 0."""
    from experiments.benchmarks.torch_gan import Mode, TorchGan

    penalties, loss = ((), "minimax") if architecture == "mlp" else (("r1", "r2"), "relativistic")
    base = 4 if architecture == "resnet" else 8
    config = GanConfig(
        architecture=architecture, base_channels=base, loss=loss, penalties=penalties, optimizer=optimizer
    )
    algorithm = make_gan(config, SHAPE, BATCH)
    state = algorithm.init(jax.random.key(3), HPARAMS)
    # biases that are zero would hide a wrong order
    keys = iter(jax.random.split(jax.random.key(4), 100))
    params = jax.tree.map(lambda p: p + 0.1 * jax.random.normal(next(keys), p.shape), state.params)
    state = state.replace(params=params)
    gan = TorchGan(config, HPARAMS, SHAPE, Mode(**mode))
    gan.load(params)
    return config, algorithm, state, gan


def images_of(seed):
    return np.random.default_rng(seed).integers(0, 256, (BATCH, *SHAPE), np.uint8)


def close(ours, theirs, atol=1e-4):
    np.testing.assert_allclose(np.asarray(ours), theirs.detach().numpy(), atol=atol, rtol=1e-4)


@needs_torch
@pytest.mark.parametrize("architecture", ["dcgan", "mlp", "resnet"])
def test_torch_networks_are_the_same_networks(architecture):
    import torch

    from experiments.benchmarks.torch_gan import squares_by_autograd, squares_by_func
    from jaxgen.losses.penalties import logits_and_squared_gradient

    config, _, state, gan = both(architecture, "sgd")
    for name in ("generator", "discriminator"):
        num = sum(p.numel() for p in getattr(gan, name).parameters())
        assert num == common.num_parameters(state.params[name])
    generator, discriminator = make_gan_pair(config, SHAPE)
    latents = np.random.default_rng(0).normal(size=(BATCH, config.latent_dim)).astype(np.float32)
    images = generator.apply({"params": state.params["generator"]}, jnp.asarray(latents))
    rendered = gan.generator(torch.tensor(latents))
    close(images, rendered.permute(0, 2, 3, 1))

    def score(x):
        return discriminator.apply({"params": state.params["discriminator"]}, x)

    logits, squares = logits_and_squared_gradient(score, images)
    x = torch.tensor(np.asarray(images)).permute(0, 3, 1, 2)
    for squares_fn in (squares_by_autograd, squares_by_func):
        torch_logits, torch_squares = squares_fn(gan.discriminator, x)
        close(logits, torch_logits)
        close(squares, torch_squares)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(gan.discriminator(x).sum(), x)
    close(jax.grad(lambda x: score(x).sum())(images), gradient.permute(0, 2, 3, 1))


MODES = [
    {},
    {"channels_last": True},
    {"one_pass": True},
    {"channels_last": True, "one_pass": True},
]


@needs_torch
@pytest.mark.parametrize("architecture", ["dcgan", "mlp"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_torch_steps_are_the_same_steps(architecture, optimizer, mode, monkeypatch):
    import torch

    _, algorithm, state, gan = both(architecture, optimizer, **mode)
    twin = both(architecture, optimizer)[3]  # only to bring jaxgen's parameters into PyTorch's order
    drawn = []
    normal = jax.random.normal
    monkeypatch.setattr(jax.random, "normal", lambda *args: drawn.append(normal(*args)) or drawn[-1])
    # Adam's first steps go by the sign of a gradient, and signs of what is zero but for rounding differ
    loose = 0.01 if optimizer == "adam" else 0.0
    for i in range(1 if loose and architecture == "dcgan" else 3):
        drawn.clear()
        state, metrics = algorithm.step(state, {"images": jnp.asarray(images_of(i))}, jax.random.key(7))
        latents = tuple(torch.tensor(np.asarray(z)) for z in drawn)
        torch_metrics = gan.step(torch.tensor(images_of(i)).permute(0, 3, 1, 2), latents)
        for name in ("loss/generator", "loss/discriminator"):
            close(metrics[name], torch_metrics[name])
    twin.load(state.params)
    pairs = [(copy.deepcopy(twin.generator), gan.generator), (twin.discriminator, gan.discriminator)]
    twin.load({**state.params, "generator": state.ema_params["generator"]})
    pairs.append((twin.generator, gan.average))
    for ours, theirs in pairs:
        couples = zip(ours.parameters(), theirs.parameters(), strict=True)
        difference = np.concatenate([(a - b).abs().detach().numpy().ravel() for a, b in couples])
        assert np.mean(difference > 1e-5) <= loose


@needs_torch
def test_torch_counterpart_refuses_what_it_does_not_have():
    from experiments.benchmarks.torch_gan import Mode, TorchGan

    for config in (GanConfig(conditioning="concat"), GanConfig(penalties=("gp",)), GanConfig(augment=("color",))):
        with pytest.raises(InputError):
            TorchGan(config, HPARAMS, SHAPE, Mode())
