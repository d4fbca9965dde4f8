"""Workloads that share a pool of known size: their plans in the cycle, look by look."""

from dataclasses import dataclass, replace

import pytest
from prometheus_client import CollectorRegistry
from typing_extensions import override

from foresail.serve.pace import planning_settings
from foresail.settings.cycle import CycleSettings
from scaler.decision.answers import Answer, Reference, TimedOutcome
from scaler.errors import MetadataError, SourceUnavailableError
from scaler.evaluate import CycleState
from scaler.serving.changes import Arrival, Changes
from scaler.serving.cycle import PlanningCycle
from scaler.serving.feeds import Binding
from scaler.serving.metrics import PlanningMetrics
from scaler.serving.state_book import NoStates
from scaler.signals import Observation, Signal, Value
from scaler.trigger import TriggerSpec
from scaler.trigger_parsing import parse
from tests.scaler.fakes import binding
from tests.scaler.test_cycle import ALLOWED, BEGIN_SECONDS, FakeFeed

POOLED = replace(ALLOWED, pools=frozenset({"h100"}))


@dataclass
class RequestFeed(FakeFeed):
    """A feed that measures requests, too."""

    requests: float | None = 1.0

    @override
    async def observe(self, *, now_seconds: float) -> Observation:
        seen = await super().observe(now_seconds=now_seconds)
        if self.requests is None:
            return seen
        requests = Value(value=self.requests, at_seconds=now_seconds)
        return replace(seen, readings={**seen.readings, Signal.REQUESTS: requests})


class Site:
    """A cycle that tests step through, over models on one pool. A replica serves 1,000 tokens/s."""

    def __init__(self, gpus: int, **feeds: RequestFeed) -> None:
        self.now = 0.0
        self.feeds = feeds
        self.answers: dict[str, int] = {}
        self.cycle = PlanningCycle(
            self.connect,
            planning_settings(CycleSettings(history=0), {"h100": gpus}),
            publish=self.publish,
            wall=lambda: BEGIN_SECONDS + self.now,
            steady=lambda: self.now,
            metrics=PlanningMetrics(CollectorRegistry()),
            states=NoStates(),
        )

    def connect(self, reference: Reference, spec: TriggerSpec) -> Binding:
        return binding(spec.model, self.feeds[spec.model], spec)

    def publish(self, reference: Reference, timed: TimedOutcome) -> None:
        if isinstance(timed.outcome, Answer):
            self.answers[reference.name] = timed.outcome.replicas

    async def arrive(self, model: str, *, name: str | None = None, **metadata: str) -> Reference:
        of_trigger = {"model": model, "mode": "act", **metadata}
        reference = Reference.of("llm", name or model, of_trigger)
        arrival = Arrival(
            reference=reference,
            trigger_spec=parse(dict(reference.metadata), POOLED),
            timed=CycleState.unread(self.now).timed,
            asked_at_seconds=self.now,
        )
        self.cycle.apply(Changes(arrived=(arrival,)))
        await self.cycle.begin()
        return reference

    async def look(self) -> None:
        self.now += 15
        await self.cycle.cycle(at_seconds=BEGIN_SECONDS + self.now)

    def steps(self, reference: Reference) -> dict[str, str]:
        status = self.cycle.status(reference)
        assert status is not None
        assert status.cycle_state.plan is not None
        return {step.rule: step.text for step in status.cycle_state.plan.steps}


def chat() -> RequestFeed:
    """4 replicas busy with 3 requests a second each; with head-room 5 are wanted."""
    return RequestFeed(prompt=4000, requests=12)


def batch() -> RequestFeed:
    """6 replicas busy with one request a second each; with head-room 8 are wanted."""
    return RequestFeed(prompt=6000, requests=6)


async def test_who_avoids_more_late_requests_gets_the_gpus_and_the_other_is_told() -> None:
    site = Site(8, chat=chat(), batch=batch())
    await site.arrive("chat", pool="h100")
    reference = await site.arrive("batch", pool="h100")

    # A replica of chat that is busy avoids 3 late requests a second, one of batch 1.
    steps = site.steps(reference)
    assert steps["bounds"] == "8 wanted, the share of its pool is 4"
    assert steps["pool"] == (
        "pool h100 has 8 GPUs: 4 of 8 replicas; one more would avoid 1 late requests/s a GPU"
        " (priority 1)"
    )
    await site.look()
    assert site.answers == {"chat": 4, "batch": 4}


async def test_a_share_is_given_up_with_the_next_look_after_the_claim_that_takes_it() -> None:
    site = Site(8, chat=chat(), batch=batch())
    await site.arrive("batch", pool="h100")
    assert site.answers == {"batch": 8}

    await site.arrive("chat", pool="h100")
    assert site.answers["chat"] == 4
    await site.look()
    assert site.answers == {"chat": 4, "batch": 4}


async def test_a_pool_that_is_not_short_changes_nothing() -> None:
    site = Site(13, chat=chat(), batch=batch())
    await site.arrive("chat", pool="h100")
    reference = await site.arrive("batch", pool="h100")

    assert site.answers == {"chat": 5, "batch": 8}
    assert "pool" not in site.steps(reference)


async def test_the_claim_of_a_forgotten_workload_is_free() -> None:
    site = Site(8, chat=chat(), batch=batch())
    gone = await site.arrive("chat", pool="h100")
    await site.arrive("batch", pool="h100")
    site.cycle.apply(Changes(forgotten=(gone,)))

    await site.look()
    assert site.answers["batch"] == 8


async def test_an_edited_workload_claims_its_gpus_once() -> None:
    site = Site(13, chat=chat(), batch=batch())
    await site.arrive("chat", pool="h100")
    old = await site.arrive("batch", pool="h100")
    edited = await site.arrive("batch", pool="h100", ttft="3s")
    for _ in range(3):
        await site.look()
        assert site.answers == {"chat": 5, "batch": 8}
    assert "pool" not in site.steps(edited)

    site.cycle.apply(Changes(forgotten=(old,)))
    # 12 GPUs are left to the edited one, whose present keeps 12 busy.
    site.feeds["chat"].prompt, site.feeds["batch"].prompt = 800, 12_000
    for _ in range(30):
        await site.look()
    assert site.answers == {"chat": 1, "batch": 12}


@pytest.mark.parametrize(
    "metadata", [{}, {"pool": "h100", "mode": "advise"}], ids=["no-pool", "advise"]
)
async def test_an_edit_that_leaves_a_pool_frees_its_gpus(metadata: dict[str, str]) -> None:
    site = Site(8, chat=chat(), batch=batch())
    await site.arrive("chat", pool="h100")
    await site.arrive("batch", pool="h100")
    assert site.answers == {"chat": 5, "batch": 4}
    await site.arrive("chat", **metadata)
    await site.look()
    assert site.answers == {"chat": 5, "batch": 8}


async def test_an_edit_that_is_taken_back_counts_again_when_keda_stops_asking_about_it() -> None:
    site = Site(20, chat=chat(), batch=batch())
    await site.arrive("chat", pool="h100")
    old = await site.arrive("batch", pool="h100")
    await site.arrive("batch", pool="h100", minReplicas="12")
    site.feeds["chat"].prompt = 20_000
    await site.look()
    assert site.answers["chat"] == 8
    for _ in range(45):
        site.cycle.note_asked(old, site.now)
        await site.look()
    assert site.answers["chat"] == 12


async def test_a_workload_outside_the_pool_takes_nothing_of_it() -> None:
    site = Site(8, chat=chat(), batch=batch())
    await site.arrive("chat")
    await site.arrive("batch", pool="h100")
    assert site.answers == {"chat": 5, "batch": 8}


async def test_a_workload_that_cannot_be_read_keeps_what_it_has() -> None:
    site = Site(8, chat=chat(), batch=batch())
    await site.arrive("chat", pool="h100")
    await site.arrive("batch", pool="h100")
    site.feeds["chat"].failure = SourceUnavailableError("no metrics")
    site.feeds["batch"].requests = 600

    await site.look()
    await site.look()
    # A hundred times as many requests would be late, but nobody can take replicas from chat.
    assert site.answers == {"chat": 5, "batch": 3}
    site.feeds["chat"].failure = None
    await site.look()
    await site.look()
    assert site.answers["batch"] >= 6


async def test_a_workload_whose_requests_are_not_measured_keeps_what_it_has() -> None:
    site = Site(8, chat=RequestFeed(prompt=4000, requests=None), batch=batch())
    await site.arrive("chat", pool="h100")
    await site.arrive("batch", pool="h100")
    await site.look()
    assert site.answers == {"chat": 5, "batch": 3}


async def test_replicas_of_several_gpus_are_counted_by_their_gpus() -> None:
    site = Site(8, chat=chat(), batch=batch())
    await site.arrive("chat", pool="h100", replicaGpus="2")
    # 5 replicas of 2 GPUs do not fit: 4 serve the demand.
    assert site.answers == {"chat": 4}


def test_a_pool_without_a_size_is_refused_by_name() -> None:
    with pytest.raises(MetadataError, match="key 'pool' has the value 'h10': it takes one of h100"):
        parse({"model": "m", "pool": "h10"}, POOLED)
