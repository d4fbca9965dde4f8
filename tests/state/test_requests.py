"""Feeds' states asked for across two processes, and where a planner takes them from."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from foresail.serve.link import FeedFound, FeedsWanted, Message
from foresail.serve.states import PlannerStates
from foresail.settings.serving import StateSettings
from scaler.decision.demand import Demand, DemandState, Mix
from scaler.serving.state_files import StateFiles, name_of, slice_of
from scaler.serving.state_requests import REQUEST_SECONDS_MAX, FeedRequests
from scaler.state.feed_bytes import decode_feed, encode_feed
from scaler.state.frames import Frame
from scaler.state.records import FeedState
from scaler.state.workload_bytes import encode_workload
from tests.state.records import NOW, REFERENCE, feed, workload


async def read(requests: FeedRequests, keys: Sequence[str]) -> list[bytes]:
    return [payload async for payload in requests.read(keys)]


async def test_states_come_in_any_order_and_missing_ones_are_left_out() -> None:
    sent: list[tuple[str, ...]] = []
    requests = FeedRequests(sent.append)
    task = asyncio.create_task(read(requests, ["a", "b", "c"]))
    await asyncio.sleep(1)
    for key, payload in (("c", b"C"), ("b", None), ("stranger", b"S"), ("a", b"A"), ("a", b"A2")):
        requests.found(key, payload)

    assert await task == [b"C", b"A"]
    assert sent == [("a", "b", "c")]


async def test_a_request_ends_in_time_with_what_there_is() -> None:
    requests = FeedRequests(lambda _: None)
    begun = asyncio.get_running_loop().time()
    task = asyncio.create_task(read(requests, ["a", "b"]))
    await asyncio.sleep(1)
    requests.found("a", b"A")

    assert await task == [b"A"]
    assert asyncio.get_running_loop().time() - begun == REQUEST_SECONDS_MAX


class PeersLink:
    """A link to an answering process whose peers have some feeds."""

    def __init__(self, **feeds: bytes) -> None:
        self.feeds = feeds
        self.sent: list[Message] = []
        self.states: PlannerStates | None = None

    def send(self, message: Message) -> None:
        self.sent.append(message)
        if isinstance(message, FeedsWanted) and self.states is not None:
            for key in message.keys:
                found = self.states.requests.found
                asyncio.get_running_loop().call_soon(found, key, self.feeds.get(key))


def planner(link: PeersLink, *, directory: Path | None = None, peers: bool = False):
    settings = StateSettings(directory=directory, peers="peers:6500" if peers else None)
    link.states = PlannerStates(settings, link)  # type: ignore[arg-type]
    return link.states


def on_disk(directory: Path, state: FeedState) -> None:
    frame = Frame(
        name=name_of(state.key), at_seconds=state.taken_at_seconds, payload=encode_feed(state)
    )
    directory.mkdir(exist_ok=True)
    StateFiles(directory).write_feeds(
        slice_of(state.key), [frame], now_seconds=state.taken_at_seconds
    )


def demand(*, at: float = NOW, prompt: float = 100.0) -> Demand:
    return Demand(
        at_seconds=at, prompt_tokens=prompt, generated_tokens=None, requests=None, in_flight=None
    )


def mix(*, requests: float) -> DemandState:
    return DemandState(mix=Mix(at_seconds=NOW, requests=requests), waiting_at_seconds=NOW)


OF_PEER = feed("a", snapshot=b"of the peer")
OF_DISK = feed("a", snapshot=b"of the disk")
STEP_NOW = int(OF_DISK.taken_at_seconds // OF_DISK.tracker.step_seconds)


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foresail.serve.states.wall_clock", lambda: OF_PEER.taken_at_seconds)


async def test_a_peers_state_comes_before_the_disks(tmp_path: Path) -> None:
    on_disk(tmp_path / "states", OF_DISK)
    states = planner(PeersLink(a=encode_feed(OF_PEER)), directory=tmp_path / "states", peers=True)

    assert await states.feed("a") == OF_PEER


@pytest.mark.parametrize(
    "of_peer", [{}, {"a": b"\xff"}, {"a": encode_feed(feed("b"))}], ids=["none", "broken", "other"]
)
async def test_without_a_usable_one_of_a_peer_it_is_the_disks(
    tmp_path: Path, of_peer: dict[str, bytes]
) -> None:
    on_disk(tmp_path / "states", OF_DISK)
    states = planner(PeersLink(**of_peer), directory=tmp_path / "states", peers=True)
    with capture_logs() as said:
        assert await states.feed("a") == OF_DISK

    assert [line["event"] for line in said] == ["state_refused"] * len(of_peer)


async def test_nothing_anywhere_is_none_and_no_error(tmp_path: Path) -> None:
    assert await planner(PeersLink()).feed("a") is None
    assert await planner(PeersLink(), directory=tmp_path / "none").feed("a") is None


async def test_peers_are_not_asked_where_the_settings_name_none(tmp_path: Path) -> None:
    link = PeersLink(a=encode_feed(OF_PEER))

    assert await planner(link).feed("a") is None
    assert link.sent == []


async def test_feeds_are_handed_over_one_by_one_and_unknown_ones_named() -> None:
    link = PeersLink()

    await planner(link).hand_over(["a", "stranger"], lambda: {"a": lambda: OF_PEER})

    first, second = link.sent
    assert isinstance(first, FeedFound)
    assert first.payload is not None
    assert decode_feed(first.payload) == OF_PEER
    assert second == FeedFound("stranger", None)


async def test_an_inherited_workload_is_resumed_once_and_its_bytes_pass_on() -> None:
    states = planner(PeersLink())
    payload = encode_workload(workload()) + b"\xa2\x06\x05hello"
    states.inherit([payload, b"\xff"])

    inherited = states.workload(REFERENCE)
    assert inherited is not None
    assert inherited.answer == workload().answer
    assert states.payload(REFERENCE) == payload
    assert states.workload(REFERENCE) is None

    states.note(workload(8))
    assert states.payload(REFERENCE) == encode_workload(workload(8))
    states.forget(REFERENCE)
    assert states.payload(REFERENCE) is None


async def test_an_inherited_state_of_a_workload_that_goes_on_here_is_dropped() -> None:
    states = planner(PeersLink())
    other = workload(name="other")
    states.inherit([encode_workload(workload()), encode_workload(other)])

    states.note(workload(8))  # known here already: nothing resumes from the state
    states.forget(other.reference)

    assert states.workload(REFERENCE) is None
    assert states.workload(other.reference) is None


async def test_feeds_are_listed_once_for_all_keys_of_a_request() -> None:
    listed = 0

    def feeds():
        nonlocal listed
        listed += 1
        return {"a": lambda: OF_PEER}

    await planner(PeersLink()).hand_over(["a", "b", "c"], feeds)

    assert listed == 1


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        pytest.param({"open_step": 2**40}, "from_the_future", id="step-ahead"),
        pytest.param({"open_step": -5}, "too_old", id="step-behind"),
        pytest.param({"demand": demand(at=OF_PEER.taken_at_seconds + 3600)}, "from_the_future"),
        pytest.param({"demand": demand(prompt=float("nan"))}, "corrupted", id="nan"),
        pytest.param({"looks": (demand(prompt=-1.0),)}, "corrupted", id="negative"),
        pytest.param({"demand_state": mix(requests=float("nan"))}, "corrupted", id="mix-nan"),
        pytest.param({"demand_state": mix(requests=float("inf"))}, "corrupted", id="mix-inf"),
        pytest.param(
            {"open_step": STEP_NOW, "clock_steps": ((STEP_NOW + 1, 60),)},
            "corrupted",
            id="clock-set-in-a-step-to-come",
        ),
    ],
)
async def test_a_feeds_state_that_no_tracker_makes_is_refused_and_said_once(
    tmp_path: Path, changed: dict[str, object], reason: str
) -> None:
    absurd = replace(OF_DISK, tracker=replace(OF_DISK.tracker, **changed))  # type: ignore[arg-type]
    on_disk(tmp_path / "states", absurd)
    states = planner(PeersLink(), directory=tmp_path / "states")
    with capture_logs() as said:
        assert await states.feed("a") is None

    assert [(line["event"], line["reason"]) for line in said] == [("state_refused", reason)]


async def test_a_feeds_state_of_this_minute_is_used(tmp_path: Path) -> None:
    now = OF_DISK.taken_at_seconds
    sane = replace(
        OF_DISK,
        tracker=replace(
            OF_DISK.tracker,
            open_step=int(now // 60),
            looks=(demand(at=now),),
            demand=demand(at=now),
            demand_state=mix(requests=3.0),
        ),
    )
    on_disk(tmp_path / "states", sane)

    assert await planner(PeersLink(), directory=tmp_path / "states").feed("a") == sane


async def test_a_workload_whose_name_is_no_name_is_not_kept() -> None:
    states = planner(PeersLink())
    long = workload(name="x" * 2**20)

    states.note(long)

    assert states.payload(long.reference) is None
