"""What a server with Prometheus's API says beside its data: warnings, and that a part is missing.

Thanos, Mimir, Cortex and VictoriaMetrics ask several stores. Where one of them does not answer,
some send the sum of the others with HTTP 200, which looks like less demand. Prometheus's own
warnings of a query begin with `PromQL`. Every other warning is of a store: a remote read that
failed, no store that matched, a result that was cut off.
"""

from dataclasses import dataclass
from typing import Final

from fleet.documents import Json

WHOLE_OR_NOTHING: Final = {"partial_response": "false", "deny_partial_response": "1"}
"""For Thanos and VictoriaMetrics: an error instead of a part. Prometheus ignores it."""
_OF_THE_QUERY: Final = "PromQL "
_NOTES_MAX: Final = 4
_NOTE_CHARACTERS: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerNotes:
    """Of one answer."""

    missing: str | None = None
    """Why a part of the data may be missing; None = nothing says so."""
    remarks: tuple[str, ...] = ()
    """Warnings and infos about the query."""


def notes_of(answer: Json) -> AnswerNotes:
    """The notes of an answer with status 200."""
    warnings, infos = _texts(answer, "warnings"), _texts(answer, "infos")
    of_stores = [one for one in warnings if not one.startswith(_OF_THE_QUERY)]
    missing = None
    if of_stores:
        missing = f"a partial answer: {'; '.join(of_stores[:_NOTES_MAX])}"
    elif answer.get("isPartial") is True:
        missing = "a partial answer: isPartial, not all stores answered"
    remarks = [one for one in (*warnings, *infos) if one not in of_stores]
    return AnswerNotes(missing=missing, remarks=tuple(remarks[:_NOTES_MAX]))


def _texts(answer: Json, name: str) -> list[str]:
    """Each text once, in one line and not too long."""
    every = answer.get(name)
    texts = (one for one in every if isinstance(one, str)) if isinstance(every, list) else ()
    lines = (" ".join(one[: 2 * _NOTE_CHARACTERS].split())[:_NOTE_CHARACTERS] for one in texts)
    return list(dict.fromkeys(line for line in lines if line))
