"""What is bought after a release, and no pod explains, is left alone: others may want it."""

from dataclasses import dataclass, replace
from itertools import pairwise

import pytest

from policies.decide import SETTLED, DecisionState
from policies.node_plan import PoolPlan, Verdict
from policies.situation import PoolNode
from tests.policies.pools import (
    FOUR,
    FOUR_WANTED,
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


@pytest.mark.parametrize(
    ("every", "most"),
    # A pod that waits in every other round, and never gets a node, has one node more explained.
    [(2, 3), (3, 2), (4, 2), (5, 2), (7, 2)],
)
def test_pods_that_wait_now_and_then_do_not_have_it_fought(every: int, most: int) -> None:
    times = released_in(HOURS_8, waits_every=every)
    assert times
    assert max(sum(at <= one < at + QUIET_SECONDS for one in times) for at in times) <= most


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


@pytest.mark.parametrize(
    "going",
    [
        pytest.param((), id="it is gone"),
        pytest.param((replace(bought("first", 60), leaving=True),), id="it is on its way out"),
    ],
)
def test_pods_that_come_back_after_their_node_was_called_off_explain_the_next_one(
    going: tuple[PoolNode, ...],
) -> None:
    _, memory = decided(empty("old"), state=SETTLED, seconds=0)
    _, memory = decided(bought("first", 60), state=memory, seconds=120, waiting=1)
    plan, memory = decided(bought("first", 60), state=memory, seconds=240)
    assert named(plan, Verdict.RELEASE) == ["first"]
    _, memory = decided(*going, bought("second", 305), state=memory, seconds=360, waiting=1)
    plan, _ = decided(*going, bought("second", 305), state=memory, seconds=480)
    assert named(plan, Verdict.RELEASE) == ["second"]


def test_the_node_that_is_bought_for_one_that_failed_to_start_is_explained() -> None:
    _, memory = decided(empty("old"), state=SETTLED, seconds=0)
    for seconds in (120, 240, 360):
        _, memory = decided(bought("fails", 60), state=memory, seconds=seconds, waiting=1)
    _, memory = decided(bought("again", 400), state=memory, seconds=480, waiting=1)
    plan, _ = decided(bought("again", 400), state=memory, seconds=600)
    assert named(plan, Verdict.RELEASE) == ["again"]


def test_a_node_that_was_bought_while_no_pod_waited_is_not_explained_by_one_that_is_gone() -> None:
    _, memory = decided(empty("old"), state=SETTLED, seconds=0)
    _, memory = decided(bought("first", 60), state=memory, seconds=120, waiting=1)
    _, memory = decided(bought("first", 60), state=memory, seconds=240)
    _, memory = decided(bought("others", 245), state=memory, seconds=360)
    plan, _ = decided(bought("others", 245), state=memory, seconds=480)
    assert named(plan, Verdict.RELEASE) == []


def test_a_release_that_is_not_answered_is_forgotten() -> None:
    _, memory = decided(empty("old"), state=SETTLED, seconds=0)
    _, memory = decided(bought("again", 5), state=memory, seconds=120)
    for seconds in range(240, 1200, 120):  # Karpenter has removed it: nobody wanted it
        _, memory = decided(state=memory, seconds=seconds)
    assert not any(key.startswith("bought-") for key in memory.pools["h100"])


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


def rounds_until_released(own: PoolNode, state: DecisionState, seconds: float) -> int:
    """How many rounds after this one let the node go, in a day at most."""
    for i in range(720):
        plan, state = decided(own, state=state, seconds=seconds + ROUND_SECONDS * i)
        if named(plan, Verdict.RELEASE):
            return i
    raise AssertionError("it is never let go")


BURST = tuple(busy(f"burst-{i}") for i in range(3))


def in_burst(
    *nodes: PoolNode, state: DecisionState, seconds: float
) -> tuple[PoolPlan, DecisionState]:
    """A round in which seven nodes are in use, no pod waits, and nine are wanted soon."""
    now = NOW + seconds
    wanted = replace(forecast((9.0, 9.5, 10.0), last=7.0), made_at_seconds=now)
    only = pool(*FOUR, *BURST, *nodes, forecast=wanted, demand_gpus=7.0)
    plan, memory = round_of(only, state=state, now=now)
    return plan.pools[0], memory


def test_what_the_pool_itself_ordered_after_a_release_goes_as_soon_as_nothing_wants_it() -> None:
    """Burst after burst: two nodes are ordered ahead, and are surplus when it is over."""
    memory, seconds = SETTLED, 0.0
    _, memory = decided(empty("old"), state=memory, seconds=seconds)
    for burst in range(6):
        seconds += 120
        plan, memory = in_burst(state=memory, seconds=seconds)
        assert sum(order.nodes for order in plan.orders) == 2
        ordered = seconds + 5
        for i in range(1, 4):
            own = [bought(f"own-{burst}-{n}", ordered) for n in range(2)]
            plan, memory = in_burst(*own, state=memory, seconds=seconds + 120 * i)
            assert plan.orders == ()
        seconds += 480
        own = [bought(f"own-{burst}-{n}", ordered, ready=ordered + 360) for n in range(2)]
        plan, memory = decided(*own, state=memory, seconds=seconds)
        assert sorted(named(plan, Verdict.RELEASE)) == [f"own-{burst}-{n}" for n in range(2)]


def test_an_order_that_is_repeated_until_its_nodes_are_seen_explains_no_more_of_them() -> None:
    _, memory = decided(empty("old"), state=SETTLED, seconds=0)
    for seconds in (120, 240):
        plan, memory = in_burst(state=memory, seconds=seconds)
        assert sum(order.nodes for order in plan.orders) == 2
    nodes = [bought(f"n-{i}", 245 + i) for i in range(4)]
    _, memory = in_burst(*nodes, state=memory, seconds=360)
    plan, _ = decided(*nodes, state=memory, seconds=480)
    assert sorted(named(plan, Verdict.RELEASE)) == ["n-0", "n-1"]


def test_nodes_of_one_order_that_come_one_after_the_other_are_all_explained() -> None:
    _, memory = decided(empty("old"), state=SETTLED, seconds=0)
    _, memory = in_burst(state=memory, seconds=120)
    first, second = bought("first", 125), bought("second", 245)
    plan, memory = in_burst(first, state=memory, seconds=240)
    assert sum(order.nodes for order in plan.orders) == 1
    _, memory = in_burst(first, second, state=memory, seconds=360)
    plan, _ = decided(first, second, state=memory, seconds=480)
    assert sorted(named(plan, Verdict.RELEASE)) == ["first", "second"]


def test_a_node_that_was_left_alone_and_has_had_a_pod_may_go() -> None:
    memory = after_releases(4)
    _, memory = decided(bought("again", 5), state=memory, seconds=120)
    assert rounds_until_released(bought("again", 5, ready=365), memory, 480) > 30
    took = replace(bought("again", 5, ready=365), pods=busy("x").pods, empty_since_seconds=None)
    _, memory = decided(took, state=memory, seconds=480)
    assert rounds_until_released(bought("again", 5, ready=365), memory, 600) == 0


def test_the_node_after_one_that_has_had_a_pod_is_left_alone_as_if_it_were_the_first() -> None:
    memory = after_releases(4)
    _, memory = decided(bought("again", 5), state=memory, seconds=120)
    took = replace(bought("again", 5, ready=365), pods=busy("x").pods, empty_since_seconds=None)
    _, memory = decided(took, state=memory, seconds=480)
    _, memory = decided(bought("next", 490), state=memory, seconds=600)
    assert rounds_until_released(bought("next", 490), memory, 600) == QUIET_SECONDS / ROUND_SECONDS


def after_releases(answered: int) -> DecisionState:
    """The state after a release, so many before which were answered."""
    _, memory = decided(empty("old"), state=SETTLED, seconds=0)
    return replace(
        memory, pools={"h100": {**memory.pools["h100"], "bought-again/times": float(answered)}}
    )
