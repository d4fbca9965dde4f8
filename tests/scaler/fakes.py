"""A forecaster, bindings and parameters for tests of what stands around forecasts."""

from collections.abc import Callable
from dataclasses import dataclass, field

from scaler.assembly import Assembly
from scaler.decision.capacity import Origin, ReplicaCapacity, Together, Work
from scaler.decision.parameters import PlanParameters, parameters_of
from scaler.decision.series import DemandSeries
from scaler.decision.tracker import DemandTracker
from scaler.feed_key import FeedKey
from scaler.forecast.record import DemandForecast
from scaler.learning.engine import EngineLearner
from scaler.scope import Scope
from scaler.serving.feeds import Binding
from scaler.signals import Feed
from scaler.trigger import Mode, TriggerSpec

CAPACITY = ReplicaCapacity(
    work=Work(prompt=1 / 1000, generated=1 / 500, together=Together.SUM, origin=Origin.METADATA),
    requests=50,
)
"""1,000 prompt or 500 generated tokens a second, or 50 requests at a time."""
PARAMETERS = PlanParameters(
    lead_seconds=300,
    hold_seconds=300,
    level=0.9,
    utilization=0.8,
    replicas_min=1,
    replicas_max=50,
    mode=Mode.ACT,
    capacity=CAPACITY,
)


def feed_key(model: str) -> FeedKey:
    scope = Scope(namespace="llm", model=model)
    return FeedKey(source="main", engine="vllm", scope=scope, reach_seconds=1800.0)


@dataclass
class NoForecast:
    """Never earned anything, and remembers the steps it was given."""

    series: DemandSeries
    steps: list[tuple[float, float | None]] = field(default_factory=list)
    leading: list[float | None] = field(default_factory=list)
    made: DemandForecast | None = None
    """The newest forecast."""

    def update(self, t_seconds: float, value: float | None, *, leading: float | None) -> None:
        self.steps.append((t_seconds, value))
        self.leading.append(leading)

    def relabel(self, seconds: float) -> None:
        self.steps = [(at + seconds, value) for at, value in self.steps]

    def close_gap(self, after_seconds: float, steps: int) -> None:
        gap = steps * 60.0
        before = [(at, value) for at, value in self.steps if at <= after_seconds]
        later = [(at - gap, value) for at, value in self.steps if at > after_seconds + gap]
        self.steps = [*before, *later]

    def forecast(self) -> DemandForecast:
        self.made = DemandForecast(
            signal=self.series,
            made_at_seconds=0.0,
            data_age_seconds=0.0,
            horizons_seconds=(300.0,),
            levels=(0.9,),
            quantiles=((0.0,),),
            last_value=0.0,
            skill=(),
            experts=(),
        )
        return self.made

    def snapshot(self) -> bytes:
        return b""

    def restore(self, snapshot: bytes) -> None:
        pass


def tracker_without_forecast() -> DemandTracker:
    return DemandTracker(NoForecast, step_seconds=60.0)


def binding(
    model: str,
    feed: Feed,
    trigger_spec: TriggerSpec,
    *,
    source: str = "main",
    make_tracker: Callable[[], DemandTracker] = tracker_without_forecast,
) -> Binding:
    """A binding whose replicas have `CAPACITY`."""
    parameters = parameters_of(trigger_spec, CAPACITY)
    assembly = Assembly(
        parameters=parameters,
        reach_seconds=1800.0,
        make_tracker=make_tracker,
        make_engine=lambda: EngineLearner(objective=parameters.objective, given=CAPACITY),
    )
    return Binding(key=feed_key(model), source=source, feed=feed, assembly=assembly)
