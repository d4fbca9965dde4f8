"""Today's reactive rules: our reading of each, at its documented defaults.

A rule turns what Prometheus holds into the answer that KEDA's prometheus trigger would give, and
brings the settings its documentation gives it. Everything after that, KEDA, HPA, start-up, engine,
is the same for every rule and for Foresail.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from replay import hpa
from replay.control import Control
from replay.generated_day import GeneratedDay, draw
from replay.keda import ScaledObject, ScalerAnswer, Value
from replay.profile import EngineProfile
from replay.score import Score
from replay.traffic import Traffic
from replay.world import Scrape, World

SCRAPE_SECONDS = 15
"""Prometheus' usual interval."""
_SCRAPE_OFFSET_SECONDS = 8
"""Scrapes lie about half an interval before the HPA's syncs: the mean age of a sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule and the settings it comes with; bounds are the scenario's."""

    name: str
    source: str
    answer: Callable[[Scrape, EngineProfile], ScalerAnswer]
    scaled: ScaledObject = field(default_factory=ScaledObject)
    behavior: hpa.Behavior | None = None


def waiting_requests(scrape: Scrape, _profile: EngineProfile) -> ScalerAnswer:
    """Sum of vllm:num_requests_waiting over 5 a replica.

    An empty vector is 0 (`ignoreNullValues: true`, the default), active is more than 0.
    """
    return Value(total=scrape.waiting, target=5, is_active=scrape.waiting > 0)


def in_flight_requests(
    scrape: Scrape, profile: EngineProfile, *, target_ratio: float
) -> ScalerAnswer:
    """Running and waiting requests over a share of a replica's batch slots."""
    in_flight = scrape.running + scrape.waiting
    target = target_ratio * profile.sequences_max
    return Value(total=in_flight, target=target, is_active=in_flight > 0)


KEDA_WAITING = Rule(
    name="keda-waiting",
    source="vLLM production-stack, KEDA tutorial: threshold 5, polling 15 s, cooldown 360 s",
    answer=waiting_requests,
    scaled=ScaledObject(polling_interval_seconds=15, cooldown_period_seconds=360),
)
HPA_INFLIGHT = Rule(
    name="hpa-inflight",
    source="concurrency target of 70 % of the slots, as Knative's target utilisation; HPA defaults",
    answer=partial(in_flight_requests, target_ratio=0.7),
)
HPA_INFLIGHT_TUNED = Rule(
    name="hpa-inflight-tuned",
    source="the same with the target set by hand after looking at days of this kind: hindsight",
    answer=partial(in_flight_requests, target_ratio=0.5),
)
REACTIVE_RULES = (KEDA_WAITING, HPA_INFLIGHT, HPA_INFLIGHT_TUNED)


def fixed(replicas: int) -> Rule:
    """No scaling: the same number all day, reached like any other wish."""
    return Rule(
        name=f"static-{replicas}",
        source="static allocation; in the table because on an hour of noise it wins",
        answer=partial(_always, replicas=replicas),
    )


def _always(_scrape: Scrape, _profile: EngineProfile, *, replicas: int) -> ScalerAnswer:
    return Value(total=replicas, target=1, is_active=True)


def run(scenario: GeneratedDay, rule: Rule, *, seed: int, traffic: Traffic | None = None) -> Score:
    """The scenario from its start to its end under one rule.

    Args:
        traffic: drawn already, when several rules meet it; by default drawn from the seed.
    """
    world = World(scenario, traffic or draw(scenario, seed=seed), seed=seed)
    scaled = replace(
        rule.scaled, replicas_min=scenario.replicas_min, replicas_max=scenario.replicas_max
    )
    control = Control(scaled, rule.behavior, replicas_at_start=world.fleet.wanted)
    scrape = world.scrape()
    for now in range(scenario.seconds):
        world.advance(now)
        if now % SCRAPE_SECONDS == _SCRAPE_OFFSET_SECONDS:
            scrape = world.scrape()
        for due in control.due(now, replicas=world.fleet.wanted):
            answer = rule.answer(scrape, scenario.profile)
            world.scale_to(control.apply(due, answer, replicas=world.fleet.wanted, now_seconds=now))
    world.advance(scenario.seconds)
    return world.score(rule.name)
