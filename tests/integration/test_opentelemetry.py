"""OpenTelemetry's real SDK and exporters, in an environment of their own, with Foresail between."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest

from foresail.clock import wall_clock
from foresail.serve.otlp_ports import otlp_served
from foresail.settings.otlp import OtlpSettings
from scaler.rpc import externalscaler_pb2 as pb
from scaler.rpc import externalscaler_pb2_grpc as pb_grpc
from scaler.scope import Scope
from scaler.signals import Feed, Signal
from scaler.sources.catalogue import load, shipped
from scaler.sources.otlp import OtlpConfig, OtlpSource
from scaler.sources.otlp_decoding import Decoder
from scaler.sources.reading import Limits
from tests.integration.environments import programs_of
from tests.prometheus import free_port, wait_for

# Real processes, in real time.
pytestmark = pytest.mark.looptime(False)

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
ROUND_SECONDS = 1.5
PRESETS = {name: load(name) for name in shipped()}
NAMES = frozenset(name for preset in PRESETS.values() for name in preset.spelled)
RATES = (Signal.PROMPT_TOKENS, Signal.GENERATED_TOKENS, Signal.REQUESTS, Signal.RUNNING)
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@contextmanager
def running(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A script in the SDK's environment, which sees this repository and nothing of ours else."""
    python = programs_of("opentelemetry") / "python"
    process = subprocess.Popen(
        [str(python), str(HERE / script), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def said(process: subprocess.Popen[str], line: str = "") -> str:
    """The answer to a line, or its first word."""
    assert process.stdin is not None
    assert process.stdout is not None
    if line:
        process.stdin.write(line + "\n")
        process.stdin.flush()
    return process.stdout.readline().strip()


@dataclass(frozen=True)
class Way:
    """A client that reports one way, and what is read of its two models."""

    client: subprocess.Popen[str]
    feeds: dict[str, Feed]

    async def round(self) -> dict[str, list[float]]:
        """The rates by model after 30 requests of 100 and 20 tokens, 2 s each."""
        assert await asyncio.to_thread(said, self.client, "30 100 20") == "True"
        seen = {
            model: await feed.observe(now_seconds=wall_clock())
            for model, feed in self.feeds.items()
        }
        return {
            model: [one.value(signal) or 0.0 for signal in RATES] for model, one in seen.items()
        }


@asynccontextmanager
async def reporting(protocol: str, temporality: str) -> AsyncIterator[Way]:
    """A client, with a receiver of its own."""
    # A rate is that of the last round.
    config = OtlpConfig(name="telemetry", limits=Limits(window_seconds=ROUND_SECONDS / 2))
    source = OtlpSource(config, Decoder(NAMES).decode, PRESETS, wall_clock)
    settings = OtlpSettings.model_validate({protocol: "127.0.0.1:0", "namespaces": ["llm"]})
    try:
        async with otlp_served(settings, source) as ports:
            path = "" if ports.http is None else "/v1/metrics"
            endpoint = f"http://127.0.0.1:{ports.grpc or ports.http}{path}"
            with running("opentelemetry_client.py", endpoint, protocol, temporality) as client:
                assert await asyncio.to_thread(said, client) == "ready"
                feeds = {
                    model: source.feed(
                        preset=PRESETS["opentelemetry"], scope=Scope(model=model, namespace="llm")
                    )
                    for model in ("old", "new")
                }
                yield Way(client, feeds)
    finally:
        await source.close()


async def test_genai_metrics_over_grpc_and_http_in_both_generations_deltas_and_cumulatives() -> (
    None
):
    names = [(a, b) for a in ("grpc", "http") for b in ("delta", "cumulative")]
    async with AsyncExitStack() as stack:
        ways = [await stack.enter_async_context(reporting(*name)) for name in names]
        found: list[dict[str, list[float]]] = []
        for _ in range(3):
            found = [await way.round() for way in ways]
            await asyncio.sleep(ROUND_SECONDS)

    for rates in found:
        # One process exports both generations at one time.
        assert rates["old"] == pytest.approx(rates["new"], rel=1e-9)
        # Processes export one after the other, on a busy machine.
        assert rates["new"] == pytest.approx(found[0]["new"], rel=0.1)
        prompt, generated, requests, in_flight = rates["new"]
        assert 0 < prompt <= 3000 / ROUND_SECONDS
        assert [generated, requests, in_flight] == pytest.approx(
            [prompt / 5, prompt / 100, prompt / 50]
        )


SETTINGS = """
listen: {{grpc: "127.0.0.1:{grpc}", http: "127.0.0.1:{http}"}}
sources:
  - name: telemetry
    otlp: {{http: "127.0.0.1:{otlp}", namespaces: [llm]}}
cycle: {{period: 1s, step: 2s, lookMax: 1s, history: 1h}}
telemetry: {{}}
"""
METADATA = {
    "scalerAddress": "foresail:6500",
    "model": "new",
    "engine": "opentelemetry",
    "mode": "act",
    "replicaRequests": "10",
    "maxReplicas": "60",
}


def test_our_own_traces_metrics_and_logs_reach_a_real_receiver_with_w3c_context(
    tmp_path: Path,
) -> None:
    """The SDK's metrics in, an answer to KEDA, and its trace out, through `foresail serve`."""
    ports = {"grpc": free_port(), "http": free_port(), "otlp": free_port()}
    (tmp_path / "foresail.yaml").write_text(SETTINGS.format(**ports))
    endpoint = f"http://127.0.0.1:{ports['otlp']}/v1/metrics"
    with running("opentelemetry_receiver.py") as receiver:
        serve = subprocess.Popen(
            [
                sys.executable,
                *("-m", "foresail.cli", "serve", "--config", str(tmp_path / "foresail.yaml")),
            ],
            env={
                **os.environ,
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{said(receiver)}",
                "OTEL_METRIC_EXPORT_INTERVAL": "500",
                "OTEL_BSP_SCHEDULE_DELAY": "200",
            },
        )
        try:
            answer = _answer(ports["grpc"], endpoint)
        finally:
            serve.send_signal(signal.SIGTERM)
            assert serve.wait(timeout=15) == 0
        assert receiver.stdin is not None
        assert receiver.stdout is not None
        receiver.stdin.close()
        arrived: dict[str, Any] = json.loads(receiver.stdout.readline())

    calls = [one for one in arrived["spans"] if one["name"].endswith("/GetMetrics")]
    assert all((one["trace"], one["parent"]) == (TRACE, PARENT) for one in calls)
    last = calls[-1]
    assert last["attributes"]["foresail.answer.replicas"] == answer
    assert last["attributes"]["gen_ai.request.model"] == "new"
    assert last["events"][0] == "signals read"
    assert {"rule present", "answer"} <= {*last["events"]}
    assert last["process"]["service.name"] == "foresail"
    plans = {one["trace"] for one in arrived["spans"] if one["name"] == "plan"}
    assert {*last["links"]} <= plans
    of_both = {"foresail_look_duration_seconds", "foresail_answers_clamped"}
    assert of_both <= {*arrived["metrics"]}
    assert {"serving", "receiving_otlp", "scaling_decided"} <= {*arrived["logs"]}


def _listens(endpoint: str) -> bool:
    parts = urlsplit(endpoint)
    with socket.socket() as client:
        return client.connect_ex((str(parts.hostname), parts.port or 0)) == 0


def _answer(port: int, endpoint: str) -> float:
    """The first number that KEDA gets, while a client reports."""
    reference = pb.ScaledObjectRef(name="new", namespace="llm", scalerMetadata=METADATA)
    question = pb.GetMetricsRequest(scaledObjectRef=reference, metricName="foresail-replicas")
    caller = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)
    answers: list[float] = []
    wait_for(lambda: _listens(endpoint), "the receiver to listen", deadline_seconds=60)
    with (
        running("opentelemetry_client.py", endpoint, "http", "cumulative") as client,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub = pb_grpc.ExternalScalerStub(channel)  # type: ignore[no-untyped-call]
        assert said(client) == "ready"

        def answered() -> bool:
            assert said(client, "30 100 20") == "True"
            try:
                values = stub.GetMetrics(question, metadata=caller).metricValues
            except grpc.RpcError:
                return False
            answers.extend(value.metricValueFloat for value in values)
            return bool(answers)

        wait_for(answered, "a number for KEDA", deadline_seconds=60)
    return answers[-1]
