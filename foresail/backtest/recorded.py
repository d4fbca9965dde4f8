"""A recorded past, wherever it is kept: what an answer about it asks for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from re import fullmatch
from typing import Final, Protocol, TypeVar

from scaler.scope import Scope
from scaler.signals import Feed
from scaler.sources.preset import Preset
from scaler.sources.prometheus import PrometheusSource
from scaler.sources.prometheus_config import PrometheusConfig
from scaler.sources.selector import duration, selector
from scaler.sources.series import Sample

POD_STEP_SECONDS: Final = 1800.0
"""What is known of a pod is read so seldom: its figures do not change."""
_TIMEOUT_SECONDS: Final = 60.0
_THREADS: Final = 2
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Series of these names whose labels have these values."""

    names: tuple[str, ...]
    equal: Mapping[str, str] = field(default_factory=dict)
    like: Mapping[str, str] = field(default_factory=dict)
    """Label → regular expression that its whole value matches."""

    def query(self) -> str:
        return selector(self.names, self.equal, self.like)

    def takes(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a series is one of them, as Prometheus decides it."""
        return (
            name in self.names
            and all(labels.get(label, "") == value for label, value in self.equal.items())
            and all(fullmatch(like, labels.get(label, "")) for label, like in self.like.items())
        )


class Recorded(Protocol):
    """A Prometheus, or an export of one."""

    place: str
    """For messages: `at http://…`, `in FILE`."""
    namespace_label: str | None
    labels: Mapping[str, str]
    """That all series must have."""

    def feed(self, *, preset: Preset, scope: Scope) -> Feed: ...

    async def run(self, work: Callable[[], _Answer]) -> _Answer:
        """Do work that blocks."""
        ...

    async def close(self) -> None: ...

    def label_values(
        self, label: str, selection: Selection, *, start_seconds: float
    ) -> Sequence[str]:
        """Values of a label among the series that match. Blocks."""
        ...

    def last_of(
        self, selections: Iterable[Selection], *, begin_seconds: float, end_seconds: float
    ) -> list[Sample]:
        """The last sample of each series in each `POD_STEP_SECONDS`. Blocks."""
        ...


class RecordedByPrometheus:
    """A Prometheus that is asked."""

    def __init__(self, url: str, token_file: Path | None) -> None:
        config = PrometheusConfig(
            name="prometheus",
            url=url,
            bearer_token_file=token_file,
            timeout_seconds=_TIMEOUT_SECONDS,
            concurrency=_THREADS,
        )
        self._source = PrometheusSource(config)
        self.place = f"at {url}"
        self.namespace_label = config.namespace_label
        self.labels = config.labels

    def feed(self, *, preset: Preset, scope: Scope) -> Feed:
        return self._source.feed(preset=preset, scope=scope)

    async def run(self, work: Callable[[], _Answer]) -> _Answer:
        return await self._source.run(work)

    async def close(self) -> None:
        await self._source.close()

    def label_values(
        self, label: str, selection: Selection, *, start_seconds: float
    ) -> Sequence[str]:
        return self._source.label_values(label, selection.query(), start_seconds=start_seconds)

    def last_of(
        self, selections: Iterable[Selection], *, begin_seconds: float, end_seconds: float
    ) -> list[Sample]:
        step = POD_STEP_SECONDS
        parts = (f"last_over_time({one.query()}[{duration(step)}])" for one in selections)
        found = self._source.grid(
            " or ".join(parts),
            start_seconds=min(begin_seconds + step, end_seconds),
            end_seconds=end_seconds,
            step_seconds=step,
        )
        return [sample for series in found for sample in series.samples()]
