"""Servers that give a pod its credentials for a cloud, asked over a source's own transport.

So each question is within the limits of the read that needs the credentials.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import requests

from fleet.documents import Json, is_object
from scaler.errors import SourceMisconfiguredError, SourceUnavailableError

_REFUSED: Final = frozenset({400, 401, 403, 404})


class Ask(Protocol):
    """Gets a JSON object; with a form, by a POST of it. Blocks."""

    def __call__(
        self, address: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> Json: ...


def asked_over(send: Callable[[requests.PreparedRequest], requests.Response]) -> Ask:
    """Asks over a transport."""

    def ask(
        address: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> Json:
        method = "GET" if form is None else "POST"
        every = {**headers, "Accept": "application/json", "Accept-Encoding": "identity"}
        response = send(requests.Request(method, address, headers=every, data=form).prepare())
        status = response.status_code
        if status == requests.codes.ok:
            answer = response.json()
            if is_object(answer):
                return answer
        message = f"{address}: HTTP {status}: no credentials of a cloud for this pod"
        # The page is not shown: it may repeat the token.
        if status in _REFUSED:
            raise SourceMisconfiguredError(f"{message}; check its service account and role")
        raise SourceUnavailableError(message)

    return ask
