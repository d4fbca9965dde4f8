"""Nodes under a fleet, with Karpenter's timing worked by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.fleet import Fleet, FleetSettings, Shortage
from replay.nodes import NodePool
from replay.start_up import Stage, StartUp

SETTINGS = FleetSettings(
    start_up=StartUp(
        stages=(
            Stage(name="node", median_seconds=60, log_sigma=0, once_a_node=True),
            Stage(name="image", median_seconds=40, log_sigma=0, once_a_node=True),
            Stage(name="weights", median_seconds=50, log_sigma=0),
        )
    ),
    grace_seconds=30,
    rows=8,
    nodes=NodePool(gpus_per_node=2, consolidate_after_seconds=60),
)
IDLE = np.zeros(8, dtype=np.int64)


def ready_at(fleet: Fleet) -> list[float]:
    return [replica.ready_seconds for replica in fleet.replicas]


def node_seconds(fleet: Fleet, now_seconds: float) -> float:
    assert fleet.nodes is not None
    return fleet.nodes.seconds(now_seconds)


def launched(fleet: Fleet) -> int:
    assert fleet.nodes is not None
    return fleet.nodes.launched


def test_the_first_replica_of_a_node_waits_for_it_and_the_second_shares_it() -> None:
    fleet = Fleet(SETTINGS, ready=0, seed=1)
    fleet.scale_to(1, 100)
    fleet.scale_to(2, 130)
    # A second of batching, 100 s of node and image, 50 s of weights: for both.
    assert ready_at(fleet) == pytest.approx([251, 251])
    assert launched(fleet) == 1


def test_a_replica_on_a_node_that_runs_skips_what_was_done_once() -> None:
    fleet = Fleet(SETTINGS, ready=1, seed=1)
    fleet.scale_to(2, 100)
    assert ready_at(fleet)[1] == pytest.approx(150)


def test_a_third_replica_needs_another_node() -> None:
    fleet = Fleet(SETTINGS, ready=2, seed=1)
    fleet.scale_to(3, 100)
    assert launched(fleet) == 2
    assert ready_at(fleet)[2] == pytest.approx(251)


def emptied_at_200() -> Fleet:
    """Three replicas on two nodes, of which the second is empty from 200 on."""
    fleet = Fleet(SETTINGS, ready=3, seed=1)
    fleet.advance(0, IDLE)
    fleet.scale_to(2, 200)
    fleet.advance(200, IDLE)
    return fleet


def test_an_empty_node_goes_in_karpenters_time() -> None:
    fleet = emptied_at_200()
    # Consolidatable at 260, a look at 260, validated until 275, drained until 280.
    assert node_seconds(fleet, 1000) == pytest.approx(1000 + 280)


def test_the_disruption_loop_looks_every_ten_seconds() -> None:
    pool = NodePool(gpus_per_node=2, consolidate_after_seconds=63)
    fleet = Fleet(replace(SETTINGS, nodes=pool), ready=3, seed=1)
    fleet.advance(0, IDLE)
    fleet.scale_to(2, 200)
    fleet.advance(200, IDLE)
    assert node_seconds(fleet, 1000) == pytest.approx(1000 + 290)


@pytest.mark.parametrize(
    ("ordered_at", "ready", "nodes"),
    [
        pytest.param(274, 324, 2, id="kept: still validating"),
        pytest.param(276, 427, 3, id="too late: another is launched"),
    ],
)
def test_what_comes_back_in_time_finds_its_node(ordered_at: int, ready: int, nodes: int) -> None:
    fleet = emptied_at_200()
    fleet.scale_to(3, ordered_at)
    assert ready_at(fleet)[-1] == pytest.approx(ready)
    assert launched(fleet) == nodes


def test_a_refused_launch_is_tried_again_every_three_minutes() -> None:
    shortage = Shortage(begin_seconds=0, end_seconds=400)
    fleet = Fleet(replace(SETTINGS, shortages=(shortage,)), ready=2, seed=1)
    fleet.scale_to(3, 100)
    # Refused until 400, tried again at 280 and at 460.
    assert ready_at(fleet)[2] == pytest.approx(461 + 150)
    fleet.scale_to(2, 300)
    assert node_seconds(fleet, 1000) == pytest.approx(1000)  # cancelled before it was launched


def test_a_shortage_does_not_hold_up_who_finds_a_node() -> None:
    shortage = Shortage(begin_seconds=0, end_seconds=400)
    fleet = Fleet(replace(SETTINGS, shortages=(shortage,)), ready=1, seed=1)
    fleet.scale_to(2, 100)
    assert ready_at(fleet)[1] == pytest.approx(150)


def test_a_replica_wider_than_a_node_is_refused() -> None:
    with pytest.raises(ValueError, match="4 GPUs fits no node of 2"):
        replace(SETTINGS, gpus_per_replica=4)


@given(
    wishes=st.lists(st.tuples(st.integers(1, 200), st.integers(0, 6)), max_size=12),
    after=st.sampled_from([0.0, 60.0, 600.0]),
)
def test_replicas_are_on_nodes_that_are_paid_for_all_the_time(
    wishes: list[tuple[int, int]], after: float
) -> None:
    pool = NodePool(gpus_per_node=2, consolidate_after_seconds=after)
    fleet = Fleet(replace(SETTINGS, nodes=pool), ready=1, seed=1)
    now = 0
    for passed, replicas in wishes:
        for second in range(now, now + passed):
            fleet.advance(second, IDLE)
        now += passed
        fleet.scale_to(replicas, now)
        held: dict[int, int] = {}
        for replica in fleet.replicas:
            assert replica.node is not None
            assert now < replica.node.closing_seconds
            held[id(replica.node)] = held.get(id(replica.node), 0) + 1
        assert all(count <= 2 for count in held.values())
    # Two replicas a node at best: the nodes cost at least half of what the GPUs do.
    assert 2 * node_seconds(fleet, now) >= fleet.gpu_seconds(now) - 1e-6
