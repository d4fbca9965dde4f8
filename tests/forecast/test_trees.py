"""Trees answer by hand-worked leaves."""

import numpy as np
import pytest

from scaler.forecast.trees import Trees


def two_trees() -> Trees:
    return Trees(
        feature=np.array([[0, 1], [1, 1]], np.uint8),
        threshold=np.array([[5.0, 1.0], [0.0, 2.0]], np.float32),
        leaf=np.arange(8, dtype=np.float32).reshape(2, 4, 1),
    )


def test_the_first_question_is_the_leafs_highest_bit():
    inputs = np.array([[6.0, 0.5], [4.0, 3.0], [5.0, 1.0]])
    # Row 0: above 5, not above 1 = 0b10; above 0, not above 2 = 0b10. Row 2: a border is not above.
    assert two_trees().leaves(inputs).tolist() == [[2, 2], [1, 3], [0, 2]]


def test_a_forest_answers_the_sum_of_its_leaves():
    trees = two_trees()
    # Leaves 2 and 2 hold 2 and 4 + 2; leaves 1 and 3 hold 1 and 4 + 3.
    assert trees.sum_at(np.array([[2, 2], [1, 3]], np.uint8)).tolist() == [[8.0], [8.0]]


def test_trees_deeper_than_a_byte_are_refused():
    with pytest.raises(ValueError, match="depth 9"):
        Trees(
            feature=np.zeros((1, 9), np.uint8),
            threshold=np.zeros((1, 9), np.float32),
            leaf=np.zeros((1, 512, 1), np.float32),
        )
