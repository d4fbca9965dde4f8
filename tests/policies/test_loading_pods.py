"""Which pods of a node hold it while they load."""

import pytest

from fleet.account.loading import Load, PodLoad
from policies.loading import with_load
from policies.situation import NodePod, NodeStage, PoolNode


def pod(uid: str, *, ready: bool = False, loads: bool = True) -> NodePod:
    return NodePod(uid=uid, name=uid, gpus=1, ready=ready, loads=loads, created_seconds=0.0)


def test_a_pod_that_is_not_ready_loads_unless_it_is_told_that_it_does_not() -> None:
    node = PoolNode(
        name="n", uid="n", gpus=8, stage=NodeStage.INITIALIZED, stage_since_seconds=0.0,
        ordered_seconds=0.0,
        pods=(pod("a"), pod("b", ready=True), pod("c", loads=False)),
    )  # fmt: skip

    assert [one.uid for one in node.loading] == ["a"]


@pytest.mark.parametrize(
    ("state", "loads"),
    [
        pytest.param(Load.LOADING, True, id="loading"),
        pytest.param(Load.FAILING, False, id="failing"),
        pytest.param(Load.WAS_READY, False, id="was-ready"),
    ],
)
def test_a_pod_takes_over_what_is_known_of_its_load(state: Load, *, loads: bool) -> None:
    load = PodLoad(
        pod="llm/a", uid="a", node="n", workload=None, load=state, since_seconds=10.0,
        usual_seconds=60.0, believed_until_seconds=500.0,
    )  # fmt: skip

    found = with_load(pod("a"), load)

    assert (found.loads, found.loading_until_seconds) == (loads, 500)


def test_a_pod_whose_load_is_not_known_stays_as_it_is() -> None:
    assert with_load(pod("a"), None) == pod("a")
