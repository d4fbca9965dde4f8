"""The rows of the benchmark, and its summary over all traces."""

from collections.abc import Callable, Sequence
from math import exp, log

import numpy as np

from bench._nodes_policies import (
    FIXED,
    FORESAIL,
    FORESAIL_PERFECT,
    HYBRID,
    ORACLE,
    REPLICA_SET,
    SKI_RENTAL,
    Draw,
    Runs,
    tuned_elsewhere,
)
from bench._nodes_run import Run
from bench._report import Row
from fleet.reasons import Reason

USUAL = "usual"
TUNED = "tuned-elsewhere"
NIGHTLY = "self-tuned"
_MANY = 2
_JUDGED = (FORESAIL, FORESAIL_PERFECT, SKI_RENTAL, HYBRID)
_RunOf = Callable[[Runs | Draw, float], Run]
"""A policy's run, over all draws or in one, at a rho."""


def rows_of(
    runs: Runs, summary: "Summary", rho: float, views: Sequence[str], usd: float | None
) -> list[Row]:
    """All rows of one place at one rho."""
    found: list[tuple[str, str, Run]] = []
    if USUAL in views:
        found += [(USUAL, name, runs.of(name, rho)) for name in summary.policies]
    if TUNED in views and (name := summary.fixed(runs, rho)):
        found.append((TUNED, f"fixed ({name})", runs.of(name, rho)))
    if NIGHTLY in views:
        found.append((NIGHTLY, "fixed", runs.fixed_nightly(rho)))
        found.append((NIGHTLY, FORESAIL, runs.foresail_nightly(rho)))
    return [
        _row(runs, result, view=view, policy=policy, rho=rho, usd=usd)
        for view, policy, result in found
    ]


def _row(runs: Runs, result: Run, *, view: str, policy: str, rho: float, usd: float | None) -> Row:
    """What one policy did on one place, in the fields of the contract."""
    waits = result.waits_seconds
    delayed = float((waits > 0).sum()) / result.draws
    p50, p95, p99 = np.percentile(waits, [50, 95, 99]) if len(waits) else (0.0, 0.0, 0.0)
    hours = result.gpu_seconds / 3600
    return {
        "trace": runs.place.name,
        "view": view,
        "policy": policy,
        "gpus_per_node": runs.place.gpus_per_node,
        "rho": rho,
        "cost": result.cost(rho),
        "gpu_hours": hours,
        "idle_gpu_hours": result.idle_hours,
        "idle_by_reason": _by_reason(result.idle_gpu_seconds),
        "launches": result.launches,
        "pods_delayed": delayed,
        "wait_mean": float(waits.mean()) if len(waits) else 0.0,
        "wait_p50": float(p50),
        "wait_p95": float(p95),
        "wait_p99": float(p99),
        "cost_usd": None if usd is None else hours * usd,
    }


def _by_reason(idle: dict[Reason, float]) -> str:
    """GPU-hours, the largest first."""
    parts = sorted(idle.items(), key=lambda item: -item[1])
    return ", ".join(f"{reason.value} {seconds / 3600:.1f}" for reason, seconds in parts if seconds)


class Summary:
    """Foresail against the one `consolidateAfter` that was best on the other traces."""

    def __init__(self, places: Sequence[Runs], policies: Sequence[str]) -> None:
        self.policies = policies
        self._places = places

    def fixed(self, runs: Runs, rho: float) -> str:
        """The best one elsewhere; with no other trace there is none."""
        others = [one for one in self._places if one is not runs]
        return tuned_elsewhere(others, rho) if others else ""

    def tables(self, rhos: Sequence[float], views: Sequence[str]) -> dict[str, list[Row]]:
        if len(self._places) < _MANY or FORESAIL not in self.policies:
            return {}
        judged = [name for name in _JUDGED if name in self.policies]
        gaps = [self._gap(rho, name, _of_policy(name)) for rho in rhos for name in judged]
        if NIGHTLY in views:
            gaps += [self._gap(rho, "fixed, self-tuned", _fixed_nightly) for rho in rhos]
            gaps += [self._gap(rho, "foresail, self-tuned", _foresail_nightly) for rho in rhos]
        return {
            "gap": gaps,
            "idle": [self._idle(rho) for rho in rhos],
            "replicaset": [self._against_replica_set(rho) for rho in rhos],
        }

    def _gap(self, rho: float, policy: str, run_of: _RunOf) -> Row:
        """The share of the gap fixed -> oracle that a policy closes."""
        fixed = [self.fixed(runs, rho) for runs in self._places]

        def costs_of(places: Sequence[Runs | Draw]) -> list[tuple[float, float, float]]:
            return [
                (
                    one.of(name, rho).cost(rho),
                    run_of(one, rho).cost(rho),
                    one.of(ORACLE, rho).cost(rho),
                )
                for one, name in zip(places, fixed, strict=True)
            ]

        costs = costs_of(self._places)
        draws = zip(*(runs.draws for runs in self._places), strict=True)
        by_draw = [_pooled(costs_of(draw)) for draw in draws]
        ratios = [policys / fixed for fixed, policys, _ in costs]
        worst = max(range(len(ratios)), key=lambda place: ratios[place])
        return {
            "policy": policy,
            "gpus_per_node": self._places[0].place.gpus_per_node,
            "rho": rho,
            "gap_closed_pooled": _pooled(costs),
            "gap_closed_by_draw": ", ".join(f"{share:.1%}" for share in by_draw),
            "cost_change_geometric": exp(sum(map(log, ratios)) / len(ratios)) - 1,
            "worst_trace": self._places[worst].place.name,
            "worst_change": ratios[worst] - 1,
            "gap_closed_by_trace": ", ".join(
                f"{runs.place.name} {_share(*cost):.0%}"
                for runs, cost in zip(self._places, costs, strict=True)
            ),
        }

    def _idle(self, rho: float) -> Row:
        """Idle GPU-hours of Foresail against the fixed rule as it is, and at equal mean wait."""
        mine = fixed = equal = waits_mine = waits_fixed = 0.0
        for runs in self._places:
            result, other = runs.of(FORESAIL, rho), runs.of(self.fixed(runs, rho), rho)
            mine += result.idle_hours
            fixed += other.idle_hours
            equal += _idle_at_wait(runs, rho, _mean(result))
            waits_mine += float(result.waits_seconds.sum())
            waits_fixed += float(other.waits_seconds.sum())
        return {
            "gpus_per_node": self._places[0].place.gpus_per_node,
            "rho": rho,
            "idle_gpu_hours": mine,
            "against_fixed": mine / fixed - 1,
            "wait_against_fixed": waits_mine / waits_fixed - 1,
            "at_equal_mean_wait": mine / equal - 1,
        }

    def _against_replica_set(self, rho: float) -> Row:
        """All GPU-hours against `WhenEmpty` 10 min with the ReplicaSet's choice, and the waits."""
        mine = [runs.of(FORESAIL, rho) for runs in self._places]
        others = [runs.of(REPLICA_SET, rho) for runs in self._places]
        choice = [runs.of("empty-10m", rho) for runs in self._places]
        hours = [sum(run.gpu_seconds for run in of) / 3600 for of in (mine, others, choice)]
        return {
            "gpus_per_node": self._places[0].place.gpus_per_node,
            "rho": rho,
            "gpu_hours": hours[0],
            "empty_10m_replicaset": hours[1],
            "change": hours[0] / hours[1] - 1,
            "change_by_pod_choice_alone": hours[2] / hours[1] - 1,
            "wait_mean": _mean(*mine),
            "wait_mean_replicaset": _mean(*others),
        }


def _of_policy(name: str) -> _RunOf:
    return lambda runs, rho: runs.of(name, rho)


def _fixed_nightly(runs: Runs | Draw, rho: float) -> Run:
    return runs.fixed_nightly(rho)


def _foresail_nightly(runs: Runs | Draw, rho: float) -> Run:
    return runs.foresail_nightly(rho)


def _mean(*runs: Run) -> float:
    return float(np.concatenate([run.waits_seconds for run in runs]).mean())


def _idle_at_wait(runs: Runs, rho: float, wait_seconds: float) -> float:
    """What fixed rules take for a mean wait, between two of them in a straight line."""
    fixed = [runs.of(name, rho) for name in FIXED]
    points = sorted((_mean(run), run.idle_hours) for run in fixed)
    waits, idle = zip(*points, strict=True)
    return float(np.interp(wait_seconds, waits, idle))


def _pooled(costs: Sequence[tuple[float, float, float]]) -> float:
    """The share of the sums over all traces."""
    fixed, policys, best = (sum(column) for column in zip(*costs, strict=True))
    return _share(fixed, policys, best)


def _share(fixed: float, policys: float, best: float) -> float:
    return (fixed - policys) / (fixed - best) if fixed != best else 0.0
