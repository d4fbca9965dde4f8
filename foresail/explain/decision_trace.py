"""What a trace says of one plan, as the planning process sends it along with the outcome.

The answering process shows it in the trace of each answer. `foresail.telemetry.decisions` makes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Attributes = Mapping[str, str | bool | int | float]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionTrace:
    """One plan, as a trace shows it."""

    attributes: Attributes
    events: tuple[tuple[str, Attributes], ...]
    """In the order of the plan: name → attributes."""
    traceparent: str | None = None
    """W3C's reference to the trace of the plan itself; None = it has none."""
