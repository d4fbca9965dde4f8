"""A value made from files that change while the program runs: TLS certificates, policies.

Kubernetes replaces a mounted certificate in place, long before the old one expires; other tools
write it file by file. The value is made again when one of its files has changed. While the files
cannot be used, the last value stays.
"""

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from scaler.errors import ForesailError

log = structlog.get_logger()

Made = TypeVar("Made")


class Reloaded(Generic[Made]):
    """A value made from files; each use gives the value of the current files."""

    def __init__(
        self, files: Sequence[Path] | Callable[[], Sequence[Path]], make: Callable[[], Made]
    ) -> None:
        """Make the value for the first time.

        Args:
            files: or what finds them, where files may come and go.

        Raises:
            OSError: a file cannot be read, or `make` raised it; `ssl.SSLError` is one.
            ForesailError: `make` or what finds the files raised it.
        """
        self._files = files if callable(files) else lambda: files
        self._make = make
        self.problem: str | None = None
        """Why the current files are not the value; None = they are."""
        # Stamped before the read, so that a change in between shows at the next use.
        self._stamp = self._stamps()
        self._made = make()

    def current(self) -> Made:
        try:
            stamp = self._stamps()
            if stamp != self._stamp:
                self._made = self._make()
                self._stamp = stamp
                log.info("files_reloaded", files=[file for file, *_ in stamp])
            self.problem = None
        except (OSError, ForesailError) as error:
            if str(error) != self.problem:
                self.problem = str(error)
                log.warning("files_not_reloaded", error=self.problem)
        return self._made

    def _stamps(self) -> list[tuple[str, int, int]]:
        stats = ((file, file.stat()) for file in self._files())
        return [(str(file), stat.st_mtime_ns, stat.st_ino) for file, stat in stats]


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
