"""What policies have spent in their month, as a short text that outlives the controller's pods."""

import json
import re
from collections.abc import Mapping
from typing import Final

from policies.planning.spending import POLICIES_MAX, PolicySpending

NOTE_CHARACTERS_MAX: Final = 128 * 1024
"""Half of what the annotations of an object may have."""
_NOTED_MAX: Final = 256
"""Policies; with names of 253 characters that is less than the above."""
_USD_MAX: Final = 1e12
_MONTH: Final = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


def spending_note(policies: Mapping[str, PolicySpending]) -> str:
    """The months and their dollars, in cents, of those that cost most; empty = none did."""
    dearest = sorted(policies.items(), key=lambda item: -item[1].usd)[:_NOTED_MAX]
    spent = {name: [one.month, round(one.usd, 2)] for name, one in dearest if one.usd > 0}
    return json.dumps(spent, sort_keys=True) if spent else ""


def spending_in(note: str) -> dict[str, PolicySpending]:
    """What a text of `spending_note` says; of what is none, nothing."""
    if len(note) > NOTE_CHARACTERS_MAX:
        return {}
    try:
        found = json.loads(note)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict) or len(found) > POLICIES_MAX:
        return {}
    return {name: one for name, told in found.items() if (one := _spending(told)) is not None}


def _spending(told: object) -> PolicySpending | None:
    match told:
        case [str(month), int() | float() as usd] if _MONTH.fullmatch(month):
            return PolicySpending(month=month, usd=float(usd)) if 0 <= usd < _USD_MAX else None
    return None
