"""The real KEDA and the real HPA set the counts that Foresail answers, no other on the way."""

import math
from time import monotonic  # noqa: TID251 - processes live in real time

import pytest

from tests.e2e.kubernetes import HPA_SYNC_SECONDS
from tests.e2e.site import NAMESPACE, PATIENT, Site

pytestmark = pytest.mark.looptime(False)  # processes live in real time

FOR_EVER = 3600


@pytest.mark.parametrize("push", [True, False], ids=["external-push", "external"])
def test_every_count_is_reached_exactly(site: Site, chat: str, *, push: bool) -> None:
    site.scale(chat, push=push)
    script = (0, 1, 9, 10, 11, 23, 24, 23, 0)
    with site.recording(chat) as record:
        for wanted in script:
            site.picker.asks(wanted)
            site.reaches(chat, wanted)
    # Straight there each time; to zero the HPA may take its minimum of 1 before KEDA acts.
    assert record.counts in ([*script], [*script[:-1], 1, 0])


def test_the_first_replica_comes_by_push(site: Site, chat: str) -> None:
    # The only poll was the one at the start, when nothing was asked.
    site.scale(chat, spec={"pollingInterval": FOR_EVER})
    site.bed.wait(lambda: site.answers(chat) == 0, "the answer 0")
    site.picker.asks(1)
    site.reaches(chat, 1)


def test_a_queue_with_no_ready_replica_starts_one_at_once(site: Site, chat: str) -> None:
    site.scale(chat, spec={"pollingInterval": FOR_EVER})
    site.bed.wait(lambda: site.answers(chat) == 0, "the answer 0")
    assert site.picker.ready == 0
    site.picker.queued = 1
    site.reaches(chat, 1)


def test_streams_are_open_as_keda_2_21_opens_them(site: Site, chat: str) -> None:
    for method in ("StreamIsActive", "StreamMetricSpec"):
        site.bed.wait(
            lambda method=method: site.exported("foresail_streams_open", method=method) >= 1, method
        )


def test_from_one_to_forty_in_one_sync_of_the_hpa(site: Site, chat: str) -> None:
    site.picker.asks(1)
    site.reaches(chat, 1)
    _polled(site)
    with site.recording(chat) as record:
        site.picker.asks(40)
        site.reaches(chat, 40)
    assert record.counts == [1, 40]
    site.bed.wait(lambda: site.ready(chat) == 40, "40 pods, scheduled and ready")


def test_zero_comes_only_when_the_queue_is_drained(site: Site, chat: str) -> None:
    site.picker.asks(3)
    site.reaches(chat, 3)
    with site.recording(chat) as record:
        site.picker.running = 0
        site.picker.queued = 2
        site.bed.wait(lambda: site.reads(chat, "waiting") == 2, "a queue")
        site.bed.wait(lambda: site.replicas(chat) < 3, "the queue's need")
        assert site.replicas(chat) > 0
        site.picker.queued = 0
        site.reaches(chat, 0)
    assert record.counts[-2] > 0


def test_replicas_go_after_the_hold_and_not_before(site: Site, chat: str) -> None:
    hold_seconds = 12.0
    site.scale(chat, hold=f"{hold_seconds:g}s")
    site.picker.asks(6)
    site.reaches(chat, 6)
    site.bed.wait(lambda: site.answers(chat) == 6, "the answer 6")
    with site.recording(chat) as record:
        site.picker.asks(2)
        # Within the hold the need has fallen and the answer has not, on one page.
        site.bed.wait(lambda: _answers_while(site, chat, running=2) == 6, "2 running, the answer 6")
        seen_at = monotonic()
        site.reaches(chat, 2)
    assert record.counts == [6, 2]
    # The look that saw it came at most a period before its page, and the HPA follows later.
    assert record.at_seconds[1] - seen_at > hold_seconds - 2 * HPA_SYNC_SECONDS


def test_the_bounds_hold_in_the_answer_and_in_the_hpa(site: Site, chat: str) -> None:
    bounds = {"minReplicaCount": 2, "maxReplicaCount": 4}
    site.scale(chat, spec=bounds, minReplicas="2", maxReplicas="4")
    site.picker.asks(9)
    site.reaches(chat, 4)
    # The HPA may know its bounds before Foresail is told of the trigger's.
    site.bed.wait(lambda: site.answers(chat) == 4, "the answer 4")
    site.picker.asks(0)
    site.reaches(chat, 2)
    site.bed.wait(lambda: site.answers(chat) == 2, "the answer 2")


def test_a_bound_of_the_object_alone_holds_too(site: Site, chat: str) -> None:
    site.scale(chat, spec={"maxReplicaCount": 4})
    site.picker.asks(9)
    site.reaches(chat, 4)
    site.bed.wait(lambda: site.answers(chat) == 9, "the answer 9")
    assert site.replicas(chat) == 4


def test_an_idle_count_of_zero_skips_the_minimum(site: Site, chat: str) -> None:
    site.scale(chat, spec={"minReplicaCount": 3, "idleReplicaCount": 0})
    with site.recording(chat) as record:
        site.picker.asks(1)
        site.reaches(chat, 3)
        site.picker.asks(5)
        site.reaches(chat, 5)
        site.picker.asks(0)
        site.reaches(chat, 0)
    assert record.counts in ([0, 3, 5, 0], [0, 3, 5, 3, 0])


def test_an_answer_is_a_number_only_while_there_is_one(site: Site, chat: str) -> None:
    site.scale(chat, spec=PATIENT)
    site.picker.asks(2)
    site.reaches(chat, 2)
    site.scale(chat, spec=PATIENT, model="nobody-serves-this")
    site.bed.wait(lambda: math.isnan(site.answers(chat)), "the refusal")
    assert "nobody-serves-this" in site.page(f"/explain/{NAMESPACE}/{chat}")
    assert site.replicas(chat) == 2


def _answers_while(site: Site, name: str, *, running: float) -> float:
    """What Foresail would tell KEDA, by a page on which so many run; NaN on another page."""
    at, of = site.exports(), {"namespace": NAMESPACE, "scaled_object": name}
    reads = at("foresail_reading", signal="running", **of)
    return at("foresail_desired_replicas", **of) if reads == running else math.nan


def _polled(site: Site) -> None:
    """Wait for a whole poll of KEDA's: one that began before the push may still go back to zero."""
    until = site.asked(method="IsActive") + 2
    site.bed.wait(lambda: site.asked(method="IsActive") >= until, "two polls")
