"""`foresail explain pod`: what is told of a placement, by page, by command and by Event."""

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from click.testing import CliRunner, Result
from kubernetes_asyncio.config import ConfigException
from prometheus_client import CollectorRegistry

from fleet.cluster.follow.watch import Listed
from fleet.cluster.kinds import Kind
from fleet.cluster.nodes import node_of
from foresail.cli import main
from foresail.explain.pod import Account, account, summary, text
from foresail.placement.event_queue import NOTE_BYTES_MAX, WAITING_MAX
from foresail.placement.placement_events import PlacementEvents, placement_event
from foresail.placement.scheduling import running
from scheduler.score.answers import Candidate, PlacementAnswer, Refusal
from scheduler.score.rule import BEGUN_NODES, EXPECTED_PODS
from scheduler.score.scarcity import WIDE_PLACES
from tests.foresail.test_explain import serving
from tests.foresail.test_scheduling import OPTIONS, Api, Asking, asking
from tests.scheduler.objects import A100, node, pod

SPLIT = "the 2 GPUs that its claim would get are in 2 NVLink islands"
ANSWER = PlacementAnswer(
    pod="llm/chat-0",
    uid="u1",
    at_seconds=100.0,
    asked=12,
    passed=2,
    candidates=(
        Candidate(
            node="a", score=10, milli=-304.0, columns={EXPECTED_PODS: -300.0, BEGUN_NODES: -4.0}
        ),
        Candidate(
            node="node-b", score=0, milli=-1808.0,
            columns={EXPECTED_PODS: -1300.0, BEGUN_NODES: -8.0, WIDE_PLACES: -500.0},
        ),
    ),
    refusals=(
        Refusal(
            reason=SPLIT, nodes=9, examples=("c", "d", "e"), for_now=True,
        ),
        Refusal(
            reason="GPU model l40s, not one that is asked for: h100-sxm", nodes=1, examples=("f",),
            for_now=False,
        ),
    ),
)  # fmt: skip
FULL = PlacementAnswer(
    pod="llm/chat-0", uid="u1", at_seconds=100.0, asked=1, passed=0,
    refusals=(
        Refusal(reason=SPLIT, nodes=1, examples=("a",), for_now=True),
    ),
)  # fmt: skip


def told(answer: PlacementAnswer = ANSWER) -> Account:
    return account(answer, now_seconds=134.0)


class TestText:
    def test_nodes_are_columns_and_terms_are_rows(self) -> None:
        assert text(told()) == (
            "llm/chat-0: 2 of 12 nodes can take it, answered 34 s ago\n"
            "  thousandths of a GPU     a  node-b\n"
            "  expected_pods         -300  -1,300\n"
            "  begun_nodes             -4      -8\n"
            "  wide_places             +0    -500\n"
            "  sum                   -304  -1,808\n"
            "  score                   10       0\n"
            "refused:\n"
            f"       9 for now: {SPLIT} (c, d, e, ...)\n"
            "       1 even if empty: GPU model l40s, not one that is asked for: h100-sxm (f)\n"
        )

    def test_the_documentation_shows_what_is_printed(self) -> None:
        page = (Path(__file__).parents[2] / "docs" / "scheduler.md").read_text()
        assert f"```text\n{text(told())}```\n" in page

    def test_an_account_is_json(self) -> None:
        again = json.loads(json.dumps(told()))
        assert again["candidates"][1]["columns"]["wide_places"] == -500.0
        assert text(again) == text(told())


@pytest.mark.looptime(False)  # sockets live in real time
class TestPage:
    async def test_the_last_answer_is_on_the_second_port(self) -> None:
        api = Api()
        async with asking(api) as asked:
            api.tell_all(but=Kind.NODE)
            nodes = node("a", gpus=4), node("b", gpus=1, product=A100)
            api.tell(Kind.NODE, Listed(tuple(map(node_of, nodes))))
            await asked.until_ready()
            assert await asked.passed("a", "b") == (["b"], None)
            status, page = await asked.page("/explain/pods/llm/p")
            as_json = json.loads((await asked.page("/explain/pods/llm/p?format=json"))[1])
        assert status == 200
        assert re.match(r"llm/p: 1 of 2 nodes can take it, answered \d+ s ago\n", page)
        assert "1 even if empty: GPU model h100-sxm, not one that is asked for" in page
        assert [one["node"] for one in as_json["candidates"]] == ["b"]

    async def test_of_a_pod_that_was_not_asked_about_it_says_what_is_kept(self) -> None:
        async with asking(Api()) as asked:
            status, page = await asked.page("/explain/pods/llm/other")
        assert status == 404
        assert page.startswith("no answer about pod llm/other is kept: only the last 256 pods' are")


def explained(server: str, *words: str) -> Result:
    return CliRunner().invoke(main, ["explain", *words, "--server", server])


class TestCommand:
    def test_it_asks_the_scheduler_and_prints_the_account(self) -> None:
        with serving(json.dumps(told())) as server:
            result = explained(server, "pod", "llm/chat-0")
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == text(told())

    def test_it_ends_with_3_where_no_node_can_take_the_pod(self) -> None:
        with serving(json.dumps(told(FULL))) as server:
            result = explained(server, "pod", "llm/chat-0", "-o", "json")
        assert result.exit_code == 3
        assert json.loads(result.stdout)["nodesPassed"] == 0
        assert result.stderr == "llm/chat-0: none of 1 nodes can take it\n"

    @pytest.mark.parametrize(
        ("body", "status", "said"),
        [
            pytest.param("[]", "200 OK", "no explanation of a pod", id="a-workload's"),
            pytest.param("no answer about pod", "404 Not Found", "no answer about pod", id="none"),
            pytest.param("", "502 Bad Gateway", "/explain/pods/llm/chat-0: status 502", id="502"),
        ],
    )
    def test_it_ends_with_1_where_there_is_no_account(
        self, body: str, status: str, said: str
    ) -> None:
        with serving(body, status=status) as server:
            result = explained(server, "pod", "llm/chat-0")
        assert (result.exit_code, result.stdout) == (1, "")
        assert said in result.stderr

    @pytest.mark.parametrize("words", ["pod", "pod chat-0", "pod a/b c/d", "a/b/c"])
    def test_another_form_is_refused(self, words: str) -> None:
        result = explained("http://127.0.0.1:1", *words.split())
        assert result.exit_code == 2
        assert "is not of the form" in result.stderr


class Posted:
    """Takes Events as an API server would, after the first `failures`."""

    def __init__(self, *failures: Exception) -> None:
        self.events: list[Mapping[str, Any]] = []
        self._failures = list(failures)

    async def __call__(self, event: Mapping[str, Any]) -> None:
        if self._failures:
            raise self._failures.pop(0)
        self.events.append(event)


class TestEvents:
    @pytest.mark.looptime(False)  # sockets live in real time
    async def test_a_pod_that_asks_for_it_gets_an_event_and_no_other_pod_does(self) -> None:
        api, posted = Api(), Posted()
        wanting = pod("wants", gpus=1)
        wanting["metadata"]["annotations"] = {"foresail.io/explain": "event"}
        async with running(OPTIONS, api.follow, posted) as ports, ClientSession() as session:
            asked = Asking(ports, session)
            api.tell_all()
            await asked.until_ready()
            await asked.passed("a")  # pod p does not ask
            url = f"http://127.0.0.1:{ports.extender}/filter"
            await session.post(url, json={"Pod": wanting, "NodeNames": ["a"]})
            async with asyncio.timeout(60):
                while not posted.events:
                    await asyncio.sleep(0.01)
        (event,) = posted.events
        assert event["regarding"] == {
            "apiVersion": "v1", "kind": "Pod", "namespace": "llm", "name": "wants", "uid": "wants",
        }  # fmt: skip
        assert event["note"].startswith("1 of 1 nodes can take it; best is a: ")

    async def test_the_same_answer_is_told_once_and_another_one_again(self) -> None:
        posted = Posted()
        events = PlacementEvents(posted, CollectorRegistry())
        task = asyncio.create_task(events.run())
        for answer in (ANSWER, ANSWER, FULL, FULL, ANSWER):
            events.take(answer)
        await asyncio.sleep(10)
        task.cancel()
        assert [event["note"][:8] for event in posted.events] == [
            "2 of 12 ",
            "0 of 1 n",
            "2 of 12 ",
        ]

    async def test_an_answer_whose_event_failed_is_told_again(self) -> None:
        posted = Posted(OSError("connection refused"))
        events = PlacementEvents(posted, CollectorRegistry())
        task = asyncio.create_task(events.run())
        for _ in range(3):
            events.take(ANSWER)
            await asyncio.sleep(10)
        task.cancel()
        assert [event["note"][:8] for event in posted.events] == ["2 of 12 "]

    async def test_more_than_can_wait_are_dropped_and_counted(self) -> None:
        posted, registry = Posted(OSError("connection refused")), CollectorRegistry()
        events = PlacementEvents(posted, registry)
        for at in range(WAITING_MAX + 5):
            events.take(PlacementAnswer(pod="a/b", uid=f"{at}", at_seconds=0, asked=1, passed=1))
        task = asyncio.create_task(events.run())
        await asyncio.sleep(WAITING_MAX - 0.5)  # one a second
        task.cancel()
        outcomes = {
            outcome: registry.get_sample_value(
                "foresail_extender_events_total", {"outcome": outcome}
            )
            for outcome in ("posted", "failed", "dropped")
        }
        assert outcomes == {"posted": WAITING_MAX - 1, "failed": 1, "dropped": 5}

    async def test_credentials_that_cannot_be_renewed_end_nothing(self) -> None:
        posted = Posted(ConfigException("Token file exists but empty."))
        events = PlacementEvents(posted, CollectorRegistry())
        events.take(ANSWER)
        events.take(FULL)
        task = asyncio.create_task(events.run())
        await asyncio.sleep(5)
        assert not task.done()
        task.cancel()
        assert [event["note"][:8] for event in posted.events] == ["0 of 1 n"]

    def test_an_event_is_one_that_the_api_server_takes(self) -> None:
        event = placement_event(ANSWER, "é" * NOTE_BYTES_MAX, 1_800_000_000.25)
        assert event["eventTime"] == "2027-01-15T08:00:00.250000+00:00"
        assert len(event["note"].encode()) == NOTE_BYTES_MAX
        assert event["metadata"]["namespace"] == event["regarding"]["namespace"] == "llm"

    def test_the_summary_names_the_best_node_and_the_refusals(self) -> None:
        assert summary(told()) == (
            "2 of 12 nodes can take it; best is a: -304 thousandths of a GPU "
            "(expected_pods -300, begun_nodes -4); "
            "refused 9: the 2 GPUs that its claim would get are in 2 NVLink islands; "
            "1: GPU model l40s, not one that is asked for: h100-sxm"
        )
