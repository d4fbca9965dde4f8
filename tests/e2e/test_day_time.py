"""The time of a day that is played in minutes, and GPU-hours by events."""

import pytest

from fleet.cluster.kinds import Kind, record_of
from fleet.cluster.reading import Cluster
from tests.e2e.day_controller import DayTime, past_of
from tests.e2e.nodes.node_ledger import NodeLedger

MIDNIGHT = 1_800_000_000.0
DAWN = 1_700_000_000.0
"""By the real clock: 2023-11-14T22:13:20Z."""
TIME = DayTime(dawn_seconds=MIDNIGHT, real_dawn_seconds=DAWN, times_faster=144.0)


def test_stamps_of_the_cluster_are_stretched_and_leases_of_ours_are_not() -> None:
    node = {
        "metadata": {
            "name": "a",
            "uid": "a",
            "creationTimestamp": "2023-11-14T22:13:30Z",
            "annotations": {"foresail.io/kept-until": "2027-01-15T09:00:00Z"},
        },
        "status": {
            "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2023-11-14T22:13:31Z"}
            ]
        },
    }
    read = Cluster.of("bed", {Kind.NODE: [record_of(Kind.NODE, node)]})
    (found,) = TIME.stretched(read).nodes
    assert found.created_seconds == MIDNIGHT + 10 * 144
    assert found.ready_seconds == MIDNIGHT + 11 * 144
    assert found.kept_until_seconds == read.nodes[0].kept_until_seconds


def test_the_past_is_what_the_bins_before_midnight_say() -> None:
    # Two bins of ten minutes are five samples each, and a gap of one bin has none.
    state = past_of("pool", [3.2, float("nan"), 1.0], 600.0, MIDNIGHT)
    assert state.demand["pool"].step == MIDNIGHT / 120 - 1


def test_gpu_hours_count_from_the_launch_within_the_time_asked_for() -> None:
    ledger = NodeLedger(
        pools={"a": "eight", "b": "one", "c": "other"},
        launched_seconds={"a": 0.0, "b": 1800.0, "c": 0.0},
        gone_seconds={"a": 5400.0},
    )
    found = ledger.gpu_hours({"eight": 8, "one": 1}, 3600.0, 7200.0)
    assert found == {"eight": pytest.approx(4.0), "one": pytest.approx(1.0)}
    assert ledger.changes("eight") == 2
    assert ledger.there("eight") == 0
