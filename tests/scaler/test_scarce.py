"""GPUs of a pool that is short, allotted by hand."""

import pytest

from scaler.decision.scarce import Claim, allot


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
) -> Claim:
    """A workload whose demand is certain."""
    return Claim(
        name=name, replica_gpus=gpus, least=least, wanted=wanted or int(load), held=held,
        replica_requests=requests, present=load, priority=priority,
    )  # fmt: skip


UNSURE = Claim(
    name="unsure", replica_gpus=1, least=0, wanted=8, held=0, replica_requests=2.0, present=2.0,
    levels=(0.5, 0.9), loads=(4.0, 8.0),
)  # fmt: skip


class TestLateness:
    @pytest.mark.parametrize(
        ("replicas", "late"),
        [
            # All demand: .5 x mean(2, 4) + .4 x mean(4, 8) + .1 x 8 = 4.7 replicas of 2 a second.
            pytest.param(1, 9.4, id="certainly-too-few"),
            # From the median on: .4 x mean(4, 8) + .1 x 8 = 3.2.
            pytest.param(4, 6.4, id="too-few-half-of-the-time"),
            # From level .7 on: .2 x mean(6, 8) + .1 x 8 = 2.2.
            pytest.param(6, 4.4, id="between-two-levels"),
            pytest.param(8, 0.0, id="enough"),
        ],
    )
    def test_a_fleet_below_its_demand_is_late_with_all_of_it(
        self, replicas: int, late: float
    ) -> None:
        assert UNSURE.late(replicas) == pytest.approx(late)

    def test_a_burst_of_now_outweighs_a_calm_forecast(self) -> None:
        burst = Claim(
            name="burst", replica_gpus=1, least=0, wanted=6, held=0, replica_requests=1.0,
            present=6.0, levels=(0.5, 0.9), loads=(2.0, 3.0),
        )  # fmt: skip
        assert (burst.late(5), burst.late(6)) == (6.0, 0.0)


def replicas(gpus: int, *claims: Claim) -> dict[str, int]:
    return {name: share.replicas for name, share in allot("h100", gpus, claims).items()}


class TestShares:
    def test_where_all_fit_all_get_what_they_want(self) -> None:
        shares = allot("h100", 12, [claim("a", 4), claim("b", 8)])
        assert {name: share.replicas for name, share in shares.items()} == {"a": 4, "b": 8}
        assert all(not share.refused and not share.reason for share in shares.values())

    def test_a_share_that_helps_nobody_goes_to_one_that_it_completes(self) -> None:
        # Each needs 6 of 8. Split in halves both are late; so one is served, the other keeps its
        # minimum and the GPU that is left over.
        assert sorted(replicas(8, claim("a", 6), claim("b", 6)).values()) == [2, 6]

    def test_more_late_requests_a_gpu_go_first(self) -> None:
        # From 1 to 4 replicas a avoids 4 x 3 / 3 GPUs = 4 a GPU, b from 1 to 8 8 x 1 / 7 = 1.1.
        assert replicas(10, claim("a", 4, requests=3), claim("b", 8)) == {"a": 4, "b": 6}

    def test_priority_weighs_late_requests(self) -> None:
        # As before, but a late request of b counts four times: 4.6 against 4.
        claims = claim("a", 4, requests=3), claim("b", 8, priority=4)
        assert replicas(10, *claims) == {"a": 2, "b": 8}

    def test_a_large_replica_must_be_worth_all_its_gpus(self) -> None:
        # b: 2 replicas of 4 GPUs for 4 requests a second; from 1 to 2: 4 / 4 = 1 a GPU, which is
        # less than 1.5 of a (3 requests over the 2 GPUs after its minimum).
        claims = claim("a", 3), claim("b", 2, requests=2, gpus=4)
        assert replicas(10, *claims) == {"a": 3, "b": 1}

    def test_nobody_goes_below_the_minimum_for_another_s_sake(self) -> None:
        assert replicas(7, claim("a", 5, requests=100), claim("b", 3, least=3)) == {"a": 4, "b": 3}

    def test_a_fleet_that_is_late_anyway_leaves_the_gpu_where_it_helps(self) -> None:
        # a needs 8 and could have 5: late whatever it gets.
        assert replicas(8, claim("a", 8, requests=100), claim("b", 4)) == {"a": 4, "b": 4}

    def test_minimums_that_do_not_fit_go_by_priority(self) -> None:
        shares = allot("h100", 5, [claim("a", 4, least=4), claim("b", 3, least=3, priority=2)])
        assert {name: share.replicas for name, share in shares.items()} == {"a": 2, "b": 3}
        assert "below the minimum of 4" in shares["a"].reason

    def test_nobody_gets_more_than_the_plan_wants(self) -> None:
        assert replicas(32, claim("a", 6, wanted=3), claim("b", 2)) == {"a": 3, "b": 2}

    def test_of_two_that_are_alike_the_one_that_has_the_replicas_keeps_them(self) -> None:
        claims = claim("a", 6), claim("b", 6, held=6)
        assert replicas(8, *claims) == {"a": 2, "b": 6}
        # A third more late requests are worth a start-up.
        assert replicas(8, claim("a", 6, requests=1.34), claims[1]) == {"a": 6, "b": 2}

    def test_an_unsure_demand_gets_what_its_quantiles_are_worth(self) -> None:
        # From 0: to 8 9.4 / 8 = 1.18 a GPU, to 6 5 / 6 = .83, so the whole block; the certain
        # one from 1 to 4 4 / 3 = 1.33 comes first, and leaves 8 - 4 = 4 of 12 - 4.
        assert replicas(12, claim("sure", 4), UNSURE) == {"sure": 4, "unsure": 8}
        assert replicas(10, claim("sure", 4), UNSURE)["sure"] == 4


def test_a_refusal_says_how_much_to_whom_and_why() -> None:
    shares = allot("h100", 10, [claim("a", 4, requests=3), claim("b", 8)])
    refused = shares["b"]
    assert (refused.replicas, refused.refused) == (6, 2)
    assert refused.reason == (
        "pool h100 has 10 GPUs: 6 of 8 replicas; 2 more would avoid 4 late requests/s a GPU"
        " (priority 1), the last GPUs went to a, where they avoid 4 (priority 1)"
    )
    step = allot("h100", 8, [claim("a", 4, requests=3), claim("b", 8, least=4)])["b"].step()
    assert (step.rule, step.replicas) == ("pool", 4)
    assert step.text == (
        "pool h100 has 8 GPUs: 4 of 8 replicas; 4 more would avoid 2 late requests/s a GPU"
        " (priority 1), the last GPUs went to a, where they avoid 4 (priority 1)"
    )
