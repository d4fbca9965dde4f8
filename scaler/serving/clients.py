"""Clients of a gRPC server, told apart by their addresses."""

from collections import Counter
from collections.abc import Sequence


def address_of(peer: str) -> str:
    """The address of a peer, as gRPC names its connection, without the port."""
    return peer.rpartition(":")[0]


def oldest_of_most(addresses: Sequence[str]) -> int:
    """Which of some things, the oldest first, ends for a new one: of the client that has the most.

    So who opens many ends its own, and not those of others.
    """
    counts = Counter(addresses)
    most = max(counts.values())
    return next(at for at, one in enumerate(addresses) if counts[one] == most)
