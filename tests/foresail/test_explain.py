"""What a person is told of a workload: the answer, what it rests on, and what is missing."""

import json
import re
from typing import NoReturn

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from foresail.explain import Account, account, text
from foresail.exported import WorkloadCollector
from foresail.pace import loop_settings
from foresail.settings import CycleSettings
from scaler.assembly import planning
from scaler.board import Board, Entry, Reference
from scaler.capacity import Origin, ReplicaCapacity, Together, Work
from scaler.errors import SourceUnavailableError
from scaler.loop import ScalerLoop
from scaler.metadata import Offer, TriggerMetadata, parse
from scaler.signals import Absent, Observation, Reading, Signal, Stale, Value
from scaler.watched import Connection
from tests.scaler.fakes import feed_key

EPOCH = 1_772_496_000.0  # 2026-03-03 00:00 UTC
OFFER = Offer(engines={"vllm": False}, sources=frozenset({"main"}), default_source="main")
ESSENTIAL = (Signal.RUNNING, Signal.WAITING, Signal.GENERATED_TOKENS, Signal.PROMPT_TOKENS)


class FakeFeed:
    """Reads what the test says, until it says otherwise."""

    def __init__(self) -> None:
        self.readings: dict[Signal, Reading] = {}
        self.remarks: tuple[str, ...] = ()
        self.failure: Exception | None = None

    async def observe(self, *, now_seconds: float) -> Observation:
        if self.failure is not None:
            raise self.failure
        return Observation(at_seconds=now_seconds, readings=self.readings, remarks=self.remarks)

    async def history(self, **_: float) -> NoReturn:
        raise NotImplementedError


class Site:
    """One workload, looked at when the test says, with the shipped forecaster."""

    def __init__(self, *, mode: str = "act") -> None:
        self.now = EPOCH
        self.feed = FakeFeed()
        self.registry = CollectorRegistry()
        self.board = Board(
            lambda metadata: parse(metadata, OFFER),
            clock=lambda: self.now,
            objects_max=1,
        )
        settings = loop_settings(CycleSettings(history=0))
        self.loop: ScalerLoop = planning(
            self._connect,
            settings,
            publish=self.board.publish,
            wall=lambda: self.now,
            steady=lambda: self.now,
            registry=self.registry,
        )
        self.registry.register(WorkloadCollector(self.loop, clock=lambda: self.now))
        metadata = {"model": "qwen", "mode": mode}
        self.entry: Entry = self.board.ask(Reference.of("llm", "qwen", metadata))
        self.loop.apply(self.board.take_changes())

    def _connect(self, reference: Reference, wishes: TriggerMetadata) -> Connection:
        work = Work(
            prompt=1 / 1000, generated=1 / 500, together=Together.SUM, origin=Origin.METADATA
        )
        capacity = ReplicaCapacity(work=work, requests=50)
        return Connection(key=feed_key("a"), source="main", feed=self.feed, capacity=capacity)

    async def looks(self, *, prompt: float = 4000.0, every: float = 15.0, times: int = 1) -> None:
        self.feed.failure = None
        for _ in range(times):
            self.now += every
            values = (20.0, 0.0, 500.0, prompt)
            self.feed.readings = {
                signal: Value(value=value, at_seconds=self.now)
                for signal, value in zip(ESSENTIAL, values, strict=True)
            }
            await self._cycle()

    async def fails(self, *, after: float, why: str = "prometheus 'main' is down") -> None:
        self.now += after
        self.feed.failure = SourceUnavailableError(why)
        await self._cycle()

    async def _cycle(self) -> None:
        await self.loop.begin()
        await self.loop.cycle(at_seconds=self.now)

    def told(self) -> Account:
        """As it arrives over HTTP, which must be JSON."""
        (status,) = self.loop.statuses()
        made = account(status, now_seconds=self.now)
        document: Account = json.loads(json.dumps(made, allow_nan=False))
        return document

    def lines(self) -> list[str]:
        return text(self.told()).splitlines()

    def exported(self, name: str) -> float | None:
        return self.registry.get_sample_value(name, {"namespace": "llm", "scaled_object": "qwen"})


async def test_an_answer_is_told_with_the_steps_that_made_it() -> None:
    site = Site()
    await site.looks()
    site.now += 5

    lines = site.lines()

    # (4000 ÷ 1000 + 500 ÷ 500) ÷ utilisation 0.8 = 6.25
    assert lines[0] == "llm/qwen: 7 replicas, active, read 5 s ago"
    assert lines[1].startswith("decision of 2026-03-03 00:00:15Z")
    assert any(line.split()[1] == "present" for line in lines[2:])
    assert "         7  handed to KEDA" in lines
    assert any(line.split() == ["prompt_tokens", "value", "4,000"] for line in lines)


async def test_a_forecast_is_told_with_its_band_and_its_skill() -> None:
    site = Site()
    await site.looks(every=30, times=80)

    lines = site.lines()

    (heading,) = [line for line in lines if line.startswith("forecast of prompt_tokens")]
    assert heading == "forecast of prompt_tokens, now 4,000:"
    band = lines[lines.index(heading) + 1]
    assert band.startswith("  in 1m     █")
    assert "q0.5" in band
    assert "q0.99" in band


async def test_the_skill_is_told_for_both_spans_that_a_plan_looks_at() -> None:
    site, noise = Site(), np.random.default_rng(1)
    for _ in range(90):
        # About a level a mean beats the last value.
        await site.looks(every=60, prompt=noise.uniform(3000.0, 5000.0))

    (heading,) = [line for line in site.lines() if line.startswith("forecast of prompt_tokens")]
    band = site.lines()[site.lines().index(heading) + 1]
    found = re.search(r"skill ([+-]\d+)% this day, ([+-]\d+)% this week$", band)
    assert found is not None
    assert int(found[1]) > 0


async def test_before_the_first_look_the_metadata_and_the_refusal_are_told() -> None:
    site = Site()

    assert site.told()["metadata"] == {"model": "qwen", "mode": "act"}
    (line,) = site.lines()
    assert line.startswith("llm/qwen: no answer (unavailable): no reading of model 'qwen' yet")


async def test_a_source_that_never_answered_is_told_without_readings() -> None:
    site = Site()
    await site.fails(after=15)

    lines = site.lines()

    assert lines[0].startswith("llm/qwen: no answer (unavailable): nothing usable was ever read")
    assert "  source: prometheus 'main' is down" in lines
    assert "readings:" not in lines
    assert not any("handed to KEDA" in line for line in lines)


async def test_each_state_of_a_reading_is_told_in_its_own_words() -> None:
    site = Site()
    await site.looks()
    site.now += 15
    site.feed.readings = {
        Signal.RUNNING: Value(value=0.0, at_seconds=site.now),
        Signal.WAITING: Value(value=3.0, at_seconds=site.now),
        Signal.PROMPT_TOKENS: Stale(at_seconds=site.now - 90),
        Signal.KV_USE: Absent(why="no series vllm:kv_cache_usage_perc"),
    }
    site.feed.remarks = ("1 of 2 engines asleep",)
    await site._cycle()

    lines = [" ".join(line.split()) for line in site.lines()]

    assert "note: 1 of 2 engines asleep" in lines
    assert "running zero 0" in lines
    assert "waiting value 3" in lines
    assert "prompt_tokens stale newest sample 1m30s ago" in lines
    assert "kv_use absent no series vllm:kv_cache_usage_perc" in lines


async def test_while_blind_the_answer_and_its_age_are_told_beside_the_reason() -> None:
    site = Site()
    await site.looks()
    await site.fails(after=120)

    lines = site.lines()

    assert lines[:2] == [
        "llm/qwen: 7 replicas, active, read 120 s ago",
        "  source: prometheus 'main' is down",
    ]
    assert "         7  handed to KEDA" in lines


async def test_a_decision_that_stands_no_longer_is_told_as_the_last_one() -> None:
    site = Site()
    await site.looks()
    await site.fails(after=120)
    await site.fails(after=200)

    lines = site.lines()

    assert lines[0].startswith("llm/qwen: no answer (unavailable): blind for 5m20s")
    assert any(line.startswith("the last decision, which stands no longer,") for line in lines)
    assert "         7  was handed to KEDA" in lines


async def test_what_is_told_and_exported_is_what_keda_is_told() -> None:
    site = Site()
    await site.looks()
    assert site.exported("foresail_answering") == 1
    assert site.exported("foresail_desired_replicas") == 7

    site.now += 301  # and no cycle planned it, as after a fault of ours in each

    assert site.lines()[0].startswith("llm/qwen: no answer (unavailable): no plan was made for 301")
    assert site.exported("foresail_answering") == 0
    assert site.exported("foresail_desired_replicas") is None


async def test_objectives_are_told_beside_what_is_measured_and_said_to_move_nothing() -> None:
    site = Site()
    await site.looks()
    measured = {Signal.TTFT: Value(value=2.5, at_seconds=site.now)}
    site.feed.readings = {**site.feed.readings, **measured}
    await site._cycle()

    lines = site.lines()

    at = lines.index("objectives, shown beside what is measured; no plan depends on them:")
    assert lines[at + 1 : at + 3] == [
        "  TTFT p95 2.5 s of 2 s, missed",
        "  ITL p95 not measured of 0.06 s",
    ]
    assert "         7  handed to KEDA" in lines


async def test_in_advise_mode_the_plan_is_told_and_exported_and_nothing_is_handed_over() -> None:
    site = Site(mode="advise")
    await site.looks()
    site.now += 5

    lines = site.lines()

    assert lines[0] == (
        "llm/qwen: mode advise, no replica is changed: "
        "KEDA gets no value, so that the HPA changes nothing"
    )
    assert "      7.00  mode      advise: nothing is handed over" in lines
    assert not any("handed to KEDA" in line for line in lines)
    assert site.exported("foresail_planned_replicas") == 7
    assert site.exported("foresail_desired_replicas") is None
    assert site.exported("foresail_answering") == 1
    assert site.exported("foresail_reading_age_seconds") == 5


@pytest.mark.parametrize("looks", [1, 3, 40])
async def test_every_account_is_json(looks: int) -> None:
    site = Site()
    await site.looks(prompt=0.0, every=60, times=looks)

    assert site.told()["outcome"]["replicas"] >= 1
