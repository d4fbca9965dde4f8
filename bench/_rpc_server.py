"""The shipped `foresail serve` as processes of their own, with what can be measured of them."""

import asyncio
import contextlib
import os
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from aiohttp import ClientConnectionError, ClientSession

from bench._ports import free_port

_PAGE_SECONDS_MAX = 120.0
_READY_SECONDS_MAX = 120.0
"""On a machine with ten times the work that it can do, the start takes over 30 s."""


@dataclass(frozen=True, slots=True)
class Server:
    """A `foresail serve`: the answering process and its planner."""

    grpc_port: int
    http_port: int
    pid: int

    def cpu_seconds(self) -> list[float]:
        """User and system time of the answering process and of its planner so far."""
        return [cpu_seconds_of(pid) for pid in self._pids()]

    async def looks_missed(self) -> int:
        """Looks that were due at the source that answers and not begun, so far."""
        page = await self._page()
        found = re.search(r'^foresail_looks_missed_total{source="main"} (\S+)$', page, re.MULTILINE)
        return int(float(found[1])) if found else 0

    async def _page(self) -> str:
        """Its metrics, once an attacker at this address has left it enough of its pace."""
        url = f"http://127.0.0.1:{self.http_port}/metrics"
        async with asyncio.timeout(_PAGE_SECONDS_MAX), ClientSession() as session:
            while True:
                async with session.get(url) as response:
                    if response.status != HTTPStatus.TOO_MANY_REQUESTS:
                        response.raise_for_status()
                        return await response.text()
                await asyncio.sleep(0.5)

    def rss_bytes(self) -> list[int]:
        """Resident memory of the answering process and of its planner."""
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self._pids()]
        return [count * os.sysconf("SC_PAGE_SIZE") for count in pages]

    def kill(self) -> None:
        """End both processes as a crash does."""
        for pid in self._pids():
            os.kill(pid, signal.SIGKILL)

    def _pids(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]


@contextlib.asynccontextmanager
async def serving(sources: str, *, log: int | None = None) -> AsyncIterator[Server]:
    """The shipped server on loopback, with settings as an operator writes them.

    Args:
        sources: the settings but for the ports, from `sources:` on.
        log: the file for its log; None = our standard error.
    """
    grpc_port, http_port = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "foresail.yaml"
        config.write_text(
            f"listen: {{grpc: '127.0.0.1:{grpc_port}', http: '127.0.0.1:{http_port}'}}\n{sources}"
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "foresail.cli",
            "serve",
            "--config",
            str(config),
            "--log-level",
            "warning",
            stderr=log,
        )
        try:
            await _until_ready(http_port)
            yield Server(grpc_port, http_port, process.pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def _until_ready(http_port: int) -> None:
    async with asyncio.timeout(_READY_SECONDS_MAX), ClientSession() as session:
        while True:
            with contextlib.suppress(ClientConnectionError):
                async with session.get(f"http://127.0.0.1:{http_port}/readyz") as response:
                    if response.ok:
                        return
            await asyncio.sleep(0.1)


def cpu_seconds_of(pid: int) -> float:
    """User and system time of a process so far."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
