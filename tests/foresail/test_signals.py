"""A whole `foresail serve` under signals, with a log that nobody reads."""

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from scaler.rpc import externalscaler_pb2 as pb
from scaler.rpc import externalscaler_pb2_grpc as pb_grpc
from tests.prometheus import free_port, wait_for

ROOT = Path(__file__).parents[2]


class Scaler:
    """A running server, whose source nobody serves."""

    def __init__(self, folder: Path, stderr: int) -> None:
        self.grpc_port, self.http_port = free_port(), free_port()
        settings = folder / "foresail.yaml"
        settings.write_text(
            f"listen: {{grpc: '127.0.0.1:{self.grpc_port}', http: '127.0.0.1:{self.http_port}'}}\n"
            "sources: [{name: main, prometheus: {url: 'http://127.0.0.1:1'}}]\n"
        )
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "foresail.cli", "serve"),
                *("--config", str(settings), "--log-level", "debug"),
            ],
            cwd=ROOT,
            stderr=stderr,
        )

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/readyz") as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def serving(folder: Path, stderr: int) -> Iterator[Scaler]:
    scaler = Scaler(folder, stderr)
    try:
        wait_for(scaler.ready, "a scaler that is ready")
        yield scaler
    finally:
        if scaler.process.poll() is None:
            scaler.process.kill()
        scaler.process.wait()


def test_an_unread_log_stops_neither_answers_nor_the_end(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    try:
        with (
            serving(tmp_path, writing) as scaler,
            grpc.insecure_channel(f"127.0.0.1:{scaler.grpc_port}") as channel,
        ):
            keda = pb_grpc.ExternalScalerStub(channel)
            # Each is logged, by the planner too: over a pipe's 64 KiB together.
            for n in range(1200):
                reference = pb.ScaledObjectRef(
                    name=f"o-{n}", namespace=f"ns-{n // 100}", scalerMetadata={"modell": "m" * 100}
                )
                assert keda.GetMetricSpec(reference, timeout=60).metricSpecs
            scaler.process.send_signal(signal.SIGTERM)

            assert scaler.process.wait(timeout=60) == 0
    finally:
        os.close(writing)
        os.close(reading)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_under_the_log_prevents_no_start(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full, serving(tmp_path, full.fileno()) as scaler:
        scaler.process.send_signal(signal.SIGTERM)
        assert scaler.process.wait(timeout=60) == 0


def test_a_hangup_is_refused_with_a_word_and_ends_nothing(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("wb") as log, serving(tmp_path, log.fileno()) as scaler:
        scaler.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "sighup_refused" in file.read_text(), "a word about it")
        assert scaler.ready()
        scaler.process.send_signal(signal.SIGTERM)
        assert scaler.process.wait(timeout=60) == 0
    assert '"draining"' in file.read_text()


@pytest.mark.parametrize(
    ("more", "setting"),
    [
        pytest.param("listen: {http: '127.0.0.1:0'}\n", "listen.grpc", id="keda"),
        pytest.param(
            "listen: {grpc: '127.0.0.1:0', http: '127.0.0.1:0'}\nplans: {listen: '0.0.0.0:0'}\n",
            "plans.listen",
            id="plans",
        ),
    ],
)
def test_plain_text_off_loopback_is_refused_unless_it_is_asked_for_by_name(
    tmp_path: Path, more: str, setting: str
) -> None:
    settings = tmp_path / "foresail.yaml"
    settings.write_text("sources: [{name: main, prometheus: {url: 'http://127.0.0.1:1'}}]\n" + more)

    ended = subprocess.run(
        [*(sys.executable, "-m", "foresail.cli", "serve"), *("--config", str(settings))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 1
    assert f"{setting}: 0.0.0.0:" in ended.stderr
    assert "listen.plainText" in ended.stderr
