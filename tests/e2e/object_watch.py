"""A watch of one object, followed in a thread until it is left."""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import requests


class ObjectWatch:
    """As a context manager: hands every state of the object to `seen`, and leaves none out."""

    def __init__(
        self, api: requests.Session, url: str, version: str, seen: Callable[[dict[str, Any]], None]
    ) -> None:
        """Watch an object.

        Args:
            url: of the object.
            version: the `resourceVersion` to watch from.
        """
        self._api = api
        self._parent, self._name = url.rsplit("/", 1)
        self._version = version
        self._seen = seen
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
        self._over.set()
        self._interrupt()
        self._thread.join(timeout=10)  # a watch that was just taken up ends with the process

    def _follow(self, answer: requests.Response) -> None:
        while True:
            self._read(answer)
            answer.close()
            if self._over.is_set():
                return
            answer = self._begin()  # an API server that is short of CPU ends a watch early

    def _begin(self) -> requests.Response:
        """Ask for the states after the newest one seen."""
        parameters = {
            "watch": "1",
            "fieldSelector": f"metadata.name={self._name}",
            "resourceVersion": self._version,
        }
        answer = self._api.get(self._parent, params=parameters, stream=True, timeout=(5, None))
        answer.raise_for_status()
        self._answer = answer
        return answer

    def _read(self, answer: requests.Response) -> None:
        # The end of a stream, also by `_interrupt`, is one of several errors of urllib3.
        with suppress(requests.RequestException, AttributeError, ValueError):
            for line in answer.iter_lines(chunk_size=1):
                found = json.loads(line)["object"]
                self._seen(found)
                self._version = found["metadata"]["resourceVersion"]

    def _interrupt(self) -> None:
        connection = self._answer.raw.connection if self._answer is not None else None
        if connection is not None and connection.sock is not None:
            with suppress(OSError):  # it ended by itself
                connection.sock.shutdown(2)
