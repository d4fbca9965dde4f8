"""Ports for the servers of a benchmark."""

import socket


def free_port() -> int:
    """A port of loopback at which nothing listens just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
