"""Objects in any order, and what the placement state then answers."""

import random
from itertools import permutations
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.cluster.hardware import Prices
from fleet.cluster.kinds import Kind, record_of
from fleet.cluster.nodes import node_of
from fleet.instances import instances
from scheduler.history import USUAL, History
from scheduler.intake import Intake
from scheduler.machines import Facts
from scheduler.mix import Mix
from scheduler.offers import Offers
from scheduler.placement_state import SCORE_MAX, PlacementState
from scheduler.pods import GPU_MODELS, UnreadablePodError, pod_of
from tests.scheduler.objects import (
    A100,
    H100,
    L40S,
    claim,
    device_class,
    drop,
    node,
    pod,
    put,
    resource_slice,
    taint_rule,
)

Event = tuple[Kind, dict[str, Any]]


def intake(*events: Event) -> Intake:
    made = Intake(PlacementState((), Mix(dict(USUAL))), History())
    for kind, document in events:
        put(made, kind, document)
    return made


def idle(made: Intake) -> dict[str, int]:
    """Whole GPUs that nobody uses, by node."""
    nodes = made.placement.nodes
    return {name: int(nodes.free[row]) for name, row in made.placement.occupancy.row.items()}


def best(made: Intake, document: dict[str, Any], *names: str) -> str:
    scores = made.placement.prioritise(pod_of(document, made.known), list(names), now_seconds=0)
    return names[scores.index(SCORE_MAX)]


def an_a100(name: str, **more: Any) -> dict[str, Any]:
    """A pod that insists on a GPU model, of which kube-scheduler knows nothing."""
    document = pod(name, gpus=1, **more)
    document["metadata"]["annotations"] = {GPU_MODELS: A100}
    return document


def passed(made: Intake, document: dict[str, Any], *names: str) -> list[str]:
    asked = pod_of(document, made.known)
    return made.placement.filter(asked, list(names), now_seconds=0).passed


def offers_for(made: Intake, name: str) -> Offers:
    """What a claim would get, node by node."""
    asked = made.known.claims[f"llm/{name}"]
    assert asked is not None
    return made.placement.occupancy.predictor.of(asked, 0)


def slots_of(offers: Offers) -> tuple[int, ...] | None:
    """On the first node; None = nothing."""
    offer = offers.at(0)
    return None if offer is None else offer.slots


def slots_given(made: Intake) -> list[tuple[int, ...] | None]:
    """To the claims `one`, `two` and `tolerant`."""
    return [slots_of(offers_for(made, name)) for name in ("one", "two", "tolerant")]


class TestNodes:
    def test_a_node_that_comes_later_is_known_at_once(self) -> None:
        made = intake((Kind.NODE, node("a", gpus=1)))
        assert passed(made, an_a100("p"), "a", "b") == ["b"]  # b is not known: it passes
        put(made, Kind.NODE, node("b", gpus=2))
        assert passed(made, an_a100("p"), "a", "b") == []
        put(made, Kind.NODE, node("b", gpus=8, product=A100))
        assert passed(made, an_a100("p"), "a", "b") == ["b"]

    def test_a_node_that_changes_keeps_its_pods(self) -> None:
        made = intake((Kind.NODE, node("a", gpus=4)), (Kind.POD, pod("p", gpus=3, on="a")))
        put(made, Kind.NODE, node("a", gpus=8))
        assert idle(made) == {"a": 5}
        drop(made, Kind.POD, pod("p", on="a"))
        assert idle(made) == {"a": 8}

    def test_a_node_that_is_gone_and_back_has_its_pods_again(self) -> None:
        made = intake((Kind.NODE, node("a", gpus=4)), (Kind.POD, pod("p", gpus=3, on="a")))
        drop(made, Kind.NODE, node("a"))
        assert idle(made) == {}
        put(made, Kind.NODE, node("b", gpus=2))  # takes the row that is free
        put(made, Kind.NODE, node("a", gpus=4))
        assert idle(made) == {"b": 2, "a": 1}

    def test_a_list_is_the_whole_world(self) -> None:
        made = intake((Kind.NODE, node("a", gpus=4)), (Kind.NODE, node("b", gpus=4)))
        listed = (node_of(node("b", gpus=4)), node_of(node("c", gpus=1)))
        for _ in made.listed(Kind.NODE, listed, 0):
            pass
        assert idle(made) == {"b": 4, "c": 1}

    @pytest.mark.parametrize("count", [3, 40, 300])
    def test_any_number_of_nodes_comes_one_by_one(self, count: int) -> None:
        products = [(A100, H100, L40S)[at % 3] for at in range(count)]
        names = [f"n{at:03}" for at in range(count)]
        made = intake(
            *(
                (Kind.NODE, node(name, gpus=1, product=product))
                for name, product in zip(names, products, strict=True)
            )
        )
        assert passed(made, an_a100("p"), *names) == names[::3]

    def test_a_node_that_cannot_be_read_is_left_to_kube_scheduler(self) -> None:
        made = intake((Kind.NODE, node("a", gpus=64)), (Kind.NODE, node("b", gpus=1)))
        assert made.unread == {Kind.NODE: 1}
        (fault,) = made.faults
        assert "node a has 64 GPUs" in fault
        assert passed(made, an_a100("p"), "a", "b") == ["a"]

    def test_a_node_that_becomes_unreadable_is_not_known_any_more(self) -> None:
        made = intake((Kind.NODE, node("a", gpus=8)))
        assert passed(made, an_a100("p"), "a") == []
        put(made, Kind.NODE, node("a", gpus=64))
        assert passed(made, an_a100("p"), "a") == ["a"]
        assert idle(made) == {}

    def test_a_fault_is_told_once_and_again_when_it_is_another(self) -> None:
        made = intake(*[(Kind.NODE, node("a", gpus=64))] * 3, (Kind.NODE, node("a", gpus=32)))
        assert [fault.rpartition(": ")[2] for fault in made.faults] == [
            "node a has 64 GPUs; at most 16 can be told apart",
            "node a has 32 GPUs; at most 16 can be told apart",
        ]
        assert made.unread == {Kind.NODE: 1}
        put(made, Kind.NODE, node("a", gpus=8))
        put(made, Kind.NODE, node("a", gpus=32))
        assert (len(made.faults), made.unread) == (3, {Kind.NODE: 2})

    @pytest.mark.parametrize(
        ("resource", "amount"),
        [
            ("cpu", "9223372036854775807"),
            ("cpu", "9" * 24),
            ("memory", "9" * 20 + "Ei"),
            ("nvidia.com/gpu", "9223372036854775807"),
        ],
    )
    def test_a_node_with_more_than_any_machine_has_is_left_out(
        self, resource: str, amount: str
    ) -> None:
        absurd = node("a", gpus=8)
        absurd["status"]["allocatable"][resource] = amount
        made = intake((Kind.NODE, absurd), (Kind.NODE, node("b", gpus=8)))
        assert idle(made) == {"b": 8}
        (fault,) = made.faults
        assert fault.startswith("nodes a: ")
        put(made, Kind.NODE, node("a", gpus=4))
        assert idle(made) == {"b": 8, "a": 4}

    def test_a_slice_that_goes_from_a_node_that_cannot_be_used_stops_nothing(self) -> None:
        made = intake((Kind.NODE, node("a", gpus=64)), (Kind.NODE, node("b", gpus=4)))
        put(made, Kind.SLICE, resource_slice("a", H100))
        drop(made, Kind.SLICE, resource_slice("a", H100))
        assert idle(made) == {"b": 4}
        assert all("node a has 64 GPUs" in fault for fault in made.faults)

    def test_a_list_without_the_slice_of_a_node_that_cannot_be_used_is_taken(self) -> None:
        made = intake((Kind.NODE, node("a", gpus=64)))
        put(made, Kind.SLICE, resource_slice("a", H100))
        put(made, Kind.SLICE, resource_slice("b", H100))
        for _ in made.listed(Kind.SLICE, (), 0):
            pass
        assert not made.slices

    def test_a_slice_that_changes_while_its_node_cannot_be_used_is_kept(self) -> None:
        made = intake((Kind.NODE, node("a", gpus=64)))
        for _ in range(2):
            put(made, Kind.SLICE, resource_slice("a", H100, H100))
        put(made, Kind.NODE, node("a"))
        assert idle(made) == {"a": 2}

    def test_a_report_that_counts_as_none_is_told_once(self) -> None:
        made = intake((Kind.NODE, node("a", gpus=2, **{"gpu-report": "{"})))
        put(made, Kind.NODE, node("a", gpus=4, **{"gpu-report": "{"}))
        (fault,) = made.faults
        assert fault.startswith("node a: annotation foresail.io/gpu-report: ")
        assert made.unread == {}

    def test_the_operators_prices_reach_the_score_and_no_spot_node_has_a_list_price(self) -> None:
        prices = Prices(instances=instances(), own={"l40s": 2.5})
        made = Intake(PlacementState((), Mix(dict(USUAL))), History(), Facts(prices=prices))
        p5 = {"node.kubernetes.io/instance-type": "p5.48xlarge"}
        spot = p5 | {"karpenter.sh/capacity-type": "spot"}
        put(made, Kind.NODE, node("own", gpus=1, product=L40S))
        put(made, Kind.NODE, node("told", gpus=1, product=L40S, **{"usd-per-gpu-hour": "0.5"}))
        put(made, Kind.NODE, node("listed", gpus=1, labels=p5))
        put(made, Kind.NODE, node("spot", gpus=1, labels=spot))
        put(made, Kind.NODE, node("unknown", gpus=1))
        assert {
            name: machine.usd_per_gpu_hour
            for name, machine in made.placement.occupancy.machines.items()
        } == {"own": 2.5, "told": 0.5, "listed": 6.88, "spot": None, "unknown": None}


class TestUnreadable:
    @pytest.mark.parametrize(
        ("kind", "document"),
        [
            (Kind.NODE, {"metadata": {"name": "x"}, "spec": 3}),
            (Kind.POD, {"metadata": {"name": "x", "uid": "x"}, "spec": {"containers": 7}}),
            (Kind.SLICE, {"metadata": {"name": "x"}}),
            (Kind.CLAIM, {"metadata": {"name": "x"}, "spec": {"devices": 7}}),
            (Kind.CLASS, {"metadata": {"name": "x"}, "spec": {"selectors": [{"cel": 3}]}}),
            (Kind.POD_GROUP, {"metadata": {"name": "x"}, "spec": {"minMember": "many"}}),
            (Kind.POD_GROUP_PLUGIN, {"metadata": {"name": "x"}, "spec": 3}),
        ],
    )
    def test_an_object_that_is_none_is_counted_and_stops_nothing(
        self, kind: Kind, document: dict[str, Any]
    ) -> None:
        made = intake((kind, document))
        put(made, Kind.NODE, node("b", gpus=1))

        assert made.unread == {kind: 1}
        (fault,) = made.faults
        assert fault.startswith(f"{kind} ")
        assert "x: " in fault
        assert idle(made) == {"b": 1}

    def test_a_node_with_more_cpu_than_any_machine_has_is_left_to_kube_scheduler(self) -> None:
        huge = node("a", gpus=1)
        huge["status"]["allocatable"] |= {"cpu": "9223372036854775807"}
        made = intake((Kind.NODE, node("a", gpus=1)), (Kind.NODE, huge), (Kind.NODE, huge))

        assert made.unread == {Kind.NODE: 1}  # told twice, said once
        (fault,) = made.faults
        assert "9223372036854775807 cpu is no amount that a machine has" in fault
        assert idle(made) == {}
        assert passed(made, pod("q", gpus=4), "a") == ["a"]

    def test_an_annotation_of_any_length_does_not_hide_what_a_running_pod_has(self) -> None:
        long = pod("p", gpus=2, on="a")
        long["metadata"]["annotations"] = {"foresail.io/gpu-models": "x|" * 100_000}
        made = intake((Kind.NODE, node("a", gpus=4)), (Kind.POD, long))

        assert (made.unread, idle(made)) == ({}, {"a": 2})
        del long["spec"]["nodeName"]
        put(made, Kind.POD, long | {"metadata": long["metadata"] | {"uid": "q", "name": "q"}})
        fault = pod_of(long).fault
        assert fault is not None
        assert "200000 characters; at most 4096 are read" in fault
        # A tenant's slip is told to the tenant, by the filter; the operator has nothing to mend.
        assert (made.unread, list(made.faults)) == ({}, [])

    def test_a_running_pod_with_more_gpus_than_any_node_has_is_named(self) -> None:
        with pytest.raises(UnreadablePodError, match=r"pod llm/p: .*17"):
            pod_of(pod("p", gpus=17, on="a"))


class TestParts:
    SLICED: ClassVar = {"nvidia.com/gpu.replicas": "8", "nvidia.com/gpu.product": "Tesla-T4-SHARED"}

    def test_kube_scheduler_alone_places_on_a_node_that_gives_out_parts(self) -> None:
        made = intake((Kind.NODE, node("a", gpus=64, labels=self.SLICED)))
        for at in range(20):
            put(made, Kind.POD, pod(f"p{at}", gpus=1, on="a"))

        assert (made.unread, list(made.faults)) == ({}, [])
        assert passed(made, pod("q", gpus=1), "a") == ["a"]

    def test_a_node_that_gives_out_parts_no_more_is_placed_on_again(self) -> None:
        made = intake((Kind.NODE, node("a", gpus=8)), (Kind.POD, pod("p", gpus=1, on="a")))
        put(made, Kind.NODE, node("a", gpus=8, labels=self.SLICED))
        assert idle(made) == {}
        put(made, Kind.NODE, node("a", gpus=8))
        assert idle(made) == {"a": 7}


def admin_access() -> dict[str, Any]:
    document = claim("x", (H100, 1))
    (request,) = document["spec"]["devices"]["requests"]
    request["firstAvailable"][0]["adminAccess"] = True
    return document


def part_of_a_device() -> dict[str, Any]:
    document = claim("x", (H100, 1))
    (request,) = document["spec"]["devices"]["requests"]
    request["firstAvailable"][0]["capacity"] = {"requests": {"memory": "10Gi"}}
    return document


def distinct() -> dict[str, Any]:
    return claim("x", (H100, 2), constraints=[{"distinctAttribute": "gpu.nvidia.com/uuid"}])


class TestUnpredicted:
    """Ordinary claims, of which nothing is wrong and no right is missing."""

    @pytest.mark.parametrize("document", [admin_access(), part_of_a_device(), distinct()])
    def test_a_claim_that_is_not_predicted_was_read(self, document: dict[str, Any]) -> None:
        made = intake((Kind.CLASS, device_class()), (Kind.CLAIM, document))
        assert (made.unread, list(made.faults), made.unpredicted) == ({}, [], 1)
        unknown = pod_of(pod("p", claims=("x",)), made.known).unknown
        assert unknown == "ResourceClaim llm/x is not known, or cannot be predicted"

        drop(made, Kind.CLAIM, document)
        assert made.unpredicted == 0

    def test_a_claim_may_be_listed_before_its_class(self) -> None:
        made = intake((Kind.CLAIM, claim("x", (H100, 1))))
        assert (made.unread, list(made.faults), made.unpredicted) == ({}, [], 1)
        put(made, Kind.CLASS, device_class())
        assert made.unpredicted == 0
        assert pod_of(pod("p", claims=("x",)), made.known).unknown is None


class TestDevices:
    def test_a_tainted_gpu_is_given_to_claims_that_tolerate_its_taint_and_to_no_others(
        self,
    ) -> None:
        devices = resource_slice("a", H100, H100)
        devices["spec"]["devices"][0]["taints"] = [{"key": "xid", "effect": "NoSchedule"}]
        tolerant = claim("tolerant", (H100, 2))
        (first,) = tolerant["spec"]["devices"]["requests"][0]["firstAvailable"]
        first["tolerations"] = [{"key": "xid", "operator": "Exists"}]
        made = intake(
            (Kind.NODE, node("a")),
            (Kind.SLICE, devices),
            (Kind.CLASS, device_class()),
            (Kind.CLAIM, claim("one", (H100, 1))),
            (Kind.CLAIM, claim("two", (H100, 2))),
            (Kind.CLAIM, tolerant),
        )

        assert slots_given(made) == [(1,), None, (0, 1)]

    def test_a_rule_taints_devices_as_a_driver_does_until_it_is_gone(self) -> None:
        tolerant = claim("tolerant", (H100, 2))
        (first,) = tolerant["spec"]["devices"]["requests"][0]["firstAvailable"]
        first["tolerations"] = [{"key": "xid", "operator": "Exists"}]
        made = intake(
            (Kind.TAINT_RULE, taint_rule("r", pool="a", device="gpu-0")),
            (Kind.NODE, node("a")),
            (Kind.SLICE, resource_slice("a", H100, H100)),
            (Kind.CLASS, device_class()),
            (Kind.CLAIM, claim("one", (H100, 1))),
            (Kind.CLAIM, claim("two", (H100, 2))),
            (Kind.CLAIM, tolerant),
        )

        assert slots_given(made) == [(1,), None, (0, 1)]
        put(made, Kind.TAINT_RULE, taint_rule("r", pool="a", device="gpu-1"))
        assert slots_given(made) == [(0,), None, (0, 1)]
        put(made, Kind.SLICE, resource_slice("a", H100, H100, H100, generation=2))
        assert slots_given(made) == [(0,), (0, 2), (0, 1)]
        put(made, Kind.TAINT_RULE, taint_rule("r", "None", pool="a", device="gpu-1"))
        assert slots_given(made) == [(0,), (0, 1), (0, 1)]
        put(made, Kind.TAINT_RULE, taint_rule("r", driver="gpu.nvidia.com"))
        assert slots_given(made) == [None, None, (0, 1)]
        drop(made, Kind.TAINT_RULE, taint_rule("r"))
        assert slots_given(made) == [(0,), (0, 1), (0, 1)]

    def test_while_a_rule_cannot_be_read_no_claim_is_predicted(self) -> None:
        of_1_34 = taint_rule("r", pool="elsewhere")
        of_1_34["spec"]["deviceSelector"]["selectors"] = [{"cel": {"expression": "true"}}]
        made = intake(
            (Kind.TAINT_RULE, taint_rule("r", pool="a", device="gpu-0")),
            (Kind.NODE, node("a")),
            (Kind.SLICE, resource_slice("a", H100, H100)),
            (Kind.CLASS, device_class()),
            (Kind.CLAIM, claim("one", (H100, 1))),
        )

        def known_and_given() -> tuple[bool, tuple[int, ...] | None]:
            offers = offers_for(made, "one")
            return bool(offers.is_known[0]), slots_of(offers)

        unknown = (False, None)
        assert known_and_given() == (True, (1,))
        put(made, Kind.TAINT_RULE, of_1_34)
        assert known_and_given() == unknown
        (fault,) = made.faults
        assert fault.startswith("devicetaintrules r: spec.deviceSelector.selectors is not read")
        put(made, Kind.SLICE, resource_slice("a", H100, H100, H100, generation=2))
        assert known_and_given() == unknown
        put(made, Kind.TAINT_RULE, taint_rule("r", pool="a", device="gpu-0"))
        assert known_and_given() == (True, (1,))
        put(made, Kind.TAINT_RULE, of_1_34)
        drop(made, Kind.TAINT_RULE, of_1_34)
        assert known_and_given() == (True, (0,))

    def test_a_rule_for_many_nodes_is_followed_one_node_a_step(self) -> None:
        names = [f"n{at}" for at in range(5)]
        made = intake(
            *[(Kind.NODE, node(name)) for name in names],
            *[(Kind.SLICE, resource_slice(name, H100)) for name in names],
        )
        made.changed(Kind.TAINT_RULE, record_of(Kind.TAINT_RULE, taint_rule("r")), 0)
        machines = made.placement.occupancy.machines

        def tainted() -> int:
            return sum(bool(machines[name].devices[0].taints) for name in names)

        assert [tainted() for _ in made.settle()] == [1, 2, 3, 4, 5]

    def test_a_rule_reaches_all_nodes_though_one_of_them_cannot_be_used(self) -> None:
        too_many = resource_slice("a", *[H100] * 17)
        made = intake(
            *[(Kind.NODE, node(name)) for name in "ab"],
            (Kind.SLICE, too_many),
            (Kind.SLICE, resource_slice("b", H100)),
            (Kind.CLASS, device_class()),
            (Kind.CLAIM, claim("c", (H100, 1))),
            (Kind.TAINT_RULE, taint_rule("r", driver="gpu.nvidia.com")),
        )
        asked = made.known.claims["llm/c"]
        assert asked is not None
        assert made.placement.occupancy.predictor.of(asked, 0).found.tolist() == [None] * len(
            made.placement.nodes
        )

    def test_an_administrators_look_takes_no_gpu(self) -> None:
        looked_at = claim("c", (H100, 1), given=("gpu-0",), pool="a")
        looked_at["status"]["allocation"]["devices"]["results"][0]["adminAccess"] = True
        made = intake(
            (Kind.NODE, node("a")),
            (Kind.SLICE, resource_slice("a", H100, H100)),
            (Kind.CLAIM, looked_at),
            (Kind.POD, pod("monitor", claims=("c",), on="a")),
        )

        assert idle(made) == {"a": 2}


class TestPods:
    def test_a_pod_may_come_before_its_node(self) -> None:
        made = intake((Kind.POD, pod("p", gpus=2, on="a")), (Kind.NODE, node("a", gpus=4)))
        assert idle(made) == {"a": 2}

    @pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
    def test_a_pod_that_has_ended_takes_nothing(self, phase: str) -> None:
        made = intake((Kind.NODE, node("a", gpus=4)), (Kind.POD, pod("p", gpus=2, on="a")))
        put(made, Kind.POD, pod("p", gpus=2, on="a", phase=phase))
        assert idle(made) == {"a": 4}

    def test_an_answer_and_its_binding_count_once(self) -> None:
        made = intake((Kind.NODE, node("a", gpus=4)), (Kind.NODE, node("b", gpus=4)))
        chosen = best(made, pod("p", gpus=2), "a", "b")
        assert sum(idle(made).values()) == 6
        put(made, Kind.POD, pod("p", gpus=2, on=chosen))
        put(made, Kind.POD, pod("p", gpus=2, on=chosen))
        assert sum(idle(made).values()) == 6
        assert made.placement.assumed == 0

    def test_a_pod_that_is_asked_about_again_has_not_left(self) -> None:
        made = intake((Kind.NODE, node("a", gpus=8)))
        for _ in range(5):
            best(made, pod("p", gpus=2), "a", "new")
        put(made, Kind.POD, pod("p", gpus=2, on="a"))
        put(made, Kind.POD, pod("p", gpus=2, on="a"))
        assert (made.placement.nodes.came_milli, made.placement.nodes.left_milli) == (2000, 0)
        drop(made, Kind.POD, pod("p"))
        assert (made.placement.nodes.came_milli, made.placement.nodes.left_milli) == (2000, 2000)

    @pytest.mark.parametrize("claims", [(), ("c",)])
    def test_a_pod_that_is_resized_in_place_keeps_its_gpus(self, claims: tuple[str, ...]) -> None:
        made = intake(
            (Kind.NODE, node("a", gpus=8)),
            (Kind.CLAIM, claim("c", (H100, 1), given=("nic-0",), pool="a")),
            (Kind.POD, pod("other", gpus=1, on="a")),
            (Kind.POD, pod("p", gpus=2, claims=claims, on="a")),
        )
        before = made.placement.nodes.gpus.copy()
        wide = pod("p", gpus=2, claims=claims, on="a")
        for cpu, left in (("60", 3000), ("2", 61_000)):
            wide["spec"]["containers"][0]["resources"]["requests"]["cpu"] = cpu
            put(made, Kind.POD, wide)
            assert state(made)["a"][0] == left
            assert (made.placement.nodes.gpus == before).all()
        drop(made, Kind.POD, wide)
        assert state(made)["a"][0] == 63_000

    def test_pods_that_come_are_what_is_expected_next(self) -> None:
        history = History()
        made = Intake(PlacementState((), Mix(dict(USUAL))), history)
        for at in range(40):
            put(made, Kind.POD, pod(f"p{at}", gpus=3, on="a"))
            put(made, Kind.POD, pod(f"p{at}", gpus=3, on="a"))  # told twice, seen once
        weights = {shape.gpus: weight for shape, weight in history.mix(0).weights.items()}
        assert weights == {1: 8, 2: 2, 3: 40, 4: 1, 8: 1}


class TestClaims:
    def events(self) -> list[Event]:
        return [
            (Kind.CLASS, device_class()),
            (Kind.NODE, node("a")),
            (Kind.SLICE, resource_slice("a", H100, H100, H100, H100)),
            (Kind.CLAIM, claim("c", (H100, 2), given=("gpu-1", "gpu-3"), pool="a")),
            (Kind.POD, pod("p", claims=("c",), on="a")),
        ]

    def test_what_a_claim_was_given_is_taken_in_whatever_order_it_is_told(self) -> None:
        for order in permutations(self.events()):
            made = intake(*order)
            assert made.placement.nodes.gpus[made.placement.occupancy.row["a"]].tolist()[:4] == [
                1000, 0, 1000, 0,
            ], order  # fmt: skip

    def test_a_claim_allocated_as_foretold_counts_once(self) -> None:
        made = intake(
            *self.events()[:3], (Kind.CLAIM, claim("c", (H100, 2))), (Kind.NODE, node("b"))
        )
        assert best(made, pod("p", claims=("c",)), "a", "b") == "a"
        assert idle(made)["a"] == 2
        put(made, Kind.POD, pod("p", claims=("c",), on="a"))
        assert idle(made)["a"] == 2  # bound, and the claim's own news is still on its way
        put(made, Kind.CLAIM, claim("c", (H100, 2), given=("gpu-2", "gpu-3"), pool="a"))
        assert made.placement.nodes.gpus[made.placement.occupancy.row["a"]].tolist()[:4] == [
            1000,
            1000,
            0,
            0,
        ]

    def test_the_first_alternative_decides_among_nodes(self) -> None:
        made = intake(
            (Kind.CLASS, device_class()),
            (Kind.NODE, node("h", product=H100)),
            (Kind.SLICE, resource_slice("h", H100, H100)),
            (Kind.NODE, node("l", product=L40S)),
            (Kind.SLICE, resource_slice("l", L40S, L40S)),
            (Kind.CLAIM, claim("h-first", (H100, 1), (L40S, 2))),
            (Kind.CLAIM, claim("l-first", (L40S, 2), (H100, 1))),
        )
        assert best(made, pod("p", claims=("h-first",)), "h", "l") == "h"
        assert best(made, pod("p", claims=("l-first",)), "h", "l") == "l"

    def test_a_pair_is_not_split_where_another_node_has_one_whole(self) -> None:
        made = intake(
            (Kind.CLASS, device_class()),
            *(
                event
                for name in ("a", "b")
                for event in (
                    (Kind.NODE, node(name, product=A100, islands=(0, 0, 1, 1))),
                    (Kind.SLICE, resource_slice(name, A100, A100, A100, A100)),
                )
            ),
            (Kind.CLAIM, claim("one", (A100, 1), given=("gpu-0",), pool="a")),
            (Kind.POD, pod("first", claims=("one",), on="a")),
            (Kind.CLAIM, claim("two", (A100, 2))),
        )
        # a has three left, but its first two are of different pairs.
        assert best(made, pod("p", claims=("two",)), "a", "b") == "b"

    @pytest.mark.parametrize(
        "document",
        [
            pytest.param(None, id="not-told-yet"),
            pytest.param(claim("c", ("x' || nonsense(", 1)), id="a-selector-that-does-not-compile"),
            pytest.param(
                claim("c", (H100, 1), constraints=[{"distinctAttribute": "a/b"}]),
                id="a-kind-that-is-not-foretold",
            ),
        ],
    )
    def test_a_claim_nobody_can_foretell_turns_no_node_away(
        self, document: dict[str, Any] | None
    ) -> None:
        made = intake(*self.events()[:3])
        if document is not None:
            put(made, Kind.CLAIM, document)
        asked = pod("p", claims=("c",))
        assert passed(made, asked, "a", "new") == ["a", "new"]
        scores = made.placement.prioritise(pod_of(asked, made.known), ["a", "new"], now_seconds=0)
        assert scores == [0, 0]

    def test_a_pool_that_is_not_whole_offers_nothing(self) -> None:
        part = resource_slice("a", H100, H100, name="a-1", slices=2)
        made = intake((Kind.NODE, node("a")), (Kind.SLICE, part))
        assert idle(made) == {"a": 0}
        rest = resource_slice("a", H100, name="a-2", slices=2)
        put(made, Kind.SLICE, rest)
        assert idle(made) == {"a": 3}
        drop(made, Kind.SLICE, part)
        assert idle(made) == {"a": 0}

    def test_a_new_generation_of_a_pool_replaces_the_old_one(self) -> None:
        made = intake(
            (Kind.NODE, node("a")),
            (Kind.SLICE, resource_slice("a", H100, H100, name="old")),
            (Kind.SLICE, resource_slice("a", H100, name="new", generation=2)),
        )
        assert idle(made) == {"a": 1}

    def test_a_claim_with_the_name_of_a_template_stands_in_for_none(self) -> None:
        made = intake(*self.events())
        document = pod("q")
        document["spec"]["resourceClaims"] = [{"name": "r", "resourceClaimTemplateName": "c"}]
        asked = pod_of(document, made.known)
        assert (asked.given, asked.unknown) == (
            None,
            "the claim of ResourceClaimTemplate llm/c is not made yet",
        )

    def test_a_class_told_late_makes_claims_readable(self) -> None:
        events = self.events()
        made = intake(*events[1:3], (Kind.CLAIM, claim("c", (H100, 2))), (Kind.NODE, node("b")))
        assert made.known.claims["llm/c"] is None
        put(made, *events[0])
        assert best(made, pod("p", claims=("c",)), "a", "b") == "a"


class TestGroups:
    @pytest.mark.parametrize(
        ("kind", "spec"),
        [
            (Kind.POD_GROUP, {"schedulingPolicy": {"gang": {"minCount": 3}}}),
            (Kind.POD_GROUP_PLUGIN, {"minMember": 3}),
        ],
    )
    def test_a_pod_group_tells_its_size(self, kind: Kind, spec: dict[str, Any]) -> None:
        group = {"metadata": {"name": "g", "namespace": "llm"}, "spec": spec}
        made = intake((Kind.NODE, node("a", gpus=8)), (kind, group))
        document = pod("p", gpus=4)
        if kind is Kind.POD_GROUP:
            document["spec"]["schedulingGroup"] = {"podGroupName": "g"}
        else:
            document["metadata"]["labels"] = {"scheduling.x-k8s.io/pod-group": "g"}
        assert passed(made, document, "a") == []
        put(made, Kind.NODE, node("b", gpus=4))
        assert passed(made, document, "a", "b") == ["a", "b"]

    def test_groups_of_two_api_groups_may_have_the_same_name(self) -> None:
        group = {"metadata": {"name": "g", "namespace": "llm"}}
        gang = {"schedulingPolicy": {"gang": {"minCount": 3}}}
        made = intake(
            (Kind.NODE, node("a", gpus=8)),
            (Kind.POD_GROUP, {**group, "spec": gang}),
            (Kind.POD_GROUP_PLUGIN, {**group, "spec": {"minMember": 1}}),
        )
        document = pod("p", gpus=4)
        document["spec"]["schedulingGroup"] = {"podGroupName": "g"}
        assert passed(made, document, "a") == []
        drop(made, Kind.POD_GROUP_PLUGIN, {**group, "spec": {"minMember": 1}})
        assert passed(made, document, "a") == []

    def test_a_group_that_is_no_gang_any_more_has_no_size(self) -> None:
        group = {"metadata": {"name": "g", "namespace": "llm"}}
        gang = {"schedulingPolicy": {"gang": {"minCount": 3}}}
        made = intake((Kind.NODE, node("a", gpus=8)), (Kind.POD_GROUP, {**group, "spec": gang}))
        document = pod("p", gpus=4)
        document["spec"]["schedulingGroup"] = {"podGroupName": "g"}
        assert passed(made, document, "a") == []
        basic: dict[str, Any] = {"schedulingPolicy": {"basic": {}}}
        put(made, Kind.POD_GROUP, {**group, "spec": basic})
        assert passed(made, document, "a") == ["a"]


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=True))
def test_whatever_comes_and_goes_the_end_is_as_told_at_once(chance: random.Random) -> None:
    """Random events, then the same world told to a fresh state: both know the same."""
    claims = [
        (Kind.CLAIM, claim(f"{name}{at}", (H100, 1), given=(f"gpu-{at}",), pool=name))
        for name in "abc"
        for at in range(4)
    ]
    made = intake((Kind.CLASS, device_class()), *claims)
    world: dict[tuple[Kind, str], dict[str, Any]] = {}
    for _ in range(60):
        name, at = chance.choice("abc"), chance.randint(0, 3)
        kind = chance.choice([Kind.NODE, Kind.SLICE, Kind.TAINT_RULE, Kind.POD, Kind.POD])
        match kind:
            case Kind.NODE:
                document = node(name, gpus=chance.choice([0, 0, 8]))
            case Kind.SLICE:
                document = resource_slice(name, *[H100] * chance.randint(1, 4))
            case Kind.TAINT_RULE:
                selector = chance.choice([{"pool": name}, {"device": f"gpu-{at}"}, {}])
                document = taint_rule(f"rule-{chance.choice('xy')}", **selector)
            case _ if chance.random() < 0.5:
                document = pod(f"claims-{name}{at}", claims=(f"{name}{at}",), on=name)
            case _:
                document = pod(f"plugs-{name}{at}", gpus=1 + at % 2, on=name)
        key = (kind, document["metadata"]["name"])
        if key in world and chance.random() < 0.4:
            drop(made, kind, world.pop(key))
        else:
            world[key] = document
            put(made, kind, document)
    fresh = intake((Kind.CLASS, device_class()), *claims)
    for (kind, _), document in sorted(world.items(), key=lambda one: one[0]):
        put(fresh, kind, document)
    assert state(made) == state(fresh)
    assert made.placement.occupancy.machines == fresh.placement.occupancy.machines


def state(made: Intake) -> dict[str, list[int]]:
    nodes = made.placement.nodes
    return {
        name: [int(nodes.cpu[row]), int(nodes.memory[row]), int(nodes.free[row])]
        for name, row in made.placement.occupancy.row.items()
    }
