"""A forecaster and keys for tests of what stands around forecasts."""

from dataclasses import dataclass, field

from scaler.decision.tracker import DemandSeries
from scaler.feed_key import FeedKey
from scaler.forecast.record import DemandForecast
from scaler.sources.scope import Scope


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
