"""An observation does not depend on how samples arrive, nor on how a page is searched."""

import math
from collections import defaultdict
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from scaler.sources.catalogue import load
from scaler.sources.page import Page
from scaler.sources.reading import ObservationReader, read
from scaler.sources.series import (
    Exporter,
    Origin,
    Sample,
    SampledSeries,
    SeriesStore,
    TimeSeries,
)
from tests.sources.pages import MODEL

VLLM = load("vllm")
NOW = 200.0
_LABELS = st.fixed_dictionaries(
    {"pod": st.sampled_from(["a", "b"])},
    optional={
        "model_name": st.sampled_from([MODEL, MODEL, "another", ""]),
        "reason": st.sampled_from(["capacity", "deferred"]),
        "source": st.just("local_compute"),
        "sleep_state": st.just("awake"),
        "le": st.sampled_from(["0.1", "1", "1.0", "+Inf", "none", "nan"]),
        "num_gpu_blocks": st.sampled_from(["8", "None"]),
        "block_size": st.just("16"),
        "job": st.sampled_from(["scrape", "copy"]),
    },
)
_POINT = st.tuples(
    st.integers(0, 300).map(float),
    st.sampled_from([0.0, 1.0, 2.5, 40.0, -1.0, 1e16, math.inf, math.nan]),
)
_SERIES = st.builds(
    SampledSeries,
    name=st.sampled_from(sorted(VLLM.spelled)),
    labels=_LABELS,
    points=st.lists(_POINT, min_size=1, max_size=6),
)


@given(st.lists(_SERIES, max_size=12))
def test_series_are_read_as_their_samples_one_by_one(answer: list[SampledSeries]) -> None:
    samples = [sample for series in answer for sample in series.samples()]

    of_series = ObservationReader(VLLM, model=MODEL).observe(answer, now_seconds=NOW)
    of_samples = ObservationReader(VLLM, model=MODEL).observe(samples, now_seconds=NOW)

    assert of_series == of_samples


@given(st.lists(_SERIES, max_size=12))
def test_a_name_without_series_is_read_as_one_that_is_not_there(
    answer: list[SampledSeries],
) -> None:
    store = SeriesStore(VLLM)
    store.add(answer, latest_seconds=NOW)
    names = set(VLLM.spelled.values())

    def pages(*, every_name: bool) -> dict[Exporter, Page]:
        return {
            exporter: Page(
                preset=VLLM,
                model=MODEL,
                window_seconds=60,
                fresh_from_seconds=NOW - 60,
                time_series={**({name: [] for name in names} if every_name else {}), **series},
            )
            for exporter, series in store.by_exporter().items()
        }

    searched = read(VLLM, pages(every_name=True), now_seconds=NOW)
    assert read(VLLM, pages(every_name=False), now_seconds=NOW) == searched


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5)), max_size=9))
def test_of_two_values_for_one_time_the_first_stays(points: list[tuple[int, int]]) -> None:
    series = _time_series()
    for cut in (points[:4], points[4:]):
        series.add([(float(at), float(value)) for at, value in cut])

    first: dict[float, float] = {}
    for at, value in points:
        first.setdefault(at, value)
    assert series.points == sorted(first.items())


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 5)), max_size=9),
    st.sampled_from([15.0, 60.0]),
)
def test_an_increase_covers_the_window_or_all_that_there_is(
    steps: list[tuple[int, int]], window_seconds: float
) -> None:
    series, at = _time_series(), 0.0
    for seconds, value in steps:
        at += seconds
        series.add([(at, float(value))])

    increase = series.increase(window_seconds)

    before = [time for time, _ in series.points[:-1]]
    if not before:
        assert increase is None
        return
    begun = max((time for time in before if at - time >= window_seconds), default=before[0])
    values: defaultdict[bool, list[float]] = defaultdict(list)
    for time, value in series.points:
        values[time >= begun].append(value)
    covered = values[True]
    risen = [after - earlier if after >= earlier else after for earlier, after in pairwise(covered)]
    assert increase == (sum(risen), at - begun)


def _time_series() -> TimeSeries:
    origin = Origin(Exporter(place=(), pod="a", instance="", worker=()), "", ())
    return TimeSeries("tokens", "tokens", origin, {}, math.nan)


def test_a_sample_is_a_series_with_one_point() -> None:
    one = Sample(name="tokens", labels={"pod": "a"}, value=3.0, at_seconds=100.0)

    (same,) = SampledSeries(name=one.name, labels=one.labels, points=one.points).samples()

    assert same == one
