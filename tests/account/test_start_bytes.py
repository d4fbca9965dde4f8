"""Starts that outlive a process, as bytes."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.account import start_bytes
from fleet.account.lead_times import learned
from fleet.account.places import Place
from fleet.account.start_bytes import StartsRefusedError, decode_starts, encode_starts
from fleet.account.starts import NodeStart, PodStart, Starts
from fleet.account.startups import NODES_MAX, PODS_MAX, StartUps
from fleet.cluster.nodes import CapacityType
from fleet.cluster.owners import Workload
from tests.account.test_startups import BEGIN, KNOWN, claimed, cluster, registered

SECONDS = st.floats(0, 2e9)
TEXT = st.text(max_size=5)
PAID = st.none() | st.sampled_from(CapacityType)
WORKLOADS = st.none() | st.builds(Workload, kind=TEXT, namespace=TEXT, name=TEXT)
MACHINES = st.builds(
    NodeStart,
    uid=TEXT, name=TEXT, pool=st.none() | TEXT, capacity_type=PAID,
    created_seconds=SECONDS, gpus_seconds=st.none() | SECONDS, watched=st.booleans(),
)  # fmt: skip
PODS = st.builds(
    PodStart,
    uid=TEXT, name=TEXT, workload=WORKLOADS,
    images=st.lists(TEXT, max_size=2).map(tuple), takes_gpus=st.just(True),
    place=st.none() | st.builds(Place, pool=TEXT), created_seconds=SECONDS,
    ready_seconds=st.none() | SECONDS,
)  # fmt: skip


def startups(machines: list[NodeStart], pods: list[PodStart]) -> StartUps:
    nodes = Starts(
        most=NODES_MAX,
        ended=tuple(one for one in machines if one.over),
        starting={one.uid: one for one in machines if not one.over},
        settled=frozenset(one.uid for one in machines if one.over),
    )
    return StartUps(nodes=nodes, pods=Starts(most=PODS_MAX, ended=tuple(pods)))


@settings(max_examples=50)
@given(machines=st.lists(MACHINES, max_size=5), pods=st.lists(PODS, max_size=5))
def test_a_restart_changes_no_digit(machines: list[NodeStart], pods: list[PodStart]) -> None:
    before = {"prod": startups(machines, pods), "other": StartUps()}

    assert decode_starts(encode_starts(before)) == before


def test_a_start_that_is_read_before_and_after_a_restart_counts_once() -> None:
    ready = claimed(on="n1", Launched=4, Registered=85, Initialized=155)
    machine = registered(gpus=8, ready=120)
    under_way = StartUps().read(cluster(claimed()), KNOWN, BEGIN + 1)
    told = under_way.read(cluster(ready, machine), KNOWN, BEGIN + 200)
    again = told
    for _ in range(3):
        again = decode_starts(encode_starts({"c": again}))["c"]
        again = again.read(cluster(ready, machine), KNOWN, BEGIN + 300)

    assert again == told
    assert learned(again, BEGIN + 300) == learned(told, BEGIN + 300)


STATES = {
    "ordered": claimed,
    "launched": lambda name: claimed(name, Launched=4),
    "initialized": lambda name: claimed(name, Launched=4, Registered=85, Initialized=155),
}


@settings(max_examples=40, deadline=None)
@given(
    readings=st.lists(
        st.tuples(st.dictionaries(st.sampled_from("abc"), st.sampled_from(sorted(STATES))),
                  st.booleans()),
        max_size=8,
    )
)  # fmt: skip
def test_restarts_at_any_moment_change_nothing(
    readings: list[tuple[dict[str, str], bool]],
) -> None:
    steady = restarted = StartUps()
    for at, (machines, restarts) in enumerate(readings):
        found = cluster(*(STATES[state](name) for name, state in machines.items()))
        now = BEGIN + 200 * (at + 1)
        steady = steady.read(found, KNOWN, now)
        if restarts:
            restarted = decode_starts(encode_starts({"c": restarted}))["c"]
        restarted = restarted.read(found, KNOWN, now)

    assert restarted == steady
    uids = [one.uid for one in (*steady.nodes.ended, *steady.nodes.starting.values())]
    assert len(learned(steady, BEGIN).nodes) == len(set(uids))


def test_a_start_under_way_goes_on_after_a_restart() -> None:
    under_way = StartUps().read(cluster(claimed()), KNOWN, BEGIN + 1)
    ready = claimed(on="n1", Launched=4, Registered=85, Initialized=155)
    found = decode_starts(encode_starts({"c": under_way}))["c"].read(
        cluster(ready, registered(gpus=8, ready=120)), KNOWN, BEGIN + 200
    )

    (one,) = found.nodes.ended
    assert (one.watched, one.seen_seconds, one.gpus_seconds) == (True, BEGIN + 1, BEGIN + 155)


def test_pods_without_gpus_are_not_kept() -> None:
    plain = PodStart(uid="u", name="llm/a", workload=None, created_seconds=1.0, ready_seconds=2.0)

    kept = decode_starts(encode_starts({"c": startups([], [plain])}))["c"]

    assert kept.pods.ended == ()


GOOD = encode_starts(
    {"c": startups([NodeStart(uid="u", name="n", created_seconds=7.5, gpus_seconds=9.0)], [])}
)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        pytest.param(GOOD[:-9], "Invalid JSON", id="cut-off"),
        pytest.param(b"", "Invalid JSON", id="empty"),
        pytest.param(b"[]", "should be an object", id="no-file"),
        pytest.param(GOOD.replace(b'"format":1', b'"format":2'), "^format: ", id="newer"),
        pytest.param(GOOD.replace(b"7.5", b"NaN"), "created_seconds: .*finite", id="not-a-number"),
        pytest.param(GOOD.replace(b"7.5", b'"soon"'), "created_seconds: ", id="no-time"),
        pytest.param(GOOD.replace(b'"u"', b'"\xff"'), "Invalid JSON", id="no-text"),
    ],
)
def test_a_doubtful_file_is_refused_with_the_reason(payload: bytes, why: str) -> None:
    with pytest.raises(StartsRefusedError, match=why):
        decode_starts(payload)


def test_a_file_that_is_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(StartsRefusedError, match="over 33554432 bytes"):
        decode_starts(b" " * (start_bytes.BYTES_MAX + 1))


def test_of_too_many_starts_the_newer_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [
        NodeStart(uid=f"u{at}", name="n", created_seconds=float(at), gpus_seconds=float(at))
        for at in range(8)
    ]
    monkeypatch.setattr(start_bytes, "BYTES_MAX", len(encode_starts({"c": startups(many, [])})) - 1)

    kept = decode_starts(encode_starts({"c": startups(many, [])}))["c"].nodes

    assert [one.uid for one in kept.ended] == ["u4", "u5", "u6", "u7"]
    assert len(kept.settled) == 8


def test_limits_are_the_programs_and_not_the_files() -> None:
    few = replace(startups([], []), nodes=Starts(most=0))

    assert decode_starts(encode_starts({"c": few}))["c"].nodes.most == NODES_MAX
