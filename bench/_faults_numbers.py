"""Faults of numbers: what a page can say that no engine can mean, and what KEDA then gets."""

import math
from collections.abc import Callable, Mapping

from bench._faults_row import Fault, Observed
from scaler.assembly import assemble
from scaler.decision.answers import Answer, Reference
from scaler.decision.served_rates import ServedRates
from scaler.decision.tracker import PollResult
from scaler.evaluate import CycleState, evaluate
from scaler.sources.catalogue import load
from scaler.sources.reading import ObservationReader
from scaler.sources.series import Sample
from scaler.trigger_parsing import AllowedOptions, parse

PODS = 4
PROMPT_PER_SECOND = 4000.0
"""Of each pod: 16,000 in all, and a replica serves 8,000."""
REPLICAS_MAX = 40
HOLD_SECONDS = 300.0
_LOOK_SECONDS = 15.0
_QUIET_SECONDS = 2 * 3600.0
_AFTER_SECONDS = 6 * 3600.0
_START = 1_800_000_000.0
_ALLOWED = AllowedOptions(
    engines={"vllm": False}, sources=frozenset({"main"}), default_source="main"
)
_SPEC = parse(
    {
        "model": "m",
        "mode": "act",
        "maxReplicas": str(REPLICAS_MAX),
        "leadTime": "5m",
        "replicaPromptTokensPerSecond": "8000",
        "replicaGeneratedTokensPerSecond": "1600",
    },
    _ALLOWED,
)

Page = Callable[[float, int], Mapping[str, float]]
"""Seconds since the start and pod → the values of its page."""


def faults() -> list[Fault]:
    """Each is on pod 0 for four looks, after two quiet hours."""
    return [
        _fault(
            "counter-wrapped", "A counter is 2⁶⁴ too high", prompt=lambda total: total + 2.0**64
        ),
        _fault("counter-overflows", "A counter is 10³⁰⁷", prompt=lambda _: 1e307),
        _fault("counter-not-a-number", "A counter is NaN", prompt=lambda _: math.nan),
        _fault("counter-infinite", "A counter is infinite", prompt=lambda _: math.inf),
        _fault("counter-below-zero", "A counter is below zero", prompt=lambda total: -total),
        _fault("gauge-absurd", "A pod says that it runs 10⁹ requests", running=lambda _: 1e9),
        _fault("kv-use-in-percent", "The use of the KV cache is in per cent", kv=lambda _: 42.0),
        _fault(
            "rate-below-the-bound",
            "A counter jumps by 9 million a second",
            prompt=lambda total: total + 9e6 * 60,
        ),
    ]


def _fault(
    name: str,
    fault: str,
    *,
    prompt: Callable[[float], float] = lambda value: value,
    running: Callable[[float], float] = lambda value: value,
    kv: Callable[[float], float] = lambda value: value,
) -> Fault:
    def page(seconds: float, pod: int) -> Mapping[str, float]:
        is_on = pod == 0 and _QUIET_SECONDS <= seconds < _QUIET_SECONDS + 4 * _LOOK_SECONDS
        total = PROMPT_PER_SECOND * seconds
        return {
            "vllm:prompt_tokens_total": prompt(total) if is_on else total,
            "vllm:generation_tokens_total": total / 8,
            "vllm:request_success_total": total / 1000,
            "vllm:num_requests_running": running(5.0) if is_on else 5.0,
            "vllm:num_requests_waiting": 0.0,
            "vllm:kv_cache_usage_perc": kv(0.4) if is_on else 0.4,
        }

    return Fault(
        name=name,
        part="serve",
        by="model",
        fault=f"{fault}, for a minute on one of {PODS} pods",
        expected=f"as before, back within {HOLD_SECONDS:.0f} s",
        run=lambda: _observed(page),
    )


def _observed(page: Page) -> Observed:
    """The answers while the fault is on, and until they are what they were before."""
    answers = list(_answers(page))
    before = [replicas for at, replicas in answers if at < _QUIET_SECONDS][-1]
    since = [(at, replicas) for at, replicas in answers if at >= _QUIET_SECONDS]
    high = max(replicas for _, replicas in since)
    low = min(replicas for _, replicas in since)
    over = _QUIET_SECONDS + 4 * _LOOK_SECONDS
    wrong = [at for at, replicas in since if replicas > before]
    recovered = max(0.0, max(wrong, default=over) - over)
    return Observed(
        text=f"{before}, then {low} to {high}",
        wrong_scale_downs=sum(replicas < before for _, replicas in since),
        lost=sum(replicas < 0 for _, replicas in since),
        recovered_seconds=recovered,
        ok=low >= before and high <= before and recovered <= HOLD_SECONDS,
    )


def _answers(page: Page) -> list[tuple[float, int]]:
    """Seconds and the replicas that KEDA gets, −1 for an error."""
    preset = load("vllm")
    reader = ObservationReader(preset, model="m")
    assembly = assemble(_SPEC, preset, step_seconds=60.0)
    tracker, state, found = assembly.make_tracker(), CycleState.unread(0.0), []
    rates = ServedRates()
    steps = int((_QUIET_SECONDS + _AFTER_SECONDS) / _LOOK_SECONDS)
    for seconds in (step * _LOOK_SECONDS for step in range(steps)):
        now = _START + seconds
        samples = [
            Sample(
                name=name,
                labels={"model_name": "m", "engine": "0", "pod": f"p-{pod}"},
                value=value,
                at_seconds=now,
            )
            for pod in range(PODS)
            for name, value in page(seconds, pod).items()
        ]
        poll = PollResult(at_seconds=now, observation=reader.observe(samples, now_seconds=now))
        poll = rates.take(poll, [assembly.parameters.capacity])
        tracker.take(poll)
        _, state = evaluate(
            Reference.of("llm", "a", {}),
            poll,
            tracker,
            assembly.parameters,
            state,
            now_seconds=now,
            answer_seconds_max=300.0,
        )
        outcome = state.timed.current(now)
        found.append((seconds, outcome.replicas if isinstance(outcome, Answer) else -1))
    return found[2:]  # a rate takes two looks
