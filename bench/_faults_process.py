"""Faults of the process: signals and logs, on a whole `foresail serve` under load."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import grpc.aio

from bench._faults_row import Fault, Observed
from bench._ports import free_port
from scaler.rpc import externalscaler_pb2 as pb
from scaler.rpc import externalscaler_pb2_grpc as pb_grpc

_CALLS_PER_SECOND = 300.0
"""Of KEDA and the HPA with 2,000 objects."""
_CALLERS = 32
_LOAD_SECONDS = 2.0
_END_SECONDS_MAX = 20.0
_START_SECONDS_MAX = 30.0


def faults() -> list[Fault]:
    return [
        Fault(
            name="sigterm-under-load",
            part="serve",
            by="process",
            fault=f"SIGTERM, under {_CALLS_PER_SECOND:.0f} calls a second",
            expected=f"no call cancelled of {_CALLS_PER_SECOND:.0f} a second",
            run=lambda: _observed(unread=False),
        ),
        Fault(
            name="unread-log",
            part="serve",
            by="process",
            fault="Nobody reads the log, and its pipe is full",
            expected="calls are answered, SIGTERM ends it",
            run=lambda: _observed(unread=True),
        ),
    ]


def _observed(*, unread: bool) -> Observed:
    reading, writing = os.pipe()
    try:
        with _serving(writing if unread else subprocess.DEVNULL) as (process, port):
            counts, seconds = asyncio.run(_ended_under_load(process, port))
            status = process.poll()
    finally:
        os.close(reading)
        os.close(writing)
    lost = counts.total() - counts["OK"] - counts["UNAVAILABLE"]
    return Observed(
        text=f"{counts['OK']} answered, {lost} cancelled, ended after {seconds:.1f} s",
        wrong_scale_downs=None,
        lost=lost,
        recovered_seconds=seconds,
        ok=lost == 0 and status == 0 and counts["OK"] > 0,
    )


async def _ended_under_load(
    process: "subprocess.Popen[bytes]", port: int
) -> tuple[Counter[str], float]:
    """Statuses of all calls, and the seconds from SIGTERM to the end."""
    counts: Counter[str] = Counter()

    async def call(keda: "pb_grpc.ExternalScalerAsyncStub", caller: int) -> None:
        number = 0
        while True:
            await asyncio.sleep(random.expovariate(_CALLS_PER_SECOND / _CALLERS))
            number += 1
            # Metadata that cannot be used are logged: the log of the run fills a pipe.
            reference = pb.ScaledObjectRef(
                name=f"o-{caller}-{number % 100}",
                namespace=f"ns-{caller}",
                scalerMetadata={"modell": "m" * 100},
            )
            try:
                await keda.GetMetricSpec(reference, timeout=5)
            except grpc.aio.AioRpcError as error:
                counts[error.code().name] += 1
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    return  # the port is closed
            else:
                counts["OK"] += 1

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        keda = pb_grpc.ExternalScalerStub(channel)
        callers = [asyncio.create_task(call(keda, caller)) for caller in range(_CALLERS)]
        await asyncio.sleep(_LOAD_SECONDS)
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        await asyncio.to_thread(process.wait, _END_SECONDS_MAX)
        seconds = time.monotonic() - begun
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
    return counts, seconds


@contextlib.contextmanager
def _serving(stderr: int) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    grpc_port, http_port = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "foresail.yaml"
        settings.write_text(
            f"listen: {{grpc: '127.0.0.1:{grpc_port}', http: '127.0.0.1:{http_port}'}}\n"
            "sources: [{name: main, prometheus: {url: 'http://127.0.0.1:1'}}]\n",
            encoding="utf-8",
        )
        command = [*(sys.executable, "-m", "foresail.cli", "serve"), *("--config", str(settings))]
        with subprocess.Popen(command, stderr=stderr) as process:
            try:
                _wait_until_ready(http_port)
                yield process, grpc_port
            finally:
                if process.poll() is None:
                    process.kill()


def _wait_until_ready(port: int) -> None:
    until = time.monotonic() + _START_SECONDS_MAX
    while time.monotonic() < until:
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz") as answer,
        ):
            if answer.status == 200:  # noqa: PLR2004 HTTP's OK
                return
        time.sleep(0.1)
    raise TimeoutError("the scaler is not ready")
