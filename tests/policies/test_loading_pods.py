"""Which pods of a node hold it while they load."""

from policies.situation import NodePod, NodeStage, PoolNode


def test_a_pod_that_is_not_ready_loads_unless_it_is_told_that_it_does_not() -> None:
    def pod(uid: str, *, ready: bool, loads: bool = True) -> NodePod:
        return NodePod(uid=uid, name=uid, gpus=1, ready=ready, loads=loads, created_seconds=0.0)

    node = PoolNode(
        name="n", uid="n", gpus=8, stage=NodeStage.INITIALIZED, stage_since_seconds=0.0,
        ordered_seconds=0.0,
        pods=(pod("a", ready=False), pod("b", ready=True), pod("c", ready=False, loads=False)),
    )  # fmt: skip

    assert [one.uid for one in node.loading] == ["a"]
