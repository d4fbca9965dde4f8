"""Labels of megabytes: neither stores nor messages keep them."""

import json
from collections.abc import Callable

import pytest

from scaler.decision.answers import Refusal, RefusalCode
from scaler.errors import SourceUnavailableError
from scaler.limits import COUNTS, Limit
from scaler.message_text import MESSAGE_BYTES_MAX
from scaler.signals import REMARKS_MAX, Absent, Feed, Observation, Signal
from scaler.sources.catalogue import load
from scaler.sources.reading import ObservationReader
from scaler.sources.series import LABEL_CHARACTERS_MAX, SampledSeries, SeriesStore
from tests.sources.pages import samples_on
from tests.sources.prometheus_stub import Stub, serving

VLLM = load("vllm")
LONG = "a" * 50_000
NOW = 1_700_000_000.0


def counted() -> int:
    return COUNTS.snapshot().get(Limit.LABEL, 0)


def read(page: str) -> Observation:
    samples = samples_on(page, VLLM, at_seconds=NOW, pod="a")
    return ObservationReader(VLLM, model="m").observe(samples, now_seconds=NOW)


def test_labels_of_a_page_are_cut_and_counted() -> None:
    before = counted()
    page = f'vllm:num_requests_running{{model_name="{LONG}",engine="0"}} 1\n'

    (sample,) = samples_on(page, VLLM, at_seconds=NOW, pod="a")

    assert sample.labels == {"model_name": "a" * LABEL_CHARACTERS_MAX, "engine": "0", "pod": "a"}
    assert counted() == before + 1


def test_labels_of_an_answer_are_cut_names_too() -> None:
    labels = {"model_name": LONG, LONG: "x", "instance": LONG}
    store = SeriesStore(VLLM)
    store.add(
        [SampledSeries(name="vllm:num_requests_running", labels=labels, points=[(NOW, 1.0)])],
        latest_seconds=NOW,
    )

    ((exporter, by_name),) = store.by_exporter().items()

    cut = "a" * LABEL_CHARACTERS_MAX
    (series,) = by_name["vllm:num_requests_running"]
    assert exporter.instance == cut
    assert series.labels == {"model_name": cut}
    assert dict(series.origin.labels) == {cut: "x", "instance": cut}


def test_a_reason_that_names_long_models_has_a_kibibyte() -> None:
    line = 'vllm:num_requests_running{{model_name="{}{}",engine="0"}} 1\n'

    seen = read("".join(line.format(number, LONG) for number in range(5)))

    reading = seen.readings[Signal.RUNNING]
    assert isinstance(reading, Absent)
    assert reading.why.startswith("reported for 0aaa")
    assert len(reading.why.encode()) <= MESSAGE_BYTES_MAX


@pytest.mark.looptime(False)  # sockets take real time
async def test_a_hint_at_long_models_has_a_kibibyte(feed_of: Callable[..., Feed]) -> None:
    models = json.dumps({"status": "success", "data": [f"{n}{LONG}" for n in range(5)]})
    async with serving(Stub(lookups=models)) as stub:
        seen = await feed_of(stub.url).observe(now_seconds=NOW)

    reading = seen.readings[Signal.RUNNING]
    assert isinstance(reading, Absent)
    assert "models seen there: 0aaa" in reading.why
    assert len(reading.why.encode()) <= MESSAGE_BYTES_MAX


def test_exporters_that_differ_in_everything_make_few_remarks() -> None:
    line = 'vllm:num_requests_running{{model_name="m",pod="{0}",engine="0",{1}_{0}="x"}} 1\n'
    pages = (line.format(number, view) for number in range(100) for view in ("one", "two"))

    seen = read("".join(pages))

    assert len(seen.remarks) == REMARKS_MAX
    assert seen.remarks[-1].startswith("and 8")
    assert max(map(len, seen.remarks)) <= MESSAGE_BYTES_MAX


def test_what_goes_to_keda_and_to_explanations_has_a_kibibyte_where_it_is_made() -> None:
    long = "b" * 10**6

    refusal = Refusal(code=RefusalCode.UNAVAILABLE, message=long)

    assert len(refusal.message.encode()) == MESSAGE_BYTES_MAX
    assert len(str(SourceUnavailableError(long)).encode()) == MESSAGE_BYTES_MAX
