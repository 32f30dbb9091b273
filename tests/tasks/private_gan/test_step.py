"""A step of a private GAN: only the noised sum reads private images, and it is made as the proof asks."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.config_json import from_dict
from jaxgen.errors import InputError
from jaxgen.privacy.noise import WORDS
from jaxgen.tasks.private_gan.algorithm import GRACE, LADDER, make_private_gan
from jaxgen.tasks.private_gan.config import PrivateGanConfig, PrivateGanHparams, PrivateGanRecipe
from jaxgen.training.config import TrainConfig
from jaxgen.training.step import TrainState

SHAPE, SIZE, MEAN, CLASSES = (4, 4, 1), 8, 5, 3
SMALL = PrivateGanConfig(
    architecture="mlp", base_channels=1, latent_dim=3, conditioning="projection", optimizer="sgd", noise_multiplier=1.0,
    discriminator_updates=2,
)  # fmt: skip
HPARAMS = PrivateGanHparams(lr=1.0, lr_final=1.0, clip=0.5, schedule_images=1e6)


def batch_of(seed: int, drawn: int = 6, secret: int = 0) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(seed)
    return {
        "images": noise.integers(0, 256, (SIZE, *SHAPE)).astype(np.uint8),
        "labels": noise.integers(0, CLASSES, SIZE).astype(np.int32),
        "mask": (np.arange(SIZE) < drawn).astype(np.float32),
        "secret": np.random.default_rng(secret).integers(0, 2**32, (SIZE, WORDS), np.uint32),
    }


class Runner:
    """A compiled step, and its initial state."""

    def __init__(self, config: PrivateGanConfig = SMALL, hparams: PrivateGanHparams = HPARAMS):
        algorithm = make_private_gan(config, SHAPE, MEAN, CLASSES)
        self.state = algorithm.init(jax.random.key(0), vars(hparams))
        self.step = jax.jit(algorithm.step)

    def after(self, *batches: dict[str, np.ndarray], state: TrainState | None = None, key: int = 1) -> TrainState:
        state = self.state if state is None else state
        for batch in batches:
            state, self.metrics = self.step(state, batch, jax.random.key(key))
        return state

    def moved(self, *batches: dict[str, np.ndarray]) -> np.ndarray:
        """The change of the discriminator, flat."""
        old, new = (s.params["discriminator"] for s in (self.state, self.after(*batches)))
        changes = [b - a for a, b in zip(jax.tree.leaves(old), jax.tree.leaves(new), strict=True)]
        return np.concatenate([np.asarray(x).ravel() for x in changes])


@pytest.fixture(scope="module")
def private() -> Runner:
    return Runner()


@pytest.fixture(scope="module")
def noiseless() -> Runner:
    """Without noise, to see what it hides; and with a huge penalty, which would exceed the clip if it were outside."""
    config = dataclasses.replace(SMALL, noise_multiplier=1e-12, penalties=("r1", "r2"))
    return Runner(config, dataclasses.replace(HPARAMS, r1=1e6, r2=1e6, penalty_final=1.0))


def same(a: Any, b: Any) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_the_noise_of_a_step_is_that_of_its_secret(private: Runner) -> None:
    """A fixed key of the noise, such as that of the run, would give the same numbers with any secret."""
    first, again, other = (private.moved(batch_of(0, secret=secret)) for secret in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    public = private.after(batch_of(0), key=2).params["discriminator"]  # nothing of it comes from the public key
    assert same(public, private.after(batch_of(0), key=1).params["discriminator"])


def test_noise_is_for_the_sum_and_the_divisor_is_the_public_mean(private: Runner) -> None:
    """With the rate 1 of sgd the discriminator moves by (sum + noise) / MEAN, also if nothing was drawn."""
    moves = np.concatenate([private.moved(batch_of(0, drawn=0, secret=secret)) for secret in range(20)])
    assert moves.std() == pytest.approx(1.0 * HPARAMS.clip / MEAN, rel=5 / np.sqrt(2 * len(moves)))


def test_an_image_moves_the_discriminator_by_the_clip_at_most_with_its_penalties(noiseless: Runner) -> None:
    five, six = (noiseless.moved(batch_of(0, drawn=drawn)) for drawn in (5, 6))
    assert np.linalg.norm(six - five) == pytest.approx(HPARAMS.clip / MEAN, rel=1e-4)


def test_padding_adds_nothing(noiseless: Runner) -> None:
    batch = batch_of(0, drawn=3)
    other = {**batch_of(1, drawn=3), "mask": batch["mask"]}
    for name in ("images", "labels"):
        other[name][:3] = batch[name][:3]
    np.testing.assert_array_equal(noiseless.moved(batch), noiseless.moved(other))


def test_the_generator_and_all_metrics_depend_on_the_discriminator_alone() -> None:
    """With a clip of almost nothing the discriminator does not learn from images; then nothing else may either."""
    blind = Runner(hparams=dataclasses.replace(HPARAMS, clip=1e-30))
    results = []
    for seed, drawn in ((0, 6), (1, 3)):
        state = blind.after(batch_of(seed, drawn), batch_of(seed + 10, drawn))
        results.append((state.params["generator"], state.ema_params, state.extras, blind.metrics))
    assert not same(results[0][0], blind.state.params["generator"])
    assert same(*results)


def test_the_generator_is_updated_at_every_second_step(private: Runner) -> None:
    first = private.after(batch_of(0))
    second = private.after(batch_of(1), state=first)
    assert same(first.params["generator"], private.state.params["generator"])
    assert not same(second.params["generator"], first.params["generator"])
    assert set(private.metrics) == {"loss/generator", "generated/accuracy", "schedule/updates", "schedule/lr"}


@pytest.mark.slow
def test_updates_adapt_to_the_accuracy_on_generated_images() -> None:
    """An accuracy far below the threshold for `GRACE` generator updates asks for the next number of the ladder."""
    runner = Runner(dataclasses.replace(SMALL, adaptive=True))
    extras = {**runner.state.extras, "accuracy": jnp.float32(0.1), "waited": jnp.int32(GRACE - 2)}
    state = runner.after(batch_of(0), state=runner.state.replace(extras=extras))
    assert (int(state.extras["rung"]), float(runner.metrics["schedule/updates"])) == (0, 1.0)
    state = runner.after(batch_of(1), state=state)
    assert (int(state.extras["rung"]), float(runner.metrics["schedule/updates"])) == (1, LADDER[1])
    assert int(state.extras["waited"]) == 0
    before = state.params["generator"]
    state = runner.after(batch_of(2), state=state)
    assert same(state.params["generator"], before)
    assert int(runner.after(batch_of(3), state=state).extras["waited"]) == 1


def test_the_accuracy_moves_by_a_hundredth(private: Runner) -> None:
    state = private.after(batch_of(0), batch_of(1))
    share = (float(state.extras["accuracy"]) - 0.99) / 0.01  # it starts at 1
    assert share * MEAN == pytest.approx(round(share * MEAN), abs=1e-2)
    assert 0 <= round(share * MEAN) <= MEAN


@pytest.mark.parametrize(
    ("field", "value"),
    [("loss", "relativistic"), ("loss", "wasserstein"), ("penalties", ["gp"]), ("dtype", "bfloat16")],
)
def test_what_would_break_the_proof_is_refused(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=field):
        from_dict(PrivateGanConfig, {field: value})


def test_numbers_out_of_range_are_refused() -> None:
    for field, value in (("epsilon", 0.0), ("delta", 1.0), ("noise_multiplier", -1.0)):
        with pytest.raises(InputError, match=field):
            PrivateGanConfig(**{field: value})
    with pytest.raises(InputError, match=r"hparams.clip"):
        PrivateGanHparams(clip=0.0)
    with pytest.raises(InputError, match="sample_every: got 15; accepted: a multiple of checkpoint_every"):
        PrivateGanRecipe(train=TrainConfig(sample_every=15, checkpoint_every=10))
    with pytest.raises(InputError, match="noise_multiplier: got None"):
        make_private_gan(PrivateGanConfig(architecture="mlp"), SHAPE, MEAN)
