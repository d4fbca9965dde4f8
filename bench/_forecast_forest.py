"""Growing the prior: boosted symmetric trees with one structure for all quantile levels.

Gradient boosting (Friedman 2001) on the pinball loss. A split is chosen for all levels together,
by the gain sum over levels of (sum of gradients)² ÷ (weight + λ); a leaf holds, per level, the
quantile of the residuals that fall into it, shrunk while few independent ones do. Features are
binned once, and gains come from histograms. numpy only, so that anybody can grow it again.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.intp]

UNKNOWN_BELOW = -98.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What the trees learn from; one row is one forecast that has met its outcome."""

    features: Singles
    """Shape (rows, features)."""
    start: Singles
    """Quantiles to be corrected, in local scales from the centre, shape (rows, levels)."""
    outcome: Singles
    """In the same unit, shape (rows,)."""
    weight: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """How a forest is grown."""

    trees: int = 400
    depth: int = 5
    rate: float = 0.1
    rows_per_tree: int = 40_000
    feature_share: float = 0.5
    shrink: float = 20.0
    """λ of the gain, and the independent residuals per tail that a leaf needs to be half sure."""
    leaf_max: float = 3.0
    """No leaf says more than this many local scales before the rate."""
    bins: int = 48
    seed: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    feature: Bytes
    threshold: Singles
    leaf: Singles


def grow(rows: Rows, levels: Floats, growth: Growth) -> Forest:
    """Trees that correct `rows.start` towards `rows.outcome`."""
    random = np.random.default_rng(growth.seed)
    edges = edges_of(rows.features, growth.bins)
    binned = binned_by(rows.features, edges)
    predictions = rows.start.copy()
    # Outer levels have small gradients; without this only the middle would choose the splits.
    balance = (1.0 / np.sqrt(levels * (1 - levels))).astype(np.float32)
    features, thresholds, leaves = [], [], []
    count, width = rows.features.shape
    for _ in range(growth.trees):
        some = random.choice(count, min(count, growth.rows_per_tree), replace=False)
        asked = np.sort(
            random.choice(width, max(1, int(growth.feature_share * width)), replace=False)
        )
        weight = rows.weight[some]
        residual = rows.outcome[some, None] - predictions[some]
        gradient = (levels - (residual < 0)) * weight[:, None] * balance
        questions = structure(binned[some][:, asked], gradient, weight, growth)
        chosen = [(int(asked[at]), border) for at, border in questions]
        leaf = (
            _leaf_quantiles(place(binned[some], chosen), residual, weight, levels, growth)
            * growth.rate
        )
        predictions += leaf[place(binned, chosen)].astype(np.float32)
        features.append([at for at, _ in chosen])
        thresholds.append([edges[at][border] for at, border in chosen])
        leaves.append(leaf)
    return Forest(
        feature=np.array(features, np.uint8),
        threshold=np.array(thresholds, np.float32),
        leaf=np.array(leaves, np.float32),
    )


def edges_of(features: Singles, bins: int) -> list[Singles]:
    """Borders between a feature's bins at equal shares of its known values."""
    edges = []
    for column in features[:: max(1, len(features) // 60_000)].T:
        known = column[column > UNKNOWN_BELOW]
        inner = np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1]) if len(known) else []
        borders = [UNKNOWN_BELOW, *inner] if len(known) < len(column) or not len(known) else inner
        edges.append(np.unique(np.array(borders, np.float32)))
    return edges


def binned_by(features: Singles, edges: list[Singles]) -> Bytes:
    columns = [
        np.searchsorted(edge, column).astype(np.uint8)
        for edge, column in zip(edges, features.T, strict=True)
    ]
    return np.stack(columns, axis=1)


def structure(
    binned: Bytes, gradient: Floats, weight: Floats, growth: Growth
) -> list[tuple[int, int]]:
    """Questions (column, border) of one tree, greedily, the same for all nodes of a depth."""
    slots = growth.bins + 2
    node = np.zeros(len(binned), np.intp)
    questions = []
    sums = np.column_stack((gradient, weight))
    for depth in range(growth.depth):
        nodes = 1 << depth
        gains = np.empty((binned.shape[1], slots))
        for column in range(binned.shape[1]):
            cell = node * slots + binned[:, column]
            histogram = np.stack(
                [np.bincount(cell, part, nodes * slots) for part in sums.T], axis=1
            ).reshape(nodes, slots, -1)
            below = histogram.cumsum(axis=1)
            above = below[:, -1:] - below
            gain = sum(
                (side[..., :-1] ** 2).sum(axis=2) / (side[..., -1] + growth.shrink)
                for side in (below, above)
            )
            gains[column] = np.asarray(gain).sum(axis=0)
        # The last slot has nobody above it: a question that does not divide.
        column, border = divmod(int(gains[:, :-1].argmax()), slots - 1)
        border = min(border, int(binned[:, column].max()) - 1) if border else 0
        questions.append((column, max(0, border)))
        node = node * 2 + (binned[:, column] > max(0, border))
    return questions


def place(binned: Bytes, questions: list[tuple[int, int]]) -> Indices:
    node = np.zeros(len(binned), np.intp)
    for column, border in questions:
        node = node * 2 + (binned[:, column] > border)
    return node


def _leaf_quantiles(
    node: Indices, residual: Singles, weight: Floats, levels: Floats, growth: Growth
) -> Floats:
    leaf = np.zeros((1 << growth.depth, len(levels)))
    tail = np.minimum(levels, 1 - levels)
    for number in np.unique(node):
        inside = node == number
        mass = weight[inside]
        independent = mass.sum() ** 2 / (mass**2).sum()
        for column, level in enumerate(levels):
            values = residual[inside, column]
            order = np.argsort(values)
            reached = np.searchsorted(np.cumsum(mass[order]), level * mass.sum())
            trust = independent / (independent + growth.shrink / tail[column])
            leaf[number, column] = trust * values[order[min(reached, len(order) - 1)]]
    return np.clip(leaf, -growth.leaf_max, growth.leaf_max)
