"""A past is read in queries as long as their answers allow."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from scaler.errors import SourceUnavailableError
from scaler.scope import Scope
from scaler.sources.catalogue import load
from scaler.sources.prometheus_config import PrometheusConfig
from scaler.sources.prometheus_past import read_past
from scaler.sources.series import SampledSeries

STEP = 60.0
START = 1_800_000_000.0 // STEP * STEP
WINDOW_STEPS = 1
"""Read before the first step, for its rates."""


@dataclass
class Played:
    """What answers range queries: so many series at each step from one step on."""

    series: int = 0
    from_step: int = 0
    samples_max: int = 1_000_000
    config: PrometheusConfig = field(
        default_factory=lambda: PrometheusConfig(
            name="main", url="http://prometheus:9090", timeout_seconds=5, concurrency=1
        )
    )
    asked: list[int] = field(default_factory=list)
    """The steps of each query."""

    async def run(self, work: Callable[[], Any], namespace: str | None = None) -> Any:
        return work()

    def grid(
        self, query: str, *, start_seconds: float, end_seconds: float, step_seconds: float
    ) -> list[SampledSeries]:
        steps = round((end_seconds - start_seconds) / step_seconds) + 1
        self.asked.append(steps)
        times = (start_seconds + n * step_seconds for n in range(steps))
        points = [(at, 1.0) for at in times if at >= START + self.from_step * STEP]
        if self.series * len(points) > self.samples_max:
            raise SourceUnavailableError("too large")
        return [
            SampledSeries(
                name="vllm:num_requests_running",
                labels={"model_name": "m", "pod": f"m-{number}"},
                points=points,
            )
            for number in range(self.series)
        ]


async def steps_read(played: Played, steps: int) -> list[int]:
    """The steps with an observation, counted from the first."""
    past = read_past(
        played,
        load("vllm").without_buckets(),
        Scope(model="m", namespace="ns"),
        "selector",
        start_seconds=START,
        end_seconds=START + (steps - 1) * STEP,
        step_seconds=STEP,
    )
    return [round((one.at_seconds - START) / STEP) async for one in past]


async def test_an_empty_week_is_asked_for_in_a_few_queries() -> None:
    played = Played()

    assert await steps_read(played, 10_000) == []

    # 240 steps, then twice as many each time, at most 960.
    assert played.asked[:5] == [240, 480, 960, 960, 960]
    assert sum(played.asked) == WINDOW_STEPS + 10_000


@pytest.mark.parametrize("series", [1, 4, 20])
async def test_every_step_is_read_once_however_long_the_queries_are(series: int) -> None:
    played = Played(series=series)

    assert await steps_read(played, 900) == list(range(900))

    assert sum(played.asked) == WINDOW_STEPS + 900


async def test_full_answers_keep_queries_short() -> None:
    played = Played(series=43)

    await steps_read(played, 480)

    assert set(played.asked[:-1]) == {240}


async def test_a_busy_hour_after_an_empty_day_is_read_although_a_long_answer_is_refused() -> None:
    played = Played(series=60, from_step=3_000, samples_max=20_000)

    assert await steps_read(played, 3_400) == list(range(3_000, 3_400))


async def test_a_source_that_refuses_short_queries_too_ends_the_reading() -> None:
    played = Played(series=60, samples_max=100)

    with pytest.raises(SourceUnavailableError, match="too large"):
        await steps_read(played, 1_000)
