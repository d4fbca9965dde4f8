"""A watch of one object, or of all of a kind, followed in a thread until it is left."""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import requests

from tests.prometheus import wait_for


class ObjectWatch:
    """As a context manager: hands every state of the object to `seen`, and leaves none out.

    Left without an error, it has handed over the state that the object has at that moment, however
    late the API server tells it.
    """

    def __init__(
        self,
        api: requests.Session,
        url: str,
        version: str,
        seen: Callable[[dict[str, Any]], None],
        *,
        all_of_kind: bool = False,
        gone: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        """Watch an object.

        Args:
            url: of the object, or of its collection.
            version: the `resourceVersion` to watch from.
            seen: takes each state, the last one of a deleted object too.
            all_of_kind: whether the URL is of a collection, all of which is watched.
            gone: takes the last state of a deleted object.
        """
        self._api, self._url = api, url
        self._parent, self._name = (url, None) if all_of_kind else url.rsplit("/", 1)
        self._version = version
        self._seen, self._gone = seen, gone
        self._over = threading.Event()
        self._answer: requests.Response | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._follow, args=(self._begin(),), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None and self._name is not None:
                self._catch_up()
        finally:
            self._over.set()
            self._interrupt()
            self._thread.join(timeout=10)  # a watch that was just taken up ends with the process

    def _catch_up(self) -> None:
        answer = self._api.get(self._url, timeout=60)
        if answer.status_code != requests.codes.not_found:
            answer.raise_for_status()
            newest = int(answer.json()["metadata"]["resourceVersion"])
            wait_for(lambda: int(self._version) >= newest, f"state {newest} of {self._url}")

    def _follow(self, answer: requests.Response) -> None:
        while True:
            self._read(answer)
            answer.close()
            while True:  # an API server that is short of CPU ends a watch early
                if self._over.is_set():
                    return
                with suppress(requests.RequestException):
                    answer = self._begin()
                    break
                self._over.wait(0.1)

    def _begin(self) -> requests.Response:
        """Ask for the states after the newest one seen."""
        parameters = {"watch": "1", "resourceVersion": self._version}
        if self._name is not None:
            parameters["fieldSelector"] = f"metadata.name={self._name}"
        answer = self._api.get(self._parent, params=parameters, stream=True, timeout=(60, None))
        answer.raise_for_status()
        self._answer = answer
        return answer

    def _read(self, answer: requests.Response) -> None:
        # The end of a stream, also by `_interrupt`, is one of several errors of urllib3.
        with suppress(requests.RequestException, AttributeError, ValueError):
            for line in answer.iter_lines(chunk_size=1):
                event = json.loads(line)
                found = event["object"]
                self._seen(found)
                if event["type"] == "DELETED":
                    self._gone(found)
                self._version = found["metadata"]["resourceVersion"]

    def _interrupt(self) -> None:
        connection = self._answer.raw.connection if self._answer is not None else None
        if connection is not None and connection.sock is not None:
            with suppress(OSError):  # it ended by itself
                connection.sock.shutdown(2)
