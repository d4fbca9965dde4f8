"""Senders over OTLP that keep their connections, and the health and metrics of the same process."""

import contextlib
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.prometheus import free_port, wait_for

ROOT = Path(__file__).parents[2]
BEGINS_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""What a sender over gRPC begins with: the preface, and settings without any."""
KEPT = {"http": 300, "grpc": 500}
"""Connections to each port: over its limit, and together over what the process may open."""


@contextmanager
def receiving(folder: Path) -> Iterator[dict[str, int]]:
    """The ports of a `foresail serve` that may open few files, and fewer until it asks."""
    ports = {name: free_port() for name in ("keda", "health", "grpc", "http")}
    at = {name: f"'127.0.0.1:{port}'" for name, port in ports.items()}
    settings = folder / "foresail.yaml"
    settings.write_text(
        f"listen: {{grpc: {at['keda']}, http: {at['health']}}}\n"
        "sources:\n"
        f"  - {{name: apps, otlp: {{grpc: {at['grpc']}, http: {at['http']}, namespaces: [llm]}}}}\n"
    )
    serve = f"exec {sys.executable} -m foresail.cli serve --config {settings}"
    process = subprocess.Popen(
        ["sh", "-c", f"ulimit -Sn 200 && ulimit -Hn 700 && {serve}"],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: answered(ports["health"], "readyz"), "a scaler that is ready")
        yield ports
    finally:
        process.kill()
        process.wait()


def answered(port: int, page: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=60) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def keep(kept: contextlib.ExitStack, port: int, begins: bytes) -> socket.socket:
    connection = kept.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
    with contextlib.suppress(OSError):  # it may be closed already
        connection.sendall(begins)
    return connection


def is_taken_or_closed(connection: socket.socket) -> bool:
    """Whether the server did anything; a process without a free file never does."""
    try:
        connection.recv(1)
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def test_senders_that_keep_their_connections_keep_no_one_from_health_and_metrics(
    tmp_path: Path,
) -> None:
    with receiving(tmp_path) as ports, contextlib.ExitStack() as kept:
        for _ in range(KEPT["http"]):
            keep(kept, ports["http"], b"POST /v1")
        for _ in range(KEPT["grpc"]):
            if not is_taken_or_closed(keep(kept, ports["grpc"], BEGINS_HTTP2)):
                break

        for page in ("healthz", "metrics"):
            assert answered(ports["health"], page), page
