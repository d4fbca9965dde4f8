"""A few workloads with hours behind them, looked at as `foresail serve` does."""

from collections.abc import AsyncIterator, Callable, Sequence
from math import pi, sin
from typing import Final

from prometheus_client import CollectorRegistry

from foresail.serve.pace import planning_settings
from foresail.settings.cycle import CycleSettings
from scaler.assembly import assemble
from scaler.decision.answers import Reference, TimedOutcome
from scaler.feed_key import FeedKey
from scaler.scope import Scope
from scaler.serving.board import Board
from scaler.serving.cycle import PlanningCycle
from scaler.serving.feeds import Binding, WorkloadStatus
from scaler.serving.metrics import PlanningMetrics
from scaler.serving.state_book import NoStates, StateBook
from scaler.signals import Observation, Reading, Signal, Value
from scaler.sources.catalogue import load
from scaler.trigger import TriggerSpec
from scaler.trigger_parsing import AllowedOptions, parse

EPOCH: Final = 1_772_496_000.0
LIVED: Final = 4
_LOOK_SECONDS = 60.0
_ALLOWED = AllowedOptions(
    engines={"vllm": False}, sources=frozenset({"main"}), default_source="main"
)


class _Engine:
    """Waves of traffic, all signals measured."""

    def __init__(self, size: float) -> None:
        self._size = size

    async def observe(self, *, now_seconds: float) -> Observation:
        busy = self._size * (2 + sin(2 * pi * now_seconds / 7200))
        measured = {
            Signal.RUNNING: 10 * busy,
            Signal.WAITING: 0.0,
            Signal.PROMPT_TOKENS: 2000 * busy,
            Signal.GENERATED_TOKENS: 400 * busy,
            Signal.REQUESTS: busy,
            Signal.TTFT: 0.4,
            Signal.ITL: 0.03,
            Signal.KV_USE: 0.3,
            Signal.REPLICAS: 6 * self._size,
        }
        readings: dict[Signal, Reading] = {
            signal: Value(value=value, at_seconds=now_seconds) for signal, value in measured.items()
        }
        return Observation(at_seconds=now_seconds, readings=readings)

    async def history(self, **_: float) -> AsyncIterator[Observation]:
        raise NotImplementedError
        yield


async def lived(
    *,
    hours: float,
    workloads: int = LIVED,
    publish: Callable[[Reference, TimedOutcome], None] = lambda *_: None,
    states: StateBook | None = None,
) -> Sequence[WorkloadStatus]:
    """Their statuses at the end.

    Args:
        hours: that they live through.
        workloads: how many there are.
        publish: gets the outcome of each look.
        states: gets their states; None = nobody does.
    """
    now = [EPOCH - hours * 3600]
    engines = {f"model-{n}": _Engine(1.0 + n % LIVED) for n in range(workloads)}

    def connect(_: Reference, trigger_spec: TriggerSpec) -> Binding:
        model = trigger_spec.model
        scope = Scope(namespace="llm", model=model)
        key = FeedKey(source="main", engine="vllm", scope=scope, reach_seconds=1800.0)
        assembly = assemble(trigger_spec, load("vllm"), step_seconds=60.0)
        return Binding(key=key, source="main", feed=engines[model], assembly=assembly)

    board = Board(
        lambda _, given: parse(given, _ALLOWED), clock=lambda: now[0], objects_max=workloads
    )

    def published(reference: Reference, timed: TimedOutcome) -> None:
        board.publish(reference, timed)
        publish(reference, timed)

    loop = PlanningCycle(
        connect,
        planning_settings(CycleSettings(history=0)),
        publish=published,
        wall=lambda: now[0],
        steady=lambda: now[0],
        metrics=PlanningMetrics(CollectorRegistry()),
        states=states or NoStates(),
    )
    for model in engines:
        board.ask(Reference.of("llm", model, {"model": model, "mode": "act"}))
    loop.apply(board.take_changes())
    await loop.begin()
    while now[0] < EPOCH:
        now[0] += _LOOK_SECONDS
        await loop.cycle(at_seconds=now[0])
    return loop.statuses()
