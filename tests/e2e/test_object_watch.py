"""A watch that the API server ends early is taken up where it ended."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.e2e.object_watch import ObjectWatch


class Api(BaseHTTPRequestHandler):
    """Ends each watch after one state; the third lasts until the client leaves it."""

    asked_from: ClassVar[list[str]] = []
    left: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        (version,) = parse_qs(urlsplit(self.path).query)["resourceVersion"]
        self.asked_from.append(version)
        self.send_response(200)
        self.end_headers()
        state = {"metadata": {"resourceVersion": str(int(version) + 1)}}
        self.wfile.write(json.dumps({"type": "MODIFIED", "object": state}).encode() + b"\n")
        self.wfile.flush()
        if len(self.asked_from) == 3:
            self.left.wait(10)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        Api.left.set()
        server.shutdown()
        thread.join()


def test_no_state_is_left_out_when_the_server_ends_a_watch(api: str) -> None:
    seen: list[str] = []
    third = threading.Event()

    def take(state: dict[str, Any]) -> None:
        seen.append(state["metadata"]["resourceVersion"])
        if len(seen) == 3:
            third.set()

    with requests.Session() as session, ObjectWatch(session, f"{api}/pods/a", "6", take):
        assert third.wait(20)

    assert seen == ["7", "8", "9"]
    assert Api.asked_from == ["6", "7", "8"]
