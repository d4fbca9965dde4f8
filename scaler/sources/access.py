"""Access to a source: secrets and certificates in files, read again as they change.

Kubernetes replaces a mounted token or certificate in place, long before the old one expires.
Settings name secrets by file only, so no configuration, message or log can carry one.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from scaler.errors import SourceMisconfiguredError
from scaler.reloaded import Reloaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Basic:
    """HTTP basic authentication."""

    username: str
    password_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The CA to trust and the client certificate; by default the system's CAs and none."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    verify: bool = True
    """False accepts any certificate: for a trial, not for a cluster."""

    def __post_init__(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            raise SourceMisconfiguredError("TLS: cert_file and key_file go together")


class TlsContexts:
    """The SSL context of a `Tls`, made from the current files."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._reloaded: Reloaded[ssl.SSLContext] | None = None

    def current(self) -> ssl.SSLContext:
        """Raises SourceMisconfiguredError: a file is missing or has the wrong content."""
        tls = self._tls
        if self._reloaded is None:
            files = (tls.ca_file, tls.cert_file, tls.key_file)
            try:
                self._reloaded = Reloaded([file for file in files if file], self._context)
            except OSError as error:
                raise SourceMisconfiguredError(f"TLS: {error}") from error
        return self._reloaded.current()

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._tls.ca_file)
        if not self._tls.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self._tls.cert_file is not None:
            context.load_cert_chain(self._tls.cert_file, self._tls.key_file)
        return context


def secret(path: Path) -> str:
    """The secret in a file, without the line end that editors add.

    Raises:
        SourceMisconfiguredError: the file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SourceMisconfiguredError(f"secret file {path}: {error.strerror}") from error
    except UnicodeDecodeError:  # which would show a part of it
        raise SourceMisconfiguredError(f"secret file {path}: no text in UTF-8") from None


def authorization(bearer_token_file: Path | None, basic: Basic | None) -> dict[str, str]:
    """The authorization header, from the current secrets; empty without any.

    Raises:
        SourceMisconfiguredError: the secret cannot be read.
    """
    if bearer_token_file is not None:
        return {"Authorization": f"Bearer {secret(bearer_token_file)}"}
    if basic is not None:
        password = secret(basic.password_file)
        return {"Authorization": aiohttp.encode_basic_auth(basic.username, password)}
    return {}


def checked_url(url: str) -> str:
    """The address as it is; a page such as `/metrics/` is another without its slash.

    Raises:
        SourceMisconfiguredError: not http(s), or with credentials, which would end up in messages.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SourceMisconfiguredError(
            f"{url!r} is no http or https address: write it as http://HOST:PORT"
        )
    if parts.username or parts.password:
        raise SourceMisconfiguredError(
            f"credentials in the address of {parts.hostname}: put them in files"
        )
    return url
