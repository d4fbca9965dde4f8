"""The ready-made policies on a generated day of bursts, on nodes of one GPU and of four."""

import numpy as np
import pytest

from policies.policy.shipped_policies import NAMES, shipped
from replay.cluster.settings import Pool
from replay.cluster.shipped import ShippedRules
from replay.generated import generated
from replay.node_demand import node_start_up, pod_seconds
from replay.node_run import NodeOutcome, NodeRuns, NodeSite, ReplicaDemand, acting
from replay.start_up import FIVE_MINUTES
from replay.traffic import DAY_SECONDS

REPLICAS_MEAN = 32
ROUND_SECONDS = 120
HOLD_ROUNDS = 3
"""A little over the five minutes for which an HPA holds a lower answer."""


@pytest.fixture(scope="module")
def demand() -> ReplicaDemand:
    """One day before it is known; replicas are what the traffic needs, and fall after a while."""
    trace = generated(seed=1, days=2, shape="bursts")
    rate = np.asarray(trace.requests_per_second).reshape(-1, ROUND_SECONDS // 10).max(axis=1)
    needed = np.ceil(rate * REPLICAS_MEAN / rate.mean())
    held = np.array([needed[max(0, at - HOLD_ROUNDS) : at + 1].max() for at in range(len(needed))])
    past, day = held[: len(held) // 2], held[len(held) // 2 :]
    return ReplicaDemand(
        rule="needed",
        changes=tuple((at * ROUND_SECONDS, int(count)) for at, count in enumerate(day)),
        past=past,
        seconds=DAY_SECONDS,
    )


@pytest.mark.parametrize("gpus_per_node", [1, 4])
def test_latency_first_delays_least_and_cost_first_idles_least(
    demand: ReplicaDemand, gpus_per_node: int
) -> None:
    found = outcomes(demand, gpus_per_node)
    latency, balanced, cost = (found[name] for name in NAMES)

    assert latency.delayed_minutes < balanced.delayed_minutes < cost.delayed_minutes
    assert cost.idle_hours < balanced.idle_hours < latency.idle_hours
    assert cost.usd < balanced.usd < latency.usd


def outcomes(demand: ReplicaDemand, gpus_per_node: int) -> dict[str, NodeOutcome]:
    site = NodeSite(
        pool=Pool(
            name="gpu",
            gpus_per_node=gpus_per_node,
            start_up=node_start_up(FIVE_MINUTES),
            consolidate_after_seconds=600,
            usd_per_node_hour=6.88 * gpus_per_node,
        ),
        pod_seconds=pod_seconds(FIVE_MINUTES),
    )
    policies = {name: ShippedRules(acting([shipped(name)])) for name in NAMES}
    return NodeRuns(demand=demand, site=site).of(policies)
