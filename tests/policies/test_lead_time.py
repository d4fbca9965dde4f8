"""The lead time of a pool, as the rules get it."""

import pytest

from fleet.account.lead_time_priors import PRIORS
from fleet.account.lead_times import learned
from fleet.account.places import Place
from fleet.account.stage_durations import TO_GPUS
from fleet.account.starts import NodeStart, Starts
from fleet.account.startups import StartUps
from policies.lead_time import PoolLeadTimes, lead_time_of

NOW = 1_795_900_000.0
POOL = Place(pool="h100")


def test_a_pool_without_starts_has_the_priors() -> None:
    found = lead_time_of(learned(StartUps(), NOW), POOL)

    # 4.94 % of the orders fail after 535.6 s on average, and are made again.
    assert found.launch_failure_share == pytest.approx(0.0494)
    assert found.boot_seconds == pytest.approx(
        PRIORS[TO_GPUS].mean(3600) + 0.0494 / 0.9506 * 535.63, abs=0.01
    )
    assert found.pull_seconds == pytest.approx(PRIORS["image pulled"].mean(3600))
    assert found.boot_seconds_p90 >= PRIORS[TO_GPUS].quantile(0.9)
    assert found.seen == 0


def test_the_lead_times_of_pools_are_those_of_each_alone() -> None:
    of_prior = learned(StartUps(), NOW)
    leads = PoolLeadTimes(of_prior)

    assert leads.of("h100") == leads.of("other") == lead_time_of(of_prior, POOL)
    assert leads.of("h100") is leads.of("h100")


def test_a_pool_with_starts_has_theirs() -> None:
    starts = tuple(
        NodeStart(
            uid=f"u{at}", name=f"n{at}", pool="h100", created_seconds=NOW - 1000,
            launched_seconds=NOW - 996, initialized_seconds=NOW - 820, gpus_seconds=NOW - 820,
            watched=True,
        )
        for at in range(96)
    )  # fmt: skip
    startups = StartUps(nodes=Starts(most=1000, ended=starts))

    found = lead_time_of(learned(startups, NOW), POOL)

    # The prior counts like four of a hundred.
    assert found.boot_seconds == pytest.approx(180, rel=0.05)
    assert found.boot_seconds_p90 == 180
    assert found.launch_failure_share == pytest.approx(0.12 / 100 + 0.08 / 100, rel=0.01)
    assert found.seen == 96


def test_machines_that_hang_for_days_are_no_lead_time_to_plan_with() -> None:
    good = tuple(
        NodeStart(
            uid=f"u{at}", name=f"n{at}", pool="h100", created_seconds=NOW - 1000,
            launched_seconds=NOW - 996, initialized_seconds=NOW - 820, gpus_seconds=NOW - 820,
            watched=True,
        )
        for at in range(6)
    )  # fmt: skip
    hung = {
        uid: NodeStart(
            uid=uid, name=uid, pool="h100", created_seconds=NOW - 3 * 86_400,
            launched_seconds=NOW - 3 * 86_400 + 5, watched=True, seen_seconds=NOW,
        )
        for uid in ("x", "y")
    }  # fmt: skip
    startups = StartUps(nodes=Starts(most=1000, ended=good, starting=hung))

    found = lead_time_of(learned(startups, NOW), POOL)

    # Two of eight took three days or more, so that is the .9 quantile; it counts as an hour.
    assert found.boot_seconds_p90 == 3600
    assert found.boot_seconds < 3600
