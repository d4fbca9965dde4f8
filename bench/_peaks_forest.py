"""Growing the prior of the running maximum: boosted symmetric trees on the logistic loss.

Gradient boosting with Newton's steps (Friedman, Hastie & Tibshirani 2000), on top of the logit of
what each pool's own past said. Numpy only, as for the prior of demand.
"""

from dataclasses import dataclass

import numpy as np

from bench._forecast_forest import (
    Floats,
    Forest,
    Growth,
    Singles,
    binned_by,
    edges_of,
    place,
    structure,
)

GROWTH = Growth(trees=80, depth=6, rate=0.1, rows_per_tree=30_000, feature_share=0.35)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachRows:
    """One row is one window and threshold of one step."""

    features: Singles
    """Shape (rows, features)."""
    logit: Singles
    """To be corrected, shape (rows,)."""
    reached: Singles
    """1 where the threshold was reached, else 0."""
    weight: Floats


def grow(rows: ReachRows, growth: Growth) -> Forest:
    """Trees that correct `rows.logit` towards `rows.reached`."""
    random = np.random.default_rng(growth.seed)
    edges = edges_of(rows.features, growth.bins)
    binned = binned_by(rows.features, edges)
    logit = rows.logit.astype(np.float64)
    features, thresholds, leaves = [], [], []
    count, width = rows.features.shape
    for _ in range(growth.trees):
        some = random.choice(count, min(count, growth.rows_per_tree), replace=False)
        drawn = max(1, int(growth.feature_share * width))
        asked = np.sort(random.choice(width, drawn, replace=False))
        probability = 1 / (1 + np.exp(-logit[some]))
        gradient = (rows.reached[some] - probability) * rows.weight[some]
        curvature = probability * (1 - probability) * rows.weight[some]
        inside = binned[some]
        questions = structure(inside[:, asked], gradient[:, None], curvature, growth)
        chosen = [(int(asked[at]), border) for at, border in questions]
        node, nodes = place(inside, chosen), 1 << growth.depth
        slope = np.bincount(node, gradient, nodes)
        step = slope / (np.bincount(node, curvature, nodes) + growth.shrink)
        leaf = np.clip(step, -growth.leaf_max, growth.leaf_max) * growth.rate
        logit += leaf[place(binned, chosen)]
        features.append([at for at, _ in chosen])
        thresholds.append([edges[at][border] for at, border in chosen])
        leaves.append(leaf[:, None])
    return Forest(
        feature=np.array(features, np.uint8),
        threshold=np.array(thresholds, np.float32),
        leaf=np.array(leaves, np.float32),
    )
