"""Which pod of a pool tells what nodes to order: such as the next ones will be."""

import pytest

from fleet.cluster.owners import Workload
from foresail.controller.pod_specs import pod_to_read
from policies.situation import GangDemand, NodePod
from tests.policies.pools import busy, pod, pool

TRAIN = Workload(kind="Job", namespace="llm", name="train")
NET = Workload(kind="DaemonSet", namespace="llm", name="net")
SET = Workload(kind="StatefulSet", namespace="llm", name="set")
CHAT = pod("a-chat")


def read(*pods: NodePod, known: str | None = None) -> str | None:
    """The name of the pod, where those of `TRAIN` are a gang."""
    gang = GangDemand(workload=TRAIN, pods=1, gpus_per_pod=1, waiting_pods=0)
    found = pod_to_read(pool(busy("n", 8, pods=pods), gpus_per_node=8, gangs=(gang,)), known)
    return None if found is None else found[1]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(pod("z", workload=TRAIN), id="of a gang"),
        pytest.param(pod("z", workload=NET), id="of a DaemonSet"),
        pytest.param(pod("z", workload=SET), id="of a StatefulSet"),
        pytest.param(pod("z", workload=None), id="of nobody"),
        pytest.param(pod("z", covered=False), id="that the policy is not about"),
    ],
)
def test_a_replica_that_the_policy_is_about_is_read_before_others(other: NodePod) -> None:
    assert read(CHAT, other) == "llm/a-chat"
    assert read(other) == "llm/z"
    # It is read where another one was, and then no more.
    assert read(CHAT, other, known="uid-z") == "llm/a-chat"
    assert read(CHAT, other, known="uid-a-chat") is None


def test_another_replica_is_read_once_the_last_one_is_gone() -> None:
    assert read(CHAT, pod("b-chat"), known="uid-a-chat") is None
    assert read(pod("b-chat"), known="uid-a-chat") == "llm/b-chat"


def test_a_pod_that_waits_is_read_where_none_runs() -> None:
    state = pool(waiting_pod=("uid-w", "llm/w"))
    assert pod_to_read(state, "uid-a-chat") == ("uid-w", "llm/w")
    assert pod_to_read(state, "uid-w") is None
    assert pod_to_read(pool(), None) is None
