"""A name server for one name, as a cluster's DNS answers for a headless Service: who serves now."""

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

import dns.exception
import dns.message
import dns.rdatatype
import dns.rrset

_DATAGRAM_BYTES = 4096
_TTL_SECONDS = 1


class NameServer:
    """Answers on a port of its own until stopped."""

    def __init__(self, name: str, addresses: Callable[[], Iterable[str]]) -> None:
        self._name, self._addresses = f"{name}.", addresses
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        # Closing does not wake who waits on a datagram socket; a shutdown does.
        with suppress(OSError):  # it is not connected, and woken all the same
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            datagram, asker = self._socket.recvfrom(_DATAGRAM_BYTES)
            if not datagram:
                return
            try:
                query = dns.message.from_wire(datagram)
            except dns.exception.DNSException:
                continue
            self._socket.sendto(self._answered(query).to_wire(), asker)

    def _answered(self, query: dns.message.Message) -> dns.message.Message:
        answer = dns.message.make_response(query)
        for question in query.question:
            is_ours = question.name.to_text().lower() == self._name
            found = [*self._addresses()] if is_ours else []
            if found and question.rdtype == dns.rdatatype.A:
                answer.answer.append(
                    dns.rrset.from_text(self._name, _TTL_SECONDS, "IN", "A", *found)
                )
        return answer
