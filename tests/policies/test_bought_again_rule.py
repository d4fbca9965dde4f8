"""What is bought after a release, and no pod explains, is left alone: others may want it."""

from dataclasses import dataclass, replace
from itertools import pairwise

import pytest

from policies.decide import SETTLED, DecisionState
from policies.node_plan import PoolPlan, Verdict
from policies.situation import PoolNode
from tests.policies.pools import (
    LEAD,
    NOW,
    busy,
    coming,
    empty,
    forecast,
    named,
    pool,
    round_of,
    texts,
)

FOUR = tuple(busy(f"busy-{i}") for i in range(4))
FOUR_WANTED = forecast((4.0, 4.1, 4.2))
ROUND_SECONDS = 120.0
QUIET_SECONDS = 2 * LEAD.boot_seconds + LEAD.pull_seconds
HOURS_8 = 240
"""Rounds."""


def decided(
    *nodes: PoolNode, state: DecisionState, seconds: float, waiting: int = 0
) -> tuple[PoolPlan, DecisionState]:
    """The round so long after NOW, beside four busy nodes, where four are wanted."""
    now = NOW + seconds
    only = pool(
        *FOUR,
        *nodes,
        forecast=replace(FOUR_WANTED, made_at_seconds=now),
        demand_gpus=4.0 + waiting,
        pods_wait=waiting > 0,
    )
    plan, memory = round_of(only, state=state, now=now)
    return plan.pools[0], memory


def bought(name: str, seconds: float, ready: float | None = None) -> PoolNode:
    """Ordered so long after NOW, and ready and empty since; None = it still starts."""
    if ready is None:
        return coming(name, ordered_seconds=NOW + seconds, stage_since_seconds=NOW + seconds)
    since = NOW + ready
    return replace(
        empty(name),
        ordered_seconds=NOW + seconds,
        stage_since_seconds=since,
        empty_since_seconds=since,
    )


@dataclass(slots=True)
class Buffer:
    """Of another owner: it wants one node that no pod uses, and Karpenter buys it at once."""

    bought: float = -7200.0
    made: int = 0

    def node(self, seconds: float) -> PoolNode:
        ready = self.bought + LEAD.boot_seconds
        return bought(f"spare-{self.made}", self.bought, ready if ready <= seconds else None)

    def lost(self, seconds: float) -> None:
        self.bought, self.made = seconds + 5, self.made + 1


def released_in(rounds: int, *, waits_every: int = 0, restart: int | None = None) -> list[float]:
    """When the buffer's node is let go; one pod waits in every so many rounds (0 = never)."""
    buffer, memory, found = Buffer(), SETTLED, list[float]()
    for i in range(rounds):
        seconds = ROUND_SECONDS * i
        if i == restart:
            memory = DecisionState()
        waiting = int(waits_every > 0 and i % waits_every == 1 % waits_every)
        plan, memory = decided(buffer.node(seconds), state=memory, seconds=seconds, waiting=waiting)
        if named(plan, Verdict.RELEASE):
            found.append(seconds)
            buffer.lost(seconds)
    return found


def test_a_buffer_of_others_is_fought_less_and_less() -> None:
    times = released_in(HOURS_8)
    gaps = [after - before for before, after in pairwise(times)]
    # Two boots of 6 minutes and a pull of 2, then twice as long each time; a node is first seen in
    # the round after it was let go.
    assert gaps == [ROUND_SECONDS + QUIET_SECONDS * 2**i for i in range(len(gaps))]
    assert len(times) == 6


@pytest.mark.parametrize("every", [2, 3, 4, 5, 7])
def test_pods_that_wait_now_and_then_do_not_have_it_fought(every: int) -> None:
    times = released_in(HOURS_8, waits_every=every)
    assert times
    assert max(sum(at <= one < at + QUIET_SECONDS for one in times) for at in times) <= 2


def test_a_start_without_a_state_begins_anew_and_no_more() -> None:
    times = released_in(HOURS_8, restart=HOURS_8 // 2)
    assert len(times) <= 2 * 6


def test_an_empty_node_that_was_bought_after_a_release_is_left_alone() -> None:
    _, memory = decided(empty("old"), state=SETTLED, seconds=0)
    _, memory = decided(bought("again", 5), state=memory, seconds=120)
    plan, _ = decided(bought("again", 5, ready=365), state=memory, seconds=480)
    assert named(plan, Verdict.RELEASE) == []
    assert (
        "release: not released: it was ordered after the last one was let go, and no pod that "
        "waited since explains it: others may want it, and it is left alone for 8 min"
    ) in texts(plan)


def test_a_later_release_of_another_node_changes_nothing_for_it() -> None:
    _, memory = decided(empty("old"), state=SETTLED, seconds=0)
    _, memory = decided(bought("again", 5), state=memory, seconds=120)
    plan, memory = decided(bought("again", 5), empty("other"), state=memory, seconds=240)
    assert named(plan, Verdict.RELEASE) == ["other"]
    plan, _ = decided(bought("again", 5, ready=365), state=memory, seconds=480)
    assert named(plan, Verdict.RELEASE) == []


def test_what_was_bought_for_pods_that_waited_goes_when_they_are_gone() -> None:
    _, memory = decided(empty("old"), state=SETTLED, seconds=0)
    _, memory = decided(bought("again", 5), state=memory, seconds=120, waiting=1)
    plan, _ = decided(bought("again", 5, ready=365), state=memory, seconds=480)
    assert named(plan, Verdict.RELEASE) == ["again"]


def test_one_wait_after_another_explains_as_many_nodes_as_took_the_pods() -> None:
    _, memory = decided(empty("old"), state=SETTLED, seconds=0)
    _, memory = decided(bought("first", 5), state=memory, seconds=120, waiting=1)
    took = replace(bought("first", 5, ready=365), pods=busy("x").pods, empty_since_seconds=None)
    _, memory = decided(took, bought("second", 370), state=memory, seconds=480, waiting=2)
    plan, _ = decided(
        bought("first", 5, ready=365), bought("second", 370), state=memory, seconds=600
    )
    assert sorted(named(plan, Verdict.RELEASE)) == ["first", "second"]


def test_a_release_that_is_not_answered_is_forgotten() -> None:
    _, memory = decided(empty("old"), state=SETTLED, seconds=0)
    _, memory = decided(bought("again", 5), state=memory, seconds=120)
    for seconds in range(240, 1200, 120):  # Karpenter has removed it: nobody wanted it
        _, memory = decided(state=memory, seconds=seconds)
    assert not any(key.startswith("bought-again/") for key in memory.pools["h100"])


def test_a_node_that_was_there_before_a_release_may_go_after_it() -> None:
    _, memory = decided(empty("old"), bought("young", -60), state=SETTLED, seconds=0)
    plan, _ = decided(bought("young", -60, ready=110), state=memory, seconds=120)
    assert named(plan, Verdict.RELEASE) == ["young"]


def test_many_years_of_a_buffer_are_no_number_too_large() -> None:
    _, memory = decided(empty("old"), state=SETTLED, seconds=0)
    notes = {**memory.pools["h100"], "bought-again/times": 1e6}
    memory = replace(memory, pools={"h100": notes})
    plan, _ = decided(bought("again", 5), state=memory, seconds=120)
    assert "it is left alone for 1440 min" in texts(plan)
