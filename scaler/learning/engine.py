"""What one replica can do, learned from the engine's own metrics: one learner a feed.

Each look adds a minute's part of evidence to three things: the iteration's time (`engine_fit`), the
share of late requests by load (`engine_tail`), and slots, cache and queues (`engine_limits`). An
estimate is made for one workload from its objective and the figures it was given, which are the
prior. While little is known it is the figures themselves; with evidence it moves to the cautious
end of what is believed, and in the end to what the engine shows.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from scaler.bounds import BOUNDS
from scaler.decision.capacity import Origin, ReplicaCapacity, Together, Work
from scaler.decision.need import QUEUE_SHARE
from scaler.decision.objective import Objective
from scaler.decision.parameters import PlanParameters
from scaler.decision.tracker import PollResult
from scaler.learning.engine_bound import bounded
from scaler.learning.engine_fit import Coefficients, IterationFit
from scaler.learning.engine_limits import EngineLimits
from scaler.learning.engine_prior import (
    CAUTION,
    CONTEXT_TOKENS,
    UTILIZATION_PRIOR,
    EnginePrior,
    IterationTime,
    prior_of,
    rate_spread,
)
from scaler.learning.engine_tail import TailCurve
from scaler.learning.estimates import CapacityEstimate
from scaler.signals import Observation, Signal
from scaler.trigger import Phase

WINDOW_SECONDS: Final = 60.0
"""Over which sources take rates and latencies; a look adds the part that is new."""
SETTLED_SECONDS: Final = 90.0
"""A new replica warms up and fills; a replica that goes takes its requests along. So long after
the number of replicas changed, a look teaches nothing of the iteration, and of late requests only
while a queue stands: what waited for the new replicas is late on them, too."""
FIXED_SHARE_MAX: Final = 0.9
"""Of the ITL limit: an iteration with nothing to do that takes more leaves no room for work."""
ITL_SECONDS_MIN: Final = 1e-4
"""A mean below it is a histogram whose sum stands still: no engine makes 10,000 tokens a second for
one request."""
_TOKENS_MIN: Final = 50.0
"""Generated in the window: fewer make no mean."""
_FULL_LOAD: Final = 0.9
"""Over the rate at the ITL's limit. What waits below it, with fewer running than ever, are prompts
to be computed, or one replica's, unless as many wait."""
_MIX_MINUTES: Final = 10.0
_SLACK: Final = 0.03
"""A mean ITL this close to its limit counts as partly late."""
_KV_FULL: Final = 0.9
_SURE: Final = 0.9
_IN_A_ROW_SECONDS: Final = 300.0
"""Between two looks: a queue of longer ago has been served since."""
_SAID_MINUTES: Final = 30.0
"""Evidence from which an objective is said to be out of reach."""


@dataclass(slots=True, kw_only=True)
class EngineLearner:
    """The engine of one feed."""

    objective: Objective
    """Of the workload that began the feed: the tail is learned for it."""
    given: ReplicaCapacity
    """Of the same workload: what outliers are judged by until the engine showed more."""
    phase: Phase = Phase.BOTH
    """Of its replicas."""
    fit: IterationFit = field(default_factory=IterationFit)
    tail: TailCurve = field(default_factory=TailCurve)
    limits: EngineLimits = field(default_factory=EngineLimits)
    at_seconds: float | None = None
    """Of the newest look that taught something."""
    has_latencies: bool = False
    """Whether the engine was ever seen to export an ITL histogram with its sum."""
    _replicas: deque[tuple[float, float]] = field(default_factory=deque)
    _queued: bool = False
    """Whether requests waited at a full engine at the newest look."""

    def take(self, poll: PollResult) -> None:
        """Account for a look; one without usable metrics teaches nothing."""
        seen = poll.observation
        ready = None if seen is None else seen.value(Signal.REPLICAS)
        if seen is None or ready is None or ready < 1:
            return
        at, before = seen.at_seconds, self.at_seconds
        if before is not None and at <= before:
            return
        settled = self._settled(at, ready)
        passed = WINDOW_SECONDS if before is None else at - before
        self.at_seconds = at
        if passed > _IN_A_ROW_SECONDS:
            self._queued = False
        self._look(seen, ready, minutes=min(passed, WINDOW_SECONDS) / 60, settled=settled)

    def follow(self, objective: Objective, given: ReplicaCapacity) -> None:
        """Learn the tail for another objective from now on; the engine stays known."""
        if not self._has_tail_of(objective):
            self.tail = TailCurve()
        self.objective, self.given = objective, given

    def beginning(self) -> "EngineLearner":
        """A learner for the same workload that knows nothing yet."""
        return EngineLearner(objective=self.objective, given=self.given, phase=self.phase)

    def clock_moved(self, seconds: float) -> None:
        """Continue after the wall clock was set."""
        self.at_seconds = None if self.at_seconds is None else self.at_seconds + seconds
        self._replicas = deque((at + seconds, count) for at, count in self._replicas)

    def estimate_for(self, parameters: PlanParameters) -> CapacityEstimate | None:
        """The estimate for a workload; None where its figures are fixed or nothing is known."""
        if not parameters.learns_capacity:
            return None
        return self.estimate(parameters.capacity, parameters.objective)

    def late_anyway(self, objective: Objective) -> float:
        """Share of requests that are late with any number of replicas, 0 to 1.

        0 while it is not known, as for another objective than the tail's.
        """
        return self.tail.late_at_ease() if self._has_tail_of(objective) else 0.0

    def estimate(self, given: ReplicaCapacity, objective: Objective) -> CapacityEstimate | None:
        """What one replica serves within the objective; None while the engine taught nothing.

        Args:
            given: the figures of the trigger or the preset.
        """
        made = self._estimate(given, objective)
        mix = self._mix()
        if not any(mix):
            mix = self.limits.queue_prompt_tokens, self.limits.queue_generated_tokens
        return None if made is None else bounded(made, given, mix)

    def _estimate(self, given: ReplicaCapacity, objective: Objective) -> CapacityEstimate | None:
        if self.phase is Phase.PREFILL:
            return self._by_queue(given, "prefill has no time between tokens")
        if not self.has_latencies:
            return self._by_queue(given, "no ITL histogram")
        prior = prior_of(given, itl_seconds=objective.itl_seconds)
        known = self.fit.solve(prior)
        if not known.fits:
            why = f"the ITL is {known.residual:.0%} off what load explains"
            return self._by_queue(given, why)
        context = self.limits.context_tokens or CONTEXT_TOKENS
        iteration, itl = known.iteration, objective.itl_seconds
        spare = max(iteration.spare_share(itl), 1 - FIXED_SHARE_MAX)
        each = iteration.per_generated_token_seconds(context)
        unsure = self._unsure(known, prior, spare * itl, context)
        caution = math.exp(rate_spread(prior.spread) * unsure)
        utilization = self._utilization(objective)
        scale = caution / (spare * utilization)
        at_limit = spare * itl / each if each > 0 else math.inf
        return CapacityEstimate(
            capacity=ReplicaCapacity(
                work=Work(
                    prompt=iteration.per_prompt_token_seconds * scale,
                    generated=each * scale,
                    together=Together.SUM,
                    origin=Origin.LEARNED,
                ).of(self.phase),
                requests=self.limits.requests(given.requests, at_limit),
            ),
            confidence=1 - unsure,
            evidence=self._evidence(known, objective, utilization, unsure),
            utilization=utilization,
            unreachable=_unreachable(iteration, self.limits.prompt_tokens, objective)
            if self.fit.minutes >= _SAID_MINUTES
            else None,
        )

    def _settled(self, at: float, ready: float) -> bool:
        """Whether the number of replicas is what it was a while ago, to a twentieth."""
        recent = self._replicas
        recent.append((at, ready))
        while len(recent) > 1 and recent[1][0] <= at - SETTLED_SECONDS:
            recent.popleft()
        counts = [count for _, count in recent]
        return max(counts) - min(counts) <= ready / 20

    def _look(self, seen: Observation, ready: float, *, minutes: float, settled: bool) -> None:
        prompt, generated = (
            None if amount is None else amount / ready
            for amount in (seen.value(Signal.PROMPT_TOKENS), seen.value(Signal.GENERATED_TOKENS))
        )
        if prompt is None or generated is None:
            return
        if self.phase is Phase.DECODE:
            prompt = 0.0  # engines count prompts whose cache came from elsewhere, too
        waiting, running = seen.value(Signal.WAITING), seen.value(Signal.RUNNING)
        self._context(seen, ready, running, minutes=minutes)
        itl = self._itl(seen)
        kv_full = (seen.value(Signal.KV_USE) or 0.0) >= _KV_FULL
        waits = waiting is not None and running is not None and waiting > QUEUE_SHARE * running
        queued = waits and (
            kv_full
            or self.limits.is_full((running or 0.0) / ready, (waiting or 0.0) / ready)
            or (itl is not None and self._load(prompt, generated) >= _FULL_LOAD)
        )
        stood, self._queued = self._queued and queued, queued
        if running is not None and settled:
            paced = itl is not None and itl <= self.objective.itl_seconds and not kv_full
            self.limits.take_running(running / ready, queued=stood, paced=paced, minutes=minutes)
        if stood and settled:
            self.limits.take_queue(prompt, generated, minutes=minutes)
        if itl is None:
            return
        prior = prior_of(self.given, itl_seconds=self.objective.itl_seconds)
        if settled:
            context = self.limits.context_tokens or CONTEXT_TOKENS
            row = (1 / itl, generated, generated * context, prompt)
            self.fit.take(row, prior, minutes=minutes)
        # Where requests wait at an engine that is not full, nobody knows the load.
        if self._queued or (settled and not waits):
            load = self._load(prompt, generated)
            self._late(seen, itl, max(load, 1.0) if self._queued else load, minutes=minutes)

    def _itl(self, seen: Observation) -> float | None:
        counts = seen.latencies.get(Signal.ITL)
        if counts is None or counts.total_seconds is None:
            return None
        self.has_latencies = True
        mean = counts.mean_seconds if counts.count >= _TOKENS_MIN else None
        is_possible = mean is not None and ITL_SECONDS_MIN <= mean <= BOUNDS[Signal.ITL].most
        return mean if is_possible else None

    def _context(
        self, seen: Observation, ready: float, running: float | None, *, minutes: float
    ) -> None:
        limits, use = self.limits, seen.value(Signal.KV_USE)
        requests, prompt = seen.value(Signal.REQUESTS), seen.value(Signal.PROMPT_TOKENS)
        if requests and prompt:
            each = prompt / requests
            share = min(1.0, minutes / _MIX_MINUTES) if limits.prompt_tokens else 1.0
            limits.prompt_tokens += (each - limits.prompt_tokens) * share
        limits.kv_tokens = seen.value(Signal.KV_CAPACITY) or limits.kv_tokens
        if not running or not use or not limits.kv_tokens:
            return
        # Gauges of different moments can show more than a whole cache for one request.
        context = min(use * limits.kv_tokens * ready / running, limits.kv_tokens)
        share = min(1.0, minutes / _MIX_MINUTES) if limits.context_tokens else 1.0
        limits.context_tokens += (context - limits.context_tokens) * share

    def _load(self, prompt: float, generated: float) -> float:
        """Of a replica that serves so many tokens a second, over the rate at the ITL's limit."""
        itl = self.objective.itl_seconds
        iteration = self.fit.solve(prior_of(self.given, itl_seconds=itl)).iteration
        spare = max(iteration.spare_share(itl), 1 - FIXED_SHARE_MAX)
        each = iteration.per_generated_token_seconds(self.limits.context_tokens or CONTEXT_TOKENS)
        return (iteration.per_prompt_token_seconds * prompt + each * generated) / spare

    def _late(self, seen: Observation, itl: float, load: float, *, minutes: float) -> None:
        """Add the late share of the window at its load."""
        objective = self.objective
        # A decode engine's has the transfer of the cache in it.
        first = None if self.phase is Phase.DECODE else seen.latencies.get(Signal.TTFT)
        first_late = None if first is None else first.share_above(objective.ttft_seconds)
        # A prefill chunk makes single gaps long at any load, so the pace is judged by its mean.
        over = (itl / objective.itl_seconds - 1 + _SLACK) / (2 * _SLACK)
        late = max(min(max(over, 0.0), 1.0), first_late or 0.0)
        self.tail.take(load, late, minutes=minutes)

    def _unsure(
        self, known: Coefficients, prior: EnginePrior, spare_seconds: float, context: float
    ) -> float:
        """Deviation of the rate at the ITL's limit ÷ that of the prior: 1 knows nothing."""
        iteration = known.iteration
        mix = self._mix()
        per_second = (
            iteration.per_prompt_token_seconds * mix[0]
            + iteration.per_generated_token_seconds(context) * mix[1]
        )
        if per_second <= 0:
            return 1.0
        direction = (
            1 / spare_seconds,
            mix[1] / per_second,
            mix[1] * context / per_second,
            mix[0] / per_second,
        )
        return min(1.0, CAUTION * known.deviation(direction) / rate_spread(prior.spread))

    def _mix(self) -> tuple[float, float]:
        """Prompt and generated tokens of the evidence, in proportion."""
        generated, prompt = self.fit.targets[1], self.fit.targets[3]
        return float(prompt), float(generated)

    def _utilization(self, objective: Objective) -> float:
        if not self._has_tail_of(objective):
            return UTILIZATION_PRIOR
        return self.tail.utilization(objective.attainment)

    def _has_tail_of(self, objective: Objective) -> bool:
        own = self.objective
        return (own.ttft_seconds, own.itl_seconds) == (
            objective.ttft_seconds,
            objective.itl_seconds,
        )

    def _by_queue(self, given: ReplicaCapacity, why: str) -> CapacityEstimate | None:
        """The figures given, corrected by what replicas served while a queue stood."""
        limits = self.limits
        load = given.work.replicas(limits.queue_prompt_tokens, limits.queue_generated_tokens)
        if not load or not limits.queue_minutes:
            return None
        confidence = limits.queue_minutes / (limits.queue_minutes + 10.0)
        # Served at full load is one replica's worth.
        scale = load**-confidence
        work = Work(
            prompt=given.work.prompt * scale,
            generated=given.work.generated * scale,
            together=given.work.together,
            origin=Origin.LEARNED,
        )
        return CapacityEstimate(
            capacity=ReplicaCapacity(work=work, requests=given.requests),
            confidence=confidence,
            evidence=f"{why}: by what was served in {limits.queue_minutes:,.0f} min with a queue",
        )

    def _evidence(
        self, known: Coefficients, objective: Objective, utilization: float, unsure: float
    ) -> str:
        iteration = known.iteration
        text = (
            f"{self.fit.minutes:,.0f} min of ITL, {known.residual:.0%} off the fit; "
            f"an iteration takes {iteration.fixed_seconds * 1000:.1f} ms without work, "
            f"{utilization:.0%} of the rate at {objective.itl_seconds * 1000:g} ms keeps "
            f"{objective.attainment:.2%} in time"
        )
        if 1 - unsure < _SURE:
            text += "; more minutes at different loads would make it surer"
        return text


def _unreachable(
    iteration: IterationTime, prompt_tokens: float, objective: Objective
) -> str | None:
    """Why no number of replicas keeps the objective, or None."""
    fixed, limit = iteration.fixed_seconds, objective.itl_seconds
    if fixed > FIXED_SHARE_MAX * limit:
        return (
            f"an iteration takes {fixed * 1000:.1f} ms without work, so no number of replicas "
            f"keeps an ITL of {limit * 1000:g} ms"
        )
    first_seconds = iteration.per_prompt_token_seconds * prompt_tokens + fixed
    if first_seconds > objective.ttft_seconds:
        return (
            f"a prompt of {prompt_tokens:,.0f} tokens, the mean, takes {first_seconds:.2f} s on an "
            f"idle replica, so no number of replicas keeps a TTFT of {objective.ttft_seconds:g} s"
        )
    return None
