"""What each mode does to replicas: nothing, the need of the present, or the plan."""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.e2e.bed import READY_SECONDS
from tests.e2e.processes import frozen
from tests.e2e.site import SHORT_ANSWER_SECONDS, Site
from tests.e2e.workload_objects import NAMESPACE

pytestmark = pytest.mark.looptime(False)  # processes live in real time

ASKED_TIMES = 8
"""More than the fallback's threshold of 3 failures."""
COOLS = {"initialCooldownPeriod": 60}
"""As mode advise alone wants it: the first cooldown is longer than three calls of an HPA take, also
if one of them stands still for a while; and shorter than `CLOSED_TIMES` questions."""
CLOSED_TIMES = 1000


@pytest.fixture
def advised(site: Site, request: pytest.FixtureRequest) -> Iterator[str]:
    """A Deployment of 5, under no ScaledObject yet, gone after the test."""
    name = f"advised-{request.node.name.split('[')[0].rsplit('_', 1)[-1]}"
    site.rests()
    site.deploy(name, replicas=5)
    site.bed.wait(lambda: site.ready(name) == 5, "5 ready")
    yield name
    site.forget(name)


def test_advise_alone_leaves_what_others_set(site: Site, advised: str) -> None:
    site.scale(advised, spec={"minReplicaCount": 1}, fallback=True, mode="advise", minReplicas="1")
    site.picker.asks(9)
    site.bed.wait(lambda: site.planned(advised) == 9, "a plan of 9")
    with site.recording(advised) as record:
        # Pods that start are the HPA's replicas and not yet ready ones.
        for count in (12, 3):
            _by_hand(site, advised, count)
            _asked(site)
    assert record.counts == [5, 12, 3]


@pytest.mark.parametrize("replicas", [3, 0])
def test_advise_alone_with_zero_allowed_neither_wakes_nor_stops(
    site: Site, advised: str, replicas: int
) -> None:
    _by_hand(site, advised, replicas)
    with site.recording(advised) as record:
        site.scale(advised, spec=COOLS, mode="advise")
        for asked in (4, 0):
            site.picker.asks(asked)
            site.bed.wait(lambda asked=asked: site.planned(advised) == asked, f"a plan of {asked}")
            _asked(site)
    assert record.counts == [replicas]


def test_advise_alone_with_zero_allowed_stops_none_whose_scalers_keda_closes_while_it_polls(
    site: Site,
) -> None:
    # While its HPAs got errors, KEDA stopped two or three of so many in this time.
    names = [f"closed-{number}" for number in range(6)]
    site.rests()
    with ExitStack() as stack:
        for name in names:
            stack.callback(site.forget, name)
            site.deploy(name, replicas=3)
        records = [stack.enter_context(site.recording(name)) for name in names]
        for name in names:
            site.scale(name, spec=COOLS, mode="advise")
        _asked(site, times=CLOSED_TIMES)
        with frozen(site.bed.programs["kube-controller-manager"].pid):
            # So that KEDA is over with what Foresail told it at the HPA's last call.
            _asked(site, times=60)
            _by_hand(site, names[0], 0)
        _asked(site, times=100)
    assert [record.counts for record in records] == [[3, 0], *[[3]] * 5]


def test_advise_beside_another_trigger_leaves_all_to_it(site: Site, advised: str) -> None:
    site.picker.asks(3)
    _scraped(site, 3)
    with site.recording(advised) as record:
        # The plan is 4 times what the other trigger asks for, and changes nothing.
        site.scale(
            advised,
            mode="advise",
            otherTriggers="true",
            replicaRequests="0.25",
            beside=_other(site),
        )
        for asked in (3, 6, 2, 0, 1):
            site.picker.asks(asked)
            if not asked:
                _scraped(site, 0)
                site.stops(advised)
                continue
            site.reaches(advised, asked)
            site.bed.wait(lambda asked=asked: site.planned(advised) == 4 * asked, "the plan")
    # On the way to zero the HPA may take its minimum of 1 before KEDA acts.
    assert record.counts in ([5, 3, 6, 2, 0, 1], [5, 3, 6, 2, 1, 0, 1])


def test_advise_beside_a_trigger_it_was_not_told_of_never_takes_replicas_away(
    site: Site, advised: str
) -> None:
    site.picker.asks(6)
    _scraped(site, 6)
    site.scale(advised, mode="advise", minReplicas="1", beside=_other(site))
    site.reaches(advised, 6)
    with site.recording(advised) as record:
        site.picker.asks(2)
        _scraped(site, 2)
        _asked(site)
        site.picker.asks(8)
        site.reaches(advised, 8)
    assert record.counts == [6, 8]


def test_reactive_follows_the_present_and_shows_the_plan(site: Site, deployed: str) -> None:
    site.scale(deployed, mode="reactive", hold="1h")
    for asked in (6, 2):
        site.picker.asks(asked)
        site.reaches(deployed, asked)
    site.bed.wait(
        lambda: (site.planned(deployed), site.answers(deployed)) == (6, 2), "the plan of 6"
    )


def test_advise_alone_changes_no_replica_whatever_is_planned_or_fails(
    site: Site, short_answers: None, advised: str
) -> None:
    # With the example's fallback to 4 or more, which must not act.
    with site.recording(advised) as record:
        site.scale(advised, spec={"minReplicaCount": 1}, fallback=True, mode=None, minReplicas="1")
        for asked in (9, 1):
            site.picker.asks(asked)
            site.bed.wait(lambda asked=asked: site.planned(advised) == asked, f"a plan of {asked}")
            _asked(site)
        site.picker.renamed = True
        site.bed.wait(lambda: _age(site, advised) > SHORT_ANSWER_SECONDS, "no plan for too long")
        _asked(site)
    assert record.counts == [5]
    assert math.isnan(site.answers(advised))
    assert not site.falls_back(advised)


def _other(site: Site) -> dict[str, Any]:
    """A trigger of KEDA's own: a replica for each request that runs.

    A scrape that failed is no zero.
    """
    of_picker = f'llm_d_epp_request_running{{namespace="{NAMESPACE}"}}'
    return {
        "type": "prometheus",
        "name": "other",
        "metadata": {
            "serverAddress": site.prometheus.url,
            "query": f"sum(last_over_time({of_picker}[1m]))",
            "threshold": "1",
            "ignoreNullValues": "false",
        },
    }


def _scraped(site: Site, asked: int) -> None:
    """Until KEDA's own trigger sees it: KEDA cuts the time it asks for to whole seconds."""
    query = "sum(llm_d_epp_request_running offset 2s)"
    site.bed.wait(lambda: site.prometheus.value(query) == asked, f"{asked} scraped")


def _asked(site: Site, times: int = ASKED_TIMES) -> None:
    """Until KEDA asked again and again, for itself or for the HPA, whatever it was told."""
    until = site.asked(method="GetMetrics") + times
    site.bed.wait(
        lambda: site.asked(method="GetMetrics") >= until,
        f"{times} questions",
        seconds=max(READY_SECONDS, times),  # six objects are asked about 9 times a second at best
    )


def _age(site: Site, name: str) -> float:
    return site.exported("foresail_reading_age_seconds", namespace=NAMESPACE, scaled_object=name)


def _by_hand(site: Site, name: str, count: int) -> None:
    site.bed.kubectl("scale", "deployment", name, "-n", NAMESPACE, f"--replicas={count}")
