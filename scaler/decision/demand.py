"""Demand, from the rates and queues that an engine reports.

Engines count the tokens they *served*. These plateau at saturation, and the unmet demand shows as a
growing queue or as rejected requests, so a forecast of the counters would forecast the capacity.
Demand here is

    served rate + (growth of the queue + requests turned away) × tokens per request

in tokens per second, never below zero. Tokens per request are running means that decay by time,
not by sample count: a mean by count would keep the evening's mix all night.
"""

import math
from dataclasses import dataclass

from scaler.signals import Observation, Signal

MIX_HALF_LIFE_SECONDS = 600.0
"""Of the token mix: prompt lengths change with the hour, not with the minute."""
CONTEXT_TOKENS_MAX = 1e7
"""No context is longer. Where tokens are served for hours and no request is counted, as with a
broken counter, the tokens of one request would grow without end, and one that waits would order
every replica."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The demand on a workload at one moment; None means not measured, never zero."""

    at_seconds: float
    prompt_tokens: float | None
    """Prompt tokens per second."""
    generated_tokens: float | None
    """Generated tokens per second."""
    requests: float | None
    """Requests per second."""
    in_flight: float | None
    """Requests running or waiting for capacity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Running means of the rates, whose ratios are the tokens of one request."""

    at_seconds: float
    requests: float = 0.0
    prompt_tokens: float = 0.0
    generated_tokens: float = 0.0

    def prompt_tokens_per_request(self) -> float | None:
        return self._per_request(self.prompt_tokens)

    def generated_tokens_per_request(self) -> float | None:
        return self._per_request(self.generated_tokens)

    def _per_request(self, tokens: float) -> float | None:
        is_known = self.requests > 0 and tokens <= CONTEXT_TOKENS_MAX * self.requests
        return tokens / self.requests if is_known else None

    def after(self, observation: Observation) -> "Mix":
        """The means with this observation in them; unchanged where a rate is not measured."""
        requests = observation.value(Signal.REQUESTS)
        prompt = observation.value(Signal.PROMPT_TOKENS)
        generated = observation.value(Signal.GENERATED_TOKENS)
        if requests is None or prompt is None or generated is None:
            return self
        passed = max(0.0, observation.at_seconds - self.at_seconds)
        keep = math.exp2(-passed / MIX_HALF_LIFE_SECONDS)
        # A new rate is weighted by the time it covers, so that tokens per request stay a ratio of
        # sums: an idle night adds nothing to either sum.
        return Mix(
            at_seconds=observation.at_seconds,
            requests=self.requests * keep + requests * passed,
            prompt_tokens=self.prompt_tokens * keep + prompt * passed,
            generated_tokens=self.generated_tokens * keep + generated * passed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandState:
    """The values that the next observation is compared with."""

    mix: Mix
    waiting: float | None = None
    waiting_at_seconds: float = 0.0


def demand_of(observation: Observation, state: DemandState | None) -> tuple[Demand, DemandState]:
    """The demand behind an observation, and the state for the next one.

    Args:
        state: None before the first observation.
    """
    if state is None:
        state = DemandState(mix=Mix(at_seconds=observation.at_seconds))
    waiting = observation.value(Signal.WAITING)
    running = observation.value(Signal.RUNNING)
    mix = state.mix.after(observation)
    unserved = _unserved_per_second(observation, state, waiting)
    demand = Demand(
        at_seconds=observation.at_seconds,
        prompt_tokens=_asked(
            observation.value(Signal.PROMPT_TOKENS), unserved, mix.prompt_tokens_per_request()
        ),
        generated_tokens=_asked(
            observation.value(Signal.GENERATED_TOKENS), unserved, mix.generated_tokens_per_request()
        ),
        requests=_asked(observation.value(Signal.REQUESTS), unserved, 1.0),
        in_flight=None if running is None or waiting is None else running + waiting,
    )
    if waiting is None:
        return demand, DemandState(
            mix=mix, waiting=state.waiting, waiting_at_seconds=state.waiting_at_seconds
        )
    return demand, DemandState(mix=mix, waiting=waiting, waiting_at_seconds=observation.at_seconds)


def _unserved_per_second(
    observation: Observation, state: DemandState, waiting: float | None
) -> float:
    """Requests per second that came and were not served: queue growth plus rejections.

    Negative while a queue drains, because its requests were counted when they arrived.
    """
    rejected = observation.value(Signal.REJECTED) or 0.0
    passed = observation.at_seconds - state.waiting_at_seconds
    if waiting is None or state.waiting is None or passed <= 0:
        return rejected
    return rejected + (waiting - state.waiting) / passed


def _asked(served: float | None, unserved: float, per_request: float | None) -> float | None:
    if served is None:
        return None
    asked = served + unserved * (per_request or 0.0)
    # max(0.0, nan) is 0.0: an unknown demand must not pass for a true zero.
    return max(0.0, asked) if math.isfinite(asked) else None
