"""`python -m bench shadows`: what the shadows of many workloads cost, in CPU and in state.

One workload lives through some hours of made traffic. Its shadows take four looks a minute, as in
`foresail serve`, with real outlooks.
"""

import argparse
import math
from collections.abc import Iterator
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
from scaler.signals import Observation, Signal, Value
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
    parameters = assembly.parameters
    spent, shadows, measured_from = 0.0, None, options.hours * 3600
    for poll in _polls(measured_from + options.minutes * 60):
        tracker.take(poll)
        _ = tracker.forecasts  # made before, so that it is not counted here
        _, cycle = evaluate(
            Reference.of("bench", "bench", {}),
            poll,
            tracker,
            parameters,
            cycle,
            now_seconds=poll.at_seconds,
            answer_seconds_max=300.0,
        )
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
        if poll.at_seconds >= measured_from:
            spent += process_time() - before
    assert shadows is not None
    show("shadows", vars(options), [_row(options, spent, shadows)], options.json)


def _row(options: argparse.Namespace, spent_seconds: float, shadows: Shadows) -> Row:
    minute = spent_seconds / options.minutes
    return {
        "workloads": options.workloads,
        "cpu_ms_a_minute": 1000 * minute,
        "all_cpu_seconds_a_minute": minute * options.workloads,
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
        observation = Observation(at_seconds=at, readings=readings)
        yield PollResult(at_seconds=at, observation=observation)
        at += _LOOK_SECONDS
