"""`python -m bench shadows`: what planning many workloads costs, and their shadows of it.

One workload lives through some hours of made traffic. It is looked at four times a minute, as in
`foresail serve`: its forecasts are made, its engine is learned, and it is planned, with real
outlooks. Then its shadows take the same look once more, to be counted apart.
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import process_time

from bench._report import Row, show
from scaler.assembly import assemble
from scaler.decision.answers import Reference
from scaler.decision.tracker import PollResult
from scaler.evaluate import CycleState, evaluate
from scaler.learning.shadows.look import look_of
from scaler.learning.shadows.record import Shadows, after_look
from scaler.learning.shadows.record_bytes import encode
from scaler.signals import LatencyCounts, Observation, Signal, Value
from scaler.sources.catalogue import load
from scaler.trigger_parsing import AllowedOptions, parse

_LOOK_SECONDS = 15
_ALLOWED = AllowedOptions(
    engines={"vllm": False}, sources=frozenset({"bench"}), default_source="bench"
)
_METADATA = {
    "model": "bench",
    "mode": "act",
    "replicaPromptTokensPerSecond": "1000",
    "replicaGeneratedTokensPerSecond": "500",
    "maxReplicas": "100",
}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench shadows", description=__doc__)
    parser.add_argument("--workloads", type=int, default=2000, help="whose shadows are counted")
    parser.add_argument("--hours", type=float, default=3.0, help="of traffic before it is measured")
    parser.add_argument("--minutes", type=int, default=200, help="that are measured")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the rows as JSON")
    options = parser.parse_args(arguments)
    assembly = assemble(parse(_METADATA, _ALLOWED), load("vllm"), step_seconds=60.0)
    tracker, cycle = assembly.make_tracker(), CycleState.unread(0.0)
    parameters, engine = assembly.parameters, assembly.make_engine()
    spent, shadows, measured_from = Spent(), None, options.hours * 3600
    for poll in _polls(measured_from + options.minutes * 60):
        if poll.at_seconds == measured_from:
            spent = Spent()
        begin = process_time()
        tracker.take(poll)
        _ = tracker.forecasts
        forecast = process_time()
        engine.take(poll)
        capacity = engine.estimate_for(parameters)
        learned = process_time()
        _, cycle = evaluate(
            Reference.of("bench", "bench", {}),
            poll,
            tracker,
            parameters,
            cycle,
            now_seconds=poll.at_seconds,
            answer_seconds_max=300.0,
            capacity=capacity,
        )
        planned = process_time()
        assert poll.observation is not None
        assert tracker.demand is not None
        assert cycle.plan is not None
        outlook = tracker.outlook(  # made for the plan, so not counted here
            parameters.capacity, lead_seconds=parameters.lead_seconds, level=parameters.level
        )
        before = process_time()
        look = look_of(poll.observation, tracker.demand, cycle.plan, parameters)
        assert look is not None
        shadows = after_look(shadows, look, outlook, parameters)
        spent.forecasts += forecast - begin
        spent.learning += learned - forecast
        spent.plans += planned - learned
        spent.shadows += process_time() - before
    assert shadows is not None
    show("shadows", vars(options), [_row(options, spent, shadows)], options.json)


@dataclass(slots=True, kw_only=True)
class Spent:
    """CPU seconds of one workload."""

    forecasts: float = 0.0
    learning: float = 0.0
    plans: float = 0.0
    """Shadows included."""
    shadows: float = 0.0


def _row(options: argparse.Namespace, spent: Spent, shadows: Shadows) -> Row:
    all_of_a_minute = options.workloads / options.minutes
    return {
        "workloads": options.workloads,
        "forecasts_cpu_seconds_a_minute": spent.forecasts * all_of_a_minute,
        "learning_cpu_seconds_a_minute": spent.learning * all_of_a_minute,
        "plans_cpu_seconds_a_minute": spent.plans * all_of_a_minute,
        "shadows_of_them": spent.shadows * all_of_a_minute,
        "state_bytes": len(encode(shadows)),
    }


def _polls(seconds: float) -> Iterator[PollResult]:
    at = 0.0
    while at < seconds:
        rate = 4000 * (1 + 0.5 * math.sin(at / 13_000))
        values = {
            Signal.RUNNING: rate / 50,
            Signal.WAITING: 0.0,
            Signal.PROMPT_TOKENS: rate,
            Signal.GENERATED_TOKENS: rate / 4,
            Signal.REQUESTS: rate / 1000,
            Signal.REPLICAS: 8.0,
        }
        readings = {signal: Value(value=one, at_seconds=at) for signal, one in values.items()}
        observation = Observation(at_seconds=at, readings=readings, latencies=_latencies(rate))
        yield PollResult(at_seconds=at, observation=observation)
        at += _LOOK_SECONDS


def _latencies(prompt_tokens_per_second: float) -> dict[Signal, LatencyCounts]:
    """Of the last minute: all in time, slower where more runs."""
    requests, tokens = prompt_tokens_per_second / 1000 * 60, prompt_tokens_per_second / 4 * 60
    itl_seconds = 0.015 + prompt_tokens_per_second * 2e-6
    return {
        Signal.TTFT: LatencyCounts(
            bounds_seconds=(0.5, 1.0, 2.0, math.inf), counts=(requests, 0.0, 0.0, 0.0)
        ),
        Signal.ITL: LatencyCounts(
            bounds_seconds=(0.025, 0.05, 0.1, math.inf),
            counts=(tokens, 0.0, 0.0, 0.0),
            total_seconds=tokens * itl_seconds,
        ),
    }
