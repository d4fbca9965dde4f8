"""vLLM replicas as their metrics pages show them, over the pods that are really ready.

A fluid queue: requests that the ready replicas cannot serve wait. Small on purpose; what a replica
does inside is `replay`'s subject, here it is only asked what the real KEDA makes of its metrics.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

LATENCY_SECONDS = 2.0
"""A request's time in an engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What clients ask for in a second."""

    requests: float
    prompt_tokens: float
    generated_tokens: float


@dataclass(slots=True)
class _Counters:
    requests: float = 0.0
    prompt_tokens: float = 0.0
    generated_tokens: float = 0.0
    rate: float = 0.0
    """Requests per second served of late."""


@dataclass(kw_only=True)
class Engines:
    """The replicas of one model, brought up to the present whenever their page is asked for."""

    model: str
    asked: Callable[[float], Asked]
    """By the clock."""
    pods: Callable[[], Collection[str]]
    """Who serves now."""
    clock: Callable[[], float]
    """Seconds; never back, as counters must not fall."""
    prompt_tokens_per_second: float
    """What one replica can do."""
    generated_tokens_per_second: float
    waiting: float = 0.0
    offered: float = 0.0
    delayed: float = 0.0
    """Requests that found every replica busy."""
    _counters: dict[str, _Counters] = field(default_factory=dict)
    _then: float = field(init=False)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Let what was asked before this moment not count."""
        self._then, self.waiting, self.offered, self.delayed = self.clock(), 0.0, 0.0, 0.0

    def need(self, at_seconds: float) -> float:
        """Replicas that serve all who come at this time."""
        asked = self.asked(at_seconds)
        return max(
            asked.prompt_tokens / self.prompt_tokens_per_second,
            asked.generated_tokens / self.generated_tokens_per_second,
        )

    def page(self) -> str:
        """The pages of all pods, told apart by the label `pod` as a pod monitor would."""
        self._advance(sorted(self.pods()))
        lines = []
        for pod, counters in sorted(self._counters.items()):
            of = f'model_name="{self.model}",engine="0",pod="{pod}"'
            finished = f'{of},finished_reason="stop"'
            running = counters.rate * LATENCY_SECONDS
            waiting = self.waiting / len(self._counters)
            lines += [
                f"vllm:num_requests_running{{{of}}} {running:.0f}",
                f"vllm:num_requests_waiting{{{of}}} {waiting:.0f}",
                f"vllm:prompt_tokens_total{{{of}}} {counters.prompt_tokens:.0f}",
                f"vllm:generation_tokens_total{{{of}}} {counters.generated_tokens:.0f}",
                f"vllm:request_success_total{{{finished}}} {counters.requests:.0f}",
            ]
        return "\n".join([*lines, ""])

    def _advance(self, pods: list[str]) -> None:
        now = self.clock()
        passed, self._then = now - self._then, now
        self._counters = {pod: self._counters.get(pod, _Counters()) for pod in pods}
        asked = self.asked(now)
        come = asked.requests * passed
        each = asked.requests / self.need(now)
        served = min(self.waiting + come, each * len(pods) * passed)
        self.delayed += max(0.0, min(come, self.waiting + come - served))
        self.offered += come
        self.waiting += come - served
        for counters in self._counters.values():
            share = served / len(pods)
            counters.requests += share
            counters.prompt_tokens += share * asked.prompt_tokens / asked.requests
            counters.generated_tokens += share * asked.generated_tokens / asked.requests
            counters.rate = share / passed if passed > 0 else 0.0
