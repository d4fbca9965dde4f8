"""EKS, EKS Auto Mode, GKE and AKS are recognised by their objects, and each gets its levers."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.catalogue import shipped
from fleet.cluster.hardware import Prices
from fleet.cluster.karpenter import node_claim_of
from fleet.cluster.nodes import CapacityType
from fleet.cluster.owners import Workload
from fleet.cluster.pods import Pod, pod_of
from fleet.cluster.reading import Cluster
from fleet.instances import instances
from fleet.reasons import Reason
from fleet.recorded import recorded
from fleet.snapshot import Known, snapshot_of
from policies.levers.change import Change
from policies.levers.discovery import Discovery, is_auto_mode
from policies.levers.ladder import LeverInput, actions
from policies.levers.objects import Objects
from policies.node_plan import NodeDecision, NodeOrder, NodePlan, PoolPlan, Step, Verdict
from policies.policy.pool_policy import Lever, Mode, PoolPolicy
from policies.policy.quiet_budgets import QuietBudget
from policies.reading.assess import Assessment, Beside, assess
from policies.reading.nodes import NodesSeen
from tests.levers.rounds import POD_SPEC
from tests.policies.pools import LEAD

FIXTURES = Path(__file__).parents[1] / "fixtures" / "clouds"
KNOWN = Known(catalogue=shipped(), prices=Prices(instances=instances()))
QUIET = QuietBudget(schedule="0 8 * * *", duration="2h")


def utc(day: int, hour: int, minute: int = 0) -> float:
    return datetime(2026, 12, day, hour, minute, tzinfo=UTC).timestamp()


NOW = utc(1, 12)


def read(cloud: str, **changes: Any) -> Cluster:
    # Pods were read, and there are none.
    return replace(recorded(FIXTURES / f"{cloud}.yaml"), pods=(), **changes)


def assessed(cluster: Cluster, now: float = NOW, **beside: Any) -> Assessment:
    known = Beside(lead_time_of=lambda _: LEAD, prices=KNOWN.prices, **beside)
    return assess(cluster, snapshot_of(cluster, KNOWN, None, now), known, NodesSeen(), now)


def carried_out(cluster: Cluster, *, buffers: bool) -> tuple[tuple[Change, ...], dict[str, str]]:
    """Pools are to be quiet and two nodes larger, nodes are held, and every lever is allowed."""
    state = assessed(cluster)
    pools = {one.name: one for one in state.pools}
    policy = PoolPolicy(
        policy="all",
        mode=Mode.ACT,
        levers=frozenset(Lever),
        quiet_until_seconds=NOW + 7200,
        quiet_budgets=(QUIET,),
    )
    plans = tuple(
        PoolPlan(
            pool=pool.name,
            act=True,
            nodes=tuple(
                NodeDecision(
                    node=node.name,
                    uid=node.uid,
                    verdict=Verdict.HOLD,
                    reason=Reason.FORECAST_HOLD,
                    until_seconds=NOW + 900,
                    steps=(Step(rule="test", text="as the test has it"),),
                )
                for node in pool.nodes
            ),
            orders=(NodeOrder(nodes=2, reason=Reason.PRE_WARM),),
        )
        for pool in state.pools
    )
    done = actions(
        LeverInput(
            plan=NodePlan(at_seconds=NOW, pools=plans),
            pools=pools,
            policies=dict.fromkeys(pools, policy),
            discovery=Discovery(
                capacity_buffers=buffers,
                pool_scale=True,
                auto_mode=is_auto_mode(cluster.node_pools or ()),
            ),
            objects=Objects.of(cluster, ()),
            pod_specs=dict.fromkeys(pools, POD_SPEC),
            namespace="foresail",
        )
    )
    words = {name: "\n".join(step.text for step in steps) for name, steps in done.steps.items()}
    return done.changes, words


@pytest.mark.parametrize(
    ("cloud", "brought_by"),
    [
        ("eks-auto-mode", {"EKS Auto Mode": 1}),
        ("eks-reservations", {"Karpenter on AWS": 2}),
        ("gke", {"GKE compute class": 2, "GKE node auto-provisioning": 1, "GKE node pool": 1}),
        ("aks-node-auto-provisioning", {"AKS node auto-provisioning": 1, "AKS node pool": 1}),
    ],
)
def test_clouds_are_recognised_by_their_objects(cloud: str, brought_by: dict[str, int]) -> None:
    found = snapshot_of(read(cloud), KNOWN, None, NOW).brought_by

    assert {one.who: one.nodes for one in found} == brought_by


def test_karpenter_that_users_run_on_aks_is_told_from_aks_own() -> None:
    cluster = read("aks-node-auto-provisioning")
    own = tuple(one for one in cluster.node_pools or () if not one.built_in)

    found = snapshot_of(replace(cluster, node_pools=own), KNOWN, None, NOW).brought_by

    assert {one.who for one in found} == {"Karpenter on AKS", "AKS node pool"}


@pytest.mark.parametrize(
    ("cloud", "built_in"),
    [
        ("eks-auto-mode", {"general-purpose", "system"}),
        ("eks-reservations", set()),
        ("aks-node-auto-provisioning", {"default", "system-surge"}),
    ],
)
def test_built_in_pools_are_never_edited(cloud: str, built_in: set[str]) -> None:
    cluster = read(cloud)
    pools = cluster.node_pools or ()
    assert {one.name for one in pools if one.built_in} == built_in
    # As if each were a static pool with GPU nodes, which levers could write in two ways.
    static = tuple(replace(one, replicas=1) for one in pools)
    nodes = tuple(
        replace(
            cluster.nodes[0],
            name=f"of-{one.name}",
            uid=f"uid-of-{one.name}",
            labels={**cluster.nodes[0].labels, "karpenter.sh/nodepool": one.name},
            provider_id=None,
        )
        for one in pools
    )

    changes, words = carried_out(
        replace(cluster, node_pools=static, nodes=nodes, node_claims=()), buffers=False
    )

    assert set(words) == {one.name for one in pools}
    edited = {one.address.name for one in changes if one.address.kind == "NodePool"}
    assert edited == {one.name for one in pools} - built_in
    for name in built_in:
        assert "the cloud made this pool and keeps it" in words[name]


def test_eks_auto_mode_gets_placeholder_pods_where_no_buffer_is_served() -> None:
    changes, words = carried_out(read("eks-auto-mode"), buffers=False)

    made = {(one.address.kind, one.address.name) for one in changes if one.lever != "quiet hours"}
    assert ("Deployment", "foresail-h100") in made
    assert ("Node", "i-0auto") in made
    assert "CapacityBuffer" not in {kind for kind, _ in made}
    assert "autoscaling.x-k8s.io/v1beta1 is not served" in words["h100"]


def test_on_gke_a_compute_class_is_one_pool_and_its_autoscaler_is_told_to_keep_nodes() -> None:
    cluster = read("gke")
    state = assessed(cluster)
    assert {one.name: one.capacity_type for one in state.pools}["h100"] is CapacityType.RESERVED
    pools = {one.name: len(one.nodes) for one in state.pools}
    assert pools == {"h100-class": 2, "nap-a3-highgpu-8g-gpu8-5e6f": 1, "h100": 1}

    changes, _ = carried_out(cluster, buffers=True)

    (template,) = (
        one
        for one in changes
        if one.address.kind == "PodTemplate" and "h100-class" in one.address.name
    )
    assert isinstance(template.body, dict)
    spec = template.body["template"]["spec"]
    assert spec["nodeSelector"]["cloud.google.com/compute-class"] == "h100-class"
    held = [one for one in changes if one.lever == "hold"]
    assert len(held) == 4
    for one in held:
        assert isinstance(one.body, dict)
        annotations = one.body["metadata"]["annotations"]
        assert annotations["cluster-autoscaler.kubernetes.io/scale-down-disabled"] == "true"
        assert "karpenter.sh/do-not-disrupt" not in annotations


def test_capacity_blocks_and_reservations_are_read_and_a_block_ends_its_nodes() -> None:
    cluster = read("eks-reservations")

    (pool,) = assessed(cluster).pools
    block, odcr = sorted(pool.nodes, key=lambda one: one.name)

    assert {block.capacity_type, odcr.capacity_type} == {CapacityType.RESERVED}
    # Its end is at 11:30; EC2 stops it 30 minutes before, Karpenter drains it 10 minutes earlier.
    assert block.ends_at_seconds == utc(5, 10, 50)
    assert block.ends_because == "Capacity Block cr-0b10c0b10c0b10c01 ends"
    # The other one stays after its end, on demand.
    assert (odcr.ends_at_seconds, odcr.ending) == (None, False)
    assert (block.ending, pool.remarks) == (False, ())


def test_a_node_that_ends_before_another_could_be_there_counts_as_gone() -> None:
    # A new one takes 480 + 120 s.
    at = utc(5, 10, 50) - 600
    for now, gone in ((at - 1, False), (at, True)):
        (pool,) = assessed(read("eks-reservations"), now).pools
        (block,) = (one for one in pool.nodes if one.name == "h100-block")
        assert (block.ending, block.leaving, block.lasts) == (gone, False, not gone)
    (remark,) = pool.remarks
    assert remark == (
        "h100-block ends at 2026-12-05 10:50Z (Capacity Block cr-0b10c0b10c0b10c01 ends), before "
        "another node could be there: it counts as gone"
    )


def test_a_training_run_that_outlives_its_node_is_named_before_the_node_expires() -> None:
    """EKS Auto Mode replaces nodes after 14 days, whatever runs on them."""
    cluster = read("eks-auto-mode")
    worker = _worker("i-0auto")
    job = Workload(kind="JobSet", namespace="train", name="tune")

    state = assessed(replace(cluster, pods=(worker,)), gang_ends_at={job: utc(13, 0)})

    (pool,) = state.pools
    (remark,) = pool.remarks
    assert remark == (
        "h100-xk2vj ends at 2026-12-12 08:00Z (its NodeClaim expires), before gang train/tune, "
        "which is expected to end at 2026-12-13 00:00Z"
    )


def test_a_node_claim_that_expires_after_no_duration_of_gos_has_no_known_end() -> None:
    written = yaml.safe_load((FIXTURES / "eks-auto-mode.yaml").read_text(encoding="utf-8"))
    (claim,) = (one for one in written["items"] if one["kind"] == "NodeClaim")
    claim["spec"]["expireAfter"] = f"{'9' * 60}h"

    (pool,) = assessed(read("eks-auto-mode", node_claims=(node_claim_of(claim),))).pools

    (node,) = pool.nodes
    assert (node.ends_at_seconds, pool.remarks) == (None, ())


def _worker(node: str) -> Pod:
    owner = {"kind": "Job", "name": "tune-0", "uid": "j", "controller": True}
    return pod_of(
        {
            "metadata": {
                "namespace": "train",
                "name": "tune-0-0",
                "uid": "w",
                "labels": {"jobset.sigs.k8s.io/jobset-name": "tune"},
                "ownerReferences": [owner],
            },
            "spec": {
                "nodeName": node,
                "containers": [{"name": "c", "resources": {"requests": {"nvidia.com/gpu": "8"}}}],
            },
            "status": {"phase": "Running"},
        }
    )
