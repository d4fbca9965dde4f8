"""A real Prometheus and what its own tools write of it say the same."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import requests

from foresail.backtest.backtesting import Past
from foresail.backtest.prometheus_backtest import Question, recorded_past
from foresail.backtest.recorded import Recorded, RecordedByPrometheus
from foresail.backtest.served_pods import ServedPods
from foresail.exports.errors import ExportError
from foresail.exports.reading import Asked, read_export
from foresail.exports.recorded import RecordedInExport
from foresail.replaying.plan import ReplayPlan
from foresail.replaying.rule_files import present_rule_in
from tests import prometheus
from tests.foresail.known_service import MODEL, KnownService, holding, played
from tests.prometheus import PrometheusServer

# A real server, in real time.
pytestmark = pytest.mark.looptime(False)

HOURS = 1
END = 1_795_179_600
RULE = Path(__file__).parent.parent / "foresail" / "known_rule.yaml"
Export = Callable[[PrometheusServer, Path], Path]


@pytest.fixture(scope="module")
def service() -> KnownService:
    prometheus.require()
    return played(present_rule_in(RULE), hours=HOURS, end_seconds=END, seed=3, peak=18.0)


@pytest.fixture(scope="module")
def server(
    service: KnownService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrometheusServer]:
    with holding(service, tmp_path_factory.mktemp("prometheus")) as server:
        yield server


def read(recorded: Recorded) -> tuple[Past, ServedPods]:
    question = Question(model=MODEL, days=HOURS / 24, plan=ReplayPlan())
    return asyncio.run(recorded_past(question, recorded, END))


@pytest.fixture(scope="module")
def truth(server: PrometheusServer) -> tuple[Past, ServedPods]:
    return read(RecordedByPrometheus(server.url, None))


def snapshot(server: PrometheusServer, folder: Path) -> Path:
    """As the API makes one: finished blocks, and no log."""
    for meta in server.data.glob("*/meta.json"):
        shutil.copytree(meta.parent, folder / "snapshot" / meta.parent.name)
    return folder / "snapshot"


def dump(server: PrometheusServer, folder: Path) -> Path:
    written = folder / "dump.txt"
    with written.open("w") as file:
        subprocess.run(["promtool", "tsdb", "dump", server.data], check=True, stdout=file)
    return written


def raw_samples(server: PrometheusServer, folder: Path) -> Path:
    """As `curl` saves them: an instant query with a range has the samples with their own times."""
    found = folder / "answers"
    found.mkdir()
    for name in server.names():
        query = {"query": f"{name}[{HOURS * 60 + 1}m]", "time": str(END)}
        answer = requests.get(f"{server.url}/api/v1/query", params=query, timeout=60)
        (found / f"{name.replace(':', '_')}.json").write_bytes(answer.content)
    return found


def promtool_range(server: PrometheusServer, folder: Path, form: str) -> Path:
    written = folder / "range"
    begin = END - HOURS * 3600 - 60
    command = ["promtool", "query", f"--format={form}", "range", server.url, '{__name__=~".+"}']
    with written.open("w") as file:
        subprocess.run(
            [*command, f"--start={begin}", f"--end={END}", "--step=30s"], check=True, stdout=file
        )
    return written


@pytest.mark.parametrize("export", [snapshot, dump, raw_samples])
def test_a_backtest_has_the_same_past_from_a_prometheus_and_from_its_export(
    server: PrometheusServer,
    truth: tuple[Past, ServedPods],
    export: Export,
    tmp_path: Path,
) -> None:
    past, pods = truth
    found = read_export(export(server, tmp_path), Asked(model=MODEL))
    assert isinstance(found, RecordedInExport)
    assert found.end_seconds == END
    read_past, read_pods = read(found)
    assert len(pods.starts_seconds) > 0
    assert read_pods == pods
    assert read_past.trace.begin_seconds == past.trace.begin_seconds
    assert past.trace.seconds == HOURS * 3600 - 60  # a first rate needs a minute before it
    for one in ("requests_per_second", "prompt_tokens", "output_tokens"):
        np.testing.assert_array_equal(getattr(read_past.trace, one), getattr(past.trace, one))
    for field in fields(past.load):
        np.testing.assert_array_equal(
            getattr(read_past.load, field.name), getattr(past.load, field.name), field.name
        )


@pytest.mark.parametrize("form", ["promql", "json"])
def test_promtools_answer_has_the_same_past_where_its_step_is_the_scrapes(
    server: PrometheusServer, truth: tuple[Past, ServedPods], form: str, tmp_path: Path
) -> None:
    found = read_export(promtool_range(server, tmp_path, form), Asked(model=MODEL))
    assert isinstance(found, RecordedInExport)
    trace = read(found)[0].trace
    np.testing.assert_array_equal(trace.requests_per_second, truth[0].trace.requests_per_second)


def test_the_data_of_a_prometheus_are_read_and_never_written(server: PrometheusServer) -> None:
    def content() -> dict[str, float]:
        return {str(one): one.stat().st_mtime for one in server.data.rglob("*") if one.is_file()}

    before = content()
    assert (server.data / "wal").is_dir()
    found = read_export(server.data, Asked(model=MODEL))
    assert isinstance(found, RecordedInExport)
    assert found.end_seconds == END
    assert content() == before


def test_without_promtool_a_data_folder_says_what_to_do(
    server: PrometheusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(ExportError, match=r"install Prometheus' tools, or run `promtool tsdb dump"):
        read_export(server.data, Asked(model=MODEL))


def test_a_model_that_is_not_in_a_dump_is_told_with_those_that_are(
    server: PrometheusServer, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="no series of the model 'lama'; models seen there: llam"):
        read_export(raw_samples(server, tmp_path), Asked(model="lama"))


def test_an_answer_with_one_moment_is_no_past(server: PrometheusServer, tmp_path: Path) -> None:
    answer = requests.get(f"{server.url}/api/v1/query", params={"query": "up"}, timeout=60)
    path = tmp_path / "up.json"
    path.write_text(json.dumps(answer.json()))
    with pytest.raises(ExportError, match="a vector has one moment only"):
        read_export(path, Asked(model=MODEL))
