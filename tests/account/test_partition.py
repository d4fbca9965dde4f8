"""Each GPU of a node has one reason, and all of them together are the GPUs of the node."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.account.gpu_hours import Cost, hourly_costs
from fleet.account.partition import parts_of, perhaps_idle
from fleet.activity import activity_of
from fleet.annotations import KEPT_BECAUSE, KEPT_UNTIL, PRICE
from fleet.catalogue import shipped
from fleet.reasons import OF_EMPTY, Reason
from fleet.snapshot import Known, snapshot_of
from tests.fleet.objects import (
    H100,
    NOW_SECONDS,
    Object,
    claim,
    cluster,
    device,
    node,
    node_claim,
    only,
    pod,
    resource_slice,
    seen,
)

P5 = H100 | {"node.kubernetes.io/instance-type": "p5.48xlarge", "karpenter.sh/nodepool": "big"}
RESERVED = P5 | {"karpenter.sh/capacity-type": "reserved"}
HELD = {"karpenter.sh/do-not-disrupt": "true"}
LATER, EARLIER = "2027-01-15T08:00:01Z", "2027-01-15T08:00:00Z"
"""A second after `NOW_SECONDS`, and that moment itself."""


def ready(one: Object) -> Object:
    one["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    return one


def kept(because: str, until: str = LATER) -> dict[str, str]:
    return {KEPT_BECAUSE: because, KEPT_UNTIL: until}


def parts(*objects: Object, planned: Reason | None = None) -> dict[Reason, float]:
    found: dict[Reason, float] = defaultdict(float)
    for one in parts_of(only(*objects), planned):
        found[one.reason] += one.gpus
    return {reason: gpus for reason, gpus in found.items() if gpus}


def hours(
    *objects: Object, planned: Mapping[str, Reason] | None = None
) -> dict[Reason, tuple[float, float]]:
    """GPUs and dollars of an hour by reason."""
    found: dict[Reason, Cost] = defaultdict(Cost)
    for series, cost in hourly_costs(seen(*objects), planned or {}).items():
        found[series.reason] += cost
    return {reason: (cost.gpu_hours, round(cost.usd, 2)) for reason, cost in found.items()}


def test_now_is_what_the_annotations_of_these_tests_take_it_for() -> None:
    assert NOW_SECONDS == 1_800_000_000.0  # 2027-01-15T08:00:00Z


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        pytest.param(
            [node(gpus=8), ready(pod("a", gpus=2)), pod("b", gpus=1)],
            {Reason.SERVING: 2, Reason.VETO: 1, Reason.FRAGMENTATION: 5},
            id="serving-loading-and-free-beside",
        ),
        pytest.param(
            [
                node(gpus=8),
                ready(pod("a", gpus=2)),
                ready(pod("room", gpus=6, labels={"foresail.io/placeholder": "big"}, priority=-10)),
            ],
            {Reason.SERVING: 2, Reason.PRE_WARM: 6},
            id="a-placeholder-keeps-room",
        ),
        pytest.param(
            [node(gpus=8, ready=False), ready(pod("a", gpus=2))],
            {Reason.SERVING: 2, Reason.OUT: 6},
            id="not-ready",
        ),
        pytest.param(
            [node(gpus=8, allocatable={"nvidia.com/gpu": 7})],
            {Reason.NONE: 7, Reason.OUT: 1},
            id="one-is-sick",
        ),
        pytest.param([node(labels=P5)], {Reason.UNINITIALIZED: 8}, id="no-driver-yet"),
        pytest.param(
            [node(labels=P5, gpus=8), node_claim("c", "Launched", "Registered", on="n1")],
            {Reason.UNINITIALIZED: 8},
            id="karpenter-has-not-initialised-it",
        ),
        pytest.param(
            [node(labels=P5), node_claim("c", "Launched", "Registered", "Initialized", on="n1")],
            {Reason.UNINITIALIZED: 8},
            id="static-pools-initialise-without-a-driver",
        ),
        pytest.param(
            [
                node(labels=P5 | {"karpenter.sh/initialized": "true"}, gpus=8),
                node_claim("c", "Launched", "Registered", on="n1"),
            ],
            {Reason.NONE: 8},
            id="the-condition-flipped-back",
        ),
        pytest.param(
            [
                node(labels=P5, gpus=8),
                ready(pod("a", gpus=3)),
                node_claim("c", "Launched", "Registered", on="n1"),
            ],
            {Reason.SERVING: 3, Reason.UNINITIALIZED: 5},
            id="what-serves-serves",
        ),
        pytest.param(
            [node(), resource_slice(device("gpu-0")), claim("c", "gpu-0")],
            {Reason.OUT: 1},
            id="claimed-by-no-pod",
        ),
        pytest.param(
            [node(), resource_slice(device("gpu-0")), claim("c", "gpu-0", pods=("gone",))],
            {Reason.UNKNOWN: 1},
            id="the-pod-was-not-read",
        ),
        pytest.param(
            [node(gpus=4), ready(pod("a", gpus=3)), ready(pod("b", gpus=3))],
            {Reason.SERVING: 4},
            id="more-given-out-than-there-is",
        ),
        pytest.param([node(labels=P5, gpus=8)], {Reason.NONE: 8}, id="empty"),
        pytest.param(
            [node(gpus=8, annotations=HELD)], {Reason.HELD_BY_OTHERS: 8}, id="held-by-others"
        ),
        pytest.param(
            [node(gpus=8, annotations=HELD | kept("warm floor"))],
            {Reason.WARM_FLOOR: 8},
            id="held-by-us",
        ),
        pytest.param(
            [node(gpus=8, annotations=HELD | kept("warm floor", EARLIER))],
            {Reason.HELD_BY_OTHERS: 8},
            id="our-lease-has-ended",
        ),
        pytest.param(
            [node(gpus=8, annotations={KEPT_BECAUSE: "warm floor"})],
            {Reason.NONE: 8},
            id="a-hold-without-an-end-is-none",
        ),
        pytest.param(
            [node(gpus=8, annotations=kept("serving"))],
            {Reason.NONE: 8},
            id="an-annotation-cannot-say-that-it-serves",
        ),
        pytest.param(
            [node(labels=RESERVED, gpus=8, annotations=kept("forecast hold"))],
            {Reason.RESERVED: 8},
            id="reserved-whoever-keeps-it",
        ),
    ],
)
def test_the_reasons_of_a_node(objects: list[Object], expected: dict[Reason, float]) -> None:
    assert parts(*objects) == expected


@pytest.mark.parametrize("planned", sorted(OF_EMPTY))
def test_a_plan_says_why_an_empty_node_is_kept(planned: Reason) -> None:
    held = node(labels=P5, gpus=8, annotations=kept("warm floor"))

    assert parts(held, planned=planned) == {planned: 8}


@pytest.mark.parametrize("planned", sorted(Reason))
def test_a_plan_changes_no_fact(planned: Reason) -> None:
    """It was made a moment before the reading."""
    busy = (node(gpus=8), ready(pod("a", gpus=2)), pod("b", gpus=1))
    booting = (node(labels=P5), node_claim("c", "Launched", on="n1"))

    assert parts(*busy, planned=planned) == parts(*busy)
    assert parts(*booting, planned=planned) == {Reason.UNINITIALIZED: 8}
    if planned not in OF_EMPTY:
        assert parts(node(gpus=8), planned=planned) == {Reason.NONE: 8}


@pytest.mark.parametrize("name", ["n1", "big-x7kq2"])
def test_a_plan_names_the_node_or_its_claim(name: str) -> None:
    initialized = ("Launched", "Registered", "Initialized")
    objects = (node(labels=P5, gpus=8), node_claim("big-x7kq2", *initialized, on="n1"))

    assert hours(*objects, planned={name: Reason.GANG}) == {Reason.GANG: (8, 55.04)}


def test_a_launched_machine_without_a_node_is_paid_for() -> None:
    launched = node_claim("c1", "Launched", labels=P5)
    ordered = node_claim("c2", labels=P5)

    assert hours(node("cpu"), launched, ordered) == {Reason.UNINITIALIZED: (8, 55.04)}


def test_a_machine_type_that_nobody_knows_has_the_gpus_that_its_claim_tells() -> None:
    made = {PRICE: "2.50"}
    unknown = node_claim("c", "Launched", labels={"karpenter.sh/nodepool": "p"}, gpus=4)
    priced = node_claim("d", "Launched", annotations=made, gpus=2)

    assert hours(node("cpu"), unknown, priced) == {Reason.UNINITIALIZED: (6, 5.0)}


@pytest.mark.parametrize("on", ["n1", None])
def test_a_machine_is_counted_once_when_its_node_is_there(on: str | None) -> None:
    """A node joins a moment before its claim names it."""
    joined = node(labels=P5)
    joined["spec"]["providerID"] = "aws:///us-east-1a/i-1"
    launched = node_claim("c", "Launched", on=on, labels=P5, provider_id="aws:///us-east-1a/i-1")

    assert hours(joined, launched) == {Reason.UNINITIALIZED: (8, 55.04)}


def test_where_nodeclaims_were_not_read_it_is_unknown_what_is_on_its_way() -> None:
    read = cluster(node(gpus=1))
    known = Known(catalogue=shipped())

    assert snapshot_of(read, known, None, NOW_SECONDS).coming == ()
    assert snapshot_of(replace(read, node_claims=None), known, None, NOW_SECONDS).coming is None


def test_what_is_reserved_costs_the_same_without_use_and_is_on_the_bill() -> None:
    at = {PRICE: "4"}
    snapshot = seen(
        node("n1", labels=RESERVED, gpus=8, annotations=at),
        pod("a", gpus=2),
        node("n2", labels=RESERVED, gpus=8, annotations=at),
        node("n3", labels=P5, gpus=8, annotations=at),
    )

    found = {one.reason: cost for one, cost in hourly_costs(snapshot, {}).items()}

    assert {reason: (cost.usd, cost.reserved_usd) for reason, cost in found.items()} == {
        Reason.VETO: (8, 8),
        Reason.FRAGMENTATION: (24, 24),
        Reason.RESERVED: (32, 32),
        Reason.NONE: (32, 0),
    }


@given(
    gpus=st.integers(1, 16),
    cut=st.sampled_from([1, 2, 3, 7, 10]),
    asked=st.lists(st.tuples(st.integers(1, 8), st.booleans()), max_size=4),
    is_ready=st.booleans(),
    sick=st.integers(0, 3),
    planned=st.sampled_from([None, *Reason]),
)
def test_the_parts_are_all_of_the_node(
    gpus: int,
    cut: int,
    asked: list[tuple[int, bool]],
    is_ready: bool,
    sick: int,
    planned: Reason | None,
) -> None:
    """A device plugin that shares each GPU among `cut` pods, and pods with so many shares."""
    units = gpus * cut
    labels = {"nvidia.com/gpu.replicas": str(cut), "nvidia.com/gpu.count": str(gpus)}
    shared = node(
        labels=labels,
        ready=is_ready,
        gpus=units,
        allocatable={"nvidia.com/gpu": max(0, units - sick)},
    )
    pods = [
        ready(pod(f"p{at}", gpus=count)) if serves else pod(f"p{at}", gpus=count)
        for at, (count, serves) in enumerate(asked)
    ]
    found = only(shared, *pods)

    parts = list(parts_of(found, planned))

    assert sum(one.gpus for one in parts) == pytest.approx(found.gpus, abs=1e-12)
    assert all(one.gpus > -1e-12 for one in parts)


def test_idle_gpus_of_unknown_owners_are_those_of_their_node() -> None:
    def of(gpu: int, busy: float, **labels: str) -> Object:
        return {"metric": {"node": "n1", "gpu": str(gpu), **labels}, "value": [0, str(busy)]}

    def idle(*series: Object) -> Mapping[str | None, float]:
        activity = activity_of([series], 1800.0)
        models = ({"model": name} for name in ("a", "b"))
        pods = [ready(pod(one["model"], gpus=4, labels=one)) for one in models]
        shown = only(node(gpus=8), *pods, activity=activity)
        found = {part.model: part.gpus for part in parts_of(shown) if part.reason is Reason.IDLE}
        assert sum(part.gpus for part in parts_of(shown)) == 8
        assert sum(found.values()) == shown.idle
        return {model: gpus for model, gpus in found.items() if gpus}

    busy = [0.9] * 4 + [0.0] * 4
    assert idle(*(of(gpu, each) for gpu, each in enumerate(busy))) == {"a": 2, "b": 2}
    owners = [{"pod": name, "namespace": "llm"} for name in "abababab"]
    mapped = zip(range(8), busy, owners, strict=True)
    assert idle(*(of(gpu, each, **labels) for gpu, each, labels in mapped)) == {"a": 2, "b": 2}
    mapped = zip(range(8), busy, sorted(owners, key=lambda one: one["pod"]), strict=True)
    assert idle(*(of(gpu, each, **labels) for gpu, each, labels in mapped)) == {"b": 4}


def test_what_is_not_measured_serves_and_may_be_idle() -> None:
    objects = node(gpus=8), ready(pod("a", gpus=2)), pod("b", gpus=1)

    assert parts(*objects)[Reason.SERVING] == perhaps_idle(only(*objects)) == 2
