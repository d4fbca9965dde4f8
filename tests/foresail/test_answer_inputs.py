"""Pasts that are broken: locked, empty, with a gap of hours, with counters that begin again."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from foresail.backtest.backtesting import Past, read_past
from foresail.cli import main
from scaler.scope import Scope
from scaler.sources.catalogue import load
from scaler.sources.prometheus import PrometheusSource
from scaler.sources.prometheus_config import PrometheusConfig
from tests import prometheus
from tests.prometheus import PrometheusServer

MODEL = "llama"
HOURS = 8
RATE = 3.0
"""Requests a second, of each of two pods."""
GAP = (1, 7)
"""Hours after the first sample, from and to, of which there are no samples."""
RESTART_SECONDS = 3600 // 2
"""After the first sample one of the pods starts again and counts from zero."""
WEB_USERS = {"foresail": "$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay"}


def lines(begin: int) -> Iterator[str]:
    """Samples every thirty seconds."""
    counters = {
        "vllm:request_success": RATE,
        "vllm:prompt_tokens": 600 * RATE,
        "vllm:generation_tokens": 200 * RATE,
    }
    times = [at for at in range(0, HOURS * 3600, 30) if not GAP[0] * 3600 <= at < GAP[1] * 3600]
    labels = {pod: f'model_name="{MODEL}",pod="{pod}",namespace="llm"' for pod in ("a", "b")}
    for name, rate in counters.items():
        yield f"# TYPE {name} counter"
        for pod, text in labels.items():
            for at in times:
                since = RESTART_SECONDS if pod == "b" and at >= RESTART_SECONDS else 0
                yield f"{name}_total{{{text}}} {rate * (at - since)} {begin + at}"
    yield "# TYPE vllm:num_requests_running gauge"
    for text in labels.values():
        yield from (f"vllm:num_requests_running{{{text}}} 9 {begin + at}" for at in times)
    yield "# EOF"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    prometheus.require()
    server = PrometheusServer(tmp_path_factory.mktemp("prometheus"))
    server.configure()
    text = server.folder / "past.txt"
    begin = int(time.time()) // 60 * 60 - HOURS * 3600  # noqa: TID251 - a real server
    text.write_text("\n".join(lines(begin)) + "\n")
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(text), str(server.data)],
        check=True,
        capture_output=True,
    )
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def past(server: PrometheusServer) -> Past:
    async def read() -> Past:
        config = PrometheusConfig(
            name="prometheus", url=server.url, timeout_seconds=60.0, concurrency=1
        )
        source = PrometheusSource(config)
        try:
            feed = source.feed(
                preset=load("vllm").with_latency_sums(), scope=Scope(model=MODEL, namespace="llm")
            )
            now = time.time()  # noqa: TID251 - a real server
            return await read_past(feed, what=MODEL, days=HOURS / 24, now_seconds=now)
        finally:
            await source.close()

    return asyncio.run(read())


def test_six_hours_without_samples_are_a_gap_and_not_zero(past: Past) -> None:
    assert 350 <= past.trace.gaps <= 370
    (unknown,) = [part for part in past.trace.unknown() if part[1] - part[0] > 600]
    assert unknown[0] == pytest.approx(GAP[0] * 3600, abs=300)
    assert unknown[1] == pytest.approx(GAP[1] * 3600, abs=300)
    assert np.nanmin(past.trace.requests_per_second) >= RATE


def test_a_counter_that_begins_again_neither_adds_nor_takes_requests(past: Past) -> None:
    around = past.trace.requests_per_second[20:40]  # a restart at the thirtieth minute
    short = [float(rate) for rate in around if rate != pytest.approx(2 * RATE, rel=0.01)]
    # What one pod counted after its last scrape is gone with it: half a minute of one of two.
    assert short in ([], [pytest.approx(1.5 * RATE, abs=0.5 * RATE)])


def asked(url: str, *words: str) -> Result:
    return CliRunner().invoke(
        main, ["backtest", "--prometheus", url, "--model", MODEL, "--days", "1", *words]
    )


def test_a_login_that_is_refused_is_told_with_the_option_for_it(tmp_path: Path) -> None:
    prometheus.require()
    locked = PrometheusServer(tmp_path)
    locked.configure(web={"basic_auth_users": WEB_USERS})
    locked.start()
    try:
        done = asked(locked.url)
    finally:
        locked.kill()
    assert done.exit_code == 1
    assert "HTTP 401: Unauthorized" in done.output
    assert "--prometheus-token-file FILE sends a bearer token" in done.output
    assert len(done.output.splitlines()) == 1


def test_a_prometheus_that_holds_nothing_says_so(tmp_path: Path) -> None:
    prometheus.require()
    empty = PrometheusServer(tmp_path)
    empty.configure()
    empty.start()
    try:
        done = asked(empty.url)
    finally:
        empty.kill()
    assert done.exit_code == 1
    assert f"--model '{MODEL}': no series of" in done.output
    assert "no models seen there" in done.output
