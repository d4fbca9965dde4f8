"""Messages between the answering and the planning process arrive in order and whole."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from foresail.serve.link import (
    AllKnown,
    Asked,
    Begin,
    Failed,
    FeedFound,
    FeedsWanted,
    Front,
    Known,
    Link,
    Message,
    Published,
    Started,
    States,
)
from foresail.settings.file import Settings, read
from scaler.decision.answers import Answer, Outcome, Reference, Refusal, RefusalCode, TimedOutcome
from scaler.limits import Limit
from scaler.serving.changes import Arrival, Changes
from scaler.trigger_parsing import AllowedOptions, parse

pytestmark = pytest.mark.looptime(False)  # sockets live in real time

EXAMPLE = Path(__file__).parents[2] / "deploy" / "examples" / "foresail.yaml"


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Link, Link]]:
    ours, theirs = socket.socketpair()
    links = await Link.over(ours), await Link.over(theirs)
    yield links
    for link in links:
        link.close()
    await asyncio.sleep(0)


async def heard(link: Link) -> Message | None:
    async with asyncio.timeout(60):
        return await link.receive()


def settings() -> Settings:
    return read(EXAMPLE)


def timed(outcome: Outcome) -> TimedOutcome:
    return TimedOutcome(outcome=outcome, read_at_seconds=7.25, valid_until_seconds=307.25)


METADATA = {"model": "qwen", "maxReplicas": "4", "events": "0 9 * * mon-fri for 30m x2.5"}
ALLOWED = AllowedOptions(
    engines={"vllm": False}, sources=frozenset({"main"}), default_source="main"
)
REFERENCE = Reference.of("llm", "qwen", METADATA)
UNREAD = Refusal(code=RefusalCode.UNAVAILABLE, message="é")
ARRIVAL = Arrival(
    reference=REFERENCE,
    trigger_spec=parse(METADATA, ALLOWED),
    timed=timed(UNREAD),
    asked_at_seconds=12.5,
)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(Begin(settings()), id="begin"),
        pytest.param(Known(Changes(forgotten=(REFERENCE,), arrived=(ARRIVAL,))), id="known"),
        pytest.param(Asked(((REFERENCE, 12.5),)), id="asked"),
        pytest.param(
            Front(accepting=True, metrics=b"# \xc3\xa9\n", limits={Limit.NAME: 2}), id="front"
        ),
        pytest.param(AllKnown(), id="all-known"),
        pytest.param(Started(8080, 6501), id="started"),
        pytest.param(Failed("listen.http: taken"), id="failed"),
        pytest.param(States((b"one", b"two")), id="states"),
        pytest.param(FeedsWanted(("a", "b")), id="feeds-wanted"),
        pytest.param(FeedFound("a", b"state"), id="feed-found"),
        pytest.param(FeedFound("b", None), id="feed-not-found"),
        pytest.param(
            Published(
                REFERENCE, timed(Answer(replicas=3, active=True, made_at_seconds=1.5)), b"state"
            ),
            id="answer",
        ),
        pytest.param(Published(REFERENCE, timed(UNREAD), None), id="refusal"),
    ],
)
async def test_every_message_arrives_as_it_was_sent(
    ends: tuple[Link, Link], message: Message
) -> None:
    ours, theirs = ends

    ours.send(message)

    assert await heard(theirs) == message


async def test_messages_arrive_in_order_both_ways(ends: tuple[Link, Link]) -> None:
    ours, theirs = ends
    for port in range(500):
        ours.send(Started(port))
        theirs.send(Started(-port))

    assert [await heard(theirs) for _ in range(500)] == [Started(port) for port in range(500)]
    assert [await heard(ours) for _ in range(500)] == [Started(-port) for port in range(500)]


async def test_a_message_larger_than_any_buffer_arrives_whole(ends: tuple[Link, Link]) -> None:
    ours, theirs = ends
    page = bytes(range(256)) * 40_000  # 10 MiB

    # Sending does not wait for the other end, which only now begins to read.
    ours.send(Front(accepting=True, metrics=page, limits={}))
    ours.send(Started(1))

    assert await heard(theirs) == Front(accepting=True, metrics=page, limits={})
    assert await heard(theirs) == Started(1)


async def test_messages_sent_before_the_end_arrive_and_then_none(
    ends: tuple[Link, Link],
) -> None:
    ours, theirs = ends
    ours.send(Failed("no"))
    ours.close()

    assert await heard(theirs) == Failed("no")
    assert await heard(theirs) is None
    assert await heard(theirs) is None


async def test_an_end_that_dies_within_a_message_is_gone() -> None:
    raw, theirs = socket.socketpair()
    link = await Link.over(theirs)
    raw.sendall(b"\x00\x00\x10\x00only a part")
    raw.close()

    assert await heard(link) is None
    link.close()


async def test_after_the_other_end_died_with_something_unread_sending_is_no_error() -> None:
    raw, theirs = socket.socketpair()
    link = await Link.over(theirs)
    link.send(Started(1))
    assert raw.recv(1, socket.MSG_PEEK)  # arrived, and left unread: closing resets the connection
    raw.close()

    for _ in range(10):
        link.send(Started(2))

    assert await heard(link) is None
    link.close()


async def test_of_an_end_that_is_behind_only_the_newest_outcome_of_each_object_waits(
    ends: tuple[Link, Link], limits_exceeded: Callable[[], set[Limit]]
) -> None:
    ours, theirs = ends
    state = b"x" * 2**16
    objects = [Reference.of("llm", f"o-{n}", METADATA) for n in range(10)]

    # 200 MiB, while the other end reads nothing.
    for replicas in range(320):
        for reference in objects:
            answer = Answer(replicas=replicas, active=True, made_at_seconds=0.0)
            ours.send(Published(reference, timed(answer), state))
        await asyncio.sleep(0)
    ours.send(AllKnown())
    newest: dict[Reference, int] = {}
    count = 0
    async with asyncio.timeout(60):
        while set(newest.values()) != {319}:
            message = await theirs.receive()
            if isinstance(message, Published):
                assert isinstance(message.timed.outcome, Answer)
                newest[message.reference] = message.timed.outcome.replicas
                count += 1

    assert len(newest) == 10
    assert count < 100
    assert Limit.LINK_BYTES in limits_exceeded()
