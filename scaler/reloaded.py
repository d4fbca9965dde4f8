"""What is made of files that are replaced while we run, certificates above all.

Kubernetes replaces a mounted certificate in place, long before the old one ends, and a tool that is
not as careful writes it file by file. So what is made of the files is made again when one of them
has changed, and stays as it was while they make no sense.
"""

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger()

Made = TypeVar("Made")


class Reloaded(Generic[Made]):
    """A value made of files, at each use the one of the files as they are."""

    def __init__(self, files: Sequence[Path], make: Callable[[], Made]) -> None:
        """Make it for the first time.

        Raises:
            OSError: a file cannot be read, or `make` raised it; `ssl.SSLError` is one.
        """
        self._files = tuple(files)
        self._make = make
        self._warned = ""
        # Stamped before it is read: a change in between is seen at the next use.
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


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server's TLS with this pair.

    Raises:
        OSError: a file cannot be read, or they are no pair.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def reloading_server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """The same, with the pair as it is at each handshake.

    Raises:
        OSError: a file cannot be read, or they are no pair.
    """
    reloaded = Reloaded((certificate, key), lambda: server_context(certificate, key))
    first = server_context(certificate, key)

    def take_current(socket: ssl.SSLObject, _name: str | None, _first: ssl.SSLContext) -> None:
        socket.context = reloaded.current()

    # Called at each handshake, also of a client that names no server.
    first.sni_callback = take_current
    return first
