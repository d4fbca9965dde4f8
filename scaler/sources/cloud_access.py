"""Access to the managed Prometheus of Amazon and of Google, as requests are sent.

Credentials are read at each request, from files, from the environment, or from the server that a
cloud runs beside the pod for this. Such a server is asked over the source's own transport, so
within the limits of the read, and again before what it gave ends.
"""

import configparser
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from typing_extensions import override

from fleet.documents import Json, is_object, text
from scaler.clock import Clock
from scaler.errors import SourceMisconfiguredError, SourceUnavailableError
from scaler.sources.access import secret
from scaler.sources.sigv4 import AwsKeys, Request, signed_headers, with_plain_query

_GOOGLE_PATH: Final = "/computeMetadata/v1/instance/service-accounts/default/token"
_NAMES: Final = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
"""In the file; in the environment in capitals."""
_AGENT: Final = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
_AGENT_FILE: Final = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
_AGENT_HOSTS: Final = frozenset({"169.254.170.23", "fd00:ec2::23", "127.0.0.1", "::1"})
"""Of EKS Pod Identity, and this machine: it gets a token that is worth credentials."""
_BEFORE_THE_END_SECONDS: Final = 120.0
_KEPT_SECONDS_MAX: Final = 600.0
"""A session of a role may be withdrawn before it ends."""

Ask = Callable[[str, Mapping[str, str]], Json]
"""Gets a JSON object from an address, with these headers. Blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigV4:
    """Amazon's signature, and where the keys are."""

    region: str
    clock: Clock
    credentials_file: Path | None = None
    """In the format of `~/.aws/credentials`; None = from the environment."""
    profile: str = "default"
    service: str = "aps"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleMetadata:
    """The server beside a pod on Google Cloud that gives the tokens of its service account."""

    clock: Clock
    server: str = "http://metadata.google.internal"


class AwsAuth(AuthBase):
    """Signs each request with the keys of now."""

    def __init__(self, sigv4: SigV4, ask: Ask) -> None:
        self._sigv4 = sigv4
        self._ask = ask
        self._kept: tuple[float, AwsKeys] | None = None

    @override
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        url = with_plain_query(str(request.url))
        body = request.body or b""
        signed = signed_headers(
            Request(
                method=str(request.method),
                url=url,
                body=body.encode() if isinstance(body, str) else body,
            ),
            self._keys(),
            region=self._sigv4.region,
            service=self._sigv4.service,
            now_seconds=self._sigv4.clock(),
        )
        request.url = url
        request.headers.update(signed)
        return request

    def _keys(self) -> AwsKeys:
        sigv4 = self._sigv4
        if sigv4.credentials_file is not None:
            return keys_in(sigv4.credentials_file, sigv4.profile)
        found = _keys_of({name.lower(): value for name, value in os.environ.items()})
        if found is not None:
            return found
        if _AGENT in os.environ:
            return self._from_agent()
        raise SourceMisconfiguredError(
            "sigv4: no credentials: give credentialsFile, the variables AWS_ACCESS_KEY_ID and "
            f"AWS_SECRET_ACCESS_KEY, or an EKS Pod Identity, which sets {_AGENT}"
        )

    def _from_agent(self) -> AwsKeys:
        """From the agent of EKS Pod Identity on this node."""
        now = self._sigv4.clock()
        if self._kept is not None and now < self._kept[0]:
            return self._kept[1]
        address = os.environ[_AGENT]
        if urlsplit(address).hostname not in _AGENT_HOSTS:
            raise SourceMisconfiguredError(
                f"{_AGENT} {address!r}: not the address of an agent on this node"
            )
        token = os.environ.get(_AGENT_FILE)
        answer = self._ask(address, {"Authorization": secret(Path(token))} if token else {})
        access_key, secret_key = text(answer, "AccessKeyId"), text(answer, "SecretAccessKey")
        if access_key is None or secret_key is None:
            raise SourceUnavailableError(f"{address}: an answer without credentials")
        keys = AwsKeys(
            access_key=access_key, secret_key=secret_key, session_token=text(answer, "Token")
        )
        # The agent gives them anew well before they end.
        self._kept = (now + _KEPT_SECONDS_MAX, keys)
        return keys


class GoogleAuth(AuthBase):
    """Sends the token of the service account that Google's metadata server gives."""

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
        address = f"{self._google.server}{_GOOGLE_PATH}"
        answer = self._ask(address, {"Metadata-Flavor": "Google"})
        token, seconds = text(answer, "access_token"), answer.get("expires_in")
        if token is None or not isinstance(seconds, int):
            raise SourceUnavailableError(f"{address}: an answer without a token")
        self._kept = (now + seconds - _BEFORE_THE_END_SECONDS, token)
        return token


def keys_in(file: Path, profile: str) -> AwsKeys:
    """The keys of a profile in a file.

    Raises:
        SourceMisconfiguredError: it cannot be read, or has no such profile with keys.
    """
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(secret(file))
    except (configparser.Error, ValueError):
        # Its message would quote the line, which may be a secret.
        raise SourceMisconfiguredError(
            f"secret file {file}: not in the format of ~/.aws/credentials"
        ) from None
    found = _keys_of(parser[profile]) if parser.has_section(profile) else None
    if found is None:
        raise SourceMisconfiguredError(
            f"secret file {file}: no profile [{profile}] with {_NAMES[0]} and {_NAMES[1]}"
        )
    return found


def _keys_of(values: Mapping[str, str]) -> AwsKeys | None:
    access_key, secret_key, token = (values.get(name) for name in _NAMES)
    if not access_key or not secret_key:
        return None
    return AwsKeys(access_key=access_key, secret_key=secret_key, session_token=token or None)


def asked_over(send: Callable[[requests.PreparedRequest], requests.Response]) -> Ask:
    """Asks servers beside the pod over a source's transport."""

    def ask(address: str, headers: Mapping[str, str]) -> Json:
        asked = requests.Request("GET", address, headers={**headers, "Accept-Encoding": "identity"})
        response = send(asked.prepare())
        if response.status_code != requests.codes.ok:
            raise SourceUnavailableError(f"{address}: HTTP {response.status_code}")
        answer = response.json()
        if not is_object(answer):
            raise SourceUnavailableError(f"{address}: no JSON object")
        return answer

    return ask
