"""GPUs of a pool that is short, allotted by hand."""

import pytest

from scaler.decision.scarce import Claim, allot
from tests.cpu_time import cpu_seconds


def claim(  # noqa: PLR0913 - a claim, in short
    name: str,
    load: float,
    *,
    requests: float = 1.0,
    least: int = 1,
    wanted: int | None = None,
    held: int = 0,
    gpus: int = 1,
    priority: float = 1.0,
    namespace: str = "",
) -> Claim:
    """A workload whose demand is certain."""
    return Claim(
        name=name, replica_gpus=gpus, least=least, wanted=wanted or int(load), held=held,
        replica_requests=requests, present=load, priority=priority, namespace=namespace,
    )  # fmt: skip


def unsure(*, held: int) -> Claim:
    """Between levels 0, .5, .9 and 1 its demand ahead is 0 to 4, 4 to 8 and 8; now it is 2."""
    return Claim(
        name="unsure", replica_gpus=1, least=0, wanted=8, held=held, replica_requests=2.0,
        present=2.0, levels=(0.5, 0.9), loads=(4.0, 8.0),
    )  # fmt: skip


class TestLateness:
    @pytest.mark.parametrize(
        ("ordinal", "late"),
        [
            # E[(D - n)+]: 4.2 at 0, 3.2625 at 1, 1.7625 at 3, 1.2 at 4, .75 at 5, .15 at 7, 0 at 8.
            pytest.param(1, 1.875, id="nearly-always-used"),
            pytest.param(4, 1.125, id="used-more-than-half-of-the-time"),
            pytest.param(5, 0.9, id="used-less"),
            pytest.param(8, 0.3, id="used-at-the-top-level"),
        ],
    )
    def test_a_replica_avoids_what_it_serves_of_the_demand_ahead(
        self, ordinal: int, late: float
    ) -> None:
        assert unsure(held=0).avoided(ordinal) == pytest.approx(late)

    def test_a_replica_that_is_there_serves_the_demand_of_now_too(self) -> None:
        assert [unsure(held=8).avoided(n) for n in (1, 2)] == pytest.approx([2.0, 2.0])
        assert unsure(held=8).avoided(5) == pytest.approx(0.9)

    def test_a_spike_keeps_replicas_and_orders_none_that_come_too_late(self) -> None:
        def spike(held: int) -> Claim:
            return Claim(
                name="spike", replica_gpus=1, least=0, wanted=6, held=held, replica_requests=1.0,
                present=6.0, levels=(0.5, 0.9), loads=(2.0, 3.0),
            )  # fmt: skip

        assert spike(6).avoided(6) == 1.0
        assert spike(0).avoided(6) == 0.0


def replicas(gpus: int, *claims: Claim) -> dict[str, int]:
    return {name: share.replicas for name, share in allot("h100", gpus, claims).items()}


class TestShares:
    def test_where_all_fit_all_get_what_they_want(self) -> None:
        shares = allot("h100", 12, [claim("a", 4), claim("b", 8)])
        assert {name: share.replicas for name, share in shares.items()} == {"a": 4, "b": 8}
        assert all(not share.refused and not share.reason for share in shares.values())

    def test_of_equal_workloads_one_is_served_whole_in_place_of_two_in_part(self) -> None:
        assert sorted(replicas(8, claim("a", 6), claim("b", 6)).values()) == [2, 6]

    def test_more_late_requests_a_gpu_go_first(self) -> None:
        # A replica of a avoids 3 late requests a second, one of b 1.
        assert replicas(10, claim("a", 4, requests=3), claim("b", 8)) == {"a": 4, "b": 6}

    def test_priority_weighs_late_requests(self) -> None:
        # As before, but a late request of b counts four times: 4 against 3.
        claims = claim("a", 4, requests=3), claim("b", 8, priority=4)
        assert replicas(10, *claims) == {"a": 2, "b": 8}

    def test_a_large_replica_must_be_worth_all_its_gpus(self) -> None:
        # A replica of b avoids 2 with 4 GPUs: .5 a GPU, against 1 of a.
        claims = claim("a", 3), claim("b", 2, requests=2, gpus=4)
        assert replicas(10, *claims) == {"a": 3, "b": 1}

    def test_nobody_goes_below_the_minimum_for_another_s_sake(self) -> None:
        assert replicas(7, claim("a", 5, requests=100), claim("b", 3, least=3)) == {"a": 4, "b": 3}

    def test_minimums_that_do_not_fit_go_by_priority(self) -> None:
        shares = allot("h100", 5, [claim("a", 4, least=4), claim("b", 3, least=3, priority=2)])
        assert {name: share.replicas for name, share in shares.items()} == {"a": 2, "b": 3}
        assert "below the minimum of 4" in shares["a"].reason

    def test_of_equal_priority_they_go_in_turns_of_gpus(self) -> None:
        # A claim of a whole pool as its minimum leaves the others theirs.
        greedy = claim("a", 8, least=8, wanted=8)
        assert replicas(8, greedy, claim("b", 6, held=6), claim("c", 2, least=2)) == {
            "a": 5, "b": 1, "c": 2
        }  # fmt: skip
        assert replicas(8, greedy, claim("b", 2, least=2, gpus=4)) == {"a": 4, "b": 1}

    def test_nobody_gets_more_than_the_plan_wants(self) -> None:
        assert replicas(32, claim("a", 6, wanted=3), claim("b", 2)) == {"a": 3, "b": 2}

    def test_of_two_that_are_alike_the_one_that_has_the_replicas_keeps_them(self) -> None:
        claims = claim("a", 6), claim("b", 6, held=6)
        assert replicas(8, *claims) == {"a": 2, "b": 6}
        # A third more late requests are worth a start-up.
        assert replicas(8, claim("a", 6, requests=1.34), claims[1]) == {"a": 6, "b": 2}

    def test_an_unsure_demand_gets_what_its_quantiles_are_worth(self) -> None:
        # After the minimum of the sure one: 1.875, 1.625, 1.375, 1.125 of the unsure one, 3 x 1 of
        # the sure one, then .9 and .7.
        assert replicas(10, claim("sure", 4), unsure(held=0)) == {"sure": 4, "unsure": 6}
        assert replicas(6, claim("sure", 4), unsure(held=0)) == {"sure": 2, "unsure": 4}

    def test_head_room_that_is_worth_nothing_goes_to_those_that_are_served(self) -> None:
        claims = claim("a", 4, wanted=6), claim("b", 9, wanted=9, priority=0.5, gpus=4)
        # 3 GPUs are too few for a replica of b.
        assert replicas(11, *claims) == {"a": 6, "b": 1}


def test_a_refusal_says_how_much_to_whom_and_why() -> None:
    shares = allot("h100", 8, [claim("a", 4, requests=3), claim("b", 8, least=4)])
    refused = shares["b"]
    assert (refused.replicas, refused.refused) == (4, 4)
    step = refused.step()
    assert (step.rule, step.replicas) == ("pool", 4)
    assert step.text == (
        "pool h100 has 8 GPUs: 4 of 8 replicas; one more would avoid 1 late requests/s a GPU"
        " (priority 1), the last GPU went to a, where it avoids 3 (priority 1)"
    )


def test_a_refusal_shows_nothing_of_a_workload_of_another_namespace() -> None:
    taker = claim("team-a/secret", 4, requests=3, priority=7, namespace="team-a")
    refused = allot("h100", 8, [taker, claim("b", 8, least=4, namespace="team-b")])["b"]
    assert refused.reason == (
        "pool h100 has 8 GPUs: 4 of 8 replicas; one more would avoid 1 late requests/s a GPU"
        " (priority 1), the last GPU went to a workload of another namespace"
    )


def test_what_is_wanted_beyond_a_pool_costs_no_time() -> None:
    def spent(wanted: int) -> float:
        claims = [claim(f"w{n}", 8, wanted=wanted) for n in range(50)]
        return cpu_seconds(lambda: allot("h100", 200, claims))

    # 156 GPUs are granted one by one in both; the old way weighed all that is wanted.
    assert spent(10_000) < 10 * spent(10)


def test_the_shares_are_those_of_one_grant_after_the_other() -> None:
    def granted_one_by_one(gpus: int, claims: list[Claim]) -> dict[str, int]:
        granted = {one.name: one.least for one in claims}
        while sum(granted.values()) < gpus:
            kept = {one.name: 1.25 if granted[one.name] < one.held else 1.0 for one in claims}
            worths = {
                one.name: one.avoided(granted[one.name] + 1) * one.priority * kept[one.name]
                for one in claims
                if granted[one.name] < one.wanted
            }
            best = max(worths, key=lambda name: worths[name])
            granted[best] += 1
        return granted

    # No two replicas are worth the same here.
    claims = [
        claim("a", 9, requests=1.01, wanted=12, held=3),
        claim("b", 7, requests=1.9, wanted=9, held=9, priority=0.7),
        claim("c", 3, requests=0.4, least=2, wanted=5),
        unsure(held=4),
    ]
    for gpus in (6, 9, 14, 19, 24):
        one_by_one = granted_one_by_one(gpus, claims)
        assert replicas(gpus, *claims) == one_by_one
