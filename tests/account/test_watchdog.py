"""Machines that get no further, at simulated moments."""

from dataclasses import replace

import pytest

from fleet.account.lead_time_priors import PRIORS
from fleet.account.lead_times import learned
from fleet.account.startups import StartUps
from fleet.account.watchdog import LateMachine, late_machines
from fleet.annotations import PRICE
from fleet.opencost import NodePrice
from fleet.snapshot import Known, snapshot_of
from tests.account.test_startups import (
    BEGIN,
    KNOWN,
    Object,
    at,
    claimed,
    cluster,
    registered,
    starting,
)

MINUTE = 60.0
USD = 55.04
"""Of a p5.48xlarge for an hour, on demand."""


def order(name: str = "c", on: str | None = None, *, asks: bool = True, **since: float) -> Object:
    """A NodeClaim of 0 for an on-demand machine."""
    one = claimed(name, on, asks=asks, **since)
    one["metadata"]["labels"]["karpenter.sh/capacity-type"] = "on-demand"
    return one


def late(
    seconds: float, *objects: Object, before: StartUps | None = None, known: Known = KNOWN
) -> list[LateMachine]:
    """What one reading finds, `seconds` after the orders."""
    found, now = cluster(*objects), BEGIN + seconds
    startups = (before or StartUps()).read(found, known, now)
    snapshot = snapshot_of(found, known, None, now)
    return list(late_machines(found, snapshot, startups, learned(startups, now), known, now))


def stages(found: list[LateMachine]) -> list[str]:
    return [one.stage for one in found]


def usual(stage: str) -> float:
    return PRIORS[stage].quantile(0.99)


class TestLimits:
    @pytest.mark.parametrize(
        ("stage", "objects", "limit"),
        [
            pytest.param("launched", [order()], usual("launched"), id="launch"),
            # Three hundred seconds at the least, of which the launch took four.
            pytest.param("registered", [order(Launched=4)], 304, id="registration"),
            pytest.param(
                "node ready",
                [order(on="n1", Launched=4, Registered=85), registered(gpus=0, ready=None)],
                85 + usual("node ready"),
                id="kubelet",
            ),
            pytest.param(
                "initialized",
                [order(on="n1", Launched=4, Registered=85), registered(gpus=0, ready=120)],
                120 + usual("initialized"),
                id="initialization",
            ),
            pytest.param(
                "GPUs",
                [
                    order(on="n1", asks=False, Launched=4, Registered=85, Initialized=125),
                    registered(gpus=0, ready=120),
                ],
                125 + usual("GPUs"),
                id="device-plugin",
            ),
        ],
    )
    def test_a_machine_is_late_beyond_its_limit_and_not_at_it(
        self, stage: str, objects: list[Object], limit: float
    ) -> None:
        assert late(limit - 0.001, *objects) == []
        assert stages(late(limit + 0.001, *objects)) == [stage]

    def test_a_pool_that_starts_slowly_is_late_later(self) -> None:
        slow = StartUps()
        for at_once in range(30):
            name, began = f"s{at_once}", 1000.0 + at_once
            done = order(name, f"n-{name}", Launched=4, Registered=85, Initialized=85 + began)
            machine = registered(gpus=8, ready=85)
            machine["metadata"] |= {"name": f"n-{name}"}
            # Its end is told within ten minutes of the reading before it.
            for seconds in (1, 85 + began - 1):
                slow = slow.read(cluster(order(name)), KNOWN, BEGIN + seconds)
            slow = slow.read(cluster(done, machine), KNOWN, BEGIN + 85 + began + 1)
        objects = [order(on="n1", Launched=4, Registered=85), registered(gpus=0, ready=85)]

        assert late(85 + 1000, *objects, before=slow) == []
        (one,) = late(85 + 1100, *objects, before=slow)
        assert (one.normal_seconds, one.limit_seconds) == (1029, 1029)

    def test_machines_that_hang_are_no_excuse_for_others(self) -> None:
        hanging = [order(f"h{one}", Launched=4) for one in range(20)]

        assert stages(late(400, *hanging)) == ["registered"] * 20

    def test_a_stage_that_took_a_day_once_is_late_after_an_hour(self) -> None:
        day = 86400.0
        once = StartUps()
        for seconds in (1, 85 + day - 1):
            once = once.read(cluster(order("s")), KNOWN, BEGIN + seconds)
        done = order("s", "n1", Launched=4, Registered=85, Initialized=85 + day)
        once = once.read(cluster(done, registered(gpus=8, ready=85)), KNOWN, BEGIN + 86 + day)
        objects = [order(on="n1", Launched=4, Registered=85), registered(gpus=0, ready=85)]

        assert late(85 + 3600, *objects, before=once) == []
        assert stages(late(85 + 3601, *objects, before=once)) == ["initialized"]


class TestWhatIsTold:
    def test_an_order_without_a_machine_costs_nothing_and_karpenter_gives_it_up(self) -> None:
        unlaunched = order()
        unlaunched["status"]["conditions"] = [
            {"type": "Launched", "status": "Unknown", "reason": "LaunchFailed"}
        ]
        (one,) = late(2 * MINUTE, unlaunched)

        assert (one.machine, one.node_claim, one.pool, one.instance_type) == (
            "c", "c", "h100", "p5.48xlarge",
        )  # fmt: skip
        assert (one.seconds, one.reason) == (120, "LaunchFailed")
        assert one.karpenter_ends_it_in_seconds == 180
        assert (one.usd_per_hour, one.usd_so_far) == (0, 0)

    def test_a_machine_that_does_not_register_costs_from_its_launch_on(self) -> None:
        (one,) = late(600, order(Launched=60))

        assert (one.stage, one.seconds, one.karpenter_ends_it_in_seconds) == (
            "registered",
            540,
            300,
        )
        assert one.usd_per_hour == pytest.approx(USD)
        assert one.usd_so_far == pytest.approx(USD * 540 / 3600)

    def test_a_limit_of_karpenter_that_has_passed_is_due(self) -> None:
        (one,) = late(2000, order(Launched=60))

        assert one.karpenter_ends_it_in_seconds == 0

    def test_a_machine_that_is_never_initialized_is_ended_by_nobody(self) -> None:
        claim = order(on="n1", Launched=4, Registered=85)
        claim["status"]["conditions"].append(
            {"type": "Initialized", "status": "Unknown", "reason": "ResourceNotRegistered"}
        )
        (one,) = late(3604, claim, registered(gpus=0, ready=120))

        assert (one.machine, one.node_claim, one.stage) == ("n1", "c", "initialized")
        assert (one.seconds, one.reason) == (3484, "ResourceNotRegistered")
        assert one.karpenter_ends_it_in_seconds is None
        assert one.usd_so_far == pytest.approx(USD)

    def test_a_machine_whose_startup_taint_stays_is_late_while_its_driver_offers_gpus(
        self,
    ) -> None:
        claim = order(on="n1", Launched=4, Registered=85)
        claim["status"]["conditions"].append(
            {"type": "Initialized", "status": "Unknown", "reason": "StartupTaintsExist"}
        )
        (one,) = late(3604, claim, registered(gpus=8, ready=120))

        assert (one.stage, one.reason) == ("initialized", "StartupTaintsExist")

    def test_the_price_of_spot_machines_without_one_is_unknown(self) -> None:
        (one,) = late(600, claimed(Launched=60))

        assert (one.usd_per_hour, one.usd_so_far) == (None, None)

    def test_a_machine_without_a_claim_is_late_too(self) -> None:
        own = registered(gpus=0, ready=100)
        del own["metadata"]["labels"]["karpenter.sh/nodepool"]
        own["metadata"]["labels"]["nvidia.com/gpu.present"] = "true"

        (one,) = late(100 + 600, own)

        assert (one.machine, one.node_claim, one.stage) == ("n1", None, "GPUs")
        assert one.karpenter_ends_it_in_seconds is None
        # Created at 80.
        assert one.usd_so_far == pytest.approx(USD * 620 / 3600)


class TestSilence:
    """Machines that are not late, however long it has been."""

    @staticmethod
    def zombie() -> tuple[Object, Object]:
        """Initialized without GPUs, a day ago."""
        claim = order(on="n1", asks=False, Launched=4, Registered=85, Initialized=125)
        return claim, registered(gpus=0, ready=120)

    def test_a_zombie_is_late(self) -> None:
        assert stages(late(86400, *self.zombie())) == ["GPUs"]

    def test_a_machine_that_serves_is_not(self) -> None:
        claim = order(on="n1", Launched=4, Registered=85, Initialized=125)

        assert late(86400, claim, registered(gpus=8, ready=120)) == []

    def test_a_cordoned_node_that_has_served_is_not(self) -> None:
        claim, node = self.zombie()
        node["spec"]["unschedulable"] = True

        assert late(86400, claim, node) == []

    def test_a_node_that_is_not_ready_any_more_is_not(self) -> None:
        claim, node = self.zombie()
        node["status"]["conditions"] = [
            {"type": "Ready", "status": "Unknown", "lastTransitionTime": at(80000)}
        ]

        assert late(86400, claim, node) == []

    def test_a_node_whose_gpus_fell_out_under_a_pod_is_not(self) -> None:
        assert late(86400, *self.zombie(), starting(PodScheduled=200)) == []

    def test_a_pod_that_asks_for_another_device_tells_nothing_of_gpus(self) -> None:
        one = starting(PodScheduled=200)
        interface = {"limits": {"vpc.amazonaws.com/pod-eni": "1"}}
        one["spec"]["containers"][0]["resources"] = interface

        assert stages(late(86400, *self.zombie(), one)) == ["GPUs"]

    def test_a_node_that_had_its_gpus_once_is_not(self) -> None:
        claim, _ = self.zombie()
        before = StartUps().read(cluster(claim, registered(gpus=8, ready=120)), KNOWN, BEGIN + 300)

        assert late(86400, *self.zombie(), before=before) == []

    def test_a_condition_that_does_not_tell_since_when_makes_nobody_late(self) -> None:
        claim = order(Launched=4)
        del claim["status"]["conditions"][0]["lastTransitionTime"]

        assert late(86400, claim) == []

    def test_claims_that_were_not_read_tell_nothing(self) -> None:
        before = StartUps().read(cluster(order(Launched=4)), KNOWN, BEGIN + 10)
        now = BEGIN + 86400
        unread = replace(cluster(registered(gpus=0, ready=120)), node_claims=None)
        startups = before.read(unread, KNOWN, now)

        snapshot = snapshot_of(unread, KNOWN, None, now)
        found = late_machines(unread, snapshot, startups, learned(startups, now), KNOWN, now)

        assert found == ()


class TestEnds:
    @staticmethod
    def leaving(grace: str | None = None) -> list[Object]:
        """A served machine that was deleted after an hour."""
        claim = order(on="n1", Launched=4, Registered=85, Initialized=125)
        claim["metadata"]["deletionTimestamp"] = at(3600)
        claim["status"]["conditions"].append(
            {"type": "Drained", "status": "Unknown", "reason": "Draining"}
        )
        if grace is not None:
            claim["spec"]["terminationGracePeriod"] = grace
        return [claim, registered(gpus=8, ready=120)]

    def test_a_machine_is_late_to_go_after_a_quarter_of_an_hour(self) -> None:
        assert late(3600 + 900, *self.leaving()) == []
        (one,) = late(3600 + 1800, *self.leaving())

        assert (one.machine, one.stage, one.seconds) == ("n1", "deleted", 1800)
        assert (one.normal_seconds, one.limit_seconds) == (None, 900)
        assert one.reason == "Drained: Draining"
        # Without a grace period it waits for its pods for ever.
        assert one.karpenter_ends_it_in_seconds is None
        assert one.usd_so_far == pytest.approx(USD / 2)

    @pytest.mark.parametrize("grace", ["1h0m0s", "60m"])
    def test_its_grace_period_is_not_late(self, grace: str) -> None:
        assert late(3600 + 3600, *self.leaving(grace)) == []
        (one,) = late(3600 + 3601, *self.leaving(grace))

        assert (one.limit_seconds, one.karpenter_ends_it_in_seconds) == (3600, 0)

    @pytest.mark.parametrize("grace", ["soon", "1h ", "1d", "-1h"])
    def test_a_grace_period_that_cannot_be_read_is_none(self, grace: str) -> None:
        (one,) = late(3600 + 901, *self.leaving(grace))

        assert one.limit_seconds == 900

    def test_a_start_that_is_given_up_is_only_late_to_go(self) -> None:
        claim = order(Launched=4)
        claim["metadata"]["deletionTimestamp"] = at(900)

        assert late(900 + 800, claim) == []
        assert stages(late(900 + 901, claim)) == ["deleted"]


def test_a_machine_type_label_is_enough_for_the_price() -> None:
    bare = order(Launched=4)
    del bare["status"]["capacity"]
    (one,) = late(600, bare)

    assert one.usd_per_hour == pytest.approx(USD)


def test_a_late_machine_costs_what_it_costs_in_the_bill() -> None:
    annotated = order(Launched=4)
    annotated["metadata"]["annotations"] = {PRICE: "2"}
    spot = order(on="n1", Launched=4, Registered=85)
    spot["metadata"]["labels"]["karpenter.sh/capacity-type"] = "spot"
    there = registered(gpus=0, ready=None)
    there["metadata"]["labels"]["karpenter.sh/capacity-type"] = "spot"

    assert [one.usd_per_hour for one in late(600, annotated)] == [16.0]
    assert [one.usd_per_hour for one in late(900, spot, there)] == [None]
    of_opencost = replace(
        KNOWN,
        prices=replace(
            KNOWN.prices, measured={"n1": NodePrice(usd_per_hour=24.0, source="OpenCost")}
        ),
    )
    assert [one.usd_per_hour for one in late(900, spot, there, known=of_opencost)] == [24.0]


def test_a_gpu_that_is_shared_by_time_costs_once() -> None:
    claim = order(on="n1", Launched=4, Registered=85)
    claim["status"]["capacity"] = {"nvidia.com/gpu": "32"}
    shared = registered(gpus=32, ready=120)
    shared["metadata"]["labels"]["nvidia.com/gpu.replicas"] = "4"
    claim["metadata"]["deletionTimestamp"] = at(3600)

    (one,) = late(3600 + 1800, claim, shared)

    assert one.usd_per_hour == pytest.approx(USD)
