"""The board: what a question finds there, how long it stands, and what is forgotten."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from scaler.decision.answers import Answer, Outcome, Reference, Refusal, RefusalCode, TimedOutcome
from scaler.errors import MetadataError
from scaler.limits import Limit
from scaler.serving import board
from scaler.serving.board import (
    NEW_SECONDS,
    OF_OBJECT_MAX,
    SILENT_SECONDS,
    SUPERSEDED_SECONDS,
    Board,
    BoardFullError,
)
from scaler.serving.changes import Changes
from scaler.serving.entry import COHERENT_SECONDS, Entry
from scaler.trigger import TriggerSpec
from scaler.trigger_parsing import AllowedOptions, parse

ALLOWED = AllowedOptions(
    engines={"vllm": False}, sources=frozenset({"main"}), default_source="main"
)
ANSWER_SECONDS_MAX = 300.0


class Desk:
    """A board and the time of day."""

    def __init__(self, *, objects_max: int = 10, of_namespace_max: int = 100) -> None:
        self.now = 1_800_000_000.0
        self.parsed = 0
        self.board = Board(
            self._admit,
            clock=lambda: self.now,
            objects_max=objects_max,
            of_namespace_max=lambda _: of_namespace_max,
        )

    def ask(self, name: str, **metadata: str) -> Entry:
        return self.board.ask(reference(name, **metadata))

    def publish(self, entry: Entry, outcome: Outcome) -> None:
        """As a planner does whose reading was made just now."""
        entry.publish(
            TimedOutcome(
                outcome=outcome,
                read_at_seconds=self.now,
                valid_until_seconds=self.now + ANSWER_SECONDS_MAX,
            )
        )

    def names(self) -> set[str]:
        return {entry.reference.name for entry in self.board}

    def _admit(self, namespace: str, metadata: Mapping[str, str]) -> TriggerSpec:
        self.parsed += 1
        return parse(metadata, ALLOWED)


def reference(name: str, **metadata: str) -> Reference:
    return Reference.of("llm", name, {"model": "m", "mode": "act", **metadata})


def answer(replicas: int) -> Answer:
    return Answer(replicas=replicas, active=True, made_at_seconds=0.0)


# Questions.


def test_an_object_is_parsed_once_and_known_from_then_on() -> None:
    desk = Desk()

    assert desk.ask("a") is desk.ask("a")
    assert (desk.parsed, len(desk.board)) == (1, 1)


def test_metadata_in_another_order_is_the_same_object() -> None:
    first = Reference.of("llm", "a", {"model": "m", "mode": "act"})
    second = Reference.of("llm", "a", {"mode": "act", "model": "m"})

    assert first == second


def test_before_the_first_plan_there_is_no_number() -> None:
    outcome = Desk().ask("a").current()

    assert isinstance(outcome, Refusal)
    assert outcome.code is RefusalCode.UNAVAILABLE
    assert "'m'" in outcome.message


def test_metadata_that_cannot_be_used_says_why_for_as_long_as_it_is_asked() -> None:
    desk = Desk()
    entry = desk.ask("a", modle="m")
    desk.now += 10 * ANSWER_SECONDS_MAX

    outcome = entry.current()

    assert entry.trigger_spec is None
    assert isinstance(outcome, Refusal)
    assert outcome.code is RefusalCode.INVALID
    with pytest.raises(MetadataError) as raised:
        parse({"model": "m", "mode": "act", "modle": "m"}, ALLOWED)
    assert outcome.message == str(raised.value)


def test_looking_something_up_is_no_question() -> None:
    desk = Desk()
    asked_at = desk.ask("a").asked_at_seconds
    desk.now += 60

    entry = desk.board.known(reference("a"))

    assert entry is not None
    assert entry.asked_at_seconds == asked_at
    assert desk.board.known(reference("b")) is None


def test_an_object_arrives_once() -> None:
    desk = Desk()
    entry = desk.ask("a")
    assert desk.board.arrived.is_set()

    (arrival,) = desk.board.take_changes().arrived
    desk.ask("a")

    assert (arrival.reference, arrival.trigger_spec) == (entry.reference, entry.trigger_spec)
    assert not desk.board.arrived.is_set()
    assert desk.board.take_changes() == Changes()


# Answers and their age.


def test_an_answer_stands_until_its_limit_and_then_there_is_none() -> None:
    desk = Desk()
    entry = desk.ask("a")
    desk.publish(entry, answer(7))

    desk.now += ANSWER_SECONDS_MAX
    assert entry.current() == answer(7)
    desk.now += 1
    outcome = entry.current()

    assert isinstance(outcome, Refusal)
    assert outcome.code is RefusalCode.UNAVAILABLE
    assert "no plan was made for 301 s" in outcome.message


def test_an_answer_published_after_a_silence_stands_again() -> None:
    desk = Desk()
    entry = desk.ask("a")
    desk.publish(entry, answer(7))
    desk.now += 2 * ANSWER_SECONDS_MAX
    desk.publish(entry, answer(8))

    assert entry.current() == answer(8)


def test_a_poll_gets_one_answer_however_many_are_published_meanwhile() -> None:
    desk = Desk()
    entry = desk.ask("a")
    desk.publish(entry, answer(7))
    assert entry.polled() == answer(7)
    desk.publish(entry, answer(0))
    desk.now += COHERENT_SECONDS

    assert entry.in_same_poll() == answer(7)
    desk.now += 1
    assert entry.in_same_poll() == answer(0)


def test_a_poll_that_was_refused_is_refused_throughout() -> None:
    desk = Desk()
    entry = desk.ask("a")
    refused = entry.polled()
    desk.publish(entry, answer(7))

    assert isinstance(refused, Refusal)
    assert entry.in_same_poll() == refused


def test_an_answer_does_not_outlive_its_limit_within_a_poll() -> None:
    desk = Desk()
    entry = desk.ask("a")
    desk.publish(entry, answer(7))
    desk.now += ANSWER_SECONDS_MAX
    entry.polled()
    desk.now += COHERENT_SECONDS + 1

    assert isinstance(entry.in_same_poll(), Refusal)


def refusal(message: str) -> Refusal:
    return Refusal(code=RefusalCode.UNAVAILABLE, message=message)


def test_a_refusal_takes_no_answer_away_before_its_age_limit() -> None:
    desk = Desk()
    entry = desk.ask("a")
    desk.publish(entry, answer(7))

    desk.now += 200
    desk.publish(entry, refusal("nothing usable was ever read"))
    assert entry.current() == answer(7)
    desk.now += 100
    assert entry.current() == answer(7)
    desk.now += 1
    assert isinstance(entry.current(), Refusal)
    desk.publish(entry, refusal("prometheus is down"))
    assert entry.current() == refusal("prometheus is down")


def test_an_answer_that_was_read_long_ago_is_no_younger_for_being_published_now() -> None:
    desk = Desk()
    entry = desk.ask("a")
    read_at = desk.now - 200
    entry.publish(
        TimedOutcome(
            outcome=answer(7),
            read_at_seconds=read_at,
            valid_until_seconds=read_at + ANSWER_SECONDS_MAX,
        )
    )

    desk.now += 101
    outcome = entry.current()

    assert isinstance(outcome, Refusal)
    assert "no plan was made for 301 s" in outcome.message


def test_listeners_hear_each_publication_and_may_leave_while_they_are_called() -> None:
    desk = Desk()
    entry = desk.ask("a")
    heard: list[str] = []

    def leaves() -> None:
        heard.append("leaves")
        entry.listeners.discard(leaves)

    def stays() -> None:
        heard.append("stays")

    entry.listeners |= {leaves, stays}
    desk.publish(entry, answer(1))
    desk.publish(entry, answer(2))

    assert sorted(heard) == ["leaves", "stays", "stays"]


# What is forgotten.


def test_what_an_edit_left_behind_is_forgotten_after_its_time() -> None:
    desk = Desk()
    before = desk.ask("a")
    desk.now += 1
    desk.ask("a", mode="advise")
    desk.now += SUPERSEDED_SECONDS - 1
    desk.board.forget_silent()
    assert desk.board.known(before.reference) is before
    _ = desk.board.take_changes()
    desk.now += 1

    desk.board.forget_silent()

    assert desk.board.known(before.reference) is None
    assert desk.board.take_changes() == Changes(forgotten=(before.reference,))


def test_an_object_that_was_forgotten_before_anybody_heard_of_it_is_no_change() -> None:
    desk = Desk()
    desk.ask("a")
    desk.now += 1
    desk.ask("a", mode="advise")
    desk.now += SUPERSEDED_SECONDS
    desk.board.forget_silent()

    changes = desk.board.take_changes()

    assert changes.forgotten == ()
    assert [dict(arrival.reference.metadata) for arrival in changes.arrived] == [
        {"model": "m", "mode": "advise"}
    ]


def test_two_triggers_of_one_object_that_are_both_asked_about_both_stay() -> None:
    desk = Desk()
    for _ in range(100):
        desk.now += 60
        desk.ask("a")
        desk.ask("a", mode="advise")

    desk.board.forget_silent()

    assert len(desk.board) == 2


def test_an_object_that_nobody_asks_about_for_hours_is_forgotten(
    limits_exceeded: Callable[[], set[Limit]],
) -> None:
    desk = Desk()
    entry = desk.ask("a")
    desk.publish(entry, answer(7))
    desk.now += SILENT_SECONDS
    desk.board.forget_silent()
    assert desk.names() == {"a"}
    _ = desk.board.take_changes()
    desk.now += 1

    desk.board.forget_silent()

    assert desk.board.take_changes() == Changes(forgotten=(entry.reference,))
    assert Limit.SILENT_TRIGGER in limits_exceeded()


def test_edits_of_one_object_lock_no_other_out(limits_exceeded: Callable[[], set[Limit]]) -> None:
    desk = Desk(objects_max=40)
    for edit in range(5000):
        desk.now += 1
        desk.ask("edited", hold=f"{edit}s")
    for other in range(20):
        desk.ask(f"other-{other}")

    assert len(desk.board) == 16 + 20
    newest = reference("edited", hold="4999s")
    assert desk.board.known(newest) is not None
    assert Limit.OBJECT_TRIGGERS in limits_exceeded()


def test_a_namespace_takes_no_more_than_its_share_of_the_board(
    limits_exceeded: Callable[[], set[Limit]],
) -> None:
    desk = Desk(objects_max=100, of_namespace_max=3)
    for n in range(3):
        desk.ask(f"a-{n}")

    with pytest.raises(BoardFullError, match=r"3 objects of namespace 'llm'.*objectsPerNamespace"):
        desk.ask("a-3")

    other = Reference.of("other", "b", {"model": "m"})
    assert desk.board.ask(other).reference == other
    desk.ask("a-0")

    # One that went silent makes room.
    desk.now += SUPERSEDED_SECONDS
    for n in (0, 1):
        desk.ask(f"a-{n}")
    desk.ask("a-3")
    assert desk.names() == {"a-0", "a-1", "a-3", "b"}
    assert Limit.NAMESPACE_TRIGGERS in limits_exceeded()


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[Entry]:
    """Entries that the board looked through for the oldest, each as often as it did."""
    found: list[Entry] = []

    def noted(entries: Iterable[Any], **options: Any) -> Any:
        looked_at = list(entries)
        if "key" in options:
            found.extend(looked_at)
        return min(looked_at, **options)

    monkeypatch.setattr(board, "min", noted, raising=False)
    return found


@pytest.mark.parametrize(
    ("objects_max", "of_namespace_max"),
    [pytest.param(1000, 100, id="namespace"), pytest.param(100, 1000, id="board")],
)
def test_objects_that_a_full_namespace_or_board_refuses_cost_no_look_at_all_that_it_has(
    compared: list[Entry], objects_max: int, of_namespace_max: int
) -> None:
    desk = Desk(objects_max=objects_max, of_namespace_max=of_namespace_max)
    for n in range(100):
        desk.ask(f"a-{n}")
    for n in range(1000):
        with pytest.raises(BoardFullError):
            desk.ask(f"b-{n}")

    assert len(compared) == 100


def test_an_edit_that_is_refused_for_its_pace_costs_no_look_at_the_others(
    compared: list[Entry],
) -> None:
    desk = Desk(objects_max=1000, of_namespace_max=40)
    desk.ask("silent")
    for trigger in range(OF_OBJECT_MAX):
        desk.ask("edited", hold=f"{trigger}s")
    for n in range(40 - 1 - OF_OBJECT_MAX):
        desk.ask(f"a-{n}")
    desk.now += SUPERSEDED_SECONDS
    while True:
        try:
            desk.ask("edited", hold=f"{100 + len(compared)}s")
        except BoardFullError:
            break
    compared.clear()

    for n in range(10):
        with pytest.raises(BoardFullError, match="edited without end"):
            desk.ask("a-0", hold=f"{n}s")
    assert not compared


def test_a_full_namespace_makes_room_as_soon_as_one_is_silent_for_long() -> None:
    desk = Desk(objects_max=100, of_namespace_max=2)
    desk.ask("a")
    desk.now += 10
    desk.ask("b")
    with pytest.raises(BoardFullError):
        desk.ask("c")
    desk.now += SUPERSEDED_SECONDS - 11  # a second is left of the time of `a`
    desk.ask("b")
    with pytest.raises(BoardFullError):
        desk.ask("c")

    desk.now += 1
    desk.ask("c")
    assert desk.names() == {"b", "c"}


def test_an_adopted_object_that_was_silent_makes_room_though_its_namespace_was_full() -> None:
    desk = Desk(objects_max=100, of_namespace_max=2)
    desk.ask("a")
    desk.now += SUPERSEDED_SECONDS - 1
    desk.ask("b")
    with pytest.raises(BoardFullError):
        desk.ask("c")
    desk.now += SILENT_SECONDS - SUPERSEDED_SECONDS + 2
    desk.ask("b")
    desk.board.forget_silent()
    desk.board.adopt(reference("old"), None, desk.now - SUPERSEDED_SECONDS)

    desk.ask("c")
    assert desk.names() == {"b", "c"}


def test_a_namespace_has_a_pace_of_edits_and_new_objects_need_none(
    limits_exceeded: Callable[[], set[Limit]],
) -> None:
    desk = Desk(objects_max=1000, of_namespace_max=40)
    desk.ask("edited")
    desk.now += NEW_SECONDS + 1
    for edit in range(100):  # 40, as if each object were edited once, and 60 of a minute
        desk.ask("edited", hold=f"{edit}s")
    assert Limit.EDITS not in limits_exceeded()

    with pytest.raises(BoardFullError, match=r"'llm' are edited without end: 60 .* next in 1 s"):
        desk.ask("edited", hold="100s")
    assert Limit.EDITS in limits_exceeded()
    assert len(desk.board) == 16

    # Known ones are answered, and so are new objects and edits of another namespace.
    desk.ask("edited", hold="99s")
    desk.ask("new")
    for replicas in (1, 2):
        edited = {"model": "m", "minReplicas": str(replicas)}
        desk.board.ask(Reference.of("other", "b", edited))

    desk.now += 1
    desk.ask("edited", hold="100s")
    with pytest.raises(BoardFullError):
        desk.ask("edited", hold="101s")

    desk.now += 100
    desk.board.forget_silent()
    for edit in range(200, 300):
        desk.ask("edited", hold=f"{edit}s")
    with pytest.raises(BoardFullError):
        desk.ask("edited", hold="300s")


def test_the_first_triggers_of_a_new_object_are_no_edits_and_those_that_displace_them_are() -> None:
    desk = Desk(objects_max=10_000, of_namespace_max=1000)
    for n in range(60):
        for trigger in range(OF_OBJECT_MAX):
            desk.ask(f"a-{n}", hold=f"{trigger}s")
    for edit in range(1060):  # all that may be edited at once
        desk.ask("a-0", hold=f"{100 + edit}s")

    with pytest.raises(BoardFullError, match="edited without end"):
        desk.ask("a-0", hold="5000s")


def test_an_edit_beyond_the_quota_is_told_so_and_is_none_of_the_pace() -> None:
    desk = Desk(objects_max=1000, of_namespace_max=20)
    for n in range(20):
        desk.ask(f"a-{n}")
    for _ in range(100):  # KEDA repeats what was refused
        desk.now += 30
        desk.ask("a-0")
        with pytest.raises(BoardFullError, match="20 objects of namespace 'llm' are known"):
            desk.ask("a-0", hold="1s")

    desk.now += SUPERSEDED_SECONDS
    desk.ask("a-0", hold="1s")


def test_an_edit_that_is_refused_for_its_pace_displaces_nothing() -> None:
    desk = Desk(objects_max=1000, of_namespace_max=40)
    for edit in range(OF_OBJECT_MAX + 100):
        desk.ask("edited", hold=f"{edit}s")
    known = {entry.reference for entry in desk.board}
    with pytest.raises(BoardFullError, match="edited without end"):
        desk.ask("edited", hold="5000s")

    assert {entry.reference for entry in desk.board} == known


def test_no_more_of_a_namespace_is_adopted_than_its_share() -> None:
    desk = Desk(objects_max=100, of_namespace_max=1)
    for n in range(3):
        desk.board.adopt(reference(f"a-{n}"), None, desk.now)

    assert desk.names() == {"a-0"}


def test_of_an_object_that_a_peer_saw_edited_the_newest_triggers_are_adopted() -> None:
    desk = Desk(objects_max=1000, of_namespace_max=OF_OBJECT_MAX)
    for edit in range(100):
        desk.board.adopt(reference("edited", hold=f"{edit}s"), None, desk.now + edit - 100)
    desk.board.adopt(reference("edited", hold="200s"), None, desk.now - 50)

    assert {entry.reference for entry in desk.board} == {
        reference("edited", hold=f"{edit}s") for edit in range(100 - OF_OBJECT_MAX, 100)
    }


def test_a_full_board_refuses_a_new_object_and_keeps_the_known_ones(
    limits_exceeded: Callable[[], set[Limit]],
) -> None:
    desk = Desk(objects_max=2)
    desk.ask("a")
    desk.ask("b")

    with pytest.raises(BoardFullError, match=r"limits\.objectsMax"):
        desk.ask("c")

    assert desk.names() == {"a", "b"}
    desk.ask("a")
    assert Limit.TRIGGERS in limits_exceeded()


def test_a_full_board_makes_room_as_soon_as_one_is_silent_for_long() -> None:
    desk = Desk(objects_max=2)
    desk.ask("a")
    desk.now += 10
    desk.ask("b")
    desk.now += SILENT_SECONDS - 11  # a second is left of the time of `a`
    with pytest.raises(BoardFullError):
        desk.ask("c")

    desk.now += 1
    desk.ask("c")
    assert desk.names() == {"b", "c"}


def test_a_full_board_drops_the_object_that_was_silent_longest() -> None:
    desk = Desk(objects_max=2)
    desk.ask("older")
    desk.now += 1
    desk.ask("old")
    desk.now += SILENT_SECONDS

    desk.ask("new")

    assert desk.names() == {"old", "new"}


def test_the_board_may_be_walked_while_questions_come() -> None:
    desk = Desk()
    desk.ask("a")

    for entry in desk.board:
        desk.ask(f"{entry.reference.name}-too")

    assert len(desk.board) == 2


def adopted(
    desk: Desk, replicas: int = 7, *, read_ago: float = 100.0, asked_ago: float = 20.0
) -> Entry:
    """The entry of an object that another process answered."""
    timed = TimedOutcome(
        outcome=answer(replicas),
        read_at_seconds=desk.now - read_ago,
        valid_until_seconds=desk.now - read_ago + 300,
    )
    desk.board.adopt(reference("a"), timed, desk.now - asked_ago)
    entry = desk.board.known(reference("a"))
    assert entry is not None
    return entry


def test_an_adopted_object_is_answered_at_once_until_its_reading_is_too_old() -> None:
    desk = Desk()
    entry = adopted(desk)

    desk.now += 200
    assert desk.ask("a").current() == answer(7)
    desk.now += 1
    assert isinstance(entry.current(), Refusal)


def test_an_adopted_object_arrives_as_one_that_was_asked_about_then() -> None:
    desk = Desk()
    entry = adopted(desk)

    (arrival,) = desk.board.take_changes().arrived
    assert (arrival.timed, arrival.asked_at_seconds) == (entry.timed, desk.now - 20)


def test_a_known_object_keeps_its_own_answer_and_hears_when_others_were_asked() -> None:
    desk = Desk()
    entry = desk.ask("a")
    desk.publish(entry, answer(9))
    desk.now += 60

    adopted(desk, 7, read_ago=0, asked_ago=5)
    assert entry.current() == answer(9)
    assert entry.asked_at_seconds == desk.now - 5
    adopted(desk, 7, asked_ago=50)
    assert entry.asked_at_seconds == desk.now - 5


def test_a_full_board_adopts_nothing() -> None:
    desk = Desk(objects_max=1)
    desk.ask("b")

    desk.board.adopt(reference("a"), None, desk.now)

    assert desk.names() == {"b"}


def test_an_adopted_object_without_an_answer_or_with_bad_metadata_has_none() -> None:
    desk = Desk()
    desk.board.adopt(reference("a"), None, desk.now)
    bad = Reference.of("llm", "b", {"modle": "m", "mode": "act"})
    desk.board.adopt(bad, TimedOutcome(outcome=answer(7), read_at_seconds=desk.now), desk.now)

    for entry in desk.board:
        assert isinstance(entry.current(), Refusal)


def test_an_object_that_keda_asks_about_takes_the_place_of_one_that_was_only_adopted() -> None:
    desk = Desk(objects_max=3)
    desk.ask("asked")
    for name, ago in (("older", 50.0), ("newer", 5.0)):
        desk.board.adopt(reference(name), None, desk.now - ago)
    assert desk.names() == {"asked", "older", "newer"}

    desk.ask("new")

    assert desk.names() == {"asked", "newer", "new"}


def test_an_adopted_object_that_keda_asked_about_since_keeps_its_place() -> None:
    desk = Desk(objects_max=1)
    desk.board.adopt(reference("a"), None, desk.now - 5)
    desk.ask("a")

    with pytest.raises(BoardFullError):
        desk.ask("new")

    assert desk.names() == {"a"}


def test_a_full_board_forgets_no_silent_object_for_one_to_adopt() -> None:
    desk = Desk(objects_max=1)
    desk.ask("b")
    desk.now += 2 * SILENT_SECONDS

    desk.board.adopt(reference("a"), None, desk.now)

    assert desk.names() == {"b"}
