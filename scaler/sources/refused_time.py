"""Processor time spent in vain on large answers and pages, by the namespace they were read for.

A packed answer of 260 KB is unpacked to 64 MiB before it is refused, which takes as long as twenty
common looks. A tenant can have hundreds of such looks, each of another trigger or address. So each
namespace has a small part of a core for such answers; beyond it, its looks fail without a question.
A large answer that was not read within its time, or could not be used, counts like a refused one.
A pod's page counts from a length or a time on that no engine's takes, whatever is on it.
"""

import threading
from typing import Final

from scaler.errors import SourceUnavailableError
from scaler.limits import Limit, exceeded
from scaler.outstanding import Outstanding

SHARE: Final = 0.05
"""Of one core, for the answers of one namespace that are read in vain. One such answer in each
period of 15 s takes 0.01."""
BURST_SECONDS: Final = 2.0
_RECEIVED_SECONDS_PER_BYTE: Final = 2.5e-9
"""What the event loop takes to receive a byte: 20 ms for 8.5 MB."""


class RefusedTime:
    """What each namespace took lately."""

    def __init__(self, *, burst_seconds: float = BURST_SECONDS, share: float = SHARE) -> None:
        """Begin with nothing spent.

        Args:
            burst_seconds: that a namespace may spend at once.
            share: of one core, for each namespace.
        """
        self._burst_seconds = burst_seconds
        self._share = share
        self._spent = Outstanding[str | None](a_second=share)
        self._lock = threading.Lock()

    def add(
        self, namespace: str | None, seconds: float, received_bytes: int, *, now_seconds: float
    ) -> None:
        """Count one answer: time in its thread, and bytes that the loop received."""
        spent = seconds + received_bytes * _RECEIVED_SECONDS_PER_BYTE
        with self._lock:
            self._spent.forget_settled(now_seconds=now_seconds)
            self._spent.add(namespace, spent, now_seconds=now_seconds)

    def wait_seconds(self, namespace: str | None, *, now_seconds: float) -> float:
        """How long looks of the namespace are refused; 0 = they are not."""
        with self._lock:
            outstanding = self._spent.of(namespace, now_seconds=now_seconds)
        return max(0.0, outstanding - self._burst_seconds) / self._share

    def check(self, namespace: str | None, *, source: str, now_seconds: float) -> None:
        """Let no look of the namespace begin while it waits.

        Args:
            source: how the message names it.

        Raises:
            SourceUnavailableError: it waits.
        """
        left = self.wait_seconds(namespace, now_seconds=now_seconds)
        if left > 0:
            exceeded(Limit.REFUSED_TIME)
            raise SourceUnavailableError(
                f"{source}: answers or pages for namespace {namespace!r} were too large, or took "
                f"too much time to read; asked again in {left:.0f} s"
            )
