"""The extender over HTTP: what fits, what is best, and whatever a request may bring."""

import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from fleet.cluster.nodes import node_of
from fleet.quantities import quantity
from foresail.ports.sites import Sites
from scheduler.extender import REASON, Extender
from scheduler.extender_wire import arguments_of
from scheduler.fit import REASON_MAX
from scheduler.ledger import ANSWER_SECONDS
from scheduler.machines import Machine, machine_of
from scheduler.mix import Mix
from scheduler.placement import Shape
from scheduler.placement_state import SCORE_MAX, PlacementState
from scheduler.pods import (
    GPU_MILLI,
    GPU_MODELS,
    NVLINK,
    WEIGHTS,
    Known,
    Pod,
    UnreadablePodError,
    pod_of,
)
from scheduler.resource_claim import Claim

pytestmark = pytest.mark.looptime(False)  # sockets live in real time


def _json() -> st.SearchStrategy[object]:
    """Pods as nobody should write them: the API's fields, with anything in them."""
    leaf = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats()
    names = st.sampled_from(
        ["metadata", "spec", "containers", "resources", "requests", "limits", "labels", "uid",
         "annotations", "resourceClaims", "nvidia.com/gpu", "cpu", "status", "schedulingGroup",
         "foresail.io/gpu-milli", "leaderworkerset.sigs.k8s.io/name", "initContainers"]
    )  # fmt: skip
    return st.recursive(
        leaf,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
        max_leaves=12,
    )


MIX = Mix(
    {
        Shape(cpu_milli=4000, memory_mib=16_000, gpus=1, gpu_milli=1000): 3.0,
        Shape(cpu_milli=32_000, memory_mib=64_000, gpus=4, gpu_milli=1000): 1.0,
        Shape(cpu_milli=2000, memory_mib=8000, gpus=1, gpu_milli=300): 1.0,
    }
)


class LateClaims(dict[str, Claim | None]):
    """What a watch has told of claims: `team/late` some looks later."""

    looks = 0

    @override
    def get(self, name: str, default: Claim | None = None, /) -> Claim | None:
        self.looks += 1
        if self.looks == 5:
            self["team/late"] = Claim(key="", given=())
        return super().get(name, default)


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def machine(name: str, gpus: int = 8, *, model: str = "h100-sxm", **more: object) -> Machine:
    return Machine(
        name=name, cpu_milli=128_000, memory_mib=1_000_000, model=model, gpus=gpus,
        **more,  # type: ignore[arg-type]  # a test's shorthand
    )  # fmt: skip


def pod(
    uid: str = "u1", *, gpus: str = "1", annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
) -> dict[str, object]:  # fmt: skip
    return {
        "metadata": {
            "name": uid, "namespace": "team", "uid": uid, "annotations": annotations or {},
            "labels": labels or {},
        },
        "spec": {
            "containers": [
                {
                    "name": "main", "image": "vllm:1",
                    "resources": {"requests": {"cpu": "4", "memory": "16Gi",
                                               "nvidia.com/gpu": gpus}},
                }
            ]
        },
    }  # fmt: skip


def share(uid: str, milli: int) -> dict[str, object]:
    return pod(uid, annotations={GPU_MILLI: str(milli)})


def unscheduled(reason: str, message: str) -> dict[str, object]:
    condition = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    return {"phase": "Pending", "conditions": [condition]}


SHARING = Known(shares=True)
SHARE = pod(annotations={GPU_MILLI: "300", GPU_MODELS: "h100"})


def asked(document: object, *names: str) -> dict[str, object]:
    return {"Pod": document, "Nodes": None, "NodeNames": list(names)}


@asynccontextmanager
async def serving(
    *machines: Machine, clock: Clock | None = None, placement: bool = True
) -> AsyncIterator[tuple[ClientSession, PlacementState | None]]:
    made = PlacementState(machines, MIX) if placement else None
    extender = Extender(placement=made, clock=clock or Clock(), known=SHARING)
    server = TestServer(extender.application())
    await server.start_server()
    try:
        async with ClientSession(base_url=server.make_url("/")) as session:
            yield session, made
    finally:
        await server.close()


async def told(session: ClientSession, verb: str, body: object) -> object:
    async with session.post(f"/{verb}", json=body) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def passed(session: ClientSession, document: object, *names: str) -> list[str]:
    answer = await told(session, "filter", asked(document, *names))
    assert isinstance(answer, dict)
    left: list[str] = answer["NodeNames"]
    return left


class TestFilter:
    async def test_names_come_back_with_reasons_of_two_kinds(self) -> None:
        async with serving(machine("big"), machine("old", model="a100"), machine("full", 1)) as (
            session,
            placement,
        ):
            assert placement is not None
            placement.bound(pod_of(pod("other")), "full")
            answer = await told(session, "filter", asked(SHARE, "big", "old", "full"))
        assert answer == {
            "Nodes": None,
            "NodeNames": ["big"],
            # Room may come on the full one; another model never.
            "FailedNodes": {"full": "no GPU with 300 milli free"},
            "FailedAndUnresolvableNodes": {
                "old": "GPU model a100, not one that is asked for: h100-sxm"
            },
            "Error": "",
        }

    async def test_what_kube_scheduler_has_just_counted_is_not_counted_again(self) -> None:
        # The watch may be minutes behind: the pod that fills the node may be gone.
        async with serving(machine("a", 1), machine("none", 0)) as (session, placement):
            assert placement is not None
            for at in range(40):
                placement.bound(pod_of(pod(f"old-{at}")), "a")
            for gpus in ("1", "4"):
                answer = await told(session, "filter", asked(pod(gpus=gpus), "a", "none"))
                assert isinstance(answer, dict)
                assert answer["NodeNames"] == ["a", "none"]

    async def test_no_node_left_is_an_empty_list_and_not_nothing(self) -> None:
        async with serving(machine("a", model="a100")) as (session, _):
            answer = await told(session, "filter", asked(SHARE, "a"))
        assert isinstance(answer, dict)
        assert answer["NodeNames"] == []

    async def test_a_node_we_do_not_know_is_not_turned_away(self) -> None:
        async with serving(machine("a", model="a100")) as (session, _):
            answer = await told(session, "filter", asked(SHARE, "a", "new"))
        assert isinstance(answer, dict)
        assert answer["NodeNames"] == ["new"]

    async def test_a_node_whose_gpu_model_is_not_known_passes_and_comes_last(self) -> None:
        document = pod(annotations={GPU_MODELS: "h100 | h200-sxm"})
        machines = machine("a", model=""), machine("b", model="a100"), machine("c")
        async with serving(*machines) as (session, _):
            async with session.post("/filter", json=asked(document, "a", "b", "c")) as response:
                answer, reason = await response.json(), response.headers[REASON]
            scores = await told(session, "prioritize", asked(document, "a", "c"))
            alone = await told(session, "prioritize", asked(document, "a"))
        assert answer["NodeNames"] == ["a", "c"]
        assert reason == (
            "1 of the nodes have GPUs of a model that is not known: the agent, or the label"
            " nvidia.com/gpu.product of GPU feature discovery, tells it"
        )
        assert scores == [{"Host": "a", "Score": 0}, {"Host": "c", "Score": SCORE_MAX}]
        assert alone == [{"Host": "a", "Score": 0}]

    async def test_a_model_that_no_gpu_has_is_named_with_its_nearest(self) -> None:
        document = pod(annotations={GPU_MODELS: "a100-80-sxm"})
        async with serving(machine("a"), machine("b")) as (session, _):
            answer = await told(session, "filter", asked(document, "a", "b"))
        assert isinstance(answer, dict)
        assert answer["FailedAndUnresolvableNodes"] == {
            "a": "no GPU model is called 'a100-80-sxm': did you mean h100-sxm, a100-sxm-80,"
            " a100-sxm-40?; GPU model h100-sxm, not one that is asked for: a100-80-sxm",
            "b": "GPU model h100-sxm, not one that is asked for",
        }

    async def test_a_model_that_the_catalogue_lacks_is_the_one_that_a_node_has(self) -> None:
        document = pod(annotations={GPU_MODELS: "NVIDIA-New-1"})
        async with serving(machine("a"), machine("b", model="NVIDIA-New-1")) as (session, _):
            answer = await told(session, "filter", asked(document, "a", "b"))
        assert isinstance(answer, dict)
        assert answer["NodeNames"] == ["b"]
        assert answer["FailedAndUnresolvableNodes"] == {
            "a": "GPU model h100-sxm, not one that is asked for: NVIDIA-New-1"
        }

    async def test_whole_nodes_come_back_whole(self) -> None:
        items = [{"metadata": {"name": name}, "spec": {"x": 1}} for name in ("a", "b")]
        body = {"pod": SHARE, "nodes": {"items": items}}
        async with serving(machine("a"), machine("b", model="a100")) as (session, _):
            answer = await told(session, "filter", body)
        assert isinstance(answer, dict)
        assert answer["Nodes"] == {"items": [items[0]]}
        assert answer["NodeNames"] is None

    async def test_what_was_assumed_of_a_group_is_in_the_header(self) -> None:
        group = {"leaderworkerset.sigs.k8s.io/name": "llama"}
        size = {"leaderworkerset.sigs.k8s.io/size": "2"}
        member = pod(gpus="8", labels=group, annotations=size)
        async with serving(machine("a"), machine("b")) as (session, _):  # noqa: SIM117
            async with session.post("/filter", json=asked(member, "a", "b")) as response:
                assert (await response.json())["NodeNames"] == ["a", "b"]
                assert response.headers[REASON] == (
                    "1 of them not seen yet, taken to ask what this pod asks"
                )

    async def test_a_group_that_has_no_room_as_a_whole_does_not_begin(self) -> None:
        group = {"leaderworkerset.sigs.k8s.io/name": "llama"}
        size = {"leaderworkerset.sigs.k8s.io/size": "3"}
        member = pod(gpus="8", labels=group, annotations=size)
        async with serving(machine("a"), machine("b")) as (session, _):
            answer = await told(session, "filter", asked(member, "a", "b"))
        assert isinstance(answer, dict)
        assert answer["NodeNames"] == []
        assert "room for 2 of the 3 pods" in answer["FailedNodes"]["a"]

    async def test_a_claim_that_the_watch_tells_a_moment_later_is_waited_for(self) -> None:
        claims = LateClaims()
        extender = Extender(
            placement=PlacementState([machine("a")], MIX), clock=Clock(), known=Known(claims=claims)
        )
        document = pod(gpus="0")
        spec = document["spec"]
        assert isinstance(spec, dict)
        spec["resourceClaims"] = [{"name": "g", "resourceClaimName": "late"}]
        server = TestServer(extender.application())
        await server.start_server()
        async with ClientSession(base_url=server.make_url("/")) as session:
            async with session.post("/filter", json=asked(document, "a")) as response:
                assert REASON not in response.headers
            spec["resourceClaims"] = [{"name": "g", "resourceClaimName": "never"}]
            async with session.post("/filter", json=asked(document, "a")) as response:
                assert (await response.json())["NodeNames"] == ["a"]
                assert "team/never is not known" in response.headers[REASON]
        await server.close()


class TestPrioritise:
    async def test_exactly_one_node_has_the_highest_score_whatever_the_order(self) -> None:
        names = ["a", "b", "c"]
        for order in (names, names[::-1]):
            async with serving(*(machine(name) for name in names)) as (session, _):
                scores = await told(session, "prioritize", asked(pod(), *order))
            assert isinstance(scores, list)
            best = [one["Host"] for one in scores if one["Score"] == SCORE_MAX]
            assert best == ["a"]
            assert all(0 <= one["Score"] <= SCORE_MAX for one in scores)

    async def test_what_was_answered_counts_before_it_is_seen(self) -> None:
        async with serving(machine("a", 1), machine("b", 1)) as (session, _):
            chosen = []
            for uid in ("one", "two"):
                scores = await told(session, "prioritize", asked(share(uid, 600), "a", "b"))
                assert isinstance(scores, list)
                chosen += [one["Host"] for one in scores if one["Score"] == SCORE_MAX]
            answer = await told(session, "filter", asked(share("three", 600), "a", "b"))
        assert sorted(chosen) == ["a", "b"]
        assert isinstance(answer, dict)
        assert answer["NodeNames"] == []

    async def test_asking_again_for_a_pod_takes_back_the_last_answer(self) -> None:
        async with serving(machine("a", 1)) as (session, placement):
            for _ in range(3):
                await told(session, "prioritize", asked(pod("same"), "a"))
            assert placement is not None
            assert placement.assumed == 1

    async def test_an_answer_for_a_pod_that_was_never_seen_expires(self) -> None:
        clock = Clock()
        async with serving(machine("a", 1), clock=clock) as (session, _):
            await told(session, "prioritize", asked(share("lost", 600), "a"))
            clock.seconds += ANSWER_SECONDS - 1
            assert await passed(session, share("next", 600), "a") == []
            clock.seconds += 1
            assert await passed(session, share("next", 600), "a") == ["a"]

    @pytest.mark.parametrize("is_seen_first", [True, False])
    async def test_an_answer_for_a_pod_that_waits_stands_as_long_as_a_binding_may_take(
        self, *, is_seen_first: bool
    ) -> None:
        # Permit and binding may take many minutes, and of shares only we know.
        clock = Clock()
        lost = share("slow", 600)
        async with serving(machine("a", 1), clock=clock) as (session, placement):
            assert placement is not None
            if is_seen_first:
                placement.waits(pod_of(lost, SHARING))
            await told(session, "prioritize", asked(lost, "a"))
            placement.waits(pod_of(lost, SHARING))
            clock.seconds += ANSWER_SECONDS - 1
            assert await passed(session, share("next", 600), "a") == []
            clock.seconds += 1
            # It failed without a word, and kube-scheduler asks no more while nothing fits it.
            assert await passed(session, share("next", 600), "a") == ["a"]

    async def test_an_answer_for_a_pod_that_was_deleted_since_takes_nothing(self) -> None:
        async with serving(machine("a", 1)) as (session, placement):
            assert placement is not None
            await told(session, "prioritize", asked(share("slow", 600), "a"))
            placement.waits(pod_of(share("slow", 600), SHARING))
            placement.gone("slow")
            assert await passed(session, share("next", 600), "a") == ["a"]

    @pytest.mark.parametrize(
        ("before", "since"),
        [
            (None, ("Unschedulable", "0/1 nodes are available")),
            ("0/1 nodes are available", ("SchedulerError", "binding rejected")),
            ("0/1 nodes are available", ("Unschedulable", "timed out at permit")),
        ],
    )
    async def test_an_answer_for_a_pod_that_kube_scheduler_gave_up_takes_nothing(
        self, before: str | None, since: tuple[str, str]
    ) -> None:
        tried = share("tried", 600)
        if before is not None:
            tried["status"] = unscheduled("Unschedulable", before)
        async with serving(machine("a", 1)) as (session, placement):
            assert placement is not None
            placement.waits(pod_of(tried, SHARING))
            await told(session, "prioritize", asked(tried, "a"))
            placement.waits(pod_of(tried, SHARING))  # what was known when it was asked about
            assert await passed(session, share("next", 600), "a") == []
            placement.waits(pod_of({**tried, "status": unscheduled(*since)}, SHARING))
            assert placement.assumed == 0
            assert await passed(session, share("next", 600), "a") == ["a"]

    async def test_an_answer_for_a_pod_that_was_deleted_before_takes_nothing(self) -> None:
        async with serving(machine("a", 1)) as (session, placement):
            assert placement is not None
            placement.gone("late")
            await told(session, "prioritize", asked(share("late", 600), "a"))
            assert await passed(session, share("next", 600), "a") == ["a"]

    async def test_a_cheaper_generation_is_preferred_at_the_same_fit(self) -> None:
        machines = machine("dear", usd_per_gpu_hour=6.88), machine("cheap", usd_per_gpu_hour=1.86)
        async with serving(*machines) as (session, _):
            scores = await told(session, "prioritize", asked(pod(), "dear", "cheap"))
        assert isinstance(scores, list)
        assert {one["Host"]: one["Score"] for one in scores}["cheap"] == SCORE_MAX

    async def test_members_of_a_group_stay_in_one_clique(self) -> None:
        racks = [machine(f"r{rack}n{at}", 4, clique=f"c{rack}") for rack in (1, 2) for at in (1, 2)]
        group = {"jobset.sigs.k8s.io/jobset-name": "train"}
        names = [one.name for one in racks]
        chosen = []
        async with serving(*racks) as (session, _):
            for uid in ("m1", "m2"):
                member = pod(uid, gpus="4", labels=group)
                scores = await told(session, "prioritize", asked(member, *names))
                assert isinstance(scores, list)
                chosen += [one["Host"] for one in scores if one["Score"] == SCORE_MAX]
        assert len(set(chosen)) == 2
        assert len({name[:2] for name in chosen}) == 1


PLACEMENT = PlacementState([machine("a"), machine("b", 1)], MIX)


class TestHostile:
    @pytest.mark.parametrize(
        ("body", "why"),
        [
            pytest.param(b"", "not JSON", id="empty"),
            pytest.param(b"[1]", "not ExtenderArgs", id="a-list"),
            pytest.param(b"{}", "without Pod", id="no-pod"),
            pytest.param(b'{"Pod": {}}', "neither NodeNames nor Nodes", id="no-nodes"),
            pytest.param(b'{"Pod": {}, "NodeNames": "a"}', "not a list of names", id="names"),
            pytest.param(b'{"Pod": 3, "NodeNames": ["a"]}', "pod is int", id="pod-is-a-number"),
            pytest.param(
                b'{"Pod": {"spec": {"containers": [3]}}, "NodeNames": ["a"]}',
                "an entry of containers is int",
                id="container",
            ),
            pytest.param(b"[" * 100_000, "not JSON", id="deep"),
        ],
    )
    async def test_what_cannot_be_read_is_an_error_that_says_why(
        self, body: bytes, why: str
    ) -> None:
        async with serving(machine("a")) as (session, _):
            async with session.post("/filter", data=body) as response:
                answer = await response.json()
                assert response.status == 200
            async with session.post("/prioritize", data=body) as response:
                assert response.status == 400
                assert why in await response.text()
        assert why in answer["Error"]
        assert answer["NodeNames"] is None  # an error, and no empty list of nodes

    @pytest.mark.parametrize(
        "amount", ["-1", "1e99", "ten", "9" * 400, "1Zi", "NaN", "0x10", "1/0", "99999"]
    )
    async def test_amounts_that_make_no_sense_are_named_or_do_not_fit(self, amount: str) -> None:
        async with serving(machine("a")) as (session, _):
            answer = await told(session, "filter", asked(pod(gpus=amount), "a"))
        assert isinstance(answer, dict)
        assert "pod team/u1" in answer["Error"]

    async def test_before_the_first_snapshot_every_node_passes_and_it_says_why(self) -> None:
        async with serving(placement=False) as (session, _):
            async with session.post("/filter", json=asked(pod(), "a", "b")) as response:
                answer, reason = await response.json(), response.headers[REASON]
            scores = await told(session, "prioritize", asked(pod(), "a", "b"))
            async with session.get("/readyz") as response:
                assert response.status == 503
        assert (answer["NodeNames"], answer["Error"], answer["FailedNodes"]) == (["a", "b"], "", {})
        assert reason == "no snapshot of the cluster yet"
        assert scores == [{"Host": "a", "Score": 0}, {"Host": "b", "Score": 0}]

    async def test_what_is_old_turns_no_node_away(self) -> None:
        extender = Extender(
            placement=PlacementState([machine("a", model="a100")], MIX),
            clock=Clock(),
            stale="what is known of pods is old",
        )
        server = TestServer(extender.application())
        await server.start_server()
        async with ClientSession(base_url=server.make_url("/")) as session:
            async with session.post("/filter", json=asked(SHARE, "a")) as response:
                assert (await response.json())["NodeNames"] == ["a"]
                assert response.headers[REASON] == "what is known of pods is old"
            async with session.get("/readyz") as response:
                assert (response.status, await response.text()) == (
                    503,
                    "what is known of pods is old\n",
                )
        await server.close()

    @pytest.mark.parametrize("count", [0, 1, 20_000])
    async def test_any_number_of_names_is_answered(self, count: int) -> None:
        names = [f"n{at}" for at in range(count)]
        async with serving(machine("n0", model="a100")) as (session, _):
            answer = await told(session, "filter", asked(SHARE, *names))
            scores = await told(session, "prioritize", asked(pod(), *names))
        assert isinstance(answer, dict)
        assert isinstance(scores, list)
        # Only the one that is known is turned away.
        assert answer["NodeNames"] == names[1:]
        assert [one["Host"] for one in scores] == names

    async def test_a_name_that_is_asked_twice_is_answered_twice(self) -> None:
        async with serving(machine("a")) as (session, _):
            scores = await told(session, "prioritize", asked(pod(), "a", "a"))
        assert isinstance(scores, list)
        assert sorted(one["Score"] for one in scores) == [9, 10]

    async def test_what_a_tenant_writes_is_not_sent_back_for_every_node(self) -> None:
        names = [f"n{at}" for at in range(5000)]
        wanted = "|".join(f"model-{at}" for at in range(380))
        document = pod(annotations={GPU_MODELS: wanted})
        async with serving(*(machine(name) for name in names)) as (session, _):  # noqa: SIM117
            async with session.post("/filter", json=asked(document, *names)) as response:
                body = await response.read()
        refused = json.loads(body)["FailedAndUnresolvableNodes"]
        assert len(refused) == 5000
        assert max(map(len, refused.values())) <= REASON_MAX
        assert len(body) < 1_000_000

    @pytest.mark.parametrize(
        ("name", "value", "why"),
        [
            pytest.param(
                NVLINK, "Required", "is 'Required'; its only value is 'required'", id="nvlink"
            ),
            pytest.param(
                GPU_MODELS,
                "m|" * 100_000,
                "has 200000 characters; at most 4096 are read",
                id="models",
            ),
            pytest.param(
                GPU_MODELS, " | ", "is ' | '; it takes GPU models joined by |", id="no-model"
            ),
            pytest.param(
                WEIGHTS,
                "m|" * 100_000,
                "has 200000 characters; at most 4096 are read",
                id="weights",
            ),
        ],
    )
    @pytest.mark.parametrize("knows", ["all", "nothing", "what-is-old"])
    async def test_an_annotation_without_sense_keeps_its_pod_from_every_node(
        self, name: str, value: str, why: str, knows: str
    ) -> None:
        # An error would let it run on any node: kube-scheduler skips it where `ignorable`.
        placement = None if knows == "nothing" else PlacementState([machine("a")], MIX)
        stale = "what is known of pods is old" if knows == "what-is-old" else None
        extender = Extender(placement=placement, clock=Clock(), stale=stale)
        document = pod(annotations={GPU_MODELS: "h100", name: value})
        server = TestServer(extender.application())
        await server.start_server()
        async with ClientSession(base_url=server.make_url("/")) as session:
            answer = await told(session, "filter", asked(document, "a", "new"))
            scores = await told(session, "prioritize", asked(document, "a", "new"))
        await server.close()
        assert answer == {
            "Nodes": None,
            "NodeNames": [],
            "FailedNodes": {},
            "FailedAndUnresolvableNodes": {
                "a": f"annotation {name} {why}",
                "new": "an annotation of the pod makes no sense",
            },
            "Error": "",
        }
        assert scores == [{"Host": "a", "Score": 0}, {"Host": "new", "Score": 0}]

    async def test_the_last_answer_of_a_pod_is_taken_back_when_an_annotation_lost_its_sense(
        self,
    ) -> None:
        async with serving(machine("a", 1)) as (session, placement):
            assert placement is not None
            await told(session, "prioritize", asked(share("same", 600), "a"))
            await told(session, "filter", asked(pod("same", annotations={NVLINK: "x"}), "a"))
            assert placement.assumed == 0

    @pytest.mark.parametrize("verb", ["filter", "prioritize"])
    async def test_a_compressed_body_is_refused_and_not_unpacked(self, verb: str) -> None:
        bomb = gzip.compress(b" " * 100 * 2**20)
        extender = Extender(placement=PlacementState([machine("a")], MIX), clock=Clock())
        async with Sites() as sites:
            port = await sites.add(extender.application(), "127.0.0.1:0", takes_bodies=True)
            url = f"http://127.0.0.1:{port}/{verb}"
            async with ClientSession() as session:
                # A first request loads what any request loads.
                await session.post(url, json=asked(pod(), "a"))
                tracemalloc.start()
                headers = {"Content-Encoding": "gzip"}
                async with session.post(url, data=bomb, headers=headers) as response:
                    assert response.status == 415
                    assert "Content-Encoding 'gzip' is not read" in await response.text()
                _, peak = tracemalloc.get_traced_memory()
                tracemalloc.stop()
        assert peak < 10 * 2**20

    @settings(max_examples=150, deadline=None)
    @given(_json())
    def test_whatever_json_a_pod_is_gets_an_answer(self, document: object) -> None:
        try:
            made = pod_of(document)
        except UnreadablePodError:
            return
        result = PLACEMENT.filter(made, ["a", "b", "new"], now_seconds=0)
        assert {*result.passed, *result.failed, *result.unresolvable} == {"a", "b", "new"}
        scores = PLACEMENT.prioritise(made, ["a", "b", "new"], now_seconds=0)
        PLACEMENT.gone(made.uid)
        assert all(0 <= score <= SCORE_MAX for score in scores)


class TestQuantity:
    @pytest.mark.parametrize(
        ("text", "amount"),
        [("500m", 0.5), ("2", 2), ("1.5", 1.5), ("16Gi", 16 * 2**30), ("2e9", 2e9), ("1E", 1e18)],
    )
    def test_quantities_as_kubernetes_writes_them(self, text: str, amount: float) -> None:
        assert quantity(text) == amount

    @pytest.mark.parametrize("text", ["", "1 Gi", "--1", "Infinity", None, [], {}])
    def test_what_is_no_quantity_is_refused(self, text: object) -> None:
        with pytest.raises(ValueError, match="is no quantity"):
            quantity(text)


class TestObjects:
    def test_a_node_object_is_a_machine(self) -> None:
        document = {
            "metadata": {
                "name": "gpu-1",
                "labels": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
            },
            "status": {
                "allocatable": {"cpu": "95900m", "memory": "1000Gi", "nvidia.com/gpu": "4"},
                "images": [{"names": ["vllm:1"]}],
            },
        }
        made = machine_of(node_of(document))
        assert (made.cpu_milli, made.memory_mib, made.gpus) == (95_900, 1_024_000, 4)
        assert made.islands == ()  # no agent: unknown
        assert made.images == {"vllm:1"}
        assert made.usd_per_gpu_hour is None  # unknown, and not free

    def test_an_init_container_runs_beside_the_sidecars_that_started_before_it(self) -> None:
        def container(cpu: str, **more: str) -> dict[str, object]:
            return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **more}

        made = pod_of(
            {
                "metadata": {"name": "p"},
                "spec": {
                    "containers": [container("1")],
                    "initContainers": [
                        container("500m", restartPolicy="Always"),
                        container("1200m"),
                    ],
                },
            },
        )
        assert made.shape.cpu_milli == 1700  # max(1 + 0.5, 0.5 + 1.2)

    def test_a_share_is_an_annotation_in_thousandths(self) -> None:
        document = pod(annotations={"foresail.io/gpu-milli": "300"})
        assert pod_of(document, SHARING).shape.gpu_milli == 300

    @pytest.mark.parametrize("milli", ["300", "500m", "many"])
    def test_where_nothing_gives_out_shares_a_pod_has_a_whole_gpu(self, milli: str) -> None:
        document = pod(annotations={"foresail.io/gpu-milli": milli})
        assert pod_of(document).shape.total_milli == 1000

    def test_an_unreadable_pod_is_named(self) -> None:
        with pytest.raises(UnreadablePodError, match=r"pod team/u1: .*'many' is no quantity"):
            pod_of(pod(gpus="many"))


class TestPlacementState:
    def test_random_pods_bound_and_gone_leave_the_nodes_as_they_were(self) -> None:
        placement = PlacementState([machine("a"), machine("b", 4)], MIX)
        before = placement.nodes.gpus.tolist()
        made: list[Pod] = [
            pod_of(pod(f"p{at}", gpus=gpus)) for at, gpus in enumerate(("1", "2", "1", "4"))
        ]
        for one in made:
            placement.bound(one, "a")
        assert int(placement.nodes.idle.sum()) == 12_000 - 8000
        for one in reversed(made):
            placement.gone(one.uid)
        assert placement.nodes.gpus.tolist() == before

    def test_a_binding_elsewhere_than_answered_is_believed(self) -> None:
        placement = PlacementState([machine("a"), machine("b")], MIX)
        one = pod_of(pod("p"))
        scores = placement.prioritise(one, ["a", "b"], now_seconds=0)
        other = ["a", "b"][scores.index(min(scores))]
        placement.bound(one, other)
        taken = {
            name: int(8000 - idle) for name, idle in zip("ab", placement.nodes.idle, strict=True)
        }
        assert taken == {other: 1000, ({"a", "b"} - {other}).pop(): 0}


def test_json_of_any_case_is_read() -> None:
    body = json.dumps({"POD": pod(), "nodenames": ["a"]}).encode()
    assert arguments_of(body).names == ["a"]
