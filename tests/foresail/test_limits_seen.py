"""Limits that were exceeded: counted for both processes together, and named once in the log."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from prometheus_client import CollectorRegistry

from foresail.ports.limits_seen import LimitCollector, LimitLog
from scaler.decision.answers import Reference
from scaler.errors import MetadataError
from scaler.limits import COUNTS, Limit, exceeded
from scaler.serving.board import Board
from scaler.trigger_parsing import AllowedOptions, parse

PAGE = (Path(__file__).parents[2] / "docs" / "limits.md").read_text()
ALLOWED = AllowedOptions(
    engines={"vllm": False},
    sources=frozenset({"main"}),
    default_source="main",
    address_prefixes=("http://prometheus.team-a.svc:9090",),
)


def shown(limit: str, registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("foresail_limit_exceeded_total", {"limit": limit})


def test_every_limit_of_the_page_has_its_name_in_the_metric_and_no_other() -> None:
    rows = [line.rpartition("| `")[2] for line in PAGE.splitlines() if line.endswith("` |")]
    named = set(re.findall(r"\w+", " ".join(rows)))
    named |= set(re.findall(r"\(`(\w+)`\)", PAGE)) - {"limit_exceeded"}

    assert named == {limit.value for limit in Limit}


def test_the_counts_of_both_processes_are_one_series_for_each_limit() -> None:
    registry = CollectorRegistry()
    registry.register(LimitCollector(lambda: {Limit.NAME: 3, Limit.STREAMS: 1}))
    before = COUNTS.snapshot().get(Limit.NAME, 0)

    exceeded(Limit.NAME)

    assert shown("name", registry) == before + 1 + 3
    assert shown("streams", registry) == COUNTS.snapshot().get(Limit.STREAMS, 0) + 1
    assert shown("page_line", registry) == COUNTS.snapshot().get(Limit.PAGE_LINE, 0)


def test_a_limit_is_named_in_the_log_once() -> None:
    named = LimitLog()
    exceeded(Limit.STREAMS)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            named.name_new()
            exceeded(Limit.STREAMS)

    streams = [line for line in lines if line["limit"] == "streams"]
    assert [line["event"] for line in streams] == ["limit_exceeded"]


def test_a_scrape_names_a_new_limit_in_the_log() -> None:
    registry = CollectorRegistry()
    with structlog.testing.capture_logs() as lines:
        registry.register(LimitCollector(named=LimitLog()))
        exceeded(Limit.NAME)
        for _ in range(2):
            assert shown("name", registry)

    assert [line["limit"] for line in lines].count("name") == 1


@pytest.mark.parametrize(
    ("metadata", "limits"),
    [
        pytest.param({"model": "m" * 254}, {Limit.MODEL}, id="model"),
        pytest.param(
            {"model": "m", "serverAddress": "http://prometheus.team-a.svc:9090/" + "x" * 2048},
            {Limit.SERVER_ADDRESS},
            id="long address",
        ),
        pytest.param(
            {"model": "m", "serverAddress": "http://elsewhere"},
            {Limit.SERVER_ADDRESS},
            id="other address",
        ),
        pytest.param(
            {"model": "m", "events": "* * * * * for 1m x2"}, {Limit.EVENTS}, id="starts a day"
        ),
        pytest.param(
            {"model": "m", "events": "0 9 * * * for 30m x2;" * 51}, {Limit.EVENTS}, id="events"
        ),
        pytest.param(
            {"model": "m", "events": "0 9 * * * for 30m x2" + "0" * 200},
            {Limit.EVENTS},
            id="a long event",
        ),
        pytest.param(
            {"model": "m", **{f"q{one}" * 50: "v" for one in range(6)}},
            {Limit.FAULTS, Limit.MESSAGE},
            id="faults",
        ),
        pytest.param({"model": "m", "timezone": "Europe"}, set(), id="a fault but no limit"),
    ],
)
def test_a_fault_of_metadata_that_is_a_limit_is_counted_where_the_object_is_admitted(
    metadata: dict[str, str],
    limits: set[Limit],
    limits_exceeded: Callable[[], set[Limit]],
) -> None:
    board = Board(lambda _, given: parse(given, ALLOWED), clock=lambda: 0.0, objects_max=10)
    board.ask(Reference.of("llm", "chat", metadata))

    assert limits_exceeded() == limits
    with pytest.raises(MetadataError) as error:
        parse(metadata, ALLOWED)
    assert len(str(error.value).encode()) <= 1024
