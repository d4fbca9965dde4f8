"""From a replay of traffic to what is asked of nodes: the replicas over time, and the pool."""

from dataclasses import replace
from math import ceil

import numpy as np

from policies.rounds import ROUND_SECONDS
from replay.cluster.settings import NodeStartUp
from replay.node_run import ReplicaDemand
from replay.replay_input import ReplayInput
from replay.simulate import Result
from replay.start_up import StartUp
from replay.traffic import Floats

_DRAWS = 2000
_SLOW, _QUICK = 0.95, 0.05


def demand_of(replay_input: ReplayInput, result: Result) -> ReplicaDemand:
    """The replicas that a rule asked for, from a result with marks."""
    start = result.moves[0].before if result.moves else result.marks[0].replicas
    return ReplicaDemand(
        rule=result.policy,
        changes=((0, start), *((move.at_seconds, move.after) for move in result.moves)),
        past=_past(replay_input),
        seconds=replay_input.seconds // 60 * 60,
        judged_from_seconds=replay_input.run_in_seconds // 60 * 60,
    )


def _past(replay_input: ReplayInput) -> Floats:
    """Replicas that the past's traffic needed, by the load test of one; the larger minute counts.

    No rule ran in the past, so this is the nearest to a pool's own history that is known.
    """
    platform, rates = replay_input.platform, replay_input.past.requests_per_second
    stride = round(ROUND_SECONDS / 60)
    whole = rates[len(rates) % stride :].reshape(-1, stride).max(axis=1)
    needed = np.ceil(whole / replay_input.replica_requests_per_second)
    found: Floats = np.clip(needed, platform.replicas_min, platform.replicas_max)
    return found


def node_start_up(start_up: StartUp) -> NodeStartUp:
    """The stages that a node does once, as its boot: nine of ten draws, evenly.

    Raises:
        ValueError: no stage is of that kind, so nothing is known of nodes.
    """
    if not any(stage.once_a_node for stage in start_up.stages):
        raise ValueError("no stage of the start-up is the node's")
    generator = np.random.default_rng(0)
    drawn = [start_up.of_node_seconds(start_up.draw(generator)) for _ in range(_DRAWS)]
    low, high = np.quantile(drawn, (_QUICK, _SLOW)).tolist()
    return replace(NodeStartUp(), boot_seconds=(max(1.0, round(low)), ceil(high)), pull_seconds=0.0)


def pod_seconds(start_up: StartUp) -> float:
    """Of a replica that finds a running node."""
    return sum(stage.median_seconds for stage in start_up.stages if not stage.once_a_node)
