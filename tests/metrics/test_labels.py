"""Class frequencies and accuracies, counted by hand."""

import numpy as np
import pytest

from jaxgen.errors import InputError
from jaxgen.metrics.labels import class_balance, conditional_accuracy


def test_frequencies_counted_by_hand() -> None:
    # p = (3/4, 1/4, 0), q = (1/2, 1/4, 1/4)
    balance = class_balance(np.array([0, 0, 1, 0]), np.array([2, 1, 1]))
    assert balance == pytest.approx({"total_variation": 0.25, "smallest_share": 0.0})
    # p = (1/2, 1/4, 1/4): differences 0.1, 0.15 and 0.05, smallest share 0.25 / 0.4
    balance = class_balance(np.array([0, 0, 1, 2]), np.array([0.4, 0.4, 0.2]))
    assert balance == pytest.approx({"total_variation": 0.15, "smallest_share": 0.625})


def test_counts_and_frequencies_are_the_same_reference() -> None:
    predicted = np.array([0, 1, 1, 2, 2, 2], np.int32)
    assert class_balance(predicted, np.array([10, 20, 30])) == pytest.approx(
        {"total_variation": 0.0, "smallest_share": 1.0}
    )
    assert class_balance(predicted, np.array([1, 2, 3]) / 6.0) == pytest.approx(
        {"total_variation": 0.0, "smallest_share": 1.0}
    )


def test_a_class_that_the_reference_lacks_counts_as_variation_only() -> None:
    balance = class_balance(np.array([0, 1]), np.array([7, 0]))
    assert balance == {"total_variation": 0.5, "smallest_share": 0.5}


def test_one_label_of_ten_classes() -> None:
    balance = class_balance(np.array([3]), np.ones(10))
    assert balance == pytest.approx({"total_variation": 0.9, "smallest_share": 0.0})


def test_accuracy() -> None:
    assert conditional_accuracy(np.array([0, 1, 2, 3]), np.array([0, 1, 2, 0])) == 0.75
    assert conditional_accuracy(np.array([5]), np.array([5], np.int32)) == 1.0


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_that_are_no_class_are_refused(label: int) -> None:
    with pytest.raises(InputError, match=f"predicted: got {label}; accepted: classes 0 to 2"):
        class_balance(np.array([0, label, 1]), np.ones(3))


@pytest.mark.parametrize("reference", [[0.0, 0.0], [-1.0, 2.0], [np.nan, 1.0], []])
def test_a_reference_that_is_no_frequencies_is_refused(reference: list[float]) -> None:
    with pytest.raises(InputError, match="reference: got "):
        class_balance(np.array([0]), np.array(reference))


def test_no_labels_or_not_as_many_are_refused() -> None:
    none = np.array([], np.int64)
    with pytest.raises(InputError, match="predicted: got 0"):
        class_balance(none, np.ones(3))
    with pytest.raises(InputError, match="got 0 predicted, 0 asked"):
        conditional_accuracy(none, none)
    with pytest.raises(InputError, match="got 2 predicted, 1 asked"):
        conditional_accuracy(np.array([1, 2]), np.array([1]))
