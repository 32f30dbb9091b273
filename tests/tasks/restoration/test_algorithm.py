"""The restoration step: phases, noise, shares, rates and losses, by formulae and a network that shows its input."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxgen.degradations.compose import parse_mixture
from jaxgen.errors import InputError
from jaxgen.networks.recurrent import RecurrentRestorer
from jaxgen.tasks.restoration import algorithm as restoration
from jaxgen.tasks.restoration.algorithm import (
    Example,
    Restoration,
    all_levels_of_noise,
    examples_in_phase,
    init_restoration,
    make_restoration,
    one_channel,
    reconstruction,
    restoration_step,
)
from jaxgen.tasks.restoration.config import RestorationConfig, RestorationHparams
from jaxgen.tasks.restoration.schedule import parse_schedule
from jaxgen.training.optimizers import learning_rate
from jaxgen.training.step import TrainState
from jaxgen.types import Observation, per_image

SHAPE, BATCH = (4, 6, 3), 4
NO_CHANGE = "gaussian:0"


class Shows(nn.Module):
    """The damaged image, or its mask, with its channels mixed and an offset, both learned, plus the first level."""

    mask: bool = False

    def estimates(self, observation: Observation) -> jax.Array:
        return self(observation)[None]

    @nn.compact
    def __call__(self, observation: Observation) -> jax.Array:
        images, masks, levels = observation
        mixing = self.param("mixing", lambda _: jnp.eye(images.shape[-1]))
        offset = self.param("offset", nn.initializers.constant(0.5), ())
        if self.mask and masks is not None:
            images = jnp.broadcast_to(masks, images.shape)
        return images @ mixing + offset + (0.0 if levels is None else per_image(levels[:, 0], images))


def make(network: nn.Module | None = None, schedule: str = "damage:1", damage: str = NO_CHANGE, **structure: Any):
    config = RestorationConfig(
        **{"schedule": schedule, "damage": damage, "loss": "mse", "optimizer": "sgd", **structure}
    )
    choices = parse_mixture(damage)
    return Restoration(config, network or Shows(), parse_schedule(schedule), choices, SHAPE, BATCH)


def start(
    task: Restoration, offset: float = 0.0, channel: int | None = None, step: int = 0, **numbers: float
) -> TrainState:
    """In mid-run; without noise, grey images and learning, and all channels or one shown, as asked for."""
    usual = {"lr": 0.0, "lr_final": 0.0, "noise_share": 0.0, "grey_share": 0.0, "schedule_images": 80.0}
    state = init_restoration(task, jax.random.key(0), vars(RestorationHparams(**{**usual, **numbers})))
    mixing = jnp.eye(3) if channel is None else jnp.zeros((3, 3)).at[channel].set(1.0)
    params = {"mixing": mixing, "offset": jnp.asarray(offset, jnp.float32)}
    counts = {"step": jnp.asarray(step, jnp.int32), "images": jnp.asarray(step * BATCH, jnp.int32)}
    return state.replace(**counts, params={"restorer": params})


def colours(num: int = BATCH, size: tuple[int, ...] = SHAPE, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).uniform(-0.9, 0.9, (num, *size)), jnp.float32)


CLEAN = colours()
step_of = jax.jit(restoration_step, static_argnums=0)


def loss_of(task: Restoration, state: TrainState, images: Any = CLEAN, seed: int = 1) -> float:
    return float(step_of(task, state, {"images": images}, jax.random.key(seed))[1]["loss/restorer"])


def degraded_of(task: Restoration, noisy: bool, noise_share: float, num: int = BATCH) -> tuple[jax.Array, Observation]:
    clean = colours(num)
    fn = jax.jit(examples_in_phase, static_argnums=0)
    example = fn(task, jax.random.key(3), clean, jnp.asarray(noisy), jnp.asarray(noise_share, jnp.float32))
    np.testing.assert_array_equal(example.clean, clean)
    return clean, example.degraded


def test_phases_change_at_their_steps_in_one_program() -> None:
    task, traces = make(schedule="noise:2,damage:1,noise:1,damage:1"), []

    @jax.jit
    def step(state: TrainState, batch: Any) -> Any:
        traces.append(1)
        return restoration_step(task, state, batch, jax.random.key(1))

    state, noise, losses = start(task), [], []
    for _ in range(6):
        state, metrics = step(state, {"images": CLEAN})
        noise.append(float(metrics["schedule/noise"]))
        losses.append(float(metrics["loss/restorer"]))
    assert noise == [1, 1, 0, 1, 0, 0]
    assert [loss > 0.01 for loss in losses] == [True, True, False, True, False, False]
    assert losses[2] == losses[4] == 0.0
    assert len({losses[0], losses[1], losses[3]}) == 3  # the same images and key: the step's number decides the draws
    assert len(traces) == 1


@pytest.mark.parametrize("keep_known", [False, True])
def test_noise_calls_all_pixels_known_or_none_where_known_ones_are_kept(keep_known: bool) -> None:
    """Else the network would be given nothing to do."""
    clean, degraded = degraded_of(make(keep_known=keep_known), noisy=True, noise_share=0.0)
    assert (degraded.images != clean).all()
    np.testing.assert_array_equal(degraded.masks, np.full((*clean.shape[:3], 1), 0.5 if keep_known else 1.0))


def test_damage_alone_without_a_share_of_noise() -> None:
    clean, degraded = degraded_of(make(damage="pixels:0.5"), noisy=False, noise_share=0.0)
    known = np.asarray(degraded.masks)
    assert set(np.unique(known)) == {0.0, 1.0}
    np.testing.assert_array_equal(degraded.images, np.asarray(clean) * known)


def test_the_share_of_noise_is_drawn_for_each_image_and_takes_its_mask_along() -> None:
    num, share = 400, 0.25
    clean, degraded = degraded_of(make(damage="pixels:1"), noisy=False, noise_share=share, num=num)
    noised = np.abs(degraded.images).max((1, 2, 3)) > 0  # the damage leaves nothing
    assert noised.mean() == pytest.approx(share, abs=4 * (share * (1 - share) / num) ** 0.5)
    np.testing.assert_array_equal(degraded.masks, np.broadcast_to(noised[:, None, None, None], degraded.masks.shape))
    assert (np.asarray(degraded.images)[noised] != np.asarray(clean)[noised]).all()
    _, all_noised = degraded_of(make(damage="pixels:1"), noisy=False, noise_share=1.0)
    _, in_the_phase = degraded_of(make(damage="pixels:1"), noisy=True, noise_share=0.0)
    jax.tree.map(np.testing.assert_array_equal, all_noised, in_the_phase)


def test_shares_are_read_by_the_step() -> None:
    task = make()
    assert loss_of(task, start(task, noise_share=0.0)) == 0.0
    assert loss_of(task, start(task, noise_share=1.0)) > 0.01


def test_noise_of_all_levels() -> None:
    """Of images of pixels 1 and -1, y = a x + t n: a and t of each image, whatever the key."""
    num, pattern = 1000, np.where(np.random.default_rng(0).random((24, 24, 3)) < 0.5, -1.0, 1.0)
    clean = jnp.asarray(np.broadcast_to(pattern, (num, 24, 24, 3)), jnp.float32)
    images = np.asarray(jax.jit(all_levels_of_noise, static_argnums=2)(jax.random.key(0), clean, False).degraded.images)
    a = (images * pattern).mean((1, 2, 3))
    noise = images - a[:, None, None, None] * pattern
    t = noise.std((1, 2, 3))
    np.testing.assert_allclose(a, np.clip(2 * (1 - t), 0, 1), atol=0.2)  # 5 deviations of both, from 1728 values
    for low, high in ((0.0, 0.05), (0.45, 0.55), (0.95, 1.05)):  # without noise, half way, nothing but noise
        near = (t > low) & (t < high)
        middle = np.minimum(1, 2 * (1 - np.minimum(t[near], 1))).mean()
        assert a[near].mean() == pytest.approx(middle, abs=0.03)
    np.testing.assert_allclose(np.sort(t), (np.arange(num) + 0.5) / num, atol=0.06)  # uniform
    n = noise / t[:, None, None, None]
    assert (n**4).mean() == pytest.approx(3.0, abs=0.05)  # normal
    assert np.abs(n.mean(0)).max() < 5 / num**0.5
    neighbours = [(n[:, 1:] * n[:, :-1]).mean(), (n[..., 0] * n[..., 1]).mean(), (n[1:] * n[:-1]).mean()]
    np.testing.assert_allclose(neighbours, 0.0, atol=0.02)  # rows, channels, images


@pytest.mark.parametrize(("channels", "taken"), [(1, 0), (2, 1), (3, 1), (4, 1)])
def test_chosen_images_have_one_channel_everywhere(channels: int, taken: int) -> None:
    images = colours(3, (2, 2, channels))
    result = np.asarray(one_channel(images, jnp.array([True, False, True])))
    np.testing.assert_array_equal(result[1], images[1])
    for i in (0, 2):
        np.testing.assert_array_equal(result[i], np.asarray(images)[i, ..., taken : taken + 1].repeat(channels, -1))


def test_grey_images_are_grey_before_and_after_the_damage() -> None:
    """Each channel of the damaged image in place of all: as good as another, and right where nothing happened."""

    def losses(damage: str, grey_share: float) -> list[float]:
        task = make(damage=damage)
        return [loss_of(task, start(task, channel=i, grey_share=grey_share)) for i in range(3)]

    assert losses(NO_CHANGE, 1.0) == [0.0] * 3
    assert min(losses(NO_CHANGE, 0.0)) > 0.01
    grey, coloured = losses("gaussian:0.3", 1.0), losses("gaussian:0.3", 0.0)
    assert grey == pytest.approx([grey[0]] * 3, rel=1e-5)
    assert grey[0] == pytest.approx(0.6**2, rel=0.4)  # of 96 pixels
    assert np.ptp(coloured) > 1e-3


def test_the_share_of_grey_is_drawn_for_each_image() -> None:
    """A coloured image costs 0.25, a grey one nothing: the green of three channels, the others too bright by +-0.5."""
    task = make()
    images = jnp.zeros((BATCH, *SHAPE)) + jnp.array([0.5, 0.0, -0.5])[None, None, None]
    state = start(task, channel=1, grey_share=0.3)
    coloured = [loss_of(task, state, images, seed) / (0.25 * 2 / 3) * BATCH for seed in range(60)]
    np.testing.assert_allclose(coloured, np.rint(coloured), atol=1e-4)
    assert np.mean(coloured) / BATCH == pytest.approx(0.7, abs=4 * (0.21 / 240) ** 0.5)
    assert len(set(np.rint(coloured))) > 2


def test_bytes_are_read_as_the_images_they_are() -> None:
    task, pixels = make(Shows(mask=True)), np.random.default_rng(0).integers(0, 256, (BATCH, *SHAPE)).astype(np.uint8)
    loss = loss_of(task, start(task), pixels)
    assert loss == pytest.approx(np.mean((1 - (pixels / 127.5 - 1)) ** 2), rel=1e-5)


def test_the_network_is_given_what_is_missing() -> None:
    task = make(Shows(mask=True), damage="pixels:1")
    assert loss_of(task, start(task)) == pytest.approx(float(np.mean(np.square(CLEAN))), rel=1e-5)


@pytest.mark.parametrize(("progress", "share"), [(0.0, 0.01), (0.00495, 0.505), (0.0099, 1.0), (0.02, 1.0)])
def test_the_rate_rises_over_the_first_hundredth(progress: float, share: float) -> None:
    hparams = {"lr": jnp.asarray(0.5), "lr_final": jnp.asarray(0.5), "schedule_images": jnp.asarray(200.0)}
    assert float(learning_rate(hparams, jnp.asarray(200.0 * progress))) == pytest.approx(0.5 * share, rel=1e-4)


@pytest.mark.parametrize(("progress", "expected"), [(1 / 3, 0.4), (0.5, 0.3), (2 / 3, 0.2), (1.0, 0.1), (5.0, 0.1)])
def test_then_the_rate_falls_as_a_cosine(progress: float, expected: float) -> None:
    """From 0.5 to 0.1; cos(pi/3) = 1/2."""
    hparams = {"lr": jnp.asarray(0.5), "lr_final": jnp.asarray(0.1), "schedule_images": jnp.asarray(200.0)}
    assert float(learning_rate(hparams, jnp.asarray(200.0 * progress))) == pytest.approx(expected, rel=1e-5)


def test_one_step_of_plain_gradients_by_hand() -> None:
    """The loss (offset + n)^2 without noise: o becomes o - 2 lr o; the average forgets by the images it has seen."""
    task = make()
    state = start(task, offset=0.5, step=10, lr=0.1, lr_final=0.02, ema_half_life=1e9)
    after, metrics = step_of(task, state, {"images": CLEAN}, jax.random.key(1))
    lr = 0.02 + 0.08 * 0.5  # 10 steps of 4 images are half of the 80
    offset = 0.5 - 2 * lr * 0.5
    keeps = 0.5 ** (4 / (40 / 20))
    assert float(metrics["loss/restorer"]) == pytest.approx(0.25, rel=1e-4)
    assert float(metrics["schedule/lr"]) == pytest.approx(lr, rel=1e-5)
    assert float(after.params["restorer"]["offset"]) == pytest.approx(offset, rel=1e-4)
    average = keeps * 0.5 + (1 - keeps) * offset  # it starts as the network does, at one half
    assert float(after.ema_params["restorer"]["offset"]) == pytest.approx(average, rel=1e-4)
    assert int(after.step) == 11


def test_the_first_state() -> None:
    task = make(optimizer="adam")
    state = init_restoration(task, jax.random.key(0), vars(RestorationHparams(schedule_images=8.0)))
    assert int(state.step) == 0
    assert state.step.dtype == jnp.int32
    assert set(state.params) == set(state.opt_state) == set(state.ema_params) == {"restorer"}
    assert float(state.params["restorer"]["offset"]) == float(state.ema_params["restorer"]["offset"]) == 0.5
    assert state.params["restorer"]["offset"] is not state.ema_params["restorer"]["offset"]
    assert {name: float(value) for name, value in state.hparams.items()} == pytest.approx(
        vars(RestorationHparams(schedule_images=8.0))
    )
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(state.opt_state))


def test_the_recurrent_loss_is_the_mean_over_its_iterations() -> None:
    network = RecurrentRestorer(widths=(2,), blocks=1, iterations=3)
    task, degraded = make(network, loss="l1"), Observation(colours(seed=1), jnp.ones((BATCH, 4, 6, 1)))
    params = jax.jit(network.init)(jax.random.key(0), Observation(CLEAN))["params"]
    params = jax.tree.map(lambda a: 4.0 * a, params)
    estimates = network.apply({"params": params}, degraded, method="estimates")
    each = np.abs(np.asarray(estimates) - np.asarray(CLEAN)[None]).mean((1, 2, 3, 4))
    assert np.ptp(each) > 1e-3
    assert float(reconstruction(task, params, Example(CLEAN, degraded))[0]) == pytest.approx(each.mean(), rel=1e-5)


def test_prediction_uses_the_averaged_weights_and_what_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoration, "make_restorer", lambda config, shape: Shows())
    algorithm = make_restoration(RestorationConfig(), SHAPE, BATCH)
    assert algorithm.draw_inputs is None
    assert algorithm.images_per_step == BATCH
    state = algorithm.init(jax.random.key(0), vars(RestorationHparams(schedule_images=1.0)))
    state = state.replace(params=jax.tree.map(lambda a: 7.0 * a, state.params))
    np.testing.assert_allclose(
        algorithm.predict(state, Observation(CLEAN), jax.random.key(0)).images, CLEAN + 0.5, rtol=1e-6
    )
    levels = jnp.arange(4.0)[:, None]
    seen = Observation(CLEAN, jnp.ones((BATCH, 4, 6, 1)), levels)
    restored = algorithm.predict(state, seen, jax.random.key(0)).images
    np.testing.assert_allclose(restored, CLEAN + 0.5 + levels[..., None, None], rtol=1e-6)


@pytest.mark.parametrize(
    ("structure", "field"),
    [({"damage": "mist:1"}, "damage"), ({"schedule": "mist:1"}, "schedule"), ({"architecture": "dense"}, "image_size")],
)
def test_what_cannot_work_is_refused_when_it_is_made(structure: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError, match=f"{field}: got "):
        make_restoration(RestorationConfig(**structure), (65, 64, 3), BATCH)
