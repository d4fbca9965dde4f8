"""The real KEDA and the real HPA set the counts that Foresail answers, no other on the way."""

import math
from collections.abc import Iterator
from itertools import count
from time import monotonic  # noqa: TID251 - processes live in real time

import pytest

from tests.e2e.site import Site
from tests.e2e.workload_objects import NAMESPACE

pytestmark = pytest.mark.looptime(False)  # processes live in real time

FOR_EVER = 3600
_numbers = count(1)
LOOK_SECONDS = 1.0
"""Between two looks of the site's servers; a look may be so much later than its label."""


@pytest.fixture(autouse=True)
def _model_without_a_past(site: Site) -> Iterator[None]:
    """No forecast counts beside what is asked now.

    After two minutes of other tests' jumps it does, and may exceed it.
    """
    before, site.picker.model = site.picker.model, f"counted-{next(_numbers)}"
    yield
    site.picker.model = before


@pytest.fixture
def never_polled(site: Site, chat: str) -> Iterator[str]:
    """One that KEDA polls at the edit only, when nothing is asked.

    Beside it is one that is polled. KEDA 2.21 may close the scaler of an edited object, and with
    the last scaler the connection, which a stream alone never opens again.
    """
    site.deploy("polled")
    try:
        site.scale("polled")
        for name in (chat, "polled"):
            site.bed.wait(lambda name=name: site.answers(name) == 0, "the answer 0")  # type: ignore[misc]
        site.scale(chat, spec={"pollingInterval": FOR_EVER})
        yield chat
    finally:
        site.forget("polled")


@pytest.mark.parametrize("push", [True, False], ids=["external-push", "external"])
def test_every_count_is_reached_exactly(site: Site, deployed: str, *, push: bool) -> None:
    site.scale(deployed, push=push)
    *script, last = (0, 1, 9, 10, 11, 23, 24, 23, 0)
    with site.recording(deployed) as record:
        for wanted in script:
            site.picker.asks(wanted)
            site.reaches(deployed, wanted)
        _asks_nothing(site, deployed)
        site.stops(deployed)
    # Straight there each time; to zero the HPA may take its minimum of 1 before KEDA acts.
    assert record.counts in ([*script, last], [*script, 1, last])


def test_the_first_replica_comes_by_push(site: Site, never_polled: str) -> None:
    site.picker.asks(1)
    site.reaches(never_polled, 1)


def test_a_queue_with_no_ready_replica_starts_one_at_once(site: Site, never_polled: str) -> None:
    site.picker.queues(1, ready=0)
    site.reaches(never_polled, 1)


def test_streams_are_open_as_keda_2_21_opens_them(site: Site, chat: str) -> None:
    for method in ("StreamIsActive", "StreamMetricSpec"):
        site.bed.wait(
            lambda method=method: site.exported("foresail_streams_open", method=method) >= 1, method
        )


def test_from_one_to_forty_in_one_sync_of_the_hpa(site: Site, chat: str) -> None:
    site.picker.asks(1)
    site.reaches(chat, 1)
    with site.recording(chat) as record:
        site.picker.asks(40)
        site.reaches(chat, 40)
    assert record.counts == [1, 40]
    site.bed.wait(lambda: site.ready(chat) == 40, "40 pods, scheduled and ready")


def test_zero_comes_only_when_the_queue_is_drained(site: Site, chat: str) -> None:
    site.picker.asks(3)
    site.reaches(chat, 3)
    with site.recording(chat) as record:
        site.picker.queues(2, ready=3)
        # On one page: there is a queue, and what KEDA is told about it.
        site.bed.wait(lambda: _answers_while(site, chat, waiting=2) < 3, "the queue's need")
        assert _answers_while(site, chat, waiting=2) > 0
        site.bed.wait(lambda: site.replicas(chat) < 3, "the queue's replicas")
        assert site.replicas(chat) > 0
    assert min(record.counts) > 0

    _asks_nothing(site, chat)
    site.stops(chat)


def test_replicas_go_after_the_hold_and_not_before(site: Site, deployed: str) -> None:
    hold_seconds = 12.0
    site.scale(deployed, hold=f"{hold_seconds:g}s")
    site.picker.asks(6)
    site.reaches(deployed, 6)
    site.bed.wait(lambda: site.answers(deployed) == 6, "the answer 6")
    with site.recording(deployed) as record:
        now = monotonic()
        # The last look that saw 6 was this one, or a later one.
        looked_at = now - site.exported(
            "foresail_reading_age_seconds", namespace=NAMESPACE, scaled_object=deployed
        )
        site.picker.asks(2)
        site.reaches(deployed, 2)
    assert record.counts == [6, 2]
    assert record.at_seconds[1] - looked_at > hold_seconds - LOOK_SECONDS


def test_the_bounds_hold_in_the_answer_and_in_the_hpa(site: Site, deployed: str) -> None:
    bounds = {"minReplicaCount": 2, "maxReplicaCount": 4}
    site.scale(deployed, spec=bounds, minReplicas="2", maxReplicas="4")
    site.picker.asks(9)
    site.reaches(deployed, 4)
    # The HPA may know its bounds before Foresail is told of the trigger's.
    site.bed.wait(lambda: site.answers(deployed) == 4, "the answer 4")
    site.picker.asks(0)
    site.reaches(deployed, 2)
    site.bed.wait(lambda: site.answers(deployed) == 2, "the answer 2")


def test_a_bound_of_the_object_alone_holds_too(site: Site, deployed: str) -> None:
    site.scale(deployed, spec={"maxReplicaCount": 4})
    site.picker.asks(9)
    site.reaches(deployed, 4)
    site.bed.wait(lambda: site.answers(deployed) == 9, "the answer 9")
    assert site.replicas(deployed) == 4


def test_an_idle_count_of_zero_skips_the_minimum(site: Site, deployed: str) -> None:
    site.scale(deployed, spec={"minReplicaCount": 3, "idleReplicaCount": 0})
    with site.recording(deployed) as record:
        site.picker.asks(1)
        site.reaches(deployed, 3)
        site.picker.asks(5)
        site.reaches(deployed, 5)
        _asks_nothing(site, deployed)
        site.stops(deployed)
    assert record.counts in ([0, 3, 5, 0], [0, 3, 5, 3, 0])


def test_an_answer_is_a_number_only_while_there_is_one(site: Site, chat: str) -> None:
    site.picker.asks(2)
    site.reaches(chat, 2)
    site.scale(chat, model="nobody-serves-this")
    site.bed.wait(lambda: math.isnan(site.answers(chat)), "the refusal")
    assert "nobody-serves-this" in site.page(f"/explain/{NAMESPACE}/{chat}")
    assert site.replicas(chat) == 2


def _asks_nothing(site: Site, name: str) -> None:
    site.picker.asks(0)
    site.bed.wait(lambda: site.answers(name) == 0, "the answer 0")


def _answers_while(site: Site, name: str, *, waiting: float) -> float:
    """What Foresail would tell KEDA, by a page on which so many wait; NaN on another page."""
    at, of = site.exports(), {"namespace": NAMESPACE, "scaled_object": name}
    reads = at("foresail_reading", signal="waiting", **of)
    return at("foresail_desired_replicas", **of) if reads == waiting else math.nan
