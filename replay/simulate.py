"""One policy on one replay input, and the result: the runner of replay, benchmarks and demo."""

from dataclasses import dataclass, replace
from itertools import pairwise

from replay.in_expectation import RATE_SECONDS, InExpectation
from replay.policies.behaviors import OWN
from replay.policies.port import Explaining, Figures, Policy, Reckoning
from replay.replay_input import ReplayInput
from replay.served import Served
from replay.traffic import DAY_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The run at the end of a minute, for plots; sums and rates are over that minute."""

    at_seconds: int
    arrived_per_second: float
    prompt_tokens_per_second: float
    """Of those that arrived."""
    in_time: float
    """Requests."""
    missed: float
    """Requests: late, gone, killed."""
    replicas: int
    ready: int
    waiting: float
    forecast_ahead: tuple[float, float] | None
    """What the policy made of prompt tokens per second a start-up ahead: median and quantile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One change of what is wanted."""

    at_seconds: int
    before: int
    after: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One day of a run; the first lacks the run-in, the last may be short."""

    requests: float
    in_time: float
    gpu_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A part of a run that ends where the caller cut it, or with the run."""

    until_seconds: int
    counted: Day
    figures: Figures | None
    """What the rule took for true at its end; None of a rule without such figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a policy fared; requests and money count from the end of the run-in."""

    policy: str
    knob: float
    requests: float
    attainment: float
    """Share of requests in time. Late, timed out and killed are misses."""
    gpu_hours: float
    """Starting, ready and draining."""
    ttft_p50: float
    ttft_p95: float
    ttft_p99: float
    """Seconds, whole ones from the engine in expectation; giving up counts with the wait."""
    itl_p99: float
    errors: float
    """Gave up or were killed."""
    cold_start_affected: float
    """Late or gone while a replica was starting."""
    actions: int
    flips: int
    """Changes of direction."""
    days: tuple[Day, ...]
    windows: tuple[Window, ...] = ()
    """Of a run that was cut; they add up to it."""
    node_hours: float | None = None
    """Of nodes from launch to end, empty ones included; None where no node pool is modelled."""
    marks: tuple[Mark, ...] = ()
    moves: tuple[Move, ...] = ()
    behavior: str = OWN
    """Of the HPA behind it, where it is not the rule's own."""


def simulate(  # noqa: PLR0913 - one run, and how it is named
    replay_input: ReplayInput,
    policy: Policy,
    *,
    name: str,
    knob: float,
    seed: int,
    behavior: str = OWN,
    marks: bool = False,
    cut_seconds: int | None = None,
    served: Served | None = None,
) -> Result:
    """Run a policy on a replay input.

    Args:
        cut_seconds: account for what was before and after that second apart, too.
        behavior: the name of the HPA behavior that the policy was made with.
        marks: keep what happened once a minute, and each move with its reason.
        served: the engine; None = the one in expectation.
    """
    if cut_seconds is not None and not replay_input.run_in_seconds < cut_seconds:
        raise ValueError(
            f"cut_seconds {cut_seconds} must lie after the run-in,"
            f" which ends at {replay_input.run_in_seconds} s"
        )
    served = served or InExpectation(replay_input, seed=seed)
    run = Simulation(replay_input, served, _Recorder(policy) if marks else None)
    while run.now < replay_input.seconds:
        if run.now == cut_seconds:
            run.cut(_figures(policy))
        if run.now % policy.period_seconds == 0:
            run.scale_to(policy.decide(served.seen(run.now)))
        run.step()
    if cut_seconds is not None:
        run.cut(_figures(policy))
    return run.result(name=name, knob=knob, behavior=behavior)


class Simulation:
    """A run that its caller steps: it serves, carries out what is wanted, and counts."""

    def __init__(
        self, replay_input: ReplayInput, served: Served, recorder: "_Recorder | None" = None
    ) -> None:
        self.now = 0
        """The second that is served next."""
        self._input, self._served, self._recorder = replay_input, served, recorder
        platform = replay_input.platform
        self._bounds = platform.replicas_min, platform.replicas_max
        self._actions = self._flips = self._direction = 0
        self._free_gpu_seconds = self._free_node_seconds = 0.0
        self._nights = [Day(requests=0.0, in_time=0.0, gpu_seconds=0.0)]
        self._cut_at = self._nights[0]
        self._windows: list[Window] = []

    def scale_to(self, replicas: int) -> None:
        """Set the number of replicas within the bounds, as a write to the scale subresource."""
        before = self._served.fleet.wanted
        least, most = self._bounds
        wanted = min(max(replicas, least), most)
        if wanted == before:
            return
        self._served.scale_to(wanted, self.now)
        turned = 1 if wanted > before else -1
        self._actions += 1
        self._flips += self._direction == -turned
        self._direction = turned
        if self._recorder is not None:
            self._recorder.moved(self.now, before, wanted)

    def step(self) -> None:
        """Serve one second."""
        now, served = self.now, self._served
        if now == self._input.run_in_seconds:
            served.judge_anew(now)
            if self._recorder is not None:
                self._recorder.judged_anew()
            self._free_gpu_seconds = served.fleet.gpu_seconds(now)
            self._free_node_seconds = self._node_seconds()
        elif now and now % DAY_SECONDS == 0:
            self._nights.append(self._so_far())
        served.serve(now)
        self.now = now + 1
        if self._recorder is not None and self.now % RATE_SECONDS == 0:
            minute = slice(self.now - RATE_SECONDS, self.now)
            arrivals, prompt_tokens = (
                self._input.arrivals[minute],
                self._input.prompt_tokens[minute],
            )
            asked = float(arrivals @ prompt_tokens) / RATE_SECONDS
            self._recorder.mark(self.now, served, float(arrivals.mean()), asked)

    def cut(self, figures: Figures | None) -> None:
        """End a window of the account here."""
        before, self._cut_at = self._cut_at, self._so_far()
        counted = _between(before, self._cut_at)
        self._windows.append(Window(until_seconds=self.now, counted=counted, figures=figures))

    def result(self, *, name: str, knob: float, behavior: str = OWN) -> Result:
        """How the run went until now."""
        judgement = self._served.judgement()
        nights = [*self._nights, self._so_far()]
        days = tuple(_between(before, after) for before, after in pairwise(nights))
        p50, p95, p99 = judgement.ttft_seconds
        recorder = self._recorder
        result = Result(
            policy=name,
            knob=knob,
            requests=judgement.requests,
            attainment=judgement.in_time / judgement.requests
            if judgement.requests
            else float("nan"),
            gpu_hours=sum(day.gpu_seconds for day in days) / 3600,
            ttft_p50=p50,
            ttft_p95=p95,
            ttft_p99=p99,
            itl_p99=judgement.itl_p99_seconds,
            errors=judgement.errors,
            cold_start_affected=judgement.cold_start,
            actions=self._actions,
            flips=self._flips,
            days=days,
            windows=tuple(self._windows),
            marks=tuple(recorder.marks) if recorder else (),
            moves=tuple(recorder.moves) if recorder else (),
            behavior=behavior,
        )
        if self._served.fleet.nodes is None:
            return result
        node_seconds = self._node_seconds() - self._free_node_seconds
        return replace(result, node_hours=node_seconds / 3600)

    def _node_seconds(self) -> float:
        nodes = self._served.fleet.nodes
        return nodes.seconds(self.now) if nodes else 0.0

    def _so_far(self) -> Day:
        tally = self._served.tally()
        gpu_seconds = self._served.fleet.gpu_seconds(self.now) - self._free_gpu_seconds
        return Day(requests=tally.requests, in_time=tally.in_time, gpu_seconds=gpu_seconds)


class _Recorder:
    """What is kept for plots."""

    def __init__(self, policy: Policy) -> None:
        self.marks: list[Mark] = []
        self.moves: list[Move] = []
        self._policy = policy if isinstance(policy, Explaining) else None
        self._in_time = self._requests = 0.0

    def judged_anew(self) -> None:
        self._in_time = self._requests = 0.0

    def moved(self, now: int, before: int, after: int) -> None:
        why = self._policy.why() if self._policy else ""
        self.moves.append(Move(at_seconds=now, before=before, after=after, why=why))

    def mark(self, now: int, served: Served, arrived: float, prompt_tokens: float) -> None:
        tally = served.tally()
        in_time, requests = tally.in_time - self._in_time, tally.requests - self._requests
        self._in_time, self._requests = tally.in_time, tally.requests
        self.marks.append(
            Mark(
                at_seconds=now,
                arrived_per_second=arrived,
                prompt_tokens_per_second=prompt_tokens,
                in_time=in_time,
                missed=requests - in_time,
                replicas=served.fleet.wanted,
                ready=served.ready,
                waiting=served.waiting,
                forecast_ahead=self._policy.forecast_ahead() if self._policy else None,
            )
        )


def _figures(policy: Policy) -> Figures | None:
    return policy.figures() if isinstance(policy, Reckoning) else None


def _between(before: Day, after: Day) -> Day:
    return Day(
        requests=after.requests - before.requests,
        in_time=after.in_time - before.in_time,
        gpu_seconds=after.gpu_seconds - before.gpu_seconds,
    )
