"""The HTTP session under prometheus-api-client, and the errors it raises.

The client takes any `requests.Session`. This one adds credentials read from files at each request,
queries in a POST's body (the client puts them in the URL, which proxies cut off at 8 KiB), no
redirects to a login page, and the status code of a refusal. `prometheus_transport` adds limits on
the time and the size of an answer.
"""

import re
import ssl
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp
import requests
from requests.adapters import BaseAdapter
from requests.auth import AuthBase
from typing_extensions import override
from yarl import URL

from fleet.documents import Json, is_object
from scaler.errors import (
    AskedTooOftenError,
    SourceError,
    SourceMisconfiguredError,
    SourceUnavailableError,
)
from scaler.limits import Limit, exceeded
from scaler.sources.access import Basic, authorization
from scaler.sources.packing import ENCODING
from scaler.sources.pause import retry_after_seconds
from scaler.sources.prometheus_response import NoAnswerError

_LOGIN_REFUSED = frozenset({401, 403})
_OF_SERVER = frozenset({401, 404, 429})
"""Refusals of every query. Others may be of one, such as one that reads too much or takes too long,
or that a proxy does not pass."""
_MESSAGE_CHARACTERS = 256  # an error page of a proxy would fill the log
_OPEN_HEADERS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "user-agent",
    }
)
"""Of a request, those that hold nothing secret."""
_LOGIN_HEADERS: Final = frozenset({"authorization", "x-amz-security-token"})
"""Whose values are secret, however short."""
_SECRET_CHARACTERS_MIN: Final = 4
"""Of other values: shorter ones, such as a tenant's number, would be cut out of every word."""
_FORM: Final = "application/x-www-form-urlencoded"
_EXECUTION: Final = "execution"
_LIMIT: Final = re.compile(r"\blimit\b|\btoo many\b", re.IGNORECASE)
"""In the messages of Prometheus, Thanos, Mimir and Cortex about a query that reads too much."""


class _RefusedError(Exception):
    def __init__(self, response: requests.Response) -> None:
        super().__init__(f"HTTP {response.status_code}")
        self.status = response.status_code
        self.kind, self.text = _said(response)
        self.wait_seconds = retry_after_seconds(response.headers)
        self.signed = "X-Amz-Date" in response.request.headers


class PrometheusSession(requests.Session):
    """A session for one Prometheus."""

    def __init__(
        self,
        transport: BaseAdapter,
        *,
        auth: AuthBase,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__()
        # Else ~/.netrc could add credentials that the settings do not name.
        self.trust_env = False
        self.headers.update(headers)
        self.headers["Accept-Encoding"] = ENCODING
        self.auth = auth
        self._transport = transport
        # Called before a redirect is followed, so a redirect to a login page is a refusal too.
        self.hooks["response"].append(_refuse)

    @override
    def get_adapter(self, url: str | bytes) -> BaseAdapter:
        # Ignores the client's adapter, which has no limit on the time or size of an answer.
        return self._transport

    @override
    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        if request.method == "POST":
            request.data, request.params = _form_of(request.params), {}
            request.headers = {**request.headers, "Content-Type": _FORM}
        return super().prepare_request(request)


def _form_of(params: Mapping[str, str | int]) -> str:
    """The parameters as a form. A query has thousands of characters, and `requests` quotes each.

    Raises:
        UnicodeEncodeError: half of a surrogate pair, which yarl would leave out.
    """
    for value in params.values():
        _ = str(value).encode()
    return URL().with_query(params).raw_query_string


class FileAuth(AuthBase):
    """A bearer token or a password from a file, or nothing."""

    def __init__(self, bearer_token_file: Path | None, basic: Basic | None) -> None:
        self._bearer_token_file = bearer_token_file
        self._basic = basic

    @override
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(authorization(self._bearer_token_file, self._basic))
        return request


def _refuse(response: requests.Response, **_options: object) -> None:
    if response.status_code != requests.codes.ok:
        raise _RefusedError(response)


@contextmanager
def translated(name: str, url: str) -> Iterator[None]:
    """Turn every failure inside into a SourceError that names the source.

    Raises:
        SourceUnavailableError: the failure may be temporary.
        SourceMisconfiguredError: the settings or the trigger must change.
    """
    source = f"source {name!r} at {url}"
    try:
        yield
    except _RefusedError as error:
        raise _refusal(source, error) from error
    except (aiohttp.ClientError, TimeoutError, NoAnswerError) as error:
        raise _unavailable(source, error) from error
    except (LookupError, TypeError, ValueError) as error:
        raise SourceMisconfiguredError(
            f"{source}: an answer that is not Prometheus'; check the address"
        ) from error


def is_of_query(error: SourceError) -> bool:
    """Whether the source may have an answer to another query at the same moment.

    Args:
        error: of a read; what it came from says so.
    """
    match error.__cause__:
        case _RefusedError(status=status):
            return status not in _OF_SERVER
        case None | aiohttp.ClientConnectorError():
            return False
        case _:
            return True


def _refusal(source: str, error: _RefusedError) -> SourceError:
    message = f"{source}: HTTP {error.status}: {error.text}"
    match error.status:
        case 401 | 403 if error.signed:
            mend = "check its keys and their rights, its region, and this machine's clock"
        case 401 | 403:
            mend = "check its token, password, certificate or tenant header"
        case 422 if error.kind == _EXECUTION and not _LIMIT.search(error.text):
            # Thanos answers so where a store is down.
            return SourceUnavailableError(message)
        case 422 if _LIMIT.search(error.text):
            mend = "a limit of one query: give labels so that it reads less, or raise the limit"
        case 400 | 422:
            mend = "it rejects the query"
        case 429:
            return AskedTooOftenError(message, wait_seconds=error.wait_seconds)
        case 500 | 502 | 503 | 504:
            return SourceUnavailableError(message)
        case _:
            mend = "check the address; Prometheus' API does not answer so"
    return SourceMisconfiguredError(f"{message}; {mend}")


def _said(response: requests.Response) -> tuple[str, str]:
    """Prometheus' error type, where it has one, and its message, else the body.

    None of a refused login: servers repeat the token or the header that they refuse.
    """
    if response.status_code in _LOGIN_REFUSED:
        return "", HTTPStatus(response.status_code).phrase
    kind, text = "", ""
    with suppress(NoAnswerError, TimeoutError, ValueError):
        answer = response.json()
        if is_object(answer):
            kind, text = str(answer.get("errorType", "")), _message(answer)
    text = _without_credentials(" ".join((text or response.text).split()), response)
    if len(text) > _MESSAGE_CHARACTERS:
        exceeded(Limit.ERROR_PAGE)
    return kind, text[:_MESSAGE_CHARACTERS]


def _message(answer: Json) -> str:
    """Prometheus has it in `error`, Amazon in `message`, Google in `error.message`."""
    error = answer.get("error")
    inner = error.get("message") if is_object(error) else error
    return str(inner or answer.get("message") or "")


def _without_credentials(text: str, response: requests.Response) -> str:
    for name, value in response.request.headers.items():
        if name.lower() not in _OPEN_HEADERS:
            least = 1 if name.lower() in _LOGIN_HEADERS else _SECRET_CHARACTERS_MIN
            for secret in _secrets_in(str(value)):
                if len(secret) >= least:
                    text = text.replace(secret, "…")
    return text


def _secrets_in(value: str) -> Iterator[str]:
    """A header's value, what is in it beside a scheme, and the password of HTTP basic."""
    yield value
    scheme, _, credentials = value.partition(" ")
    if scheme.lower() == "basic":
        with suppress(ValueError):  # of base64 and of UTF-8
            _, _, password = b64decode(credentials).decode().partition(":")
            yield from filter(None, [password])
    yield from filter(None, [credentials])


def _unavailable(source: str, error: BaseException) -> SourceError:
    """The fault of a source without an answer.

    The root is no variable of `translated`: with its traceback it would be a cycle, which holds the
    frames of the read, and so the answer, until the garbage collector's next full pass.
    """
    root = _root(error)
    # EOF in the handshake: the server stops, or it asks for a client certificate.
    if isinstance(root, ssl.SSLError) and not isinstance(root, ssl.SSLEOFError):
        return SourceMisconfiguredError(f"{source}: TLS: {root}")
    if isinstance(root, ConnectionRefusedError):
        return SourceUnavailableError(f"{source}: connection refused; does it listen there?")
    return SourceUnavailableError(f"{source}: {str(root) or type(root).__name__}")


def _root(error: BaseException) -> BaseException:
    """The innermost cause: the outer ones repeat the query. What we say ourselves is enough."""
    while error.__context__ is not None and not isinstance(error, NoAnswerError):
        error = error.__context__
    return error
