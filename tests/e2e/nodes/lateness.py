"""How late the processes of a bed are where cores are busy: by how late they answer."""

import ssl
from contextlib import closing
from http.client import HTTPConnection, HTTPSConnection
from time import monotonic  # noqa: TID251 - processes live in real time

from tests.e2e.bed import Bed
from tests.e2e.processes import Program

PUNCTUAL_SECONDS = 1.0
"""Between two questions to all where the cores have time."""
_ANSWER_SECONDS_MAX = 120.0
"""Reached on failure only."""


class Lateness:
    """Asks every process whenever it is called, and adds up what it waited beyond what is usual."""

    def __init__(self, bed: Bed) -> None:
        self.seconds = 0.0
        # Kubernetes has certificates of its own here, and nothing is told to anybody.
        anyone = ssl.create_default_context()
        anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
        self._anyone = anyone
        programs = bed.programs
        self._asked = [
            (port_of(programs["kube-controller-manager"], "--secure-port="), True),
            (port_of(programs["kube-scheduler"], "--secure-port="), True),
            (port_of(programs["kwok"], "--node-port="), True),
            (int(programs["karpenter"].environment["HEALTH_PROBE_PORT"]), False),
        ]
        self.begin()

    def begin(self) -> None:
        """What was before does not count."""
        self._at = monotonic()

    def ask(self) -> None:
        """Ask them all; those who read of the API server between two calls ask it too."""
        for port, tls in self._asked:
            with closing(self._connection(port, tls=tls)) as connection:
                connection.request("GET", "/healthz")
                connection.getresponse().read()
        before, self._at = self._at, monotonic()
        self.seconds += max(0.0, self._at - before - PUNCTUAL_SECONDS)

    def _connection(self, port: int, *, tls: bool) -> HTTPConnection:
        if tls:
            return HTTPSConnection(
                "127.0.0.1", port, context=self._anyone, timeout=_ANSWER_SECONDS_MAX
            )
        return HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS_MAX)


def port_of(program: Program, option: str) -> int:
    (found,) = [one for one in program.command if one.startswith(option)]
    return int(found.removeprefix(option))
