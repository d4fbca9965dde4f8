"""A watch that the API server ends early is taken up where it ended, and left when all is seen."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.e2e.object_watch import ObjectWatch

NEWEST = 9


class Api(ThreadingHTTPServer):
    """Has an object in its ninth state, and ends each watch after one state."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.asked_from: list[str] = []
        self.tells_newest = threading.Event()
        """Before it is set, no watch has the newest state."""
        self.url = f"http://127.0.0.1:{self.server_port}/pods/a"


class _Request(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        query = parse_qs(urlsplit(self.path).query)
        if "watch" not in query:
            self._write(_state(NEWEST))
            self.server.tells_newest.set()
            return
        (version,) = query["resourceVersion"]
        self.server.asked_from.append(version)
        newer = int(version) + 1
        if newer == NEWEST:
            self.server.tells_newest.wait(60)
        if newer <= NEWEST:
            self._write({"type": "MODIFIED", "object": _state(newer)})

    def _write(self, document: dict[str, Any]) -> None:
        self.wfile.write(json.dumps(document).encode() + b"\n")

    def log_message(self, *_: object) -> None:
        pass


def _state(version: int) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": str(version)}}


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.tells_newest.set()
        server.shutdown()
        thread.join()


def test_no_state_is_left_out_when_the_server_ends_a_watch(api: Api) -> None:
    api.tells_newest.set()
    seen: list[str] = []
    third = threading.Event()

    def take(state: dict[str, Any]) -> None:
        seen.append(state["metadata"]["resourceVersion"])
        if len(seen) == 3:
            third.set()

    with requests.Session() as session, ObjectWatch(session, api.url, "6", take):
        assert third.wait(60)

    assert seen == ["7", "8", "9"]
    assert api.asked_from[:3] == ["6", "7", "8"]


def test_a_state_that_is_told_late_is_seen_before_the_watch_is_left(api: Api) -> None:
    seen: list[str] = []

    def take(state: dict[str, Any]) -> None:
        seen.append(state["metadata"]["resourceVersion"])

    with requests.Session() as session, ObjectWatch(session, api.url, "6", take):
        pass

    assert seen == ["7", "8", "9"]
