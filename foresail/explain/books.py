"""The books of a workload as lines: what each rule would have cost, and how much was late."""

from collections.abc import Mapping, Sequence
from typing import Any

from foresail.figures import last

_UNKNOWN = "?"


def books_text(books: Mapping[str, Any]) -> Sequence[str]:
    """A line for what happened, one for each rule, and why the setting in force is that."""
    rows = [
        (
            "*" if rule["in_force"] else " ",
            _hours(rule["gpu_hours"]),
            _late(rule["late"]),
            f"{rule['rule']}: {rule['text']}",
        )
        for rule in books["rules"]
    ]
    return [
        (
            f"{last(books['days'])} under each rule (* in force), in replica-hours and "
            "late share of the work, from a model of the fleet:"
        ),
        *(f"  {mark} {hours:>9}  {late:>7}  {text}" for mark, hours, late, text in rows),
        (
            f"    {_hours(books['gpu_hours']):>9}  {_late(books['late']):>7}  as it was, measured; "
            f"the model says {_late(books['modelled_late'])} late"
        ),
        f"  setting: {books['why']}",
    ]


def _hours(hours: float | None) -> str:
    return _UNKNOWN if hours is None else f"{hours:,.1f}"


def _late(share: float | None) -> str:
    return _UNKNOWN if share is None else f"{share:.2%}"
