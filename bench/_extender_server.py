"""The shipped `foresail scheduler` as a process, and what it uses of the machine."""

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientConnectionError, ClientSession

from bench._ports import free_port

_READY_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Server:
    port: int
    http_port: int
    pid: int

    def cpu_seconds(self) -> float:
        stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def on_cpu_seconds(self) -> float:
        """Of the thread that answers, to the nanosecond while it waits."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]) / 1e9

    async def pods(self) -> int:
        """Pods that it knows to run."""
        url = f"http://127.0.0.1:{self.http_port}/metrics"
        async with ClientSession() as session, session.get(url) as response:
            page = await response.text()
        return int(float(page.partition("\nforesail_extender_pods ")[2].split("\n", 1)[0]))

    def rss_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextlib.asynccontextmanager
async def serving(api: str) -> AsyncIterator[Server]:
    """The shipped program, following the API server at this address."""
    port, http_port = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "bench",
                    "clusters": [{"name": "bench", "cluster": {"server": api}}],
                    "users": [{"name": "bench", "user": {}}],
                    "contexts": [
                        {"name": "bench", "context": {"cluster": "bench", "user": "bench"}}
                    ],
                }
            )
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "foresail.cli", "scheduler", "--log-level", "warning",
            "--kubeconfig", str(kubeconfig), "--listen", f"127.0.0.1:{port}",
            "--http", f"127.0.0.1:{http_port}",
        )  # fmt: skip
        try:
            await _until_ready(process, http_port)
            yield Server(port, http_port, process.pid)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _until_ready(process: asyncio.subprocess.Process, http_port: int) -> None:
    async with asyncio.timeout(_READY_SECONDS), ClientSession() as session:
        while True:
            if process.returncode is not None:
                sys.exit(f"foresail scheduler ended with status {process.returncode}")
            with contextlib.suppress(ClientConnectionError):
                async with session.get(f"http://127.0.0.1:{http_port}/readyz") as response:
                    if response.ok:
                        break
            await asyncio.sleep(0.1)
        # Its scores are worked out ahead; a scheduler's first pods rarely come in this second.
        await asyncio.sleep(2.0)
