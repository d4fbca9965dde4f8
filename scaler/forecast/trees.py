"""Symmetric trees for several quantiles at once, small enough to ship and to run at every step.

A symmetric (oblivious) tree has the same split in all nodes of a depth (Kohavi 1994; Prokhorenkova
et al. 2018, "CatBoost"), so a leaf index is a binary number, and one vectorised comparison
evaluates all trees. One structure serves all quantile levels; the leaf values differ.
"""

import io
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from scaler.forecast.past import Floats

Bytes = npt.NDArray[np.uint8]
Singles = npt.NDArray[np.float32]
BITS = 8


class Trees:
    # Slots keep the forest out of snapshots: it belongs to the program, not to a workload.
    __slots__ = ("_asked", "_border", "_first", "_flat", "_ones", "leaf")

    def __init__(self, *, feature: Bytes, threshold: Singles, leaf: Singles) -> None:
        """Take a trained forest.

        Args:
            feature: index of the input of each split, shape (trees, depth).
            threshold: the split is feature > threshold, shape (trees, depth).
            leaf: what a leaf adds to each level's quantile, shape (trees, 2**depth, levels).

        Raises:
            ValueError: the trees are deeper than a byte has bits.
        """
        count, depth = feature.shape
        if depth > BITS:
            raise ValueError(f"trees of depth {depth} are deeper than {BITS}")
        self.leaf = leaf
        # The splits of one tree are the bits of one byte; unused bits are 0.
        asked = np.zeros((count, BITS), np.intp)
        border = np.full((count, BITS), np.inf, np.float32)
        asked[:, BITS - depth :], border[:, BITS - depth :] = feature, threshold
        self._asked, self._border = asked.ravel(), border.ravel()
        self._ones = np.ones((1, count), np.float32)
        self._flat = leaf.reshape(-1, leaf.shape[2])
        self._first = np.arange(count) * leaf.shape[1]

    def leaves(self, inputs: Floats) -> Bytes:
        """Leaf indices of (rows, features), shape (rows, trees)."""
        answers = np.take(inputs.astype(np.float32), self._asked, axis=1) > self._border
        return np.packbits(answers, axis=1)

    def sum_at(self, leaves: Bytes) -> Floats:
        """The sum over the trees, shape (rows, levels)."""
        answers = np.take(self._flat, leaves + self._first, axis=0)
        # A product with ones adds over the middle axis six times faster than sum does.
        total: Floats = (self._ones @ answers)[:, 0].astype(np.float64)
        return total


def read(data: bytes) -> Trees:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return Trees(
            feature=arrays["feature"],
            threshold=arrays["threshold"].astype(np.float32),
            leaf=arrays["leaf"].astype(np.float32),
        )


@cache
def shipped() -> Trees:
    """The prior shipped with the program, made by `python -m bench forecast_prior`.

    Trained on public traffic: Azure LLM inference (CC-BY 4.0), ServeGen (Apache-2.0), NAB (MIT),
    the Internet Traffic Archive's NASA and World Cup logs, a public stream of posts, and Alibaba's
    GenAI cluster trace. It holds thresholds and corrections in units of scale, no data of theirs.
    """
    return read(files("scaler.forecast").joinpath("prior.npz").read_bytes())


def nothing(*, depth: int = 5, levels: int = 9) -> Trees:
    """One tree that adds nothing: to run without a prior, as when one is trained."""
    return Trees(
        feature=np.zeros((1, depth), np.uint8),
        threshold=np.zeros((1, depth), np.float32),
        leaf=np.zeros((1, 1 << depth, levels), np.float32),
    )
