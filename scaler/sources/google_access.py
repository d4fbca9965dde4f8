"""Access to Google Cloud Managed Service for Prometheus: tokens of the metadata server."""

from dataclasses import dataclass
from typing import Final

import requests
from requests.auth import AuthBase
from typing_extensions import override

from fleet.documents import text
from scaler.clock import Clock
from scaler.errors import SourceUnavailableError
from scaler.sources.credential_server import Ask

_PATH: Final = "/computeMetadata/v1/instance/service-accounts/default/token"
_BEFORE_THE_END_SECONDS: Final = 120.0
_LASTS_SECONDS_MAX: Final = 3600
"""As Google's do: one that is kept for longer than it lasts is refused ever after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleMetadata:
    """The server beside a pod on Google Cloud that gives the tokens of its service account."""

    clock: Clock
    server: str = "http://metadata.google.internal"


class GoogleAuth(AuthBase):
    """Sends a token with each request, asked for again before it ends."""

    def __init__(self, google: GoogleMetadata, ask: Ask) -> None:
        self._google = google
        self._ask = ask
        self._kept: tuple[float, str] | None = None

    @override
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token()}"
        return request

    def _token(self) -> str:
        now = self._google.clock()
        if self._kept is not None and now < self._kept[0]:
            return self._kept[1]
        address = f"{self._google.server}{_PATH}"
        answer = self._ask(address, {"Metadata-Flavor": "Google"})
        token, seconds = text(answer, "access_token"), answer.get("expires_in")
        if token is None or not isinstance(seconds, int):
            raise SourceUnavailableError(f"{address}: an answer without a token")
        kept = min(seconds, _LASTS_SECONDS_MAX) - _BEFORE_THE_END_SECONDS
        self._kept = (now + kept, token)
        return token
