"""A real Prometheus on a free loopback port, for tests that must not trust our idea of one.

`make test` puts Debian's binary on the PATH. A target is first scraped about six seconds after the
start: discovery hands over every five seconds, at a start too.
"""

import errno
import math
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
import yaml

from scaler.sources.access import Tls

DEADLINE_SECONDS = 120.0
"""Reached on failure only: a start of Python or Prometheus takes a minute of starved cores."""
_PORTS = range(15_000, 32_000)
_handed: set[int] = set()


@dataclass(frozen=True, kw_only=True)
class Job:
    """One scrape job of one target."""

    name: str
    address: str
    labels: Mapping[str, str] = field(default_factory=dict)
    path: str = "/metrics"
    bearer_token: str | None = None


class PrometheusServer:
    """Start, stop, kill and wipe; the port and the folder stay the same."""

    def __init__(
        self,
        folder: Path,
        *,
        interval_seconds: int = 1,
        tls: Tls | None = None,
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._tls = tls or Tls()
        self.interval_seconds = interval_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, *jobs: Job, web: Mapping[str, object] | None = None) -> None:
        """For the next start."""
        scrapes = [
            {
                "job_name": job.name,
                "metrics_path": job.path,
                "static_configs": [{"targets": [job.address], "labels": dict(job.labels)}],
                **(
                    {"authorization": {"credentials": job.bearer_token}} if job.bearer_token else {}
                ),
            }
            for job in jobs
        ]
        interval = f"{self.interval_seconds}s"
        settings = {
            "global": {"scrape_interval": interval, "scrape_timeout": interval},
            "scrape_configs": scrapes,
        }
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
        (self.folder / "web.yml").write_text(yaml.safe_dump(dict(web or {})))

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    # The kernel ends it when the tests die in whatever way.
                    *("setpriv", "--pdeathsig", "KILL", "--"),
                    "prometheus",
                    f"--config.file={self.folder / 'prometheus.yml'}",
                    f"--web.config.file={self.folder / 'web.yml'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    f"--storage.tsdb.path={self.data}",
                ],
                stdout=log,
                stderr=log,
            )
        wait_for(self._is_ready, f"Prometheus to be ready; see {self.folder / 'log'}")

    def _is_ready(self) -> bool:
        try:
            return self._get("/-/ready").status_code in {200, 401}
        except requests.RequestException:
            return False

    @property
    def pid(self) -> int:
        assert self._process is not None, "Prometheus does not run"
        return self._process.pid

    def kill(self) -> None:
        """Without a farewell, as an evicted pod."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def wipe(self) -> None:
        """Forget everything; only while it is down."""
        assert self._process is None
        shutil.rmtree(self.data)
        self.data.mkdir()

    def names(self) -> set[str]:
        """Every series name it holds."""
        return set(self._get("/api/v1/label/__name__/values").json()["data"])

    def value(self, query: str) -> float:
        """The one number that an instant query gives; NaN where it gives none."""
        found = self._get("/api/v1/query", query=query).json()["data"]["result"]
        return float(found[0]["value"][1]) if found else math.nan

    def _get(self, path: str, **parameters: str) -> requests.Response:
        tls = self._tls
        return requests.get(
            f"{self.url}{path}",
            params=parameters,
            timeout=60,
            verify=str(tls.ca_file) if tls.ca_file else True,
            cert=(str(tls.cert_file), str(tls.key_file)) if tls.cert_file else None,
        )


def free_port() -> int:
    """A port nobody listens on, below those that the kernel lends to clients.

    One of the kernel's own choice may be some client's by the time a server that was stopped
    wants it back. No two calls have the same one, nor two of the processes that share the tests.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    workers = os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
    ours = _PORTS[int(worker) :: int(workers)]
    while True:
        port = random.choice(ours)  # noqa: S311 - no secret
        if port in _handed:
            continue
        try:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            _handed.add(port)
            return port


def wait_for(
    condition,
    what: str,
    *,
    deadline_seconds: float = DEADLINE_SECONDS,
    seen: Callable[[], str] | None = None,
) -> None:
    """Wait in real time until it holds, and fail the test when it does not.

    Args:
        condition: asked again and again.
        what: that is waited for.
        deadline_seconds: reached on failure only.
        seen: what the failure shows beside that.
    """
    limit = time.monotonic() + deadline_seconds  # noqa: TID251 - real processes, real time
    while not condition():
        if time.monotonic() > limit:  # noqa: TID251
            shown = f"; last seen:\n{seen()}" if seen is not None else ""
            pytest.fail(f"waited {deadline_seconds:g} s for {what}{shown}")
        time.sleep(0.05)


def require() -> None:
    """Skip where there is no Prometheus to run."""
    if shutil.which("prometheus") is None:
        pytest.skip("no `prometheus` on the PATH; `make test` fetches Debian's")
