"""A value made from files that change while the program runs, such as TLS certificates.

Kubernetes replaces a mounted certificate in place, long before the old one expires; other tools
write it file by file. The value is made again when one of its files has changed. While the files
cannot be used, the last value stays.
"""

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger()

Made = TypeVar("Made")


class Reloaded(Generic[Made]):
    """A value made from files; each use gives the value of the current files."""

    def __init__(self, files: Sequence[Path], make: Callable[[], Made]) -> None:
        """Make the value for the first time.

        Raises:
            OSError: a file cannot be read, or `make` raised it; `ssl.SSLError` is one.
        """
        self._files = tuple(files)
        self._make = make
        self._warned = ""
        # Stamped before the read, so that a change in between shows at the next use.
        self._stamp = self._stamps()
        self._made = make()

    def current(self) -> Made:
        try:
            stamp = self._stamps()
            if stamp != self._stamp:
                self._made = self._make()
                self._stamp = stamp
                self._warned = ""
                log.info("files_reloaded", files=list(map(str, self._files)))
        except OSError as error:
            if str(error) != self._warned:
                self._warned = str(error)
                log.warning("files_not_reloaded", error=self._warned)
        return self._made

    def _stamps(self) -> list[tuple[int, int]]:
        return [(stat.st_mtime_ns, stat.st_ino) for stat in (file.stat() for file in self._files)]


def server_context(certificate: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    """A server's TLS with this pair; with a `client_ca`, for clients that it signed alone.

    Raises:
        OSError: a file cannot be read, or key and certificate do not match.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def reloading_server_context(
    certificate: Path, key: Path, client_ca: Path | None = None
) -> ssl.SSLContext:
    """The same, with the current files at each handshake.

    Raises:
        OSError: a file cannot be read, or key and certificate do not match.
    """
    files = [one for one in (certificate, key, client_ca) if one is not None]
    reloaded = Reloaded(files, lambda: server_context(certificate, key, client_ca))
    first = server_context(certificate, key, client_ca)

    def take_current(socket: ssl.SSLObject, _name: str | None, _first: ssl.SSLContext) -> None:
        socket.context = reloaded.current()

    # OpenSSL calls this at each handshake, also for a client that sends no server name.
    first.sni_callback = take_current
    return first
