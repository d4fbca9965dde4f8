"""The last answers, to explain them: the best nodes, with columns, and why others were refused.

All of it is bounded: so many pods, and of each so many nodes and reasons. kube-scheduler asks twice
for a pod, which nodes can take it and then which is best, and again whenever it tries the pod anew;
the last answer of each kind stands.
"""

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import numpy as np

from fleet.cluster import pods as records
from scheduler.fit import Filtered
from scheduler.placement import Int
from scheduler.pods import Pod
from scheduler.score.columns import Columns, Term, total

PODS_MAX: Final = 256
NODES_MAX: Final = 5
REASONS_MAX: Final = 8
EXAMPLES_MAX: Final = 3
EXPLAIN: Final = "foresail.io/explain"
"""Annotation of a pod; with the value `event` its answers are told in Events."""
_TEXT_MAX: Final = 200
"""Characters of a reason, which may quote what a tenant wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One node that can take the pod."""

    node: str
    score: int
    """As kube-scheduler got it."""
    milli: float
    """Sum of the columns, in thousandths of a GPU."""
    columns: Mapping[Term, float]
    """Without those that are 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Nodes that cannot take the pod, for one reason."""

    reason: str
    nodes: int
    examples: tuple[str, ...]
    for_now: bool
    """Room may come; else not even the empty node could take the pod."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementAnswer:
    """What kube-scheduler was answered about one pod."""

    pod: str
    """With its namespace."""
    uid: str
    at_seconds: float
    """By the extender's clock."""
    asked: int
    """Nodes that kube-scheduler asked about."""
    passed: int
    candidates: tuple[Candidate, ...] = ()
    """The best first."""
    refusals: tuple[Refusal, ...] = ()
    """The most frequent first."""
    reasons_left_out: int = 0
    note: str | None = None
    """Why all nodes passed, or had the same score, where too little was known."""


class Answers:
    """Of the pods that were asked about last."""

    def __init__(self) -> None:
        self._filtered: OrderedDict[str, PlacementAnswer] = OrderedDict()
        self._scored: OrderedDict[str, PlacementAnswer] = OrderedDict()

    def of(self, pod: str) -> PlacementAnswer | None:
        """The last answer about this pod, by `namespace/name`; None = none is kept."""
        filtered, scored = self._filtered.get(pod), self._scored.get(pod)
        if filtered is None or scored is None:
            return filtered or scored
        if scored.uid != filtered.uid or scored.at_seconds < filtered.at_seconds:
            return filtered  # it was asked about again since, and no node was scored yet
        return replace(filtered, at_seconds=scored.at_seconds, candidates=scored.candidates)

    def filtered(
        self, pod: Pod, asked: int, result: Filtered, *, note: str | None, now_seconds: float
    ) -> None:
        """Keep which nodes could take the pod.

        Args:
            pod: which was asked about.
            asked: nodes that kube-scheduler asked about.
            result: its answer.
            note: why all nodes passed where too little was known.
            now_seconds: by the extender's clock.
        """
        refusals, left_out = _refusals(result)
        answer = PlacementAnswer(
            pod=pod.name,
            uid=pod.uid,
            at_seconds=now_seconds,
            asked=asked,
            passed=len(result.passed),
            refusals=refusals,
            reasons_left_out=left_out,
            note=note and note[:_TEXT_MAX],
        )
        _keep(self._filtered, answer)

    def scored(
        self,
        pod: Pod,
        names: Sequence[str],
        rows: Int,
        scored: tuple[Columns, Sequence[int]],
        *,
        now_seconds: float,
    ) -> None:
        """Keep the best of the nodes that were asked about.

        Args:
            pod: which was asked about.
            names: of those nodes.
            rows: shape ``(len(names),)``, their rows in the columns; -1 = not known.
            scored: the columns of all nodes, and the scores of `names`.
            now_seconds: by the extender's clock.
        """
        columns, scores = scored
        sums = np.append(total(columns), -np.inf)[rows]
        likely = np.argpartition(-sums, min(NODES_MAX, len(names) - 1))[:NODES_MAX].tolist()
        # Of equals the one that kube-scheduler got the highest score for comes first.
        best = scores.index(max(scores))
        order = sorted({best, *likely}, key=lambda at: (-scores[at], -sums[at], names[at]))
        candidates = tuple(
            Candidate(
                node=names[at],
                score=int(scores[at]),
                milli=float(sums[at]),
                columns={
                    term: float(column[rows[at]])
                    for term, column in columns.items()
                    if column[rows[at]]
                },
            )
            for at in order[:NODES_MAX]
            if np.isfinite(sums[at])
        )
        answer = PlacementAnswer(
            pod=pod.name,
            uid=pod.uid,
            at_seconds=now_seconds,
            asked=len(names),
            passed=len(names),
            candidates=candidates,
        )
        _keep(self._scored, answer)


def wants_event(pod: records.Pod) -> bool:
    """Whether the pod asks for Events about its placement."""
    return pod.annotations.get(EXPLAIN) == "event"


def _keep(kept: OrderedDict[str, PlacementAnswer], answer: PlacementAnswer) -> None:
    kept[answer.pod] = answer
    kept.move_to_end(answer.pod)
    if len(kept) > PODS_MAX:
        kept.popitem(last=False)


def _refusals(result: Filtered) -> tuple[tuple[Refusal, ...], int]:
    """The reasons that refused most nodes, and how many reasons are left out."""
    counted: Counter[tuple[str, bool]] = Counter()
    for refused, for_now in ((result.failed, True), (result.unresolvable, False)):
        counted.update({(why, for_now): count for why, count in Counter(refused.values()).items()})
    refusals = []
    for (why, for_now), count in counted.most_common(REASONS_MAX):
        refused = result.failed if for_now else result.unresolvable
        named = islice((node for node, text in refused.items() if text == why), EXAMPLES_MAX)
        refusals.append(
            Refusal(reason=why[:_TEXT_MAX], nodes=count, examples=tuple(named), for_now=for_now)
        )
    return tuple(refusals), len(counted) - len(refusals)
