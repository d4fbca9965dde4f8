"""The stages of starts, from what readings find at simulated moments."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from fleet.account.places import Place
from fleet.account.starts import NodeStart, PodStart, durations_of
from fleet.account.startups import PODS_MAX, StartUps
from fleet.catalogue import shipped
from fleet.cluster.hardware import Prices
from fleet.cluster.nodes import CapacityType
from fleet.cluster.reading import Cluster
from fleet.instances import instances
from fleet.snapshot import Known
from tests.fleet.objects import Object, claim, cluster, node, pod

KNOWN = Known(catalogue=shipped(), prices=Prices(instances=instances()))
BEGIN = 1_795_852_800.0
"""2026-11-28T08:00:00Z."""
GPU = "nvidia.com/gpu"
P5 = {"node.kubernetes.io/instance-type": "p5.48xlarge"}


def at(seconds: float) -> str:
    return datetime.fromtimestamp(BEGIN + seconds, UTC).isoformat()


def conditions(**since: float) -> list[Object]:
    return [
        {"type": kind, "status": "True", "lastTransitionTime": at(seconds)}
        for kind, seconds in since.items()
    ]


def starting(
    name: str = "a",
    *,
    started: float | None = None,
    restarts: int = 0,
    **since: float,
) -> Object:
    """A pod created at 0; conditions by the seconds since when they hold."""
    one = pod(name, gpus=1)
    one["metadata"] |= {"uid": f"u-{name}", "creationTimestamp": at(0)}
    one["status"]["conditions"] = conditions(**since)
    if started is not None:
        state = {"running": {"startedAt": at(started)}}
        one["status"]["containerStatuses"] = [{"restartCount": restarts, "state": state}]
    return one


def claimed(name: str = "c", on: str | None = None, *, asks: bool = True, **since: float) -> Object:
    """A NodeClaim created at 0 for a machine of eight GPUs.

    Args:
        name: of the claim.
        on: its node.
        asks: for the GPUs; the claims of static pools do not.
        since: conditions, by the seconds since when they hold.
    """
    return {
        "kind": "NodeClaim",
        "metadata": {
            "name": name,
            "uid": f"u-{name}",
            "creationTimestamp": at(0),
            "labels": P5 | {"karpenter.sh/nodepool": "h100", "karpenter.sh/capacity-type": "spot"},
        },
        "spec": {"resources": {"requests": {GPU: "8"} if asks else {}}},
        "status": {"nodeName": on, "capacity": {GPU: "8"}, "conditions": conditions(**since)},
    }


def registered(*, gpus: int, ready: float | None) -> Object:
    one = node("n1", labels=P5 | {"karpenter.sh/nodepool": "h100"}, gpus=gpus)
    one["metadata"] |= {"uid": "u-n1", "creationTimestamp": at(80)}
    one["status"]["conditions"] = [] if ready is None else conditions(Ready=ready)
    return one


def after(*readings: tuple[float, list[Object]], read: Any = cluster) -> StartUps:
    found = StartUps()
    for seconds, objects in readings:
        found = found.read(read(*objects), KNOWN, BEGIN + seconds)
    return found


def only_pod(found: StartUps) -> PodStart:
    (one,) = found.pods.ended
    return one


def device_class(name: str, driver: str) -> Object:
    expression = f"device.driver == '{driver}'"
    spec = {"selectors": [{"cel": {"expression": expression}}]}
    return {"kind": "DeviceClass", "metadata": {"name": name}, "spec": spec}


def asking(name: str, device_class: str) -> Object:
    """A claim that is not allocated yet."""
    request = {"name": "one", "exactly": {"deviceClassName": device_class}}
    return {
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "llm"},
        "spec": {"devices": {"requests": [request]}},
    }


class TestPods:
    def test_a_pod_that_waits_for_its_node_has_every_stage(self) -> None:
        new_node = node("n1", gpus=8)
        new_node["status"]["conditions"] = conditions(Ready=90)
        found = after(
            (1, [starting()]),
            (100, [starting(PodScheduled=95), new_node]),
            (300, [starting(PodScheduled=95, started=160, Ready=290), new_node]),
        )
        one = only_pod(found)

        assert one.watched
        assert durations_of(one) == {
            # The pod is scheduled once its node is ready.
            "node ready": 90, "scheduled": 5, "image pulled": 65, "started": 0, "ready": 130,
        }  # fmt: skip

    def test_a_pod_tells_the_place_of_its_node_and_whether_it_takes_gpus(self) -> None:
        zoned = node("n1", labels=P5 | {"topology.kubernetes.io/zone": "z"}, gpus=8)
        one = only_pod(after((50, [zoned, starting(Ready=40)])))

        assert one.takes_gpus
        assert one.place == Place(instance_type="p5.48xlarge", zone="z")

    @pytest.mark.parametrize(
        ("asked", "takes"),
        [
            pytest.param({"gpus": 1}, True, id="whole"),
            pytest.param({"nvidia.com/mig-1g.10gb": 1}, True, id="part"),
            pytest.param({"vpc.amazonaws.com/pod-eni": 1}, False, id="network interface"),
            pytest.param({"vpc.amazonaws.com/efa": 4}, False, id="EFA"),
            pytest.param({"deviceclass.resource.kubernetes.io/gpu": 1}, True, id="device class"),
            pytest.param({"deviceclass.resource.kubernetes.io/nic": 1}, False, id="other class"),
            pytest.param({"claims": ("given",)}, True, id="claim"),
            pytest.param({"claims": ("asks",)}, True, id="claim that asks"),
            pytest.param({"claims": ("looks",)}, False, id="administrator's claim"),
            pytest.param({"claims": ("nic",)}, False, id="claim of another driver"),
            pytest.param({"claims": ("asks-nic",)}, False, id="claim that asks for another"),
        ],
    )
    def test_a_pod_takes_gpus_by_what_it_asks_for(self, asked: dict[str, Any], takes: bool) -> None:
        one = pod("a", **asked)
        one["metadata"] |= {"uid": "u-a", "creationTimestamp": at(0)}
        one["status"]["conditions"] = conditions(PodScheduled=1, Ready=40)
        objects = [
            one,
            device_class("gpu", "gpu.nvidia.com"),
            device_class("nic", "dra.net"),
            claim("given", "gpu-0", pods=("a",)),
            claim("looks", "gpu-0", pods=("a",), adminAccess=True),
            claim("nic", "nic-0", pods=("a",), driver="dra.net"),
            asking("asks", "gpu"),
            asking("asks-nic", "nic"),
        ]

        assert only_pod(after((50, objects))).takes_gpus == takes

    def test_a_claim_of_which_nothing_tells_is_taken_to_be_of_gpus(self) -> None:
        one = pod("a", claims=("asks",))
        one["metadata"] |= {"uid": "u-a", "creationTimestamp": at(0)}
        one["status"]["conditions"] = conditions(PodScheduled=1, Ready=40)
        read = cluster(one, asking("asks", "gpu"))
        for unread in (replace(read, claims=None), replace(read, classes=None)):
            (found,) = StartUps().read(unread, KNOWN, BEGIN + 50).pods.ended
            assert found.takes_gpus

    def test_a_node_that_was_ready_before_is_no_stage(self) -> None:
        old = node("n1", gpus=8)
        old["status"]["conditions"] = conditions(Ready=-3600)
        found = after((50, [old, starting(PodScheduled=1, started=20, Ready=40)]))

        assert only_pod(found).node_ready_seconds is None
        assert durations_of(only_pod(found)) == {
            "scheduled": 1, "image pulled": 19, "started": 0, "ready": 20,
        }  # fmt: skip

    def test_the_first_time_of_a_stage_stays(self) -> None:
        found = after(
            (10, [starting(PodScheduled=1, started=5)]),
            (60, [starting(PodScheduled=1, started=55, restarts=1)]),
            (90, [starting(PodScheduled=1, started=55, restarts=1, Ready=80)]),
        )
        one = only_pod(found)

        assert one.started_seconds == BEGIN + 5
        assert one.ready_seconds == BEGIN + 80

    def test_a_pod_that_was_ready_when_it_was_first_seen_says_so(self) -> None:
        assert not only_pod(after((90, [starting(PodScheduled=1, Ready=80)]))).watched

    def test_a_pod_that_goes_before_it_is_ready_took_at_least_as_long(self) -> None:
        one = only_pod(after((10, [starting()]), (600, [])))

        assert (one.ready_seconds, one.ended_seconds) == (None, BEGIN + 600)

    def test_a_pod_that_is_ready_is_told_once_however_many_come_after_it(self) -> None:
        found = after((90, [starting("first", Ready=80)]))
        for turn in range(3):
            many = [starting(f"p{turn}-{at}", Ready=80) for at in range(PODS_MAX // 2)]
            found = found.read(cluster(starting("first", Ready=80), *many), KNOWN, BEGIN + 100)

        names = [one.name for one in found.pods.ended]
        assert len(names) == PODS_MAX
        assert "llm/first" not in names

    def test_pods_that_were_not_read_are_not_gone(self) -> None:
        found = after((10, [starting()]))
        found = found.read(Cluster(name="c", pods=None), KNOWN, BEGIN + 20)

        assert list(found.pods.starting) == ["u-a"]
        assert found.pods.ended == ()


class TestNodes:
    def test_a_machine_has_its_stages_from_the_order_to_its_gpus(self) -> None:
        found = after(
            (1, [claimed()]),
            (5, [claimed(Launched=4)]),
            (100, [claimed(on="n1", Launched=4, Registered=85), registered(gpus=0, ready=None)]),
            (130, [claimed(on="n1", Launched=4, Registered=85), registered(gpus=0, ready=120)]),
            (
                200,
                [
                    claimed(on="n1", Launched=4, Registered=85, Initialized=155),
                    registered(gpus=8, ready=120),
                ],
            ),
        )
        (one,) = found.nodes.ended

        assert one.place == Place(
            pool="h100", instance_type="p5.48xlarge", capacity_type=CapacityType.SPOT
        )
        assert (one.watched, one.seen_seconds) == (True, BEGIN + 130)
        assert durations_of(one) == {
            # Karpenter has waited for the GPUs that the claim asks for.
            "launched": 4, "registered": 81, "node ready": 35, "initialized": 35, "GPUs": 0,
        }  # fmt: skip

    def test_a_static_pools_machine_has_its_gpus_when_a_reading_finds_them(self) -> None:
        ready = {"Launched": 4, "Registered": 85, "Initialized": 125}
        found = after(
            (160, [claimed(on="n1", asks=False, **ready), registered(gpus=0, ready=120)]),
            (200, [claimed(on="n1", asks=False, **ready), registered(gpus=8, ready=120)]),
        )
        (one,) = found.nodes.ended

        assert (one.seen_seconds, one.gpus_seconds) == (BEGIN + 160, BEGIN + 200)
        assert durations_of(one)["GPUs"] == 75

    @pytest.mark.parametrize("asks", [True, False])
    def test_a_machine_that_is_not_initialized_has_no_gpus_yet(self, *, asks: bool) -> None:
        # Its driver offers them, and a startup taint keeps pods away.
        order = claimed(on="n1", asks=asks, Launched=4, Registered=85)
        found = after((900, [order, registered(gpus=8, ready=120)])).nodes

        assert (found.ended, [one.gpus_seconds for one in found.starting.values()]) == ((), [None])

    def test_a_static_pools_machine_is_known_by_its_type_before_its_node_is_there(self) -> None:
        order = claimed(asks=False, Launched=4)
        order["status"]["capacity"] = {}

        assert list(after((900, [order])).nodes.starting) == ["u-c"]

    @pytest.mark.parametrize("state", ["cordoned", "gone", "not-ready"])
    def test_a_machine_that_was_initialized_with_gpus_had_them(self, state: str) -> None:
        order = claimed(on="n1", Launched=4, Registered=85, Initialized=155)
        machine = registered(gpus=8, ready=None if state == "not-ready" else 120)
        machine["spec"]["unschedulable"] = state == "cordoned"
        (one,) = after((900, [order, *([] if state == "gone" else [machine])])).nodes.ended

        assert one.gpus_seconds == BEGIN + 155

    def test_a_static_pools_machine_that_is_cordoned_has_its_gpus(self) -> None:
        order = claimed(on="n1", asks=False, Launched=4, Registered=85, Initialized=125)
        machine = registered(gpus=8, ready=120)
        machine["spec"]["unschedulable"] = True

        assert len(after((900, [order, machine])).nodes.ended) == 1

    def test_a_machine_tells_its_image_and_its_driver(self) -> None:
        order = claimed(on="n1", Launched=4, Registered=85, Initialized=155)
        order["status"]["imageID"] = "ami-1"
        machine = registered(gpus=8, ready=120)
        machine["metadata"]["labels"]["nvidia.com/cuda.driver-version.full"] = "580.95.05"
        (one,) = after((200, [order, machine])).nodes.ended

        assert (one.machine_image, one.driver) == ("ami-1", "580.95.05")

    def test_an_order_that_comes_to_nothing_is_remembered(self) -> None:
        found = after((1, [claimed()]), (300, []))
        (one,) = found.nodes.ended

        assert (one.gpus_seconds, one.ended_seconds) == (None, BEGIN + 300)

    def test_an_order_that_was_called_off_is_told_from_one_that_failed(self) -> None:
        begun = after((30, [claimed("c"), claimed("d", Launched=20)]))
        found = begun.with_called_off({"u-d", "u-of-a-node-that-is-up"})
        for seconds, objects in ((60, [claimed("d", Launched=20)]), (90, [])):
            found = found.read(cluster(*objects), KNOWN, BEGIN + seconds)
        ended = {one.uid: (one.called_off, one.ended_seconds) for one in found.nodes.ended}
        assert ended == {"u-c": (False, BEGIN + 60), "u-d": (True, BEGIN + 90)}

    def test_an_order_that_a_plan_wants_again_is_not_called_off_any_more(self) -> None:
        found = after((30, [claimed("c"), claimed("d")])).with_called_off({"u-c", "u-d"})
        found = found.with_called_off((), going={"u-d"}).read(cluster(), KNOWN, BEGIN + 90)
        assert {one.uid: one.called_off for one in found.nodes.ended} == {"u-c": False, "u-d": True}

    def test_a_node_that_karpenter_did_not_make_counts_from_its_own_creation(self) -> None:
        def own(gpus: int) -> Object:
            one = registered(gpus=gpus, ready=100)
            del one["metadata"]["labels"]["karpenter.sh/nodepool"]
            return one

        (one,) = after((110, [own(0)]), (140, [own(8)])).nodes.ended

        assert (one.name, one.created_seconds) == ("n1", BEGIN + 80)
        assert durations_of(one) == {"node ready": 20, "GPUs": 40}

    def test_a_node_without_gpus_is_no_start(self) -> None:
        plain = node("cpu", cpu=64)
        plain["metadata"] |= {"uid": "u", "creationTimestamp": at(0)}
        found = after((10, [plain]), (20, []))

        assert (found.nodes.starting, found.nodes.ended) == ({}, ())

    def test_claims_that_were_not_read_leave_nodes_as_they_were(self) -> None:
        found = after((10, [claimed()]))
        found = found.read(Cluster(name="c", node_claims=None), KNOWN, BEGIN + 20)

        assert list(found.nodes.starting) == ["u-c"]


@pytest.mark.parametrize("last", ["ready", "scheduled"])
def test_a_stage_that_ended_before_an_earlier_one_has_no_duration(last: str) -> None:
    start = PodStart(
        uid="u", name="llm/a", workload=None, created_seconds=0.0,
        scheduled_seconds=10.0, started_seconds=5.0, ready_seconds=20.0,
    )  # fmt: skip

    assert durations_of(start)[last] == 10.0
    assert "started" not in durations_of(start)


def test_a_node_start_without_stages_has_no_durations() -> None:
    assert durations_of(NodeStart(uid="u", name="n", created_seconds=0.0)) == {}
