"""The parts of a node's score: a column of numbers for each term, and their sum.

A term is named where its column is worked out, beside its constants. `scheduler.score.terms` lists
all of them; one more is one more `Term` there, and one more entry in the columns that
`Preferences.columns` or `FillRule.rank` gives.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from scheduler.placement import Bool, Float


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One reason for or against a node."""

    name: str
    """As explanations and JSON show it."""
    meaning: str
    """Its row in docs/scheduler.md."""
    amount: str
    """In thousandths of a GPU, as that row has it."""


Columns: TypeAlias = dict[Term, Float]
"""Each term's part of the score, shape ``(N,)``, in GPU milli; a term that is not there is 0."""


def total(columns: Mapping[Term, Float]) -> Float:
    """The score of each node, shape ``(N,)``; -inf where the pod does not fit."""
    first, *others = columns.values()
    scores = first.copy()
    for column in others:
        scores += column
    return scores


def take_rows(into: Columns, columns: Mapping[Term, Float], rows: Bool) -> None:
    """Copy these rows of `columns`; all other rows of a new term are 0."""
    for term, column in columns.items():
        into.setdefault(term, np.zeros(len(rows)))[rows] = column[rows]


def signed(milli: float) -> str:
    """An amount as the table has it: `+50`, `−300`."""
    return f"{'+' if milli > 0 else '−'}{abs(milli):g}"
