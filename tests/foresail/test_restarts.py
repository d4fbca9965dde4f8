"""Real `foresail serve` processes that are killed, started again and joined by others.

Their only source is stopped first, so that whatever they answer afterwards comes from a state.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from bench._faults_row import Observe
from foresail.client import ClientTls, Plan, Plans
from scaler.rpc import externalscaler_pb2 as pb
from scaler.rpc import externalscaler_pb2_grpc as pb_grpc
from scaler.serving.state_files import StateFiles
from scaler.state.feed_bytes import FEED_BYTES_MAX, decode_feed
from scaler.state.frames import Frame, frames_in
from scaler.state.workload_bytes import decode_workload
from tests.contracts.certificates import Authority
from tests.exporter import Engine, Exporter, served
from tests.prometheus import DEADLINE_SECONDS, free_port, wait_for

pytestmark = pytest.mark.looptime(False)  # processes live in real time

# 600 prompt tokens/s at 100 a replica keep 6 busy; at utilization 0.5 that is 12 and the queue.
METADATA = {
    "scalerAddress": "foresail:6500",
    "model": "llama",
    "mode": "act",
    "replicaPromptTokensPerSecond": "100",
    "replicaGeneratedTokensPerSecond": "1000",
    "replicaRequests": "1000",
    "utilization": "0.5",
    "maxReplicas": "60",
    "hold": "0s",
}
BUSY = 12
REFERENCE = pb.ScaledObjectRef(name="llama", namespace="llm", scalerMetadata=METADATA)


@dataclass
class Server:
    """A `foresail serve` and how to ask it."""

    folder: Path
    source: str
    peers: str | None = None
    tls: Path | None = None
    """A folder with the certificate, its key and the CA."""
    grpc_port: int = 0
    http_port: int = 0
    plans_port: int = 0
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def states(self) -> Path:
        return self.folder / "states"

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.grpc_port, self.http_port, self.plans_port = free_port(), free_port(), free_port()
        peers = f", peers: '{self.peers}'" if self.peers else ""
        tls, readers = "", ""
        if self.tls:
            readers = ", readers: [{name: localhost, namespaces: [llm]}]"
            files = {"certificate": "tls.crt", "key": "tls.key", "clientCa": "ca.crt"}
            tls = f"tls: {json.dumps({key: str(self.tls / name) for key, name in files.items()})}"
        config = self.folder / "foresail.yaml"
        config.write_text(f"""
listen: {{grpc: "127.0.0.1:{self.grpc_port}", http: "127.0.0.1:{self.http_port}"}}
sources:
  - {{name: main, scrape: {{urls: ["http://{self.source}/metrics"], timeout: 500ms,
      namespaces: ['*'], reading: {{window: 4s, staleAfter: 3s}}}}}}
cycle: {{period: 1s, step: 2s, lookMax: 1s, history: 1h}}
state: {{directory: {self.states}, every: 1s{peers}}}
plans: {{listen: "127.0.0.1:{self.plans_port}"{readers}}}
{tls}
""")
        with (self.folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "foresail.cli", "serve", "--config", str(config)],
                stderr=log,
            )
        wait_for(self.ready, "foresail serve to be ready")

    def ready(self) -> bool:
        try:
            return self.page("/readyz") == "ok\n"
        except OSError:
            return False

    def page(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=60) as r:
            return r.read().decode()

    def explained(self) -> dict[str, Any]:
        try:
            (account,) = json.loads(self.page("/explain/llm/llama?format=json"))
        except OSError:
            return {}
        return dict(account)

    def planned(self) -> int | None:
        """What the Plans API says of the workload, as soon as it answers."""

        async def listed() -> tuple[Plan, ...]:
            tls = self.tls and ClientTls(
                ca=self.tls / "ca.crt",
                certificate=self.tls / "tls.crt",
                key=self.tls / "tls.key",
            )
            async with Plans(f"localhost:{self.plans_port}", tls=tls) as plans:
                return await plans.list(seconds_max=DEADLINE_SECONDS)

        (plan,) = asyncio.run(listed())
        return None if plan.plan is None else plan.plan.planned

    def weights(self) -> dict[str, float]:
        """Of the prompt forecast's experts: what it has learned, to the last digit."""
        experts = self.prompt_forecast().get("experts", [])
        return {expert["name"]: expert["weight"] for expert in experts}

    def prompt_forecast(self) -> dict[str, Any]:
        return dict(self.explained().get("forecasts", {}).get("prompt_tokens", {}))

    def planner(self) -> str:
        assert self.process is not None
        pid = self.process.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().strip()

    def kill(self) -> None:
        """End both processes as a crash does."""
        if self.process is not None and self.process.poll() is None:
            planner = self.planner()
            self.process.kill()
            self.process.wait()
            wait_for(lambda: not Path(f"/proc/{planner}").exists(), "the planner to end")

    @contextmanager
    def asked(self) -> "Iterator[Keda]":
        address = f"127.0.0.1:{self.grpc_port}"
        with (
            grpc.secure_channel(address, credentials(self.tls))
            if self.tls
            else grpc.insecure_channel(address)
        ) as channel:
            yield Keda(pb_grpc.ExternalScalerStub(channel))


def credentials(folder: Path) -> grpc.ChannelCredentials:
    files = [(folder / name).read_bytes() for name in ("ca.crt", "tls.key", "tls.crt")]
    return grpc.ssl_channel_credentials(*files)


@dataclass
class Keda:
    stub: pb_grpc.ExternalScalerStub

    def ask(self) -> float | grpc.StatusCode:
        question = pb.GetMetricsRequest(scaledObjectRef=REFERENCE, metricName="foresail-replicas")
        try:
            return self.stub.GetMetrics(question).metricValues[0].metricValueFloat
        except grpc.RpcError as error:
            return error.code()

    def busy(self) -> float:
        """An answer from a look that measured the rates, which takes two pages."""
        answers: list[float | grpc.StatusCode] = []

        def measured() -> bool:
            answers.append(self.ask())
            return isinstance(answers[-1], float) and answers[-1] >= BUSY

        wait_for(measured, "an answer from measured rates")
        assert isinstance(answers[-1], float)
        return answers[-1]


@pytest.fixture
def engine() -> Iterator[Exporter]:
    with served(Engine(model="llama")) as (exporter,):
        yield exporter


@contextmanager
def killed_at_the_end(*servers: Server) -> Iterator[None]:
    try:
        yield
    finally:
        for server in servers:
            server.kill()


def saved_replicas(server: Server) -> float | None:
    frames = StateFiles(server.states).read_workloads()
    answer = decode_workload(frames[-1].payload).answer if frames else None
    return answer.replicas if answer is not None else None


def has_learned(server: Server) -> bool:
    """Whether an outcome has moved the experts' weights, which begin as round numbers."""
    weights = server.weights().values()
    return any(abs(weight - round(weight, 2)) > 1e-9 for weight in weights)


def settled(server: Server, exporter: Exporter) -> float:
    """Answered, on disk, the source gone: the number that stands."""
    with server.asked() as keda:
        _ = keda.busy()
        wait_for(lambda: has_learned(server), "a forecast")
        exporter.stop()
        wait_for(lambda: bool(server.explained().get("failure")), "the source to be gone")
        before = keda.busy()
        # The last measured step is closed and learned from: what was learned stands now.
        wait_for(
            lambda: (server.prompt_forecast().get("data_age_seconds") or 0) >= 4,
            "steps without a value",
        )
        gone = time.time()  # noqa: TID251
    wait_for(lambda: saved_replicas(server) == before, "the last answer on disk")
    wait_for(lambda: any(frame.at_seconds > gone for frame in feeds_of(server)), "the forecast")
    return before


def feeds_of(server: Server) -> list[Frame]:
    paths = server.states.glob("feeds-*.state")
    return [
        frame
        for path in paths
        for frame in frames_in(path.read_bytes(), payload_bytes_max=FEED_BYTES_MAX)
    ]


def test_a_killed_planner_goes_on_from_its_states_without_its_source(
    engine: Exporter, tmp_path: Path
) -> None:
    server = Server(tmp_path / "a", engine.address)
    with killed_at_the_end(server):
        server.start()
        before = settled(server, engine)
        learned, planner = server.weights(), server.planner()

        os.kill(int(planner), signal.SIGKILL)
        answers = []
        with server.asked() as keda:

            def planned_again() -> bool:
                answers.append(keda.ask())
                started = server.planner() not in {planner, ""}
                return started and bool(server.explained().get("failure"))

            wait_for(planned_again, "a look of the next planner")
            answers += [keda.ask() for _ in range(10)]

        assert set(answers) == {before}
        assert server.explained()["plan"]["desired"] == before
        assert server.weights() == learned


def test_a_killed_server_answers_its_first_question_with_no_less_than_before(
    engine: Exporter, tmp_path: Path, observed: Observe
) -> None:
    server = Server(tmp_path / "a", engine.address)
    with killed_at_the_end(server):
        server.start()
        before = settled(server, engine)
        learned = server.weights()
        then = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

        server.kill()
        begun = time.monotonic()  # noqa: TID251
        server.start()
        planned = server.planned()
        with server.asked() as keda:
            first = keda.ask()
        observed(
            f"{before:g} before, {first:g} at the first question, without its source",
            wrong_scale_downs=int(first is None or first < before),
            lost=int(first is None),
            recovered_seconds=time.monotonic() - begun,  # noqa: TID251
        )

        assert first == before
        assert planned == before
        wait_for(lambda: server.weights() == learned, "the forecast from before")
        (decided,) = json.loads(server.page(f"/explain/llm/llama?format=json&at={then}"))
        assert (decided["kept"]["in_force"], decided["plan"]["desired"]) == (True, before)


@pytest.fixture(params=["plain-text", "mtls"])
def certificates(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """The Secret that servers share, with a certificate for `localhost`."""
    if request.param == "plain-text":
        return None
    authority = Authority("foresail-ca")
    pair = authority.sign("foresail")
    (tmp_path / "tls.crt").write_bytes(pair.certificate)
    (tmp_path / "tls.key").write_bytes(pair.key)
    (tmp_path / "ca.crt").write_bytes(authority.certificate)
    return tmp_path


def test_a_joining_server_answers_its_first_question_as_its_peer_does(
    engine: Exporter, tmp_path: Path, certificates: Path | None, observed: Observe
) -> None:
    running = Server(tmp_path / "a", engine.address, peers="localhost:1", tls=certificates)
    joining = Server(tmp_path / "b", engine.address, tls=certificates)
    with killed_at_the_end(running, joining):
        running.start()
        before = settled(running, engine)
        learned = running.weights()

        joining.peers = f"localhost:{running.grpc_port}"
        joining.start()
        planned = joining.planned()
        with joining.asked() as keda:
            first = keda.ask()
        observed(
            f"{before:g} of its peer, {first:g} at its first question, without its source",
            wrong_scale_downs=int(first is None or first < before),
            lost=int(first is None),
        )

        assert first == before
        assert planned == before
        wait_for(lambda: joining.weights() == learned, "the peer's forecast")


def test_damaged_and_foreign_states_are_named_and_the_source_is_read(
    engine: Exporter, tmp_path: Path
) -> None:
    server = Server(tmp_path / "a", engine.address)
    server.states.mkdir(parents=True)
    (server.states / "workloads.state").write_bytes(b"foresail state 9\nof tomorrow")
    for number in range(64):
        (server.states / f"feeds-{number:02}.state").write_bytes(b"\x80\x04K\x01.")
    with killed_at_the_end(server):
        server.start()
        with server.asked() as keda:
            _ = keda.busy()

    logged = (server.folder / "serve.log").read_text()
    assert "newer_format" in logged
    assert "corrupted" in logged
    assert "Traceback" not in logged


def test_a_folder_that_cannot_be_written_is_logged_once_and_the_source_is_read(
    engine: Exporter, tmp_path: Path
) -> None:
    server = Server(tmp_path / "a", engine.address)
    server.folder.mkdir()
    server.states.write_bytes(b"a file where a folder should be")
    with killed_at_the_end(server):
        server.start()
        with server.asked() as keda:
            _ = keda.busy()
        log = server.folder / "serve.log"
        wait_for(lambda: "state_not_kept" in log.read_text(), "the line")
        wait_for(lambda: "decisions_not_kept" in log.read_text(), "the line about decisions")
        wait_for(lambda: bool(server.weights()), "looks that go on")

    assert log.read_text().count("state_not_kept") == 1
    assert log.read_text().count("decisions_not_kept") == 1


def test_a_feed_kept_on_disk_holds_the_whole_tracker(engine: Exporter, tmp_path: Path) -> None:
    server = Server(tmp_path / "a", engine.address)
    with killed_at_the_end(server):
        server.start()
        settled(server, engine)
        server.kill()

    (frame,) = feeds_of(server)
    state = decode_feed(frame.payload)
    assert state.tracker.has_closed
    assert state.tracker.demand is not None
    assert len(frame.payload) < 200 * 1024
