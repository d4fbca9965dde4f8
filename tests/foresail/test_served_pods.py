"""What kube-state-metrics says of a model's pods: their starts, and which of them are none."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

import pytest

from foresail.backtest.recorded import Recorded, Selection
from foresail.backtest.served_pods import ServedPods, served_pods
from scaler.scope import Scope
from scaler.sources.catalogue import load
from scaler.sources.series import Sample

BEGIN, NOW = 1_000_000.0, 2_000_000.0


class Recording:
    """Samples as they are; what else a recording answers is not asked."""

    namespace_label = "namespace"
    labels: Mapping[str, str] = {}

    def __init__(self, samples: list[Sample]) -> None:
        self.samples = samples

    def last_of(self, selections: Iterable[Selection], **_: Any) -> list[Sample]:
        chosen = list(selections)
        return [
            one
            for one in self.samples
            if any(all_of.takes(one.name, one.labels) for all_of in chosen)
        ]


def sample(name: str, pod: str, value: float, **labels: str) -> Sample:
    labels |= {"pod": pod, "namespace": "llm", "model_name": "m"}
    return Sample(name=name, labels=labels, value=value, at_seconds=NOW)


def pods_of(*starts: tuple[float, float]) -> ServedPods:
    """Of pods with (creation, seconds until the last time that they became ready)."""
    samples = []
    for number, (created, took) in enumerate(starts):
        pod = f"chat-{number}"
        samples += [
            sample("vllm:num_requests_waiting", pod, 1.0),
            sample("kube_pod_created", pod, created),
            sample("kube_pod_status_ready_time", pod, created + took),
        ]
    recording = cast(Recorded, Recording(samples))
    scope = Scope(model="m", namespace="llm")
    return served_pods(recording, load("vllm"), scope, begin=BEGIN, now=NOW)


def test_a_start_is_the_time_from_creation_to_ready() -> None:
    pods = pods_of((BEGIN + 100, 180), (BEGIN + 900, 210))

    assert pods.starts_seconds == (180, 210)
    assert (pods.starting_seconds, pods.odd_starts) == (390, 0)


def test_starts_before_the_past_are_learned_and_take_no_hours_of_it() -> None:
    pods = pods_of((BEGIN - 86_400, 200), (BEGIN + 900, 210))

    assert pods.starts_seconds == (200, 210)
    assert pods.starting_seconds == 210


@pytest.mark.parametrize("created", [BEGIN - 604_800, BEGIN + 100])
def test_a_pod_that_was_ready_again_after_a_time_without_shows_no_start(created: float) -> None:
    pods = pods_of((BEGIN + 1, 180), (BEGIN + 2, 190), (BEGIN + 3, 200), (created, 604_000))

    assert pods.starts_seconds == (180, 190, 200)
    assert (pods.starting_seconds, pods.odd_starts) == (570, 1)


@pytest.mark.parametrize("odd", [1, 3])
def test_pods_that_were_ready_again_are_told_from_starts_where_they_are_the_more(odd: int) -> None:
    pods = pods_of((BEGIN + 1, 180), *[(BEGIN + 2, 363_000)] * odd)

    assert (pods.starts_seconds, pods.odd_starts) == ((180,), odd)


def test_starts_of_over_an_hour_are_believed_where_there_are_no_others() -> None:
    assert pods_of((BEGIN + 1, 4200), (BEGIN + 2, 4300)).starts_seconds == (4200, 4300)


def test_where_only_old_pods_became_ready_again_no_start_is_known() -> None:
    pods = pods_of((BEGIN - 604_800, 604_900))

    assert (pods.starts_seconds, pods.odd_starts) == ((), 1)


def test_cold_starts_beside_warm_ones_are_kept() -> None:
    assert len(pods_of(*[(BEGIN + 1, 170)] * 7, *[(BEGIN + 1, 720)] * 3).starts_seconds) == 10
