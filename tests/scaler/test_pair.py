"""Prefill and decode as two ScaledObjects: what each counts, and what it means for the other."""

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from typing_extensions import override

from foresail.serve.pace import planning_settings
from foresail.settings.cycle import CycleSettings
from scaler.assembly import assemble
from scaler.decision.answers import Answer, Reference, TimedOutcome
from scaler.decision.pair import RequestWork, Side, decode_need, prefill_remark
from scaler.errors import MetadataError, SourceUnavailableError
from scaler.evaluate import CycleState
from scaler.feed_key import FeedKey
from scaler.scope import Scope
from scaler.serving.changes import Arrival, Changes
from scaler.serving.cycle import PlanningCycle
from scaler.serving.feeds import Binding
from scaler.serving.metrics import PlanningMetrics
from scaler.serving.state_book import NoStates
from scaler.signals import Observation, Signal, Value
from scaler.sources.catalogue import load
from scaler.trigger import Phase, TriggerSpec
from scaler.trigger_parsing import parse
from tests.scaler.fakes import binding
from tests.scaler.test_cycle import ALLOWED, BEGIN_SECONDS, FakeFeed

PROMPT, ANSWER = 1000.0, 200.0
"""Tokens of a request."""
PREFILL, DECODE = 5.0, 2.0
"""Requests a second that one replica of each serves."""


class Half(FakeFeed):
    """The series of one phase."""

    requests: float | None = 0.0
    replicas, waiting = 1, 0.0

    @override
    async def observe(self, *, now_seconds: float) -> Observation:
        seen = await super().observe(now_seconds=now_seconds)
        values = {Signal.REPLICAS: float(self.replicas), Signal.WAITING: self.waiting}
        if self.requests is not None:
            values |= {
                Signal.REQUESTS: self.requests,
                Signal.PROMPT_TOKENS: self.requests * PROMPT,
                Signal.GENERATED_TOKENS: self.requests * ANSWER,
            }
        readings = {s: Value(value=v, at_seconds=now_seconds) for s, v in values.items()}
        return replace(seen, readings={**seen.readings, **readings})


class Site:
    """Requests come to prefill, which passes on what it can serve to decode."""

    def __init__(self) -> None:
        self.now = self.demand = 0.0
        self.prefill, self.decode = Half(), Half()
        self.answers: dict[str, int] = {}
        self.cycle = PlanningCycle(
            self.connect,
            planning_settings(CycleSettings(history=0)),
            publish=self.publish,
            wall=lambda: BEGIN_SECONDS + self.now,
            steady=lambda: self.now,
            metrics=PlanningMetrics(CollectorRegistry()),
            states=NoStates(),
        )

    def connect(self, reference: Reference, spec: TriggerSpec) -> Binding:
        feed = self.prefill if reference.name == "p" else self.decode
        made = binding(spec.model, feed, spec)
        assembly = assemble(spec, load("vllm"), step_seconds=60)
        own = replace(
            assembly, make_tracker=made.assembly.make_tracker, make_engine=assembly.make_engine
        )
        key = replace(made.key, scope=replace(made.key.scope, labels=spec.match_labels))
        return replace(made, key=key, assembly=own)

    def publish(self, reference: Reference, timed: TimedOutcome) -> None:
        if isinstance(timed.outcome, Answer):
            self.answers[reference.name] = timed.outcome.replicas

    async def arrive(self, name: str, phase: str, other: str, **metadata: str) -> Reference:
        keys = {
            "model": "llama",
            "mode": "act",
            "hold": "0s",
            "phase": phase,
            "pairedWith": other,
            "matchLabels": f"role={phase}",
            "capacity": "fixed",
            "replicaPromptTokensPerSecond": f"{PREFILL * PROMPT:g}",
            "replicaGeneratedTokensPerSecond": f"{DECODE * ANSWER:g}",
            **metadata,
        }
        reference = Reference.of("llm", name, {key: text for key, text in keys.items() if text})
        arrival = Arrival(
            reference=reference,
            trigger_spec=parse(dict(reference.metadata), ALLOWED),
            timed=CycleState.unread(self.now).timed,
            asked_at_seconds=self.now,
        )
        self.cycle.apply(Changes(arrived=(arrival,)))
        await self.cycle.begin()
        return reference

    async def both(self, **metadata: str) -> tuple[Reference, Reference]:
        return await self.arrive("p", "prefill", "d", **metadata), await self.arrive(
            "d", "decode", "p"
        )

    async def look(self, times: int = 1, *, ready: bool = True) -> None:
        for _ in range(times):
            self.now += 15
            served = min(self.demand, PREFILL * self.prefill.replicas)
            self.prefill.waiting += (self.demand - served) * 15
            self.prefill.requests = self.decode.requests = served
            await self.cycle.cycle(at_seconds=BEGIN_SECONDS + self.now)
            if ready:
                self.prefill.replicas = self.answers.get("p", 1)
                self.decode.replicas = self.answers.get("d", 1)

    def steps(self, reference: Reference) -> dict[str, str]:
        status = self.cycle.status(reference)
        assert status is not None
        assert status.cycle_state.plan is not None
        return {step.rule: step.text for step in status.cycle_state.plan.steps}


async def test_each_phase_counts_its_own_tokens() -> None:
    site = Site()
    site.demand = 16.0
    site.prefill.replicas, site.decode.replicas = 4, 10
    await site.both()
    await site.look(4)
    # 16 a second at 80 %: 4 of prefill, which serve 5 each; 10 of decode, which serve 2.
    assert site.answers == {"p": 4, "d": 10}


async def test_decode_is_ordered_with_prefill_and_not_one_start_up_later() -> None:
    site = Site()
    site.demand = 4.0
    site.decode.replicas = 3
    _, decode = await site.both()
    await site.look(8)
    assert site.answers == {"p": 1, "d": 3}

    site.demand = 20.0
    await site.look(2, ready=False)
    # One replica of prefill passes 5 requests a second on; 20 of them keep 10 of decode busy.
    assert site.answers["d"] == 10
    steps = site.steps(decode)
    assert steps["bounds"] == "4 wanted, what prefill passes on is 10"
    assert steps["pair"] == "prefill p passes 20 requests/s, each 0.5 replica-seconds of decode"


async def test_a_priced_variant_beside_it_takes_nothing_from_a_pair() -> None:
    site = Site()
    site.demand = 4.0
    site.decode.replicas = 3
    _, decode = await site.both()
    await site.arrive("e", "decode", "", replicaPrice="3", matchLabels="role=other")
    await site.look(8)
    site.demand = 20.0
    await site.look(2, ready=False)
    # As without it: a model of which one has no price is not split.
    assert site.answers["d"] == 10
    assert site.steps(decode)["bounds"] == "4 wanted, what prefill passes on is 10"
    assert site.steps(decode)["pair"].startswith("prefill p passes 20 requests/s")
    assert site.steps(decode)["variants"].startswith("no replicaPrice at d")


async def test_alone_decode_follows_what_has_passed_prefill() -> None:
    site = Site()
    site.demand = 4.0
    site.decode.replicas = 3
    await site.arrive("p", "prefill", "")
    await site.arrive("d", "decode", "")
    await site.look(8)
    site.demand = 20.0
    await site.look(2, ready=False)
    assert site.answers["d"] == 4


async def test_what_prefill_cannot_pass_at_its_maximum_orders_no_decode() -> None:
    site = Site()
    site.demand = 4.0
    site.decode.replicas = 3
    _, decode = await site.both(maxReplicas="2")
    await site.look(8)
    site.demand = 20.0
    await site.look(2, ready=False)
    # Two of prefill serve 10 a second, which keep 5 of decode busy.
    assert site.answers["d"] == 5
    assert site.steps(decode)["pair"] == (
        "prefill p passes 10 requests/s of 20, with all its 2 replicas, each 0.5 replica-seconds "
        "of decode"
    )


@pytest.mark.parametrize(
    "others",
    [
        pytest.param({"pairedWith": "x"}, id="paired-with-another"),
        pytest.param({"phase": "prefill"}, id="same-phase"),
        pytest.param({"model": "other"}, id="other-model"),
    ],
)
async def test_a_pair_that_does_not_fit_is_named_and_each_is_planned_on_its_own(
    others: dict[str, str],
) -> None:
    site = Site()
    site.demand = 4.0
    prefill = await site.arrive("p", "prefill", "d")
    phase, other = others.pop("phase", "decode"), others.pop("pairedWith", "p")
    await site.arrive("d", phase, other, **others)
    await site.look(2)
    assert site.steps(prefill)["pair"] == (
        "pairedWith d: no ScaledObject of that name has phase decode and pairedWith p, so this one "
        "is planned on its own"
    )


async def test_while_prefill_cannot_be_read_decode_is_planned_on_its_own() -> None:
    site = Site()
    site.demand = 4.0
    _, decode = await site.both()
    await site.look(4)
    site.prefill.failure = SourceUnavailableError("no metrics")
    await site.look(2)
    assert site.steps(decode)["pair"] == ("the requests of p are not measured: planned on its own")


def test_the_work_of_a_request_follows_the_mix_of_the_last_minutes() -> None:
    work = RequestWork(at_seconds=0.0).after(600.0, requests=10.0, load=5.0)
    assert work.seconds == 0.5
    # Ten minutes later the old mix counts half: (3,000 / 2 + 6,000) / (6,000 / 2 + 6,000).
    later = work.after(1200.0, requests=10.0, load=10.0)
    assert later.seconds == pytest.approx(7500 / 9000)
    assert RequestWork(at_seconds=0.0).seconds is None


def test_without_a_request_so_far_decode_gets_no_floor() -> None:
    prefill = Side(name="p", requests=3.0, load=1.0, most=4)
    assert decode_need(prefill, None) == (
        0.0, "prefill p passes 3 requests/s; the work of one is not known yet"
    )  # fmt: skip


def test_prefill_is_told_when_decode_is_at_its_maximum() -> None:
    decode = Side(name="d", requests=20.0, load=8.0, most=4)
    assert prefill_remark(decode) == (
        "decode d serves 10 of 20 requests/s with all its 4 replicas: more of prefill serve nobody"
    )
    assert prefill_remark(replace(decode, most=8)) == "decode d serves 20 requests/s"


class TestMetadata:
    def test_a_pair_needs_its_phase(self) -> None:
        with pytest.raises(MetadataError, match="'pairedWith' needs the key 'phase'"):
            parse({"model": "m", "pairedWith": "d"}, ALLOWED)

    def test_a_pair_is_not_priced(self) -> None:
        keys = {"model": "m", "pairedWith": "d", "phase": "prefill", "replicaPrice": "3"}
        with pytest.raises(MetadataError, match="'pairedWith' and 'replicaPrice' exclude"):
            parse(keys, ALLOWED)

    @pytest.mark.parametrize(
        ("phase", "work"),
        [("both", (1 / 5000, 1 / 400)), ("prefill", (1 / 5000, 0.0)), ("decode", (0.0, 1 / 400))],
    )
    def test_a_phase_counts_its_own_rate_alone(self, phase: str, work: tuple[float, float]) -> None:
        keys = {
            "model": "m",
            "phase": phase,
            "replicaPromptTokensPerSecond": "5000",
            "replicaGeneratedTokensPerSecond": "400",
        }
        made = assemble(parse(keys, ALLOWED), load("vllm"), step_seconds=60)
        found = made.parameters.capacity.work
        assert (found.prompt, found.generated) == pytest.approx(work)


def test_a_phase_is_a_feed_of_its_own_though_it_reads_the_same_series() -> None:
    keys = [
        FeedKey(engine="vllm", scope=Scope(namespace="llm", model="m"), phase=p, reach_seconds=60.0)
        for p in Phase
    ]
    assert len({key.encoded() for key in keys}) == len(Phase)
