"""What the planning process is told of the objects on the board: which came, and which went."""

from dataclasses import dataclass

from scaler.decision.answers import Reference, TimedOutcome
from scaler.serving.entry import Entry
from scaler.trigger import TriggerSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """An admitted object and its current answer, for the planning cycle."""

    reference: Reference
    trigger_spec: TriggerSpec | None
    timed: TimedOutcome
    asked_at_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Objects forgotten and objects made known since the last changes; apply them in this order."""

    forgotten: tuple[Reference, ...] = ()
    arrived: tuple[Arrival, ...] = ()


def arrival_of(entry: Entry) -> Arrival:
    return Arrival(
        reference=entry.reference,
        trigger_spec=entry.trigger_spec,
        timed=entry.timed,
        asked_at_seconds=entry.asked_at_seconds,
    )
