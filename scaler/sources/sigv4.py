"""Signs a request for Amazon Web Services: Signature Version 4.

Pure: takes the keys and the time, returns headers. The steps are those of "Create a signed AWS API
request" in the reference of AWS Identity and Access Management.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_UNRESERVED: Final = "-_.~"
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsKeys:
    """Credentials of AWS."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    """Of temporary credentials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is signed of a request."""

    method: str
    url: str
    """As it is sent, with a query as `with_plain_query` writes it."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further ones to sign."""
    body: bytes = b""


def signed_headers(
    request: Request, keys: AwsKeys, *, region: str, service: str, now_seconds: float
) -> dict[str, str]:
    """The headers that a request needs in addition to its own.

    Args:
        request: to sign.
        keys: as whom.
        region: such as `eu-central-1`.
        service: `aps` for Amazon Managed Service for Prometheus.
        now_seconds: Unix time; AWS refuses a request that is more than five minutes off.
    """
    moment = datetime.fromtimestamp(now_seconds, UTC)
    at = moment.strftime("%Y%m%dT%H%M%SZ")
    added = {"Host": _host(request.url), "X-Amz-Date": at}
    if keys.session_token is not None:
        added["X-Amz-Security-Token"] = keys.session_token
    every = {
        name.lower(): " ".join(value.split())
        for name, value in {**request.headers, **added}.items()
    }
    names = ";".join(sorted(every))
    scope = (moment.strftime("%Y%m%d"), region, service, "aws4_request")
    to_sign = "\n".join((_ALGORITHM, at, "/".join(scope), _sha256(_canonical(request, every))))
    signature = _hmac(_signing_key(keys.secret_key, scope), to_sign).hex()
    credential = "/".join((keys.access_key, *scope))
    added["Authorization"] = (
        f"{_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
    )
    return added


def with_plain_query(url: str) -> str:
    """The address with its query encoded as AWS reads it: a space is `%20`, not `+`."""
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    return parts._replace(query=urlencode(pairs, quote_via=quote, safe=_UNRESERVED)).geturl()


def _canonical(request: Request, headers: Mapping[str, str]) -> bytes:
    parts = urlsplit(request.url)
    lines = (
        request.method,
        # The path is encoded once more, for every service but S3.
        quote(parts.path or "/", safe="/" + _UNRESERVED),
        "&".join(sorted(filter(None, parts.query.split("&")))),
        *(f"{name}:{headers[name]}" for name in sorted(headers)),
        "",
        ";".join(sorted(headers)),
        _sha256(request.body),
    )
    return "\n".join(lines).encode()


def _host(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port in {None, _PORTS[parts.scheme]} else f"{host}:{parts.port}"


def _signing_key(secret: str, scope: tuple[str, ...]) -> bytes:
    key = f"AWS4{secret}".encode()
    for one in scope:
        key = _hmac(key, one)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
