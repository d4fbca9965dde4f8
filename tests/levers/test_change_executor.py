"""Changes reach the API server once, whatever it answers, and each failure is named."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from kubernetes_asyncio.client import ApiClient, Configuration

from fleet.cluster.karpenter import NodeClaim
from foresail.api.change_executor import ChangeExecutor, Outcome, Retries
from policies.levers.change import Address, Change, Verb
from tests.fleet.api_server import ApiServer, Object, Write
from tests.levers.rounds import BUFFER, POOL, acted, order, plan, released, world
from tests.levers.toy_store import RefusedError, ToyStore
from tests.policies.pools import NOW, busy, empty, pool

pytestmark = pytest.mark.looptime(False)  # sockets live in real time

QUICK = Retries(tries=3, first=0.001, longest=0.002, request=60.0)
NODE = Address(kind="Node", resource="nodes", name="a")
CLAIM = Address(group="karpenter.sh", kind="NodeClaim", resource="nodeclaims", name="a")
NODE_BODY = {"kind": "Node", "metadata": {"name": "a", "uid": "u1"}}
APPLY = Change(verb=Verb.APPLY, address=NODE, lever="hold", why="a test", body=NODE_BODY, uid="u1")
PATCH = Change(
    verb=Verb.PATCH,
    address=NODE,
    lever="release",
    why="a test",
    body=({"op": "test", "path": "/metadata/uid", "value": "u1"},),
    uid="u1",
)
DELETE = Change(verb=Verb.DELETE, address=CLAIM, lever="release", why="a test", uid="u2")
STARTS = NodeClaim(
    name="a",
    uid="u2",
    version="7",
    labels={"karpenter.sh/nodepool": "h100"},
    requests={},
    capacity={},
)


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    one = ApiServer()
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def executor(server: ApiServer) -> AsyncIterator[ChangeExecutor]:
    client = ApiClient(Configuration(host=f"http://127.0.0.1:{server.port}"))
    yield ChangeExecutor(client=client, retries=QUICK)
    await client.close()


async def test_each_verb_is_one_request(executor: ChangeExecutor, server: ApiServer) -> None:
    scale = replace(PATCH, address=POOL, subresource="scale")
    outcomes = await executor.carry_out((APPLY, scale, DELETE))
    assert _endings(outcomes) == ["done", "done", "done"]
    assert server.writes == [
        Write(
            "PATCH",
            "/api/v1/nodes/a",
            {"fieldManager": "foresail"},
            "application/apply-patch+yaml",
            NODE_BODY,
        ),
        Write(
            "PATCH",
            "/apis/karpenter.sh/v1/nodepools/h100/scale",
            {"fieldManager": "foresail"},
            "application/json-patch+json",
            [{"op": "test", "path": "/metadata/uid", "value": "u1"}],
        ),
        Write(
            "DELETE",
            "/apis/karpenter.sh/v1/nodeclaims/a",
            {},
            "application/json",
            {
                "apiVersion": "v1",
                "kind": "DeleteOptions",
                "preconditions": {"uid": "u2"},
                "propagationPolicy": "Background",
            },
        ),
    ]


@pytest.mark.parametrize("status", [429, 500, 503, 409])
async def test_a_busy_server_is_asked_again(
    executor: ChangeExecutor, server: ApiServer, status: int
) -> None:
    server.refusals = [(status, {}), (status, {})]
    assert _endings(await executor.carry_out((APPLY,))) == ["done"]
    assert len(server.writes) == 3


async def test_a_lost_answer_doubles_nothing(executor: ChangeExecutor, server: ApiServer) -> None:
    left = {CLAIM.path}
    server.taking = lambda write: _delete(left, write)
    server.lost_answers = 1
    assert _endings(await executor.carry_out((DELETE,))) == ["done"]
    assert (len(server.writes), left) == (2, set())


async def test_it_waits_as_long_as_the_server_asks(
    executor: ChangeExecutor, server: ApiServer
) -> None:
    patient = replace(QUICK, longest=0.3)
    server.refusals = [(429, {"Retry-After": "7"})]
    began = asyncio.get_running_loop().time()
    asked = ChangeExecutor(client=executor.client, retries=patient)
    assert _endings(await asked.carry_out((APPLY,))) == ["done"]
    assert asyncio.get_running_loop().time() - began >= 0.3  # never above the longest wait


async def test_a_server_that_does_not_answer_is_left_alone(
    executor: ChangeExecutor, server: ApiServer
) -> None:
    server.refusals = [(503, {})] * 9
    outcomes = await executor.carry_out((APPLY, DELETE))
    assert _endings(outcomes) == ["no answer", "left out"]
    assert len(server.writes) == 3
    assert outcomes[0].text == "apply Node a: HTTP 503: as the test wants it"
    assert outcomes[1].text == "delete NodeClaim a: the API server does not answer"


async def test_a_server_that_is_gone_is_no_answer(
    executor: ChangeExecutor, server: ApiServer
) -> None:
    await server.stop()
    (outcome,) = await executor.carry_out((APPLY,))
    assert outcome.ending.value == "no answer"
    assert outcome.text.startswith("apply Node a: Cannot connect to host")


@pytest.mark.parametrize(
    ("change", "status", "answer", "ending"),
    [
        pytest.param(DELETE, 404, {}, "done", id="deleted-already"),
        pytest.param(DELETE, 409, {}, "changed since it was read", id="another-uid"),
        pytest.param(PATCH, 404, {}, "gone", id="patched-and-gone"),
        pytest.param(PATCH, 422, {}, "changed since it was read", id="a-test-failed"),
        pytest.param(
            APPLY,
            409,
            {"message": "uid mismatch: the provided object specified uid u1"},
            "changed since it was read",
            id="applied-and-gone",
        ),
        pytest.param(
            APPLY,
            409,
            {"details": {"causes": [{"reason": "FieldManagerConflict", "message": "kubectl"}]}},
            "another manager's field",
            id="of-another-manager",
        ),
        pytest.param(APPLY, 403, {"message": "no"}, "refused", id="forbidden"),
        pytest.param(APPLY, 422, {"message": "invalid"}, "refused", id="invalid"),
    ],
)
async def test_an_answer_that_stands_is_not_asked_for_again(
    executor: ChangeExecutor,
    server: ApiServer,
    change: Change,
    status: int,
    answer: Object,
    ending: str,
) -> None:
    server.taking = lambda _: (status, {"kind": "Status", **answer})
    (outcome,) = await executor.carry_out((change,))
    assert outcome.ending.value == ending
    assert len(server.writes) == 1
    assert str(change.address) in outcome.text or ending == "done"


async def test_what_builds_on_a_failure_is_left_out(
    executor: ChangeExecutor, server: ApiServer
) -> None:
    state = pool(busy("a"), demand_gpus=1.0)
    changes = acted(state, plan(orders=(order(1),)), world(state)).changes
    server.refusals = [(403, {})]
    outcomes = await executor.carry_out((*changes, DELETE))
    assert _endings(outcomes) == ["refused", "left out", "done"]
    assert "HTTP 403: as the test wants it (the role of this account must allow it)" in (
        outcomes[0].text
    )
    assert outcomes[1].text == (
        f"apply {BUFFER}: the change of PodTemplate foresail/foresail-h100 failed"
    )


@pytest.mark.parametrize("lost", [0, 1])
async def test_what_builds_on_two_is_left_out_where_either_failed(
    executor: ChangeExecutor, server: ApiServer, lost: int
) -> None:
    before = [replace(APPLY, address=replace(APPLY.address, name=name)) for name in ("a", "b")]
    server.refusals = [(403, {})] if lost == 0 else [(200, {}), (403, {})]
    server.taking = lambda _: (200, {})
    delete = replace(DELETE, after=tuple(one.address for one in before))
    outcomes = await executor.carry_out((*before, delete))
    assert _endings(outcomes)[2] == "left out"
    assert outcomes[2].text.endswith(f"the change of {before[lost].address} failed")


async def test_mere_advice_is_never_sent(executor: ChangeExecutor, server: ApiServer) -> None:
    advice = replace(APPLY, execute=False)
    assert _endings(await executor.carry_out((advice,))) == ["mere advice"]
    assert server.writes == []


async def test_a_process_that_lost_the_lead_changes_nothing_more(
    executor: ChangeExecutor, server: ApiServer
) -> None:
    executor.leads = lambda: len(server.writes) < 1
    assert _endings(await executor.carry_out((APPLY, DELETE))) == ["done", "left out"]


@pytest.mark.parametrize(
    ("pods", "ending"),
    [
        pytest.param([], ["done"], id="none"),
        pytest.param([("chat", "ReplicaSet", "1")], ["a pod has come"], id="with-gpus"),
        pytest.param([("net", "DaemonSet", "0")], ["done"], id="of-a-daemon"),
        pytest.param([("vllm", "DaemonSet", "1")], ["a pod has come"], id="of-a-daemon-with-gpus"),
        pytest.param([("web", "ReplicaSet", "0")], ["a pod has come"], id="with-other-devices"),
        pytest.param([("router", "ReplicaSet", "")], ["a pod has come"], id="without-devices"),
        pytest.param([("dns", "Node", "")], ["done"], id="of-the-kubelet"),
        pytest.param([("net", "DaemonSet", "")], ["done"], id="of-a-daemon-without-devices"),
    ],
)
async def test_a_node_is_looked_at_once_more_before_it_goes(
    executor: ChangeExecutor,
    server: ApiServer,
    pods: list[tuple[str, str, str]],
    ending: list[str],
) -> None:
    found = [_pod(*one) for one in pods]
    for one in found:
        one["spec"]["nodeName"] = "node-a"
    server.serve("/api/v1/pods", "Pod", *found)
    change = replace(DELETE, empty_node="node-a")
    assert _endings(await executor.carry_out((change,))) == ending
    assert server.asked[0]["fieldSelector"] == "spec.nodeName=node-a"


@pytest.mark.parametrize(("status", "ending"), [(403, "refused"), (404, "refused")])
async def test_a_node_whose_pods_cannot_be_listed_stays(
    executor: ChangeExecutor, server: ApiServer, status: int, ending: str
) -> None:
    server.refusals = [(status, {})]
    assert _endings(await executor.carry_out((replace(DELETE, empty_node="a"),))) == [ending]
    assert server.writes == []


@pytest.mark.parametrize(
    ("selector", "ending"),
    [
        pytest.param({"karpenter.sh/nodepool": "h100"}, "a pod has come", id="for-it"),
        pytest.param({"karpenter.sh/nodepool": "a10"}, "done", id="for-another-pool"),
    ],
)
async def test_a_pod_that_waits_keeps_a_machine_that_starts(
    executor: ChangeExecutor, server: ApiServer, selector: Object, ending: str
) -> None:
    pod = _pod("chat", "ReplicaSet", "1")
    pod["spec"]["nodeSelector"] = selector
    server.serve("/api/v1/pods", "Pod", pod)
    (outcome,) = await executor.carry_out((replace(DELETE, start_of=STARTS),))
    assert outcome.ending.value == ending
    assert server.asked[0]["fieldSelector"] == "spec.nodeName="
    if ending == "done":
        preconditions = {"uid": "u2", "resourceVersion": "7"}
        assert server.writes[0].body["preconditions"] == preconditions
    else:
        assert outcome.text == "delete NodeClaim a: for it may wait llm/chat"
        assert server.writes == []


async def test_a_machine_that_went_on_since_it_was_read_is_left_alone(
    executor: ChangeExecutor, server: ApiServer
) -> None:
    server.serve("/api/v1/pods", "Pod")
    server.taking = lambda _: (409, {"message": "the ResourceVersion in the precondition (7) ..."})
    outcomes = await executor.carry_out((replace(DELETE, start_of=STARTS),))
    assert _endings(outcomes) == ["changed since it was read"]
    assert len(server.writes) == 1


async def test_a_round_through_a_bad_server_ends_as_through_a_good_one(
    executor: ChangeExecutor, server: ApiServer
) -> None:
    a, b = busy("a"), empty("b")
    state = pool(a, b, demand_gpus=1.0)
    wanted = plan(released(b), orders=(order(1),), deletion_costs={})
    good, bad = world(state), world(state)
    server.serve("/api/v1/pods", "Pod")
    for now in (NOW, NOW + 30):
        changes = acted(state, wanted, good, now=now).changes
        for one in changes:
            good.take(one)
        asked = acted(state, wanted, bad, now=now).changes
        server.taking = _behind(bad, asked)
        server.refusals = [(429, {})]
        server.lost_answers = 1
        outcomes = await executor.carry_out(asked)
        assert {one.ending.value for one in outcomes} <= {"done", "changed since it was read"}
    assert bad.documents == good.documents


def _behind(store: ToyStore, changes: tuple[Change, ...]) -> Any:
    by_path = {one.address.path: one for one in changes}

    def take(write: Write) -> tuple[int, Object]:
        try:
            store.take(by_path[write.path])
        except RefusedError as error:
            return (404 if write.method == "DELETE" else 422), {"message": str(error)}
        return 200, {}

    return take


def _delete(left: set[str], write: Write) -> tuple[int, Object]:
    if write.path not in left:
        return 404, {}
    left.remove(write.path)
    return 200, {}


def _pod(name: str, owner: str, gpus: str) -> Object:
    owners = [{"kind": owner, "name": "o", "uid": "u", "controller": True}]
    limits = {"vpc.amazonaws.com/efa": "1"} if gpus else {}
    limits |= {"nvidia.com/gpu": gpus} if gpus not in {"", "0"} else {}
    return {
        "metadata": {"name": name, "namespace": "llm", "ownerReferences": owners},
        "spec": {"containers": [{"name": "c", "resources": {"limits": limits}}]},
    }


async def test_a_pod_that_gets_the_node_between_the_two_lists_is_in_the_second(
    executor: ChangeExecutor, server: ApiServer
) -> None:
    server.serve("/api/v1/pods", "Pod")
    change = replace(DELETE, start_of=STARTS, empty_node="node-a")
    await executor.carry_out((change,))
    assert [one["fieldSelector"] for one in server.asked] == [
        "spec.nodeName=",
        "spec.nodeName=node-a",
    ]


@pytest.mark.parametrize(
    ("stopped_for", "leads", "ending"),
    [(4.0, True, "done"), (600.0, True, "changed since it was read"), (4.0, False, "left out")],
)
async def test_a_look_before_the_process_was_stopped_does_not_count(
    executor: ChangeExecutor, server: ApiServer, stopped_for: float, leads: bool, ending: str
) -> None:
    server.serve("/api/v1/pods", "Pod")
    executor.steady = iter([0.0, stopped_for]).__next__
    executor.leads = iter([True, leads]).__next__
    change = replace(DELETE, empty_node="node-a")
    assert _endings(await executor.carry_out((change,))) == [ending]
    assert len(server.writes) == (ending == "done")


async def test_a_serving_pod_with_the_label_of_a_placeholder_keeps_its_node(
    executor: ChangeExecutor, server: ApiServer
) -> None:
    change = replace(DELETE, empty_node="node-a")
    seen = []
    for priority in (0, -10):
        pod = _pod("chat", "ReplicaSet", "1")
        pod["metadata"]["labels"] = {"foresail.io/placeholder": "h100"}
        pod["spec"]["priority"] = priority
        server.serve("/api/v1/pods", "Pod", pod)
        seen += _endings(await executor.carry_out((change,)))
    assert seen == ["a pod has come", "done"]


def _endings(outcomes: tuple[Outcome, ...]) -> list[str]:
    return [one.ending.value for one in outcomes]
