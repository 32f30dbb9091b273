"""The GAN step against a step written out by hand, and what it takes from its state, its batch and its key.

By hand: a generator whose first layer ignores the latents makes one and the same image, so that nothing in the step is
random and plain formulae give every parameter after it (but the first kernel's, whose gradient needs the latents).
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.errors import InputError
from jaxgen.tasks.gan import algorithm as module
from jaxgen.tasks.gan.algorithm import apply_gradients, make_gan, scheduled
from jaxgen.tasks.gan.config import GanConfig, GanHparams
from jaxgen.training.optimizers import make_optimizer
from jaxgen.training.step import Algorithm, TrainState

SHAPE, LATENT_DIM, BATCH = (2, 3, 1), 3, 4
STEP, SCHEDULE_IMAGES = 6, 80.0
PROGRESS = STEP * BATCH / SCHEDULE_IMAGES  # 0.3
HPARAMS = GanHparams(
    lr=0.4, lr_final=0.1, b1=0.0, b2=0.9, b2_final=0.99, r1=0.3, r2=0.2, gp=0.7, penalty_final=0.5,
    ema_half_life=0.5, schedule_images=SCHEDULE_IMAGES,
)  # fmt: skip

# discriminator(real, fake), generator(real, fake), as the papers write them
FORMULAE = {
    "minimax": (lambda r, f: -jnp.log(sig(r)) - jnp.log(1 - sig(f)), lambda r, f: jnp.log(1 - sig(f))),
    "non_saturating": (lambda r, f: -jnp.log(sig(r)) - jnp.log(1 - sig(f)), lambda r, f: -jnp.log(sig(f))),
    "hinge": (lambda r, f: jnp.maximum(0.0, 1 - r) + jnp.maximum(0.0, 1 + f), lambda r, f: -f),
    "wasserstein": (lambda r, f: f - r, lambda r, f: -f),
    "relativistic": (lambda r, f: -jnp.log(sig(r - f)), lambda r, f: -jnp.log(sig(f - r))),
}


def sig(x: jax.Array) -> jax.Array:
    return 1 / (1 + jnp.exp(-x))


def make(**structure: Any) -> Algorithm:
    settings = {"architecture": "mlp", "base_channels": 1, "latent_dim": LATENT_DIM, "optimizer": "sgd", **structure}
    return make_gan(GanConfig(**settings), SHAPE, BATCH)


def make_images(num: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num, *SHAPE)).astype(np.uint8)


def make_state(algorithm: Algorithm, d_bias: float = 0.1) -> TrainState:
    """In mid-run, with a generator that ignores its latents, biases off zero and an average of its own."""
    state = jax.jit(algorithm.init)(jax.random.key(0), vars(HPARAMS))
    leaves, tree = jax.tree.flatten(state.params)
    noise = np.random.default_rng(1)
    params = tree.unflatten([a + 0.1 * noise.standard_normal(a.shape, np.float32) for a in leaves])
    first = params["generator"]["Dense_0"]
    params["generator"]["Dense_0"] = {"kernel": 0.0 * first["kernel"], "bias": first["bias"] + 0.5}
    first = params["discriminator"]["Dense_0"]
    params["discriminator"]["Dense_0"] = {**first, "bias": first["bias"] + d_bias}
    average = jax.tree.map(lambda a: a + 1.0, params["generator"])
    counts = {"step": jnp.asarray(STEP, jnp.int32), "images": jnp.asarray(STEP * BATCH, jnp.int32)}
    return state.replace(**counts, params=params, ema_params={"generator": average})


def dense_pair(params: Any, x: jax.Array) -> jax.Array:
    """Dense, ReLU, dense."""
    hidden = jnp.maximum(x @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"][None], 0.0)
    return hidden @ params["Dense_1"]["kernel"] + params["Dense_1"]["bias"][None]


def score(params: Any, images: jax.Array) -> jax.Array:
    return dense_pair(params, images.reshape(images.shape[0], -1))[:, 0]


@jax.jit
def render(params: Any) -> jax.Array:
    return (2 * sig(dense_pair(params, jnp.zeros((BATCH, LATENT_DIM)))) - 1).reshape(BATCH, *SHAPE)


def slope_norms(d_params: Any, images: jax.Array) -> jax.Array:
    slopes = jax.vmap(jax.grad(lambda image: score(d_params, image[None])[0]))(images)
    return jnp.sqrt(jnp.sum(slopes.reshape(images.shape[0], -1) ** 2, axis=1))


def cosine_by_hand(start: float, end: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * PROGRESS)) / 2


def descend(loss_fn: Any, params: Any) -> Any:
    rate = cosine_by_hand(HPARAMS.lr, HPARAMS.lr_final)
    return jax.tree.map(lambda p, g: p - rate * g, params, jax.grad(loss_fn)(params))


def step_by_hand(state: TrainState, reals: list[Any], loss: str, weights: dict[str, float]) -> tuple[Any, Any]:
    """Parameters of both after one step: a discriminator update for each of `reals`, then the generator's."""
    d_loss, g_loss = FORMULAE[loss]
    generator, discriminator = state.params["generator"], state.params["discriminator"]
    fake = render(generator)
    factor = cosine_by_hand(1.0, HPARAMS.penalty_final)
    reals = [jnp.asarray(real, jnp.float32) / 127.5 - 1 for real in reals]

    for real in reals:

        def total(d: Any, real: jax.Array = real) -> jax.Array:
            penalties = {
                "r1": lambda: slope_norms(d, real) ** 2 / 2,
                "r2": lambda: slope_norms(d, fake) ** 2 / 2,
                "gp": lambda: (slope_norms(d, real) - 1) ** 2,  # wherever: asked of discriminators that are linear
            }
            paid = sum(factor * weight * jnp.mean(penalties[name]()) for name, weight in weights.items())
            return jnp.mean(d_loss(score(d, real), score(d, fake))) + paid

        discriminator = descend(total, discriminator)
    generator = descend(
        lambda g: jnp.mean(g_loss(score(discriminator, reals[-1]), score(discriminator, render(g)))), generator
    )
    return generator, discriminator


def metrics_by_hand(state: TrainState, images: Any, loss: str) -> dict[str, jax.Array]:
    """What the first discriminator update of a step reports, all penalties included."""
    d_params = state.params["discriminator"]
    real, fake = jnp.asarray(images, jnp.float32) / 127.5 - 1, render(state.params["generator"])
    logits = score(d_params, real), score(d_params, fake)
    return {
        "logits/real": jnp.mean(logits[0]),
        "logits/fake": jnp.mean(logits[1]),
        "loss/discriminator": jnp.mean(FORMULAE[loss][0](*logits)),
        "penalty/r1": jnp.mean(slope_norms(d_params, real) ** 2) / 2,
        "penalty/r2": jnp.mean(slope_norms(d_params, fake) ** 2) / 2,
    }


def assert_same_but_first_kernel(actual: Any, expected: Any, err_msg: str = "") -> None:
    """Compares parameters of the generator, its first kernel left out."""
    for layer, name in (("Dense_0", "bias"), ("Dense_1", "kernel"), ("Dense_1", "bias")):
        np.testing.assert_allclose(actual[layer][name], expected[layer][name], atol=2e-6, err_msg=f"{err_msg} {layer}")


def assert_step_by_hand(algorithm: Algorithm, state: TrainState, images: Any, reals: list[Any], **how: Any) -> dict:
    """Runs the step on `images`, compares with the step by hand on `reals`; returns the metrics."""
    after, metrics = jax.jit(algorithm.step)(state, {"images": images}, jax.random.key(7))
    generator, discriminator = jax.jit(functools.partial(step_by_hand, **how))(state, reals)
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, atol=2e-6), after.params["discriminator"], discriminator)
    assert_same_but_first_kernel(after.params["generator"], generator, "parameters")
    # 24 images seen: the half-life is min(0.5, 24 / 20) images
    decay = 0.5 ** (len(reals) * BATCH / 0.5)
    blend = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, state.ema_params["generator"], generator)
    assert_same_but_first_kernel(after.ema_params["generator"], blend, "average")
    assert (int(after.step), int(after.images)) == (STEP + 1, (STEP + len(reals)) * BATCH)
    assert float(metrics["schedule/lr"]) == pytest.approx(cosine_by_hand(HPARAMS.lr, HPARAMS.lr_final), rel=1e-6)
    return metrics


ONE_UPDATE = [
    ("minimax", ()),
    ("non_saturating", ("r1",)),
    ("hinge", ("r1", "r2")),
    ("wasserstein", ("r2",)),
    ("relativistic", ("r1", "r2")),
]


@pytest.mark.parametrize(("loss", "penalties"), ONE_UPDATE)
def test_step_by_hand(loss: str, penalties: tuple[str, ...]) -> None:
    algorithm = make(loss=loss, penalties=penalties)
    state, images = make_state(algorithm), make_images(BATCH)
    weights = {name: getattr(HPARAMS, name) for name in penalties}
    metrics = assert_step_by_hand(algorithm, state, images, [images], loss=loss, weights=weights)
    expected = jax.jit(functools.partial(metrics_by_hand, loss=loss))(state, images)
    unpaid = {f"penalty/{name}" for name in ("r1", "r2", "gp")} - {f"penalty/{name}" for name in penalties}
    assert set(metrics) == {*expected, "loss/generator", "schedule/lr"} - unpaid
    for name in expected.keys() & metrics.keys():
        assert float(metrics[name]) == pytest.approx(float(expected[name]), rel=1e-4, abs=1e-5), name


def test_gradient_penalty_on_a_linear_discriminator_by_hand() -> None:
    algorithm = make(loss="wasserstein", penalties=("gp",))
    state, images = make_state(algorithm, d_bias=50.0), make_images(BATCH)  # every hidden unit stays active
    how = {"loss": "wasserstein", "weights": {"gp": HPARAMS.gp}}
    metrics = assert_step_by_hand(algorithm, state, images, [images], **how)
    kernels = [np.asarray(state.params["discriminator"][layer]["kernel"]) for layer in ("Dense_0", "Dense_1")]
    norm = np.linalg.norm(kernels[0] @ kernels[1])
    assert float(metrics["penalty/gp"]) == pytest.approx((norm - 1) ** 2, rel=1e-4)


def test_each_discriminator_update_has_its_own_images() -> None:
    algorithm = make(loss="relativistic", penalties=("r1",), discriminator_updates=3)
    assert algorithm.images_per_step == 3 * BATCH
    images = make_images(3 * BATCH)
    reals = [images[i::3] for i in range(3)]
    how = {"loss": "relativistic", "weights": {"r1": HPARAMS.r1}}
    assert_step_by_hand(algorithm, make_state(algorithm), images, reals, **how)


@pytest.mark.parametrize(("interval", "times"), [(3, 3.0), (4, 0.0)])
def test_lazy_penalty_is_paid_n_fold_at_every_nth_step(interval: int, times: float) -> None:
    """The step is number 6: paid at an interval of 3, not at one of 4."""
    algorithm = make(loss="non_saturating", penalties=("r1", "r2"), penalty_interval=interval)
    images = make_images(BATCH)
    weights = {name: times * getattr(HPARAMS, name) for name in ("r1", "r2")}
    how = {"loss": "non_saturating", "weights": weights}
    metrics = assert_step_by_hand(algorithm, make_state(algorithm), images, [images], **how)
    assert (float(metrics["penalty/r1"]) > 0) == (float(metrics["penalty/r2"]) > 0) == (times > 0)


def test_float_images_are_taken_as_they_are() -> None:
    algorithm = make(loss="hinge", penalties=())
    state, images = make_state(algorithm), make_images(BATCH)
    as_float = jnp.asarray(images, jnp.float32) / 127.5 - 1
    results = [jax.jit(algorithm.step)(state, {"images": x}, jax.random.key(0))[0].params for x in (images, as_float)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), *results)


def test_noise_follows_from_the_key_and_the_step_alone() -> None:
    algorithm = make(loss="hinge", penalties=())
    state = jax.jit(algorithm.init)(jax.random.key(0), vars(HPARAMS))
    batch, step = {"images": make_images(BATCH)}, jax.jit(algorithm.step)

    def fake_logits(number: int, seed: int) -> float:
        return float(
            step(state.replace(step=jnp.asarray(number, jnp.int32)), batch, jax.random.key(seed))[1]["logits/fake"]
        )

    assert fake_logits(5, 0) == fake_logits(5, 0)
    assert len({fake_logits(number, seed) for number in range(4) for seed in range(2)}) == 8
    assert not any(jnp.issubdtype(a.dtype, jax.dtypes.prng_key) for a in jax.tree.leaves(state))


@pytest.mark.parametrize("loss", ["non_saturating", "relativistic"])
def test_both_players_see_augmented_images(loss: str) -> None:
    plain, augmented = make(loss=loss, penalties=()), make(loss=loss, penalties=(), augment=("color",))
    state, batch = make_state(plain), {"images": make_images(BATCH)}
    still = state.replace(hparams={**state.hparams, "lr": jnp.zeros(()), "lr_final": jnp.zeros(())})
    metrics = [jax.jit(a.step)(still, batch, jax.random.key(0))[1] for a in (plain, augmented)]
    for name in ("logits/real", "logits/fake", "loss/discriminator", "loss/generator"):
        assert abs(float(metrics[0][name] - metrics[1][name])) > 1e-4, name


def test_real_and_generated_images_are_augmented_apart_and_anew_for_the_generator() -> None:
    """With one image as both real and generated, equal draws would give equal logits and a generator loss of log 2."""
    algorithm = make(loss="relativistic", penalties=(), augment=("color",))
    state = make_state(algorithm)
    still = state.replace(hparams={**state.hparams, "lr": jnp.zeros(()), "lr_final": jnp.zeros(())})
    real = render(state.params["generator"])
    metrics = jax.jit(algorithm.step)(still, {"images": real}, jax.random.key(0))[1]
    assert abs(float(metrics["logits/real"] - metrics["logits/fake"])) > 1e-3
    assert abs(float(metrics["loss/generator"]) - math.log(2)) > 1e-4


def test_first_average_is_the_first_parameters() -> None:
    algorithm = make(loss="hinge", penalties=())
    state = make_state(algorithm).replace(step=jnp.zeros((), jnp.int32), images=jnp.zeros((), jnp.int32))
    after, _ = jax.jit(algorithm.step)(state, {"images": make_images(BATCH)}, jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, after.ema_params["generator"], after.params["generator"])


def test_prediction_comes_from_the_average() -> None:
    algorithm = make()
    state = make_state(algorithm)
    images = jax.jit(algorithm.predict)(state, {"latents": jnp.zeros((BATCH, LATENT_DIM))}, jax.random.key(0)).images
    np.testing.assert_allclose(images, render(state.ema_params["generator"]), atol=1e-6)


def test_latents_are_standard_normal() -> None:
    inputs = make().draw_inputs(jax.random.key(0), 4000)
    assert inputs.keys() == {"latents"}
    latents = inputs["latents"]
    assert latents.shape == (4000, LATENT_DIM)
    assert abs(float(latents.mean())) < 0.03
    assert abs(float(latents.std()) - 1.0) < 0.03
    np.testing.assert_allclose(np.corrcoef(np.asarray(latents).T), np.eye(LATENT_DIM), atol=0.06)


def test_initial_state() -> None:
    state = make(optimizer="adam").init(jax.random.key(0), vars(HPARAMS))
    assert int(state.step) == 0
    assert state.params.keys() == state.opt_state.keys() == {"generator", "discriminator"}
    jax.tree.map(np.testing.assert_array_equal, state.ema_params["generator"], state.params["generator"])
    buffers = [a.unsafe_buffer_pointer() for a in jax.tree.leaves((state.params, state.ema_params))]
    assert len(set(buffers)) == len(buffers)  # a step may give every buffer away
    assert {name: float(value) for name, value in state.hparams.items()} == pytest.approx(vars(HPARAMS))
    assert {value.dtype for value in state.hparams.values()} == {jnp.dtype("float32")}
    other = jax.jit(make(optimizer="adam").init)(jax.random.key(1), vars(HPARAMS))
    assert not np.array_equal(*(s.params["generator"]["Dense_0"]["kernel"] for s in (state, other)))


@pytest.mark.parametrize(("progress", "cos"), [(0.0, 1.0), (1 / 3, 0.5), (0.5, 0.0), (1.0, -1.0), (5.0, -1.0)])
def test_schedules_are_cosines_in_images(progress: float, cos: float) -> None:
    hparams = {name: jnp.asarray(value, jnp.float32) for name, value in vars(HPARAMS).items()}
    now = scheduled(hparams, jnp.asarray(progress * SCHEDULE_IMAGES, jnp.float32))
    share = (1 + cos) / 2
    factor = 0.5 + 0.5 * share
    expected = {"lr": 0.1 + 0.3 * share, "b1": 0.0, "b2": 0.99 - 0.09 * share, "ema_half_life": 0.5}
    expected |= {"r1": 0.3 * factor, "r2": 0.2 * factor, "gp": 0.7 * factor}
    assert {name: float(value) for name, value in now.items()} == pytest.approx(expected, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_update_of_one_network_leaves_the_other_alone(name: str) -> None:
    state = jax.jit(make(optimizer="adam").init)(jax.random.key(0), vars(HPARAMS))

    @jax.jit
    def update(state: TrainState, numbers: tuple[jax.Array, ...]) -> TrainState:
        grads = jax.tree.map(jnp.ones_like, state.params[name])
        return apply_gradients(state, name, grads, make_optimizer("adam", *numbers))

    after = update(state, tuple(jnp.asarray(value, jnp.float32) for value in (0.1, 0.0, 0.9)))
    # Adam's first update is the rate times the gradient's sign
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b - 0.1, atol=1e-6), after.params[name], state.params[name])
    untouched = after.replace(
        params={**after.params, name: state.params[name]}, opt_state={**after.opt_state, name: state.opt_state[name]}
    )
    jax.tree.map(np.testing.assert_array_equal, untouched, state)


def test_wasserstein_needs_a_penalty() -> None:
    with pytest.raises(InputError, match=r"^penalties: got \(\); accepted: gp"):
        make(loss="wasserstein", penalties=())


def test_hparams_are_those_of_the_configuration() -> None:
    names = {f.name for f in dataclasses.fields(GanHparams)}
    assert set(jax.eval_shape(make().init, jax.random.key(0), vars(HPARAMS)).hparams) == names


def test_every_update_of_a_step_draws_latents_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the generator is given: for two updates of the discriminator, then for its own."""
    seen: list[jax.Array] = []
    render = module.render

    def watch(gan: Any, params: Any, latents: jax.Array, condition: Any = None) -> jax.Array:
        seen.append(latents)
        return render(gan, params, latents, condition)

    monkeypatch.setattr(module, "render", watch)
    algorithm = make(discriminator_updates=2, penalties=())
    state = jax.eval_shape(algorithm.init, jax.random.key(0), vars(HPARAMS))
    state = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), state)

    @jax.jit
    def latents(state: TrainState, images: jax.Array) -> list[jax.Array]:
        algorithm.step(state, {"images": images}, jax.random.key(1))
        return seen

    first, second, generator = latents(state, make_images(2 * BATCH))
    assert len({np.asarray(row).tobytes() for row in (*first, *second, *generator)}) == 3 * BATCH
