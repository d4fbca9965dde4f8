"""Placeholder pods order nodes where no CapacityBuffer can, and pull the image meanwhile."""

from dataclasses import replace

from fleet.reasons import Reason
from policies.levers.change import Address
from policies.levers.discovery import Discovery
from policies.policy.pool_policy import LEVERS_DEFAULT, Lever
from tests.levers.rounds import (
    ACT,
    BUFFER,
    DEPLOYMENT,
    NAMESPACE,
    POD_SPEC,
    acted,
    at,
    body_of,
    carry_out,
    held,
    order,
    plan,
    short,
    words,
    world,
)
from tests.levers.toy_store import Document, ToyStore
from tests.policies.pools import NOW, busy, empty, pool

NO_BUFFERS = Discovery(pool_scale=True)
LABELS = {
    "app.kubernetes.io/managed-by": "foresail",
    "foresail.io/pool": "h100",
    "foresail.io/policy": "balanced",
}
CHOSEN = {"foresail.io/placeholder": "h100", "foresail.io/placeholders-of": "foresail-h100"}


def test_an_order_makes_a_class_and_a_deployment() -> None:
    state = pool(busy("a", 2), gpus_per_node=2, demand_gpus=2.0)
    done = acted(state, plan(orders=(order(2),)), world(state), discovery=NO_BUFFERS)
    priority_class, deployment = done.changes
    assert body_of(priority_class) == {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {
            "name": "foresail-placeholder",
            "labels": {"app.kubernetes.io/managed-by": "foresail"},
            "annotations": {
                "foresail.io/kept-because": "placeholder pods",
                "foresail.io/kept-until": at(NOW + 900),
            },
        },
        "value": -10,
        "globalDefault": False,
        "preemptionPolicy": "Never",
        "description": "Of pods that keep room for others, and go when these come.",
    }
    body = body_of(deployment)
    del body["metadata"]["annotations"]["foresail.io/template-hash"]
    assert body == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "foresail-h100",
            "namespace": "foresail",
            "labels": LABELS,
            "annotations": {
                "foresail.io/kept-because": "pre-warm",
                "foresail.io/kept-until": at(NOW + 900),
            },
        },
        "spec": {
            "replicas": 2,
            "revisionHistoryLimit": 0,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "100%"},
            },
            "selector": {"matchLabels": CHOSEN},
            "template": {
                "metadata": {"labels": LABELS | CHOSEN},
                "spec": {
                    "nodeSelector": {"team": "llm", "karpenter.sh/nodepool": "h100"},
                    "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
                    "priorityClassName": "foresail-placeholder",
                    "terminationGracePeriodSeconds": 0,
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 65534,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [
                        {
                            "name": "room",
                            "image": "registry.example/vllm:1",
                            "resources": {
                                "requests": {
                                    "cpu": "7",
                                    "memory": str(16 * 2**30),
                                    "nvidia.com/gpu": "2",
                                },
                                "limits": {"nvidia.com/gpu": "2"},
                            },
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "capabilities": {"drop": ["ALL"]},
                            },
                            "command": ["sleep", "infinity"],
                        }
                    ],
                },
            },
        },
    }
    assert deployment.after == (priority_class.address,)


def test_they_stay_until_the_image_is_there() -> None:
    store = _ordered()
    b = empty("b")
    come = pool(busy("a"), b, demand_gpus=1.0)
    _placeholder(store, ready=False)
    assert acted(come, plan(held(b)), store, discovery=NO_BUFFERS).changes[1:] == ()
    _placeholder(store, ready=True)
    done = acted(come, plan(held(b)), store, discovery=NO_BUFFERS)
    assert short(done.changes) == [
        "apply Node node-b",
        "delete Deployment foresail/foresail-h100",
    ]


def test_an_image_that_cannot_be_pulled_keeps_none() -> None:
    store = _ordered()
    b = empty("b")
    come = pool(busy("a"), b, demand_gpus=1.0)
    _placeholder(store, ready=False, waits="ImagePullBackOff")
    done = acted(come, plan(held(b)), store, discovery=NO_BUFFERS)
    assert short(done.changes)[-1] == "delete Deployment foresail/foresail-h100"


def test_they_go_where_a_buffer_orders_now() -> None:
    store = _ordered()
    state = pool(busy("a"), demand_gpus=1.0)
    done = acted(state, plan(orders=(order(1),)), store)
    assert short(done.changes) == [
        "apply PodTemplate foresail/foresail-h100",
        "apply CapacityBuffer foresail/foresail-h100",
        "delete Deployment foresail/foresail-h100",
    ]
    assert done.changes[1].address == BUFFER


def test_nothing_is_ordered_where_no_lever_may() -> None:
    state = pool(busy("a"), demand_gpus=1.0)
    levers = LEVERS_DEFAULT - {Lever.CAPACITY_BUFFER, Lever.PLACEHOLDER}
    policy = replace(ACT, levers=levers)
    done = acted(state, plan(orders=(order(2),)), world(state), policy=policy)
    assert done.changes == ()
    assert words(done).splitlines() == [
        "levers: not by capacity buffer: the policy does not allow it",
        "levers: not by placeholder: the policy does not allow it",
        "levers: not by static pool: the pool is not static",
        "levers: 2 nodes are wanted, and no lever can order them: nothing is done",
    ]


def test_without_a_real_pod_nothing_is_known_of_the_resource() -> None:
    state = pool(demand_gpus=0.0)
    done = acted(state, plan(orders=(order(1),)), world(state), discovery=NO_BUFFERS, pod_spec=None)
    assert done.changes == ()
    shown = pool(busy("a"), demand_gpus=1.0)
    done = acted(shown, plan(orders=(order(1),)), world(shown), discovery=NO_BUFFERS, pod_spec=None)
    (container,) = body_of(done.changes[-1])["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.k8s.io/pause:3.10"
    assert "command" not in container


def test_the_pools_own_taints_are_tolerated() -> None:
    state = pool(busy("a"), demand_gpus=1.0)
    store = world(state)
    taints = [{"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}]
    next(document for address, document in store.documents.items() if address.kind == "NodePool")[
        "spec"
    ]["template"] = {"spec": {"taints": taints}}
    done = acted(state, plan(orders=(order(1, Reason.GANG),)), store)
    spec = body_of(done.changes[0])["template"]["spec"]
    assert spec["tolerations"] == [
        *POD_SPEC["tolerations"],
        {"key": "nvidia.com/gpu", "operator": "Equal", "value": "true", "effect": "NoSchedule"},
    ]


def _ordered() -> ToyStore:
    state = pool(busy("a"), empty("b"), demand_gpus=2.0)
    store = world(state)
    wanted = plan(orders=(order(1),))
    carry_out(store, acted(state, wanted, store, discovery=NO_BUFFERS).changes)
    assert store.documents[DEPLOYMENT]["spec"]["replicas"] == 1
    return store


def _placeholder(store: ToyStore, *, ready: bool, waits: str = "ContainerCreating") -> None:
    name = "foresail-h100-1"
    address = Address(kind="Pod", resource="pods", namespace=NAMESPACE, name=name)
    waiting = [{"state": {"waiting": {"reason": waits}}}]
    document: Document = {
        "metadata": {"namespace": NAMESPACE, "labels": dict(CHOSEN)},
        "spec": {"nodeName": "node-b", "priority": -10},
        "status": {
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [] if ready else waiting,
        },
    }
    store.put(address, document)
