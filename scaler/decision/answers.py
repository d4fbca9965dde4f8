"""KEDA's reference to a scaler, and its outcome: replicas with an age limit, or an error."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from typing_extensions import override

from scaler.decision.abstention import Abstention
from scaler.message_text import limited


class RefusalCode(StrEnum):
    """Why there is no number; the service turns each into one gRPC status."""

    INVALID = "invalid"
    """The trigger's metadata cannot be used."""
    UNAVAILABLE = "unavailable"
    """No reading that may be used, or none for too long."""
    MISCONFIGURED = "misconfigured"
    """The metrics source rejects the query until its settings or the trigger change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Replicas for KEDA; in advise mode the plan's replicas, which KEDA does not get."""

    replicas: int
    active: bool
    made_at_seconds: float
    """When the reading behind it was made, in Unix time: a label for people and for states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why there are no replicas: KEDA gets an error, and its fallback counts these."""

    code: RefusalCode
    message: str
    """At most 1 KiB: two processes keep it for each trigger."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", limited(self.message))


Outcome = Answer | Refusal
"""The result of planning: an answer or a refusal."""


Reply = Answer | Abstention | Refusal
"""The reply to KEDA."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOutcome:
    """An outcome and how long it stands; both times are of the monotonic clock."""

    outcome: Outcome
    read_at_seconds: float
    """When the reading behind an answer was made, or when the refusal was."""
    valid_until_seconds: float = math.inf

    def current(self, now_seconds: float) -> Outcome:
        """The outcome, unless its time is over."""
        if now_seconds <= self.valid_until_seconds:
            return self.outcome
        age = now_seconds - self.read_at_seconds
        message = f"no plan was made for {age:.0f} s: the planning process sends nothing"
        return Refusal(code=RefusalCode.UNAVAILABLE, message=message)

    def followed_by(self, newer: "TimedOutcome", now_seconds: float) -> "TimedOutcome":
        """The outcome after `newer` arrives: an answer outlives refusals until its time is over.

        So neither a source without usable metrics nor a restarted planner removes an answer before
        its age limit.
        """
        stands = isinstance(self.outcome, Answer) and now_seconds <= self.valid_until_seconds
        return self if stands and isinstance(newer.outcome, Refusal) else newer


@dataclass(frozen=True, slots=True)
class Reference:
    """How KEDA names a scaler."""

    namespace: str
    name: str
    metadata: tuple[tuple[str, str], ...]
    """Sorted by key, so that equal maps are equal."""

    @classmethod
    def of(cls, namespace: str, name: str, metadata: Mapping[str, str]) -> "Reference":
        return cls(namespace, name, tuple(sorted(metadata.items())))

    @override
    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"
