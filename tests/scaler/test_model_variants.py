"""Several ScaledObjects of one model on different GPUs: their plans in the cycle, look by look."""

from dataclasses import dataclass, replace

import pytest
from prometheus_client import CollectorRegistry
from typing_extensions import override

from foresail.serve.pace import planning_settings
from foresail.settings.cycle import CycleSettings
from scaler.decision.answers import Answer, Reference, TimedOutcome
from scaler.decision.capacity import Origin
from scaler.errors import SourceUnavailableError
from scaler.evaluate import CycleState
from scaler.serving.changes import Arrival, Changes
from scaler.serving.cycle import PlanningCycle
from scaler.serving.feeds import Binding
from scaler.serving.metrics import PlanningMetrics
from scaler.serving.state_book import NoStates
from scaler.signals import Observation, Signal, Value
from scaler.trigger import TriggerSpec
from scaler.trigger_parsing import parse
from tests.scaler.fakes import CAPACITY, binding
from tests.scaler.test_cycle import BEGIN_SECONDS
from tests.scaler.test_pools import POOLED, RequestFeed

SPEEDS = {"h100": 2000.0, "a100": 1000.0}
"""Prompt tokens a second of one replica."""


@dataclass
class VariantFeed(RequestFeed):
    """The series of one variant."""

    replicas: int = 1

    @override
    async def observe(self, *, now_seconds: float) -> Observation:
        seen = await super().observe(now_seconds=now_seconds)
        ready = Value(value=float(self.replicas), at_seconds=now_seconds)
        return replace(seen, readings={**seen.readings, Signal.REPLICAS: ready})


class Site:
    """A cycle that tests step through, over one model on two kinds of GPU.

    The gateway spreads the demand over the replicas, which are ready at once.
    """

    def __init__(self, demand: float, *, h100: int, a100: int, gpus: int = 99) -> None:
        self.now, self.demand = 0.0, demand
        self.feeds = {"h100": VariantFeed(replicas=h100), "a100": VariantFeed(replicas=a100)}
        self.answers: dict[str, int] = {}
        self.moves: list[tuple[str, int]] = []
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
        made = binding(spec.model, self.feeds[reference.name], spec)
        scope = replace(made.key.scope, labels=spec.match_labels)
        speed = spec.replica_prompt_tokens_per_second
        origin = Origin.PRIOR if speed is None else Origin.METADATA
        prompt = 1 / (speed or 1000.0)
        work = replace(CAPACITY.work, prompt=prompt, generated=2 * prompt, origin=origin)
        parameters = replace(
            made.assembly.parameters, capacity=replace(CAPACITY, work=work), learns_capacity=False
        )
        return replace(
            made,
            key=replace(made.key, scope=scope),
            assembly=replace(made.assembly, parameters=parameters),
        )

    def publish(self, reference: Reference, timed: TimedOutcome) -> None:
        if isinstance(timed.outcome, Answer):
            if self.answers.get(reference.name) != timed.outcome.replicas:
                self.moves.append((reference.name, timed.outcome.replicas))
            self.answers[reference.name] = timed.outcome.replicas

    async def arrive(self, name: str, namespace: str = "llm", **metadata: str) -> Reference:
        keys = {
            "model": "llama",
            "mode": "act",
            "hold": "0s",
            "matchLabels": f"gpu={name}",
            "replicaPromptTokensPerSecond": f"{SPEEDS[name]:g}",
            **metadata,
        }
        reference = Reference.of(namespace, name, {key: text for key, text in keys.items() if text})
        arrival = Arrival(
            reference=reference,
            trigger_spec=parse(dict(reference.metadata), POOLED),
            timed=CycleState.unread(self.now).timed,
            asked_at_seconds=self.now,
        )
        self.cycle.apply(Changes(arrived=(arrival,)))
        self.spread()
        await self.cycle.begin()
        return reference

    async def both(self, **metadata: str) -> tuple[Reference, Reference]:
        """H100 serves twice as much and costs half as much again: it is the cheaper one."""
        h100 = await self.arrive("h100", **{"replicaPrice": "3", **metadata})
        return h100, await self.arrive("a100", **{"replicaPrice": "2", **metadata})

    def spread(self) -> None:
        weights = {name: SPEEDS[name] * feed.replicas for name, feed in self.feeds.items()}
        for name, feed in self.feeds.items():
            feed.prompt = self.demand * weights[name] / sum(weights.values())
            feed.requests = feed.prompt / 100

    async def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += 15
            self.spread()
            await self.cycle.cycle(at_seconds=BEGIN_SECONDS + self.now)
            for name, replicas in self.answers.items():
                self.feeds[name].replicas = replicas

    def steps(self, reference: Reference) -> dict[str, str]:
        status = self.cycle.status(reference)
        assert status is not None
        assert status.cycle_state.plan is not None
        return {step.rule: step.text for step in status.cycle_state.plan.steps}


async def test_the_demand_of_the_model_goes_to_the_cheapest_first() -> None:
    site = Site(8000, h100=2, a100=4)
    h100, _ = await site.both()
    await site.look(4)

    # 8,000 tokens/s at 80 % are 10 replicas of A100; one is its minimum, so 9 are left, which 5 of
    # H100 serve.
    assert site.answers == {"h100": 5, "a100": 1}
    assert site.steps(h100)["variants"] == (
        "model llama wants 10 replicas of a100: 5 on h100 ($0.417 per M tokens), then 1 on a100 "
        "($0.556 per M tokens, its least)"
    )


async def test_shadows_choose_no_setting_of_a_variant() -> None:
    site = Site(8000, h100=2, a100=4)
    both = await site.both(tuning="shadows")
    await site.look(2)

    for one in both:
        status = site.cycle.status(one)
        assert status is not None
        assert status.plan is not None
        assert not status.plan.given.tuning.chooses


async def test_without_prices_each_follows_the_demand_that_it_sees() -> None:
    site = Site(8000, h100=2, a100=4)
    h100, _ = await site.both(replicaPrice="")
    await site.look(4)
    assert site.answers == {"h100": 3, "a100": 5}
    assert "variants" not in site.steps(h100)


async def test_replicas_that_are_replaced_stay_until_the_others_are_ready() -> None:
    site = Site(8000, h100=2, a100=4)
    await site.both()
    site.now += 15
    site.spread()
    await site.cycle.cycle(at_seconds=BEGIN_SECONDS + site.now)
    # Two of H100 serve what four of A100 do; six more of A100 would be needed beside them.
    assert site.answers["h100"] == 5
    assert site.answers["a100"] >= 4


async def test_growth_goes_to_the_cheapest_and_shrinking_takes_the_dearest() -> None:
    site = Site(8000, h100=2, a100=4)
    await site.both(maxReplicas="6")
    await site.look(4)
    site.demand = 12_800
    await site.look(4)
    # 16 of A100: 6 of H100 serve 12, and 4 more.
    assert site.answers == {"h100": 6, "a100": 4}
    site.demand = 9600
    await site.look(4)
    assert site.answers == {"h100": 6, "a100": 1}


async def test_two_of_near_equal_price_do_not_change_places_on_constant_demand() -> None:
    site = Site(8000, h100=3, a100=4)
    await site.arrive("h100", replicaPrice="3.9")
    await site.arrive("a100", replicaPrice="2")
    await site.look(2)
    site.moves.clear()
    await site.look(40)
    assert site.moves == []


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        pytest.param({"replicaPrice": ""}, "no replicaPrice at a100", id="price"),
        pytest.param({"mode": "advise"}, "their modes differ", id="mode"),
        pytest.param(
            {"matchLabels": "gpu=h100"},
            "they read the same series, so give each its matchLabels",
            id="series",
        ),
        pytest.param(
            {"replicaPromptTokensPerSecond": ""},
            "the capacity of a replica of a100 is not known yet",
            id="capacity",
        ),
    ],
)
async def test_a_model_that_cannot_be_planned_as_one_says_why(
    changed: dict[str, str], why: str
) -> None:
    site = Site(8000, h100=2, a100=4)
    h100 = await site.arrive("h100", replicaPrice="3")
    await site.arrive("a100", **{"replicaPrice": "2", **changed})
    await site.look()
    assert site.steps(h100)["variants"] == (
        f"{why}: each ScaledObject of model llama is planned on its own"
    )


async def test_while_one_cannot_be_read_none_of_the_others_releases_a_replica() -> None:
    site = Site(8000, h100=2, a100=4)
    h100, _ = await site.both()
    await site.look(4)
    site.feeds["a100"].failure = SourceUnavailableError("no metrics")
    site.demand = 800

    await site.look(4)
    assert site.answers == {"h100": 5, "a100": 1}
    assert site.steps(h100)["variants"] == (
        "a100 of model llama cannot be read: planned on its own, none of 5 released"
    )


async def test_one_that_is_deleted_keeps_no_replica_of_the_others_for_hours() -> None:
    site = Site(8000, h100=2, a100=4)
    h100, a100 = await site.both()
    await site.look(4)
    site.feeds["a100"].failure = SourceUnavailableError("no metrics")
    site.demand = 800
    for _ in range(41):
        site.cycle.note_asked(h100, site.now)
        await site.look()
    # KEDA asked last about the A100 more than ten minutes ago, and nothing is read of it.
    assert site.answers["h100"] == 1
    assert "variants" not in site.steps(h100)

    # It was only paused: it counts again.
    site.feeds["a100"].failure = None
    site.cycle.note_asked(a100, site.now)
    await site.look(2)
    assert "variants" in site.steps(h100)


async def test_an_edit_that_is_taken_back_leaves_a_variant_in_its_model() -> None:
    site = Site(8000, h100=2, a100=4)
    h100, _ = await site.both()
    edited = await site.arrive("h100", replicaPrice="3", maxReplicas="2")
    await site.look(2)
    assert "variants" not in site.steps(h100)
    site.cycle.apply(Changes(forgotten=(edited,)))
    await site.look(3)
    assert site.steps(h100)["variants"].startswith("model llama wants 10 replicas of a100")


async def test_a_variant_that_is_forgotten_leaves_the_other_on_its_own() -> None:
    site = Site(8000, h100=2, a100=4)
    h100, a100 = await site.both()
    await site.look(4)
    site.cycle.apply(Changes(forgotten=(a100,)))
    site.feeds["a100"].replicas = 0
    site.answers.pop("a100")
    await site.look(2)
    assert "variants" not in site.steps(h100)
    assert site.answers == {"h100": 5}


async def test_what_a_pool_does_not_give_is_served_by_the_other_variant() -> None:
    site = Site(12_800, h100=3, a100=4, gpus=4)
    h100 = await site.arrive("h100", replicaPrice="3", pool="h100")
    await site.arrive("a100", replicaPrice="2")
    await site.look(6)
    # 16 of A100 are wanted, and 4 of H100 serve 8 of them.
    assert site.answers == {"h100": 4, "a100": 8}
    assert "pool" in site.steps(h100)
    site.moves.clear()
    await site.look(10)
    assert site.moves == []


async def test_the_same_model_in_another_namespace_is_another_model() -> None:
    site = Site(8000, h100=2, a100=4)
    h100 = await site.arrive("h100", replicaPrice="3")
    await site.arrive("a100", namespace="other", replicaPrice="2")
    await site.look()
    assert "variants" not in site.steps(h100)
