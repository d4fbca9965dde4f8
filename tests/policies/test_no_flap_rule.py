"""What was let go is not ordered again at once."""

from dataclasses import replace

from policies.decide import DecisionState
from policies.node_plan import Verdict
from policies.policy.pool_policy import PoolPolicy
from tests.policies.pools import NOW, busy, empty, forecast, named, ordered, pool, round_of, texts

FOUR = tuple(busy(f"busy-{i}") for i in range(4))
CALM = forecast((4.0, 4.1, 5.0))  # .99 quantile: 5
RISING = forecast((4.0, 5.0, 6.0))
HIGH = forecast((5.0, 6.0, 7.0), last=4.0)
POLICY = PoolPolicy(rho=50)  # orders a fifth node when demand is RISING


def later(state, seconds: float):
    """The pool with a forecast made that much later."""
    return replace(state, forecast=replace(state.forecast, made_at_seconds=NOW + seconds))


def test_after_a_release_nothing_is_ordered_for_a_boot_and_a_wait() -> None:
    plan, memory = round_of(pool(*FOUR, empty("a"), forecast=CALM))
    assert named(plan.pools[0], Verdict.RELEASE) == ["a"]
    rising = pool(*FOUR, forecast=RISING)
    # boot 360 + (boot 360 + pull 120)
    plan, memory = round_of(later(rising, 839), policy=POLICY, state=memory, now=NOW + 839)
    assert ordered(plan.pools[0]) == []
    assert "1 nodes are not ordered for another 1 s" in texts(plan.pools[0])
    plan, _ = round_of(later(rising, 840), policy=POLICY, state=memory, now=NOW + 840)
    assert ordered(plan.pools[0]) == [(1, "pre-warm")]


def test_what_was_to_go_and_stayed_holds_up_no_order() -> None:
    """A pod may have come before its taint, or the API server may have refused."""
    plan, memory = round_of(pool(*FOUR, empty("a"), forecast=CALM))
    assert named(plan.pools[0], Verdict.RELEASE) == ["a"]
    high = later(pool(*FOUR, empty("a"), forecast=HIGH), 60)
    plan, memory = round_of(high, policy=POLICY, state=memory, now=NOW + 60)
    assert ordered(plan.pools[0]) == [(1, "pre-warm")]
    # It goes later for a reason of its own, which is no release.
    gone = later(pool(*FOUR, forecast=RISING), 120)
    plan, _ = round_of(gone, policy=POLICY, state=memory, now=NOW + 120)
    assert ordered(plan.pools[0]) == [(1, "pre-warm")]


def test_what_was_expected_while_a_node_stayed_does_not_count_once_it_goes() -> None:
    """The ceiling is that of the last verdict."""
    wide = forecast((4.0, 4.1, 9.0))
    _, memory = round_of(pool(*FOUR, empty("a"), forecast=wide))
    calm = later(pool(*FOUR, empty("a"), forecast=CALM), 120)
    _, memory = round_of(calm, state=memory, now=NOW + 120)
    higher = forecast((6.0, 7.0, 8.0), last=6.0)
    gone = later(pool(*FOUR, demand_gpus=6.0, forecast=higher), 240)
    plan, _ = round_of(gone, policy=POLICY, state=memory, now=NOW + 240)
    assert ordered(plan.pools[0]) == [(1, "pre-warm")]


def test_a_node_that_is_on_its_way_out_counts_as_gone() -> None:
    _, memory = round_of(pool(*FOUR, empty("a"), forecast=CALM))
    leaving = pool(*FOUR, empty("a", leaving=True), forecast=RISING)
    for at, orders in ((60, []), (839, []), (840, [(1, "pre-warm")])):
        plan, memory = round_of(later(leaving, at), policy=POLICY, state=memory, now=NOW + at)
        assert ordered(plan.pools[0]) == orders


def test_where_karpenter_chooses_which_node_of_a_static_pool_goes_a_release_counts_at_once() -> (
    None
):
    first = pool(*FOUR, empty("a"), forecast=CALM, static=True)
    _, memory = round_of(first)
    other = later(pool(*FOUR[1:], empty("a"), busy("x"), forecast=HIGH, static=True), 60)
    plan, memory = round_of(other, policy=POLICY, state=memory, now=NOW + 60)
    assert ordered(plan.pools[0]) == []
    again, _ = round_of(other, policy=POLICY, state=memory, now=NOW + 60)
    assert ordered(again.pools[0]) == []


def test_demand_above_what_was_expected_ends_the_wait() -> None:
    _, memory = round_of(pool(*FOUR, empty("a"), forecast=CALM))
    higher = pool(*FOUR, demand_gpus=6.0, forecast=forecast((6.0, 7.0, 8.0), last=6.0))
    plan, _ = round_of(higher, policy=POLICY, state=memory, now=NOW + 60)
    assert ordered(plan.pools[0]) == [(1, "pre-warm")]


def test_a_start_without_a_state_counts_as_a_release_for_the_forecast_alone() -> None:
    rising = pool(*FOUR, forecast=RISING)
    plan, _ = round_of(rising, policy=POLICY, state=DecisionState())
    assert ordered(plan.pools[0]) == []
    floor = replace(POLICY, warm_floor_nodes=6)
    plan, _ = round_of(rising, policy=floor, state=DecisionState())
    assert ordered(plan.pools[0]) == [(2, "warm floor")]


def test_a_pool_orders_and_releases_in_different_rounds() -> None:
    # The budget gives up the dear node while the schedule orders cheap ones.
    policy = PoolPolicy(warm_floor_nodes=3, idle_usd_per_hour_max=5.0)
    state = pool(empty("dear", usd_per_hour=9.0), demand_gpus=0.0)
    plan, _ = round_of(state, policy=policy)
    released, orders = named(plan.pools[0], Verdict.RELEASE), ordered(plan.pools[0])
    assert (released, orders) == (["dear"], [])


def test_a_clock_that_goes_back_does_not_lengthen_the_wait() -> None:
    _, memory = round_of(pool(*FOUR, empty("a"), forecast=CALM))
    rising, back = pool(*FOUR, forecast=RISING), -86_400.0
    _, memory = round_of(later(rising, back), policy=POLICY, state=memory, now=NOW + back)
    after = back + 840
    plan, _ = round_of(later(rising, after), policy=POLICY, state=memory, now=NOW + after)
    assert ordered(plan.pools[0]) == [(1, "pre-warm")]
