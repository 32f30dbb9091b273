"""The scores of attacks, against what they are defined as."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from skimage.metrics import peak_signal_noise_ratio

from jaxgen.audit import attacks, outcome
from jaxgen.audit.bounds import Rate
from jaxgen.images import to_float


def noise(num: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num, *shape), np.uint8)


def test_scores_are_those_of_the_whole_batch_whatever_the_parts():
    batch = {"images": noise(23, 4, 4, 1), "labels": np.arange(23)}
    score = lambda b: jnp.mean(to_float(b["images"]), (1, 2, 3)) + b["labels"].astype(jnp.float32)  # noqa: E731
    expected = batch["images"].mean((1, 2, 3)) / 127.5 - 1 + np.arange(23)
    for at_once in (5, 23, 50):
        np.testing.assert_allclose(attacks.in_batches(score, batch, at_once), expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(5, 4, 3), (3, 4, 5, 1)])
def test_the_distance_to_the_nearest_fake_is_calibrated_by_that_to_other_candidates(shape):
    candidates, fakes = noise(12, *shape), noise(30, *shape, seed=1)
    fakes[7] = candidates[3]
    rows, made = (x.reshape(len(x), -1) / 255 for x in (candidates, fakes))
    among = cdist(rows, rows) + np.diag(np.full(12, np.inf))
    expected = (among.min(1) - cdist(rows, made).min(1)) / np.sqrt(rows.shape[1])
    found = attacks.nearest_fakes(candidates, [fakes[:8], fakes[8:]])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.argmax() == 3


def test_large_images_are_compared_by_the_means_of_blocks():
    candidates = np.repeat(np.repeat(noise(6, 32, 33, 1), 3, 1), 3, 2)  # 96 x 99: blocks of 3
    small = candidates[:, ::3, ::3].reshape(6, -1) / 255
    fakes = 255 - candidates[:2]
    expected = (cdist(small, small) + np.diag(np.full(6, np.inf))).min(1) - cdist(small, 1 - small[:2]).min(1)
    np.testing.assert_allclose(attacks.nearest_fakes(candidates, [fakes]), expected / np.sqrt(32 * 33), atol=1e-6)


def test_the_quality_is_the_mean_psnr_over_draws_and_pairs():
    images, wrong = noise(3, 8, 8, 1), noise(3, 8, 8, 1, seed=1)
    pair = lambda key, clean: ((to_float(jnp.asarray(wrong)), clean), (clean * 0.5, clean))  # noqa: E731
    found = attacks.in_batches(attacks.quality_in_draws(pair, 0, draws=2), {"images": images})
    real = images / 127.5 - 1
    expected = [
        np.mean([peak_signal_noise_ratio(x, y, data_range=2) for y in (w, 0.5 * x)])
        for x, w in zip(real, wrong / 127.5 - 1, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


PROOF = {
    "epsilon": 9.28,
    "delta": 1e-5,
    "relation": "add or remove one image",
    "sampling": "Poisson",
    "accountant": "PLD",
}


def separated(num: int = 400) -> tuple[dict[str, np.ndarray], np.ndarray]:
    draw = np.random.default_rng(0)
    included = draw.integers(0, 2, num).astype(bool)
    return {"a": draw.normal(size=num), "b": included + 0.01 * draw.normal(size=num)}, included


def test_the_sentence_says_what_is_proved_and_what_is_attacked():
    scores, included = separated()
    found = outcome.judge({"a": scores["a"]}, included, True, PROOF)
    upper = "ε ≤ 9.28 (proved: δ = 1e-05, add or remove one image, Poisson, PLD)"
    assert outcome.sentences(found)[0] == f"{upper}; ε ≥ {found.shown:.1f} (attacked: 95%, 400 canaries)"
    assert "no proof of privacy" in outcome.sentences(found)[1]
    assert not any("warning" in line for line in outcome.sentences(found))


def test_bounds_are_not_rounded_to_more_than_was_proved_or_shown():
    row = outcome.Row("quality", Rate(0.7, 0.6, 0.8), Rate(0.1, 0.0, 0.2), 0.96)
    proof = {**PROOF, "epsilon": 1.04, "sampling": "none"}
    first = outcome.sentences(outcome.Outcome((row,), 50, 50, True, 3.1, proof))[0]
    assert first.startswith("ε ≤ 1.04 (proved: δ = 1e-05, add or remove one image, PLD); ε ≥ 0.9 (attacked")


def test_more_than_was_proved_is_a_warning():
    found = outcome.judge(*separated(), True, {**PROOF, "epsilon": 1.0})
    assert found.shown == found.rows[1].epsilon > 3.0
    assert found.shown <= found.largest
    assert "accounting is wrong" in outcome.sentences(found)[-1]


def test_without_a_proof_or_canaries_that_is_said():
    scores, included = separated()
    assert "this run was not private" in outcome.describe(outcome.judge(scores, included, True, {}))
    found = outcome.judge(scores, included, False, {})
    assert found.largest is None
    assert [row.epsilon for row in found.rows] == [None, None]
    assert "it proves no ε" in outcome.describe(found)
    assert "≥" not in "".join(outcome.sentences(found))


def test_a_table_has_a_row_for_each_attack():
    row = outcome.Row("quality", Rate(0.5, 0.45, 0.55), Rate(0.02, 0.01, 0.03), 0.25)
    text = outcome.describe(outcome.Outcome((row,), 50, 50, True, 3.1, {}))
    assert text.splitlines()[1].split() == [
        "quality", "0.500", "[0.450,", "0.550]", "2.0%", "[1.0%,", "3.0%]", "0.25", "3.10",
    ]  # fmt: skip
