"""The account of a workload for people: the answer, its reasons, and what is missing."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Thread
from typing import NoReturn
from unittest.mock import Mock
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

import numpy as np
import pytest
from aiohttp.test_utils import make_mocked_request
from click.testing import CliRunner, Result
from prometheus_client import CollectorRegistry

from foresail.cli import main
from foresail.explain.decision_keeper import WAITING_MAX, DecisionKeeper
from foresail.explain.decision_log import DecisionLog
from foresail.explain.workload import Account, account
from foresail.explain.workload_text import advice, text
from foresail.serve.exported import WorkloadCollector
from foresail.serve.http import FrontState, Pages
from foresail.serve.pace import planning_settings
from foresail.settings.cycle import CycleSettings
from scaler.assembly import assemble
from scaler.decision.answers import Reference
from scaler.errors import SourceUnavailableError
from scaler.serving.board import Board
from scaler.serving.cycle import PlanningCycle
from scaler.serving.entry import Entry
from scaler.serving.feeds import Binding
from scaler.serving.metrics import PlanningMetrics
from scaler.serving.plan_book import NoReaders
from scaler.serving.state_book import NoStates
from scaler.signals import Absent, Observation, Reading, Signal, Stale, Value
from scaler.sources.catalogue import load
from scaler.trigger import TriggerSpec
from scaler.trigger_parsing import AllowedOptions, parse
from tests.scaler.fakes import binding

EPOCH = 1_772_496_000.0  # 2026-03-03 00:00 UTC
ALLOWED = AllowedOptions(
    engines={"vllm": False}, sources=frozenset({"main"}), default_source="main"
)
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

    def __init__(
        self,
        *,
        mode: str = "act",
        asked: bool = True,
        keeps: DecisionLog | None = None,
        waiting_max: int = WAITING_MAX,
        begins: float = EPOCH,
        **metadata: str,
    ) -> None:
        self.now = begins
        self.keeper = keeps and DecisionKeeper(
            keeps,
            NoReaders(),
            wall=lambda: self.now,
            steady=lambda: self.now,
            waiting_max=waiting_max,
        )
        self.feed = FakeFeed()
        self.registry = CollectorRegistry()
        self.board = Board(
            lambda _, metadata: parse(metadata, ALLOWED),
            clock=lambda: self.now,
            objects_max=1,
        )
        settings = planning_settings(CycleSettings(history=0))
        self.loop = PlanningCycle(
            self._connect,
            settings,
            publish=self.board.publish,
            wall=lambda: self.now,
            steady=lambda: self.now,
            metrics=PlanningMetrics(self.registry),
            states=NoStates(),
            readers=self.keeper,
        )
        self.registry.register(WorkloadCollector(self.loop, clock=lambda: self.now))
        if asked:
            metadata = {"model": "qwen", "mode": mode, **metadata}
            self.entry: Entry = self.board.ask(Reference.of("llm", "qwen", metadata))
            self.loop.apply(self.board.take_changes())

    def _connect(self, reference: Reference, trigger_spec: TriggerSpec) -> Binding:
        shipped = assemble(trigger_spec, load("vllm"), step_seconds=60.0)
        made = binding("a", self.feed, trigger_spec, make_tracker=shipped.make_tracker)
        told = trigger_spec.replica_prompt_tokens_per_second is not None
        return replace(made, assembly=shipped) if told else made

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

    async def sees(self, readings: dict[Signal, Reading], *, every: float = 15.0) -> None:
        """One look that brings just these."""
        self.now += every
        self.feed.readings = readings
        await self._cycle()

    async def fails(self, *, after: float, why: str = "prometheus 'main' is down") -> None:
        self.now += after
        self.feed.failure = SourceUnavailableError(why)
        await self._cycle()

    async def _cycle(self) -> None:
        await self.loop.begin()
        await self.loop.cycle(at_seconds=self.now)

    async def page(self, workload: str, query: str = "") -> tuple[int, str]:
        """Status and text of a workload's page."""
        pages = Pages(
            loop=self.loop,
            registry=self.registry,
            workloads=WorkloadCollector(self.loop, clock=lambda: self.now),
            clock=lambda: self.now,
            front=FrontState(),
            period_seconds=15.0,
            wall=lambda: self.now,
            decisions=self.keeper,
        )
        namespace, _, name = workload.partition("/")
        match = {"namespace": namespace, "name": name}
        transport = Mock()
        transport.get_extra_info.return_value = ("127.0.0.1", 4711)
        request = make_mocked_request(
            "GET",
            f"/{query}",
            headers={"Host": "127.0.0.1:8080"},
            match_info=match,
            transport=transport,
        )
        answer = await pages.explain(request)
        return answer.status, answer.text or ""

    def account(self) -> Account:
        """As it arrives over HTTP, which must be JSON."""
        (status,) = self.loop.statuses()
        made = account(status, now_seconds=self.now)
        document: Account = json.loads(json.dumps(made, allow_nan=False))
        return document

    def lines(self) -> list[str]:
        return text(self.account()).splitlines()

    def exported(self, name: str, **more: str) -> float | None:
        labels = {"namespace": "llm", "scaled_object": "qwen", **more}
        return self.registry.get_sample_value(name, labels)

    def families(self) -> set[str]:
        """Names of the series that have a sample of this workload."""
        return {
            sample.name
            for family in self.registry.collect()
            for sample in family.samples
            if sample.labels.get("scaled_object") == "qwen"
        }


async def test_an_answer_is_shown_with_the_steps_that_made_it() -> None:
    site = Site()
    await site.looks()
    site.now += 5

    lines = site.lines()

    # (4000 ÷ 1000 + 500 ÷ 500) ÷ utilization 0.8 = 6.25
    assert lines[0] == "llm/qwen: 7 replicas, active, read 5 s ago"
    assert lines[1].startswith("decision of 2026-03-03 00:00:15Z")
    assert any(line.split()[1] == "present" for line in lines[2:])
    assert "         7  handed to KEDA" in lines
    assert any(line.split() == ["prompt_tokens", "value", "4,000"] for line in lines)


async def test_a_forecast_is_shown_with_its_band_and_its_skill() -> None:
    site = Site()
    await site.looks(every=30, times=80)

    lines = site.lines()

    (heading,) = [line for line in lines if line.startswith("forecast of prompt_tokens")]
    assert heading == "forecast of prompt_tokens, now 4,000:"
    band = lines[lines.index(heading) + 1]
    assert band.startswith("  in 1m     █")
    assert "q0.5" in band
    assert "q0.99" in band


async def test_the_skill_is_shown_for_both_spans_that_a_plan_uses() -> None:
    site, noise = Site(), np.random.default_rng(1)
    for _ in range(90):
        # About a level a mean beats the last value.
        await site.looks(every=60, prompt=noise.uniform(3000.0, 5000.0))

    (heading,) = [line for line in site.lines() if line.startswith("forecast of prompt_tokens")]
    band = site.lines()[site.lines().index(heading) + 1]
    found = re.search(r"skill ([+-]\d+)% this day, ([+-]\d+)% this week$", band)
    assert found is not None
    assert int(found[1]) > 0


async def test_before_the_first_look_the_metadata_and_the_refusal_are_shown() -> None:
    site = Site()

    assert site.account()["metadata"] == {"model": "qwen", "mode": "act"}
    (line,) = site.lines()
    assert line.startswith("llm/qwen: no answer (unavailable): no reading of model 'qwen' yet")


async def test_a_source_that_never_answered_is_shown_without_readings() -> None:
    site = Site()
    await site.fails(after=15)

    lines = site.lines()

    assert lines[0].startswith("llm/qwen: no answer (unavailable): nothing usable was ever read")
    assert "  source: prometheus 'main' is down" in lines
    assert "readings:" not in lines
    assert not any("handed to KEDA" in line for line in lines)


async def test_each_state_of_a_reading_has_its_own_words() -> None:
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
    assert "prompt_tokens stale ?, stale, newest sample 1m30s ago" in lines
    assert "kv_use absent ?, no series vllm:kv_cache_usage_perc" in lines
    assert site.account()["readings"]["kv_use"] == {
        "state": "absent",
        "value": None,
        "why": "no series vllm:kv_cache_usage_perc",
    }


async def test_without_usable_metrics_the_answer_and_its_age_are_shown_beside_the_reason() -> None:
    site = Site()
    await site.looks()
    await site.fails(after=120)

    lines = site.lines()

    assert lines[:2] == [
        "llm/qwen: 7 replicas, active, read 120 s ago",
        "  source: prometheus 'main' is down",
    ]
    assert "         7  handed to KEDA" in lines


async def test_a_decision_that_stands_no_longer_is_shown_as_the_last_one() -> None:
    site = Site()
    await site.looks()
    await site.fails(after=120)
    await site.fails(after=200)

    lines = site.lines()

    assert lines[0].startswith("llm/qwen: no answer (unavailable): nothing usable for 5m20s")
    assert any(line.startswith("the last decision, which stands no longer,") for line in lines)
    assert "         7  was handed to KEDA" in lines


async def test_the_replicas_shown_and_exported_are_those_that_keda_gets() -> None:
    site = Site()
    await site.looks()
    assert site.exported("foresail_answering") == 1
    assert site.exported("foresail_desired_replicas") == 7

    site.now += 301  # and no cycle planned it, as after a fault of ours in each

    assert site.lines()[0].startswith("llm/qwen: no answer (unavailable): no plan was made for 301")
    assert site.exported("foresail_answering") == 0
    assert site.exported("foresail_desired_replicas") is None


async def test_objectives_are_shown_beside_the_measured_p95_and_as_without_effect() -> None:
    site = Site()
    await site.looks()
    measured = {Signal.TTFT: Value(value=2.5, at_seconds=site.now)}
    site.feed.readings = {**site.feed.readings, **measured}
    await site._cycle()

    lines = site.lines()

    at = lines.index("objectives, beside what is measured:")
    assert lines[at + 1 : at + 3] == [
        "  TTFT p95 2.5 s of 2 s, above",
        "  ITL p95 ? of 0.06 s",
    ]
    assert "         7  handed to KEDA" in lines


@pytest.mark.parametrize(
    ("reading", "state", "replicas", "condition"),
    [
        # (2000 ÷ 1000 + 500 ÷ 500) ÷ utilization .8 = 3.75
        pytest.param(Value(value=2000.0, at_seconds=EPOCH + 30), "value", 4, None, id="value"),
        # 500 ÷ 500 ÷ .8 = 1.25
        pytest.param(Value(value=0.0, at_seconds=EPOCH + 30), "zero", 2, None, id="zero"),
        pytest.param(
            Stale(at_seconds=EPOCH - 90),
            "stale",
            7,
            "prompt_tokens: stale, newest sample 2m ago",
            id="stale",
        ),
        pytest.param(
            Absent(why="no series of it"),
            "absent",
            7,
            "prompt_tokens: no series of it",
            id="absent",
        ),
    ],
)
async def test_each_state_of_a_signal_has_its_effect_its_metric_and_its_step(
    reading: Reading, state: str, replicas: int, condition: str | None
) -> None:
    site = Site(hold="0s")
    await site.looks(prompt=4000)
    assert site.exported("foresail_desired_replicas") == 7

    await site.sees({**site.feed.readings, Signal.PROMPT_TOKENS: reading})

    assert site.exported("foresail_desired_replicas") == replicas
    shown = {
        one: site.exported("foresail_signal_state", signal="prompt_tokens", state=one)
        for one in ("value", "zero", "stale", "absent")
    }
    assert shown == {one: 1.0 if one == state else None for one in shown}
    assert site.exported("foresail_reading", signal="prompt_tokens") == (
        reading.value if isinstance(reading, Value) else None
    )
    steps = [line for line in site.lines() if " unmeasured " in line]
    assert steps == (
        []
        if condition is None
        else [f"      7.00  unmeasured not below the last plan, because not measured: {condition}"]
    )


async def _one_order(site: Site) -> None:
    """One more replica is ordered, and seen after 90 s; then two more that never come."""
    for prompt, ready, times in ((4000.0, 7, 2), (5000.0, 7, 6), (5000.0, 8, 1), (7000.0, 8, 200)):
        for _ in range(times):
            site.now += 15
            values = (20.0, 0.0, 500.0, prompt, ready)
            signals = (*ESSENTIAL, Signal.REPLICAS)
            site.feed.readings = {
                signal: Value(value=value, at_seconds=site.now)
                for signal, value in zip(signals, values, strict=True)
            }
            await site._cycle()


async def test_the_learned_lead_time_and_stuck_replicas_are_shown_and_exported() -> None:
    site = Site()
    await _one_order(site)

    lines = site.lines()

    assert any(
        line.startswith("            lead time 5m: 80% of starts took no longer (1 seen)")
        for line in lines
    ), lines
    assert any("stuck" in line and "never became ready" in line for line in lines)
    assert site.exported("foresail_learned_lead_seconds") == 300
    assert site.exported("foresail_start_tier_seconds", tier="1") == 90
    assert site.exported("foresail_stuck_replicas") == 2


async def test_a_fixed_lead_time_is_shown_beside_what_orders_show() -> None:
    site = Site(lead="fixed")
    await _one_order(site)

    assert any(
        line.startswith("lead time fixed by the trigger; its orders show 5m: 80% of starts")
        for line in site.lines()
    ), site.lines()


async def test_before_the_first_order_no_lead_time_is_shown_as_learned() -> None:
    site = Site()
    await site.looks()

    assert site.exported("foresail_learned_lead_seconds") is None
    assert site.exported("foresail_stuck_replicas") is None
    assert not any("lead time" in line for line in site.lines())


async def test_in_advise_mode_the_plan_is_shown_and_exported_and_keda_gets_none() -> None:
    site = Site(mode="advise")
    await site.looks()
    site.now += 5

    lines = site.lines()

    assert lines[0] == (
        "llm/qwen: mode advise, no replica is changed: "
        "KEDA gets no value, so that the HPA changes nothing"
    )
    assert "      7.00  mode      advise: no replicas are sent to KEDA" in lines
    assert not any("handed to KEDA" in line for line in lines)
    assert site.exported("foresail_planned_replicas") == 7
    assert site.exported("foresail_desired_replicas") is None
    assert site.exported("foresail_answering") == 1
    assert site.exported("foresail_reading_age_seconds") == 5


ESSENTIAL_NAMES = "running, waiting, prompt_tokens, generated_tokens"
NO_SERIES = "no vllm series for model 'qwen', namespace 'llm'; is the engine scraped?"


async def misnamed() -> Site:
    """What a model shows that no engine has: nothing, for long enough to be forecast."""
    site = Site()
    for _ in range(3):
        await site.sees({signal: Absent(why=NO_SERIES) for signal in Signal}, every=60)
    return site


async def test_a_model_that_no_engine_has_is_shown_without_numbers() -> None:
    site = await misnamed()

    assert site.lines() == [
        f"llm/qwen: no answer (unavailable): nothing usable was ever read: {ESSENTIAL_NAMES}: "
        + NO_SERIES,
        "objectives, beside what is measured:",
        "  TTFT p95 ? of 2 s",
        "  ITL p95 ? of 0.06 s",
        f"readings: ?, none of 12 signals: {NO_SERIES}",
        "",
        "forecast of prompt_tokens: ?, too few readings yet",
        "",
        "forecast of generated_tokens: ?, too few readings yet",
    ]


async def test_of_a_model_that_no_engine_has_json_holds_null_and_the_reason() -> None:
    shown = (await misnamed()).account()

    forecast = shown["forecasts"]["prompt_tokens"]
    assert {key: forecast[key] for key in ("now", "quantiles", "last_value", "why")} == {
        "now": None,
        "quantiles": None,
        "last_value": None,
        "why": NO_SERIES,
    }
    assert shown["objectives"]["TTFT"] == {
        "seconds": None,
        "limit_seconds": 2.0,
        "met": None,
        "why": NO_SERIES,
    }


async def test_of_a_model_that_no_engine_has_no_number_is_exported() -> None:
    site = await misnamed()

    assert site.families() == {
        "foresail_answering",
        "foresail_asked_age_seconds",
        "foresail_objective_seconds",
        "foresail_signal_state",
    }


async def test_a_rule_that_nothing_was_measured_for_asks_for_an_unknown_number() -> None:
    site = Site()
    nothing_waits = Value(value=0.0, at_seconds=site.now + 15)
    ready = Value(value=2.0, at_seconds=site.now + 15)
    await site.sees({Signal.WAITING: nothing_waits, Signal.REPLICAS: ready})

    steps = {step["rule"]: step["replicas"] for step in site.account()["plan"]["steps"]}

    assert (steps["present"], steps["queue"], steps["forecast"]) == (None, 0.0, None)
    assert "         ?  present   nothing measured" in site.lines()


async def test_a_series_that_was_never_measured_is_no_zero_in_the_rule_that_uses_the_other() -> (
    None
):
    site, noise = Site(), np.random.default_rng(1)
    for _ in range(90):
        prompt = Value(value=noise.uniform(3000.0, 5000.0), at_seconds=site.now + 60)
        ready = Value(value=5.0, at_seconds=site.now + 60)
        await site.sees({Signal.PROMPT_TOKENS: prompt, Signal.REPLICAS: ready}, every=60)

    (forecast,) = [s for s in site.account()["plan"]["steps"] if s["rule"] == "forecast"]

    assert "prompt + ? generated tokens/s" in forecast["text"]
    assert "skill +" in forecast["text"]
    assert "forecast of generated_tokens: ?, too few readings yet" in site.lines()


async def test_demand_of_an_earlier_look_is_not_shown_or_exported_as_now() -> None:
    site = Site()
    await site.looks(every=60, times=3)
    assert site.exported("foresail_demand", dimension="prompt_tokens") == 4000

    await site.fails(after=90)

    # The last look that brought anything was at 180 s, and this one is at 270 s.
    assert "forecast of prompt_tokens, now ?, from data of 1m30s ago:" in site.lines()
    assert site.account()["forecasts"]["prompt_tokens"]["now"] is None
    assert site.exported("foresail_demand", dimension="prompt_tokens") is None


async def test_a_plan_that_stands_no_longer_is_not_exported() -> None:
    site = Site()
    await site.looks()
    assert site.exported("foresail_planned_replicas") == 7

    await site.fails(after=301)

    assert site.exported("foresail_planned_replicas") is None
    assert site.exported("foresail_reactive_replicas") is None


async def test_in_advise_mode_too_a_plan_that_stands_no_longer_is_shown_as_the_last_one() -> None:
    site = Site(mode="advise")
    await site.looks()

    await site.fails(after=301)

    assert any(
        line.startswith("the last decision, which stands no longer,") for line in site.lines()
    )
    assert site.exported("foresail_planned_replicas") is None
    assert site.exported("foresail_reading_age_seconds") == 301


async def test_the_age_of_a_stale_sample_grows_until_it_is_shown() -> None:
    site = Site()
    await site.looks()
    await site.sees({**site.feed.readings, Signal.PROMPT_TOKENS: Stale(at_seconds=site.now - 75)})
    site.now += 30

    # 75 s old at the last look, which brings the next one 15 s later; and 30 s since.
    assert site.account()["readings"]["prompt_tokens"]["why"] == "stale, newest sample 2m ago"


@pytest.mark.parametrize(
    ("happens", "expected"),
    [
        pytest.param(lambda site: site.looks(), None, id="answered"),
        pytest.param(
            lambda site: site.fails(after=15),
            "bring its source back; the next reading makes an answer",
            id="source-down",
        ),
        pytest.param(
            lambda site: site.sees({Signal.RUNNING: Absent(why=NO_SERIES)}),
            "make the trigger's `model`, and its namespace, those of the engine's series",
            id="no-series",
        ),
    ],
)
async def test_where_keda_gets_no_number_the_next_step_is_advised(
    happens: Callable[[Site], Awaitable[None]], expected: str | None
) -> None:
    site = Site()
    await happens(site)

    assert advice(site.account()) == expected


@pytest.mark.parametrize("looks", [1, 3, 40])
async def test_every_account_is_json(looks: int) -> None:
    site = Site()
    await site.looks(prompt=0.0, every=60, times=looks)

    assert site.account()["outcome"]["replicas"] >= 1


# The page.


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param("llm/qwem", "; did you mean llm/qwen?", id="misspelt"),
        pytest.param("llm/zebra", "other workloads of this namespace are known (1)", id="one"),
        pytest.param("prod/x", "it asked about nothing in this namespace; do your", id="other"),
    ],
)
async def test_a_workload_that_keda_never_asked_about_is_shown_with_what_to_check(
    asked: str, expected: str
) -> None:
    site = Site()

    status, text = await site.page(asked)

    assert status == 404
    assert text.startswith(f"KEDA never asked about {asked} since this server began; ")
    assert expected in text


async def test_before_keda_asked_anything_the_address_in_the_triggers_is_in_doubt() -> None:
    site = Site(asked=False)

    _, text = await site.page("llm/qwen")

    assert text.endswith(
        "nothing in this namespace; do your ScaledObjects have this server's address?\n"
    )


# The command.


@contextmanager
def serving(
    body: str,
    *,
    status: str = "200 OK",
    kind: str = "application/json",
    paths: list[str] | None = None,
) -> Iterator[str]:
    """The address of a server that answers everything with this; it notes the queries."""

    def answer(asked: WSGIEnvironment, start: StartResponse) -> list[bytes]:
        if paths is not None:
            paths.append(asked["QUERY_STRING"])
        start(status, [("Content-Type", kind)])
        return [body.encode()]

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with make_server("127.0.0.1", 0, answer, handler_class=Quiet) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def explained(server: str, *more: str) -> Result:
    return CliRunner().invoke(main, ["explain", "llm/qwen", "--server", server, *more])


async def answered() -> Site:
    site = Site()
    await site.looks()
    return site


def test_explain_ends_with_0_where_keda_gets_a_number() -> None:
    shown = asyncio.run(answered()).account()

    with serving(json.dumps([shown])) as server:
        result = explained(server)

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("llm/qwen: 7 replicas, active")


@pytest.mark.parametrize("form", [[], ["-o", "json"]], ids=["text", "json"])
def test_explain_ends_with_3_and_says_what_to_do_where_keda_gets_an_error(form: list[str]) -> None:
    shown = asyncio.run(misnamed()).account()

    with serving(json.dumps([shown])) as server:
        result = explained(server, *form)

    assert result.exit_code == 3
    assert NO_SERIES in result.stdout
    assert result.stderr == (
        "llm/qwen: KEDA gets no number: make the trigger's `model`, and its namespace, those of "
        "the engine's series\n"
    )


def test_the_trigger_that_was_asked_about_last_decides_how_explain_ends() -> None:
    edited, before = asyncio.run(answered()).account(), asyncio.run(misnamed()).account()

    with serving(json.dumps([edited, before])) as server:
        assert explained(server).exit_code == 0


@pytest.mark.parametrize(
    ("served", "expected"),
    [
        pytest.param({"body": "[]"}, "no explanation of a workload", id="nothing"),
        pytest.param({"body": '[{"status": "success"}]'}, "no explanation", id="other-json"),
        pytest.param({"body": "[{"}, "no answer from http://", id="broken-json"),
        pytest.param({"body": "<html>", "kind": "text/html"}, "no answer from", id="a-web-page"),
        pytest.param({"body": "", "status": "502 Bad Gateway"}, "status 502", id="empty-error"),
        pytest.param(
            {"body": "KEDA never asked about llm/qwen", "status": "404 Not Found"},
            "KEDA never asked about llm/qwen",
            id="unknown-workload",
        ),
    ],
)
def test_explain_ends_with_1_where_there_is_no_account(
    served: dict[str, str], expected: str
) -> None:
    with serving(**served) as server:
        result = explained(server)

    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)  # a message, not a traceback
    assert result.stdout == ""
    assert expected in result.stderr


@pytest.mark.parametrize("server", ["http://127.0.0.1:1", "127.0.0.1:1", "ftp://x", ""])
def test_explain_ends_with_1_where_no_server_is_and_names_the_option(server: str) -> None:
    result = explained(server)

    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert "--server" in result.stderr


def test_explain_at_asks_the_server_about_that_moment_and_advises_nothing_for_now() -> None:
    shown = asyncio.run(misnamed()).account()

    with serving(json.dumps([shown]), paths=(paths := [])) as server:
        result = explained(server, "--at", "2026-03-03T02:00:00+02:00")
        explained(server, "--at", "-2h")

    assert (result.exit_code, result.stderr) == (0, "")
    assert paths == ["at=2026-03-03T02:00:00%2B02:00", "at=-2h"]


def test_no_answer_about_a_pod_is_kept() -> None:
    result = CliRunner().invoke(main, ["explain", "pod", "llm/chat-0", "--at", "-2h"])

    assert result.exit_code == 2
    assert "--at is of workloads" in result.output


def test_the_help_of_explain_has_its_exit_statuses() -> None:
    shown = " ".join(CliRunner().invoke(main, ["explain", "--help"]).output.split())

    for status in ("Status 0: KEDA gets", "Status 1: nothing is known", "Status 3: KEDA gets an"):
        assert status in shown


# What others write is shown without secrets and without escapes.


async def test_metadata_is_shown_without_what_may_be_a_secret() -> None:
    site = Site(asked=False)
    site.board.ask(
        Reference.of(
            "llm",
            "qwen",
            {
                "model": "qwen",
                "leadTimeFromEnv": "90s",
                "mode": "act",
                "tlsClientKey": "-----BEGIN KEY s3cret",
                "scalerAddress": "foresail:6500",
            },
        )
    )
    site.loop.apply(site.board.take_changes())
    await site.looks()

    account = site.account()

    assert account["metadata"] == {
        "leadTimeFromEnv": "…",
        "mode": "act",
        "model": "qwen",
        "scalerAddress": "foresail:6500",
        "tlsClientKey": "…",
    }
    assert "s3cret" not in json.dumps(account)


async def test_a_message_of_a_source_cannot_write_to_the_terminal() -> None:
    site = Site()
    await site.fails(after=400, why="\x1b[2J\x1b]0;all is well\x07 gone")

    shown = text(site.account())

    assert "\\x1b[2J" in shown
    assert all(line.isprintable() for line in shown.splitlines())


async def test_the_books_are_shown_and_exported_with_the_rules_people_use() -> None:
    site = Site()
    # (4000 ÷ 1000 + 500 ÷ 500) ÷ .8 are 7 replicas, and neither replicas nor requests are read.
    await site.looks(every=60, times=31)

    lines = [" ".join(line.split()) for line in site.lines()]

    assert any(
        line.startswith("* 3.5 ") and " given: 15 GPU-minutes a late minute" in line
        for line in lines
    )
    assert "? ? keda-waiting: KEDA on waiting requests, 5 a replica, 5m stabilization" in lines
    assert any(line.startswith("setting: the trigger's own") for line in lines)
    assert site.exported("foresail_books_replica_hours", rule="in-force") == pytest.approx(3.5)
    assert site.exported("foresail_books_late_ratio", rule="given") == pytest.approx(0, abs=1e-4)
    assert site.exported("foresail_books_replica_hours", rule="keda-waiting") is None
    assert site.exported("foresail_books_replica_hours", rule="actual") is None
    assert site.exported("foresail_shadows_model_holds") is None
