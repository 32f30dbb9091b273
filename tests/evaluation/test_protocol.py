"""A whole evaluation against the definitions: NumPy and SciPy on all features at once, in no batches."""

import tracemalloc

import numpy as np
import pytest
from scipy.linalg import sqrtm

from jaxgen.data.base import Source
from jaxgen.errors import InputError
from jaxgen.evaluation import classifier_score, protocol
from jaxgen.evaluation.features import FeatureNetwork
from jaxgen.evaluation.generated import Generated
from jaxgen.evaluation.protocol import evaluate

SHAPE, DIM = (2, 3, 1), 6
NAMES = ("dark", "bright")


def features_of(images):
    """Every pixel is a feature."""
    return images.reshape(len(images), -1).astype(np.float32) / 255


def bright(images):
    return (images.reshape(len(images), -1).mean(1) > 127).astype(np.int32)


def apply(images):
    return features_of(images), np.eye(2)[bright(images)]


NETWORK = FeatureNetwork("pixels", "none", DIM, NAMES, apply, at_once=64)


def make_images(num, seed, low=0, high=256):
    noise = np.random.default_rng(seed)
    return (noise.integers(low, high, (num, *SHAPE)) * noise.random((num, 1, 1, 1))).astype(np.uint8)


def make_source(images, name="toy"):
    return Source(name, name, SHAPE, len(images), bright(images), NAMES, images)


def make_fakes(images, labels=None):
    def batches(at_once):
        for start in range(0, len(images), at_once):
            part = slice(start, start + at_once)
            yield images[part], None if labels is None else labels[part]

    return Generated("toy", len(images), SHAPE, labels is not None, batches)


def run(generated, train, held_out, network=NETWORK):
    return evaluate(generated, train, held_out, network, 3, lambda what, items, num: items)


def frechet(a, b):
    covariances = np.cov(a.T.astype(np.float64)), np.cov(b.T.astype(np.float64))
    gap = a.mean(0, dtype=np.float64) - b.mean(0, dtype=np.float64)
    return gap @ gap + np.trace(covariances[0] + covariances[1] - 2 * sqrtm(covariances[0] @ covariances[1]).real)


def kid(a, b):
    """The unbiased squared maximum mean discrepancy by its definition, Gretton et al. 2012, equation 3."""
    kernel = lambda x, y: (x.astype(np.float64) @ y.T / DIM + 1) ** 3  # noqa: E731
    own = [(kernel(x, x).sum() - np.trace(kernel(x, x))) / len(x) / (len(x) - 1) for x in (a, b)]
    return sum(own) - 2 * kernel(a, b).mean()


def distances(a, b):
    return np.sqrt(((a[:, None].astype(np.float64) - b[None]) ** 2).sum(-1))


TRAIN, TEST, FAKES = make_images(1207, 0), make_images(611, 1), make_images(503, 2, low=40)
"""Numbers that no batch divides."""


@pytest.fixture(scope="module")
def result():
    return run(make_fakes(FAKES), make_source(TRAIN), make_source(TEST, "toy test"))


def test_the_protocol_says_all_that_the_figures_depend_on(result):
    assert result.protocol._asdict() == {
        "name": "pixels-503",
        "features": "pixels",
        "sha256": "none",
        "num_generated": 503,
        "reference": "611 images of toy test, held out",
        "seed": 3,
    }


def test_distances_equal_their_definitions(result):
    fake, test, train = map(features_of, (FAKES, TEST, TRAIN))
    value = frechet(fake, test)
    assert result.figures["frechet"].value == pytest.approx(value, rel=1e-4)
    assert result.figures["frechet"].low < value < result.figures["frechet"].high
    drawn = np.random.default_rng((3, 0, 4)).choice(len(TRAIN), 503, replace=False)
    real = frechet(train[drawn], test)
    assert result.figures["real_distance"].value == pytest.approx(real, rel=1e-3)
    assert result.figures["frechet_multiple"].value == pytest.approx(value / real, rel=1e-3)
    radii = np.sort(distances(test, test), 1)[:, 5]  # the first is the image itself
    inside = distances(test, fake) < radii[:, None]
    assert result.figures["precision"].value == pytest.approx(inside.any(0).mean())
    assert result.figures["density"].value == pytest.approx(inside.sum(0).mean() / 5, rel=1e-3)
    assert result.figures["coverage"].value == pytest.approx(inside.any(1).mean())


def test_kernel_distances_are_told_beside_what_chance_gives(result):
    """With subsets as large as the sets, the distance is that of all."""
    fake, test, train = map(features_of, (FAKES, TEST, TRAIN))
    drawn = np.random.default_rng((3, 0, 4)).choice(len(TRAIN), 503, replace=False)
    for name, images in (("kernel", fake), ("real_kernel", train[np.sort(drawn)])):
        found = result.figures[name]
        assert found.value == pytest.approx(kid(images, test), abs=0.3 * abs(found.high - found.low))
    splits = np.random.default_rng(0).permuted(np.tile(np.arange(1006), (200, 1)), axis=1)
    pool = np.concatenate([train[drawn], test[:503]])
    chance = np.sqrt(np.mean([kid(pool[i[:503]], pool[i[503:]]) ** 2 for i in splits]))
    multiple = result.figures["kernel_multiple"].value
    assert multiple == pytest.approx(result.figures["kernel"].value / chance, rel=0.5)
    real = run(make_fakes(make_images(503, 9)), make_source(TRAIN), make_source(TEST)).figures
    assert abs(real["kernel_multiple"].value) < 3 < multiple


def test_of_images_there_are_no_figures_of_bodies(result):
    assert not any("occupancy" in name or "component" in name for name in result.figures)


def test_memorisation_equals_its_definition(result):
    fake, test, train = map(features_of, (FAKES, TEST, TRAIN))
    to_fake, to_test = distances(fake, train).min(1), distances(test, train).min(1)
    pairs = to_fake[:, None] - to_test[None]
    auc = np.mean(pairs < 0) + 0.5 * np.mean(pairs == 0)
    assert result.figures["memorisation_auc"].value == pytest.approx(auc, abs=1e-3)
    assert result.figures["memorisation_ratio"].value == pytest.approx(
        np.median(to_fake) / np.median(to_test), rel=1e-4
    )
    low, high = result.figures["memorisation_auc"][1:]
    assert low < auc < high < low + 0.1
    order = np.argsort(to_fake, kind="stable")[:10]
    np.testing.assert_array_equal(result.pairs[:10], FAKES[order])
    np.testing.assert_array_equal(result.pairs[10:], TRAIN[distances(fake, train).argmin(1)[order]])


def test_copies_of_the_training_images_are_found_out():
    copied = run(make_fakes(TRAIN[:300]), make_source(TRAIN), make_source(TEST))
    assert copied.figures["memorisation_auc"].value > 0.99
    assert copied.figures["memorisation_ratio"].value == 0
    np.testing.assert_array_equal(copied.pairs[:10], copied.pairs[10:])
    fresh = run(make_fakes(make_images(300, 9)), make_source(TRAIN), make_source(TEST))
    assert abs(fresh.figures["memorisation_auc"].value - 0.5) < 0.06


def test_classes(result):
    share = np.bincount(bright(FAKES), minlength=2) / len(FAKES)
    expected = np.bincount(bright(TEST), minlength=2) / len(TEST)
    assert result.figures["class_imbalance"].value == pytest.approx(np.abs(share - expected).sum() / 2)
    assert result.figures["smallest_class_share"].value == pytest.approx((share / expected).min())
    assert "conditional_accuracy" not in result.figures


def test_conditional_accuracy_and_the_classifiers(monkeypatch):
    """One is trained on the generated images, the other on as many training images; both on all held-out images."""
    asked = np.where(np.arange(len(FAKES)) % 5 == 0, 1 - bright(FAKES), bright(FAKES)).astype(np.int32)
    seen = []

    def train_on(images, labels, num_classes, seed):
        seen.append((images, labels, num_classes))
        return len(seen)

    def classify(state, images):
        """The first by the mean of the pixels, the second the other way around."""
        score = features_of(images).mean(1) - 0.5
        return np.stack([-score, score] if state == 1 else [score, -score], 1)

    monkeypatch.setattr(classifier_score, "train_on", train_on)
    monkeypatch.setattr(classifier_score, "make_classify", lambda shape, num: classify)
    figures = run(make_fakes(FAKES, asked), make_source(TRAIN), make_source(TEST)).figures
    assert figures["conditional_accuracy"].value == pytest.approx(402 / 503)  # 101 of 503 were asked for the other
    assert figures["conditional_accuracy"].low < 402 / 503 < figures["conditional_accuracy"].high
    assert figures["classifier_accuracy_score"].value == figures["classifier_auc"].value == 1
    assert figures["real_classifier_accuracy_score"].value == figures["real_classifier_auc"].value == 0
    for found, expected in zip(seen[0], (FAKES, asked, 2), strict=True):
        np.testing.assert_array_equal(found, expected)
    rows = np.sort(np.random.default_rng((3, 0, 4)).choice(len(TRAIN), 503, replace=False))
    for found, expected in zip(seen[1], (TRAIN[rows], bright(TRAIN)[rows], 2), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "network",
    [
        NETWORK._replace(class_names=("cat", "dog")),
        NETWORK._replace(apply=lambda images: (features_of(images), np.eye(2)[1 - bright(images)])),
    ],
    ids=["other names", "the same names of other things"],
)
def test_a_network_that_knows_other_classes_says_nothing_of_them(network):
    figures = run(make_fakes(FAKES, bright(FAKES)), make_source(TRAIN), None, network).figures
    assert not {"class_imbalance", "conditional_accuracy"} & set(figures)


def test_classes_are_found_by_their_names_and_others_are_refused():
    fakes = make_fakes(FAKES, 1 - bright(FAKES))  # numbers of the names in the other order
    named = run(fakes._replace(class_names=NAMES[::-1]), make_source(TRAIN), None).figures
    assert named["conditional_accuracy"].value == 1.0
    with pytest.raises(InputError, match="labels in toy: got 'dim'; accepted: dark, bright, or 0 to 1"):
        run(fakes._replace(class_names=("dark", "dim")), make_source(TRAIN), None)


@pytest.mark.slow
def test_beyond_what_is_kept_images_enter_the_moments_alone(monkeypatch):
    """The distance is that of all; the interval, of those kept, lies around it; memory stays."""
    monkeypatch.setattr(protocol, "MAX_KEPT", 100)
    result = run(make_fakes(FAKES), make_source(TRAIN), make_source(TEST))
    value, low, high = result.figures["frechet"]
    assert value == pytest.approx(frechet(features_of(FAKES), features_of(TEST)), rel=1e-4)
    assert low < value < high
    useless = np.full_like(TRAIN, 255)
    mixed = np.concatenate([TRAIN[:50], useless])  # sorted: what is kept is drawn from all of it
    assert run(make_fakes(mixed), make_source(TRAIN), make_source(TEST)).figures["precision"].value < 0.5

    def many(at_once):
        for _ in range(400):
            yield np.random.default_rng(0).integers(0, 256, (at_once, *SHAPE)).astype(np.uint8), None

    tracemalloc.start()
    run(make_fakes(FAKES)._replace(num=400 * protocol.BATCH, batches=many), make_source(TRAIN), make_source(TEST))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400 * protocol.BATCH * DIM * 4  # less than all of their features


def test_without_held_out_images_what_needs_them_is_left_out():
    evaluation = run(make_fakes(FAKES, bright(FAKES)), make_source(TRAIN), None)
    assert evaluation.pairs is None
    assert evaluation.protocol.reference == "1,207 images of toy, trained on"
    left_out = {"real_distance", "frechet_multiple", "kernel_multiple", "memorisation_auc", "classifier_accuracy_score"}
    assert not left_out & set(evaluation.figures)
    assert evaluation.figures["frechet"].value == pytest.approx(frechet(*map(features_of, (FAKES, TRAIN))), rel=1e-4)


def test_equal_images_are_defined():
    same = np.full((40, *SHAPE), 77, np.uint8)
    figures = run(make_fakes(same), make_source(TRAIN), make_source(TEST)).figures
    assert all(np.isfinite(figure.value) for figure in figures.values())
    assert figures["recall"].value == 0


def test_fewer_images_than_features():
    network = NETWORK._replace(num_features=4 * DIM, apply=lambda x: (np.tile(features_of(x), 4), apply(x)[1]))
    figures = run(make_fakes(FAKES[:7]), make_source(TRAIN), make_source(TEST), network).figures
    assert figures["frechet"].value == pytest.approx(4 * frechet(features_of(FAKES[:7]), features_of(TEST)), rel=1e-4)


@pytest.mark.parametrize(
    ("generated", "message"),
    [
        (make_fakes(FAKES[:5]), "images: got 5; accepted: 6 or more"),
        (
            make_fakes(FAKES)._replace(shape=(28, 28, 1)),
            r"images: got \(28, 28, 1\); accepted: \(2, 3, 1\), the shape of toy",
        ),
    ],
)
def test_what_is_refused(generated, message):
    with pytest.raises(InputError, match=message):
        run(generated, make_source(TRAIN), make_source(TEST))
