"""The classifier's step: shifts, the loss it lowers, the average it predicts by, its place in the record."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.errors import InputError
from jaxgen.evaluation.classifier import MAX_SHIFT, make_classifier, shift
from jaxgen.networks.classifier import Classifier

SHAPE, BATCH = (10, 9, 1), 8
HPARAMS = {"lr": 1e-2, "ema_half_life": 50.0, "schedule_images": 800.0}


@pytest.fixture(scope="module")
def algorithm():
    return make_classifier(SHAPE, 3, BATCH)


def batch(seed=0):
    noise = np.random.default_rng(seed)
    return {
        "images": noise.integers(0, 256, (BATCH, *SHAPE)).astype(np.uint8),
        "labels": noise.integers(0, 3, BATCH).astype(np.int32),
    }


def test_shift_moves_whole_images_by_few_pixels_and_repeats_the_edge():
    image = np.arange(90, dtype=np.float32).reshape(10, 9, 1)
    moved = np.asarray(shift(jax.random.key(0), jnp.stack([jnp.asarray(image)] * 200)))
    rows, columns = np.arange(10), np.arange(9)
    steps = range(-MAX_SHIFT, MAX_SHIFT + 1)
    allowed = {
        image[np.clip(rows + y, 0, 9)][:, np.clip(columns + x, 0, 8)].tobytes(): (y, x) for y in steps for x in steps
    }
    found = [allowed.get(one.tobytes()) for one in moved]
    assert None not in found
    assert len(set(found)) == len(allowed) == 25


def test_step_lowers_the_loss_and_keeps_the_tree(algorithm):
    state = start = algorithm.init(jax.random.key(0), HPARAMS)
    step = jax.jit(algorithm.step)
    losses = []
    for _ in range(60):
        state, metrics = step(state, batch(), jax.random.key(1))
        losses.append(float(metrics["loss/classifier"]))
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:5])
    assert jax.tree.map(lambda a: (a.shape, a.dtype), state) == jax.tree.map(lambda a: (a.shape, a.dtype), start)
    assert int(state.step) == 60
    assert float(metrics["schedule/lr"]) == pytest.approx(1e-2 * (1 + np.cos(np.pi * 59 * BATCH / 800)) / 2, rel=1e-4)
    again, _ = step(start, batch(), jax.random.key(1))
    other, _ = step(start, batch(), jax.random.key(2))
    kernels = [s.params["classifier"]["Dense_1"]["kernel"] for s in (again, other)]
    assert not np.array_equal(*kernels)


def test_first_loss_is_the_cross_entropy_of_shifted_images(algorithm):
    """Without dropout in the weights' way: a classifier of zeros gives log 3 whatever it sees."""
    state = algorithm.init(jax.random.key(0), HPARAMS)
    zeros = jax.tree.map(jnp.zeros_like, state.params)
    _, metrics = jax.jit(algorithm.step)(state.replace(params=zeros), batch(), jax.random.key(0))
    expected = optax.softmax_cross_entropy_with_integer_labels(jnp.zeros((BATCH, 3)), batch()["labels"]).mean()
    assert float(metrics["loss/classifier"]) == pytest.approx(float(expected)) == pytest.approx(np.log(3))


def test_prediction_is_by_the_average_without_dropout(algorithm):
    state = algorithm.init(jax.random.key(0), HPARAMS)
    state = state.replace(params=jax.tree.map(jnp.zeros_like, state.params))
    images = batch()["images"]
    logits = jax.jit(algorithm.predict)(state, images, jax.random.key(0))
    as_float = jnp.asarray(images, jnp.float32) / 127.5 - 1
    expected = Classifier(3).apply({"params": state.ema_params["classifier"]}, as_float)[1]
    np.testing.assert_allclose(logits, expected, rtol=1e-5)
    assert float(jnp.abs(logits).max()) > 0


@pytest.mark.parametrize(
    ("shape", "last"), [((28, 28, 1), 7 * 7 * 64), ((8, 8, 3), 8 * 8 * 3), ((33, 9, 1), 5 * 2 * 64)]
)
def test_any_size_ends_at_eight_pixels_or_less(shape, last):
    """33 x 9: one row is added and halved to 17 x 5, then to 9 x 3, then to 5 x 2."""
    variables = jax.eval_shape(Classifier(3).init, jax.random.key(0), jnp.zeros((1, *shape)))
    width = variables["params"]["Dense_0"]["kernel"].shape[0]
    assert width == last


def test_one_class_is_none():
    with pytest.raises(InputError, match="num_classes: got 1; accepted: 2 or more"):
        make_classifier(SHAPE, 1, BATCH)
