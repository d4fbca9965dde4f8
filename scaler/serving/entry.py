"""What the board has of one object: its current answer, and who waits for the next."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from scaler.clock import Clock
from scaler.decision.abstention import Abstention
from scaler.decision.answers import Reference, Reply, TimedOutcome
from scaler.trigger import TriggerSpec

COHERENT_SECONDS = 5.0
"""`IsActive` within this time of `GetMetrics` belongs to one poll of KEDA and gets its answer."""
HPA_PERIOD_SECONDS = (0.5, 60.0)
"""The least and the most between two calls of an HPA: it asks every 15 s unless the cluster says
otherwise. KEDA repeats a call that failed at once."""
HPA_CALLS_MIN = 3
"""So many in a row show that an HPA asks. One or two may be a person's, with kubectl."""


@dataclass(slots=True, eq=False)
class Entry:
    """One object on the board. Only the board writes it."""

    reference: Reference
    trigger_spec: TriggerSpec | None
    """None where the metadata cannot be used; the outcome says why."""
    timed: TimedOutcome
    asked_at_seconds: float
    clock: Clock
    begun_at_seconds: float
    adopted: bool = False
    """Whether KEDA asked only another process about it so far."""
    abstention: Abstention | None = None
    """The answer to KEDA in place of every outcome, in advise mode."""
    listeners: set[Callable[[], object]] = field(default_factory=set)
    """Called after each publication and each sign that the workload runs, for open streams."""
    _polled: tuple[float, Reply] | None = None
    _hpa_asked_at_seconds: float = -math.inf
    _hpa_calls: int = 0
    """In a row."""
    _ran_at_seconds: float = -math.inf

    def publish(self, timed: TimedOutcome) -> None:
        self.timed = self.timed.followed_by(timed, self.clock())
        self._wake_listeners()

    def note_hpa(self) -> None:
        """The HPA asks, which it does only while the workload has replicas."""
        now, (least, most) = self.clock(), HPA_PERIOD_SECONDS
        since_last = now - self._hpa_asked_at_seconds
        if since_last < least:
            return
        self._hpa_calls = self._hpa_calls + 1 if since_last <= most else 1
        self._hpa_asked_at_seconds = now
        if self._hpa_calls >= HPA_CALLS_MIN:
            self._ran_at_seconds = now
            self._wake_listeners()

    def ran_within(self, seconds: float) -> bool:
        """Whether the workload had replicas within so long, as far as its HPA's calls show."""
        return self.clock() - self._ran_at_seconds <= seconds

    def current(self) -> Reply:
        """The reply to KEDA now."""
        return self.abstention or self.timed.current(self.clock())

    def polled(self) -> Reply:
        """The reply now, remembered as the reply of this poll."""
        self._polled = (self.clock(), self.current())
        return self._polled[1]

    def in_same_poll(self) -> Reply:
        """The reply of the poll under way, else the reply now."""
        if self._polled is not None and self.clock() - self._polled[0] <= COHERENT_SECONDS:
            return self._polled[1]
        return self.current()

    def _wake_listeners(self) -> None:
        for listener in tuple(self.listeners):
            listener()
