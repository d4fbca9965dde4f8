"""The rows of the autoscale benchmark, in its three views, from the runs that were made."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields, replace
from statistics import mean

from bench._report import Row
from replay.contest import ORACLE, settings
from replay.frontier import (
    Point,
    at_attainment,
    cheapest,
    cheapest_known,
    picked_nightly,
    without_first_day,
)
from replay.policies.behaviors import OWN
from replay.policies.catalogue import kind_named
from replay.simulate import Result

NIGHTLY = "self-tuned"
HINDSIGHT = "hindsight"
"""The part of the equal view that needs no other traces."""
PEERS = "any-peer"

Runs = dict[tuple[str, float, str], list[Result]]
"""By policy, knob and HPA behavior, one for each seed."""


class Table:
    """Rows from the runs on the judged trace."""

    def __init__(
        self, runs: Runs, seeds: Sequence[int], attainment: float, gpu_usd_hour: float | None
    ) -> None:
        self._runs, self._seeds = runs, seeds
        self._target, self._usd = attainment, gpu_usd_hour

    def usual(self, name: str) -> Row:
        knob = kind_named(name).usual
        return self._of_runs("usual", name, knob, OWN)

    def elsewhere(self, name: str, others: Sequence[Runs]) -> Row:
        """The setting that was cheapest at the target over the other traces together."""
        pooled = [
            _pooled([runs[name, *setting][0] for runs in others])
            for setting in settings(name, sweep=True)
        ]
        best = cheapest(pooled, self._target)
        return self._of_runs("equal, tuned elsewhere", name, best.knob, best.behavior)

    def hindsight(self, name: str) -> Row:
        points = [at_attainment(self._of(name, seed), self._target) for seed in self._seeds]
        return self._of_points("equal, hindsight", name, points)

    def oracle_at(self, attainment: float) -> Row:
        points = [
            cheapest_known(self._of(ORACLE, seed), self._rules(seed), attainment)
            for seed in self._seeds
        ]
        return self._of_points("best schedule found", ORACLE, points)

    def nightly(self, name: str, rules: Sequence[str]) -> Row | None:
        points = []
        for seed in self._seeds:
            results = [result for rule in rules for result in self._of(rule, seed)]
            points.append(picked_nightly(results, self._target))
        return self._of_points(NIGHTLY, name, points) if points[0] else None

    def _of(self, name: str, seed: int) -> list[Result]:
        at = self._seeds.index(seed)
        return [results[at] for (policy, *_), results in self._runs.items() if policy == name]

    def _rules(self, seed: int) -> list[Result]:
        at = self._seeds.index(seed)
        return [results[at] for (policy, *_), results in self._runs.items() if policy != ORACLE]

    def _ratio(
        self, gpu_hours: Sequence[float], attainments: Sequence[float], *, nightly: bool
    ) -> float | None:
        ratios = []
        for seed, hours, attainment in zip(self._seeds, gpu_hours, attainments, strict=True):
            oracle, rules = self._of(ORACLE, seed), self._rules(seed)
            if nightly:
                oracle, rules = (
                    [without_first_day(result) for result in results] for results in (oracle, rules)
                )
            if not oracle:
                return None
            # A rule that is in time more often than the dearest schedule is compared with that one.
            most = max(result.attainment for result in oracle)
            best = cheapest_known(oracle, rules, min(attainment, most))
            assert best is not None
            ratios.append(hours / best.gpu_hours)
        return mean(ratios)

    def _of_runs(self, view: str, name: str, knob: float, behavior: str) -> Row:
        results = self._runs[name, knob, behavior]
        hours = [result.gpu_hours for result in results]
        attainments = [result.attainment for result in results]
        row = self._head(view, name, (knob, behavior), hours, attainments)
        nodes = [result.node_hours for result in results if result.node_hours is not None]
        row["node_hours"] = mean(nodes) if nodes else None
        for field in fields(Result):
            if field.name in _MEASURED:
                row[field.name] = mean(getattr(result, field.name) for result in results)
        return row

    def _of_points(self, view: str, name: str, points: Sequence[Point | None]) -> Row:
        found = [point for point in points if point is not None]
        if len(found) < len(points):
            # No setting gets there; the row says so by its emptiness.
            return self._head(view, name, (None, None), [], []) | dict.fromkeys(_MEASURED)
        knob = mean(point.knob for point in found)
        behaviors = {point.behavior for point in found}
        row = self._head(
            view,
            name,
            # Not a number: another each night.
            (knob if knob == knob else None, "/".join(sorted(behaviors))),  # noqa: PLR0124
            [point.gpu_hours for point in found],
            [point.attainment for point in found],
        )
        return row | dict.fromkeys(_MEASURED)

    def _head(
        self,
        view: str,
        name: str,
        setting: tuple[float | None, str | None],
        gpu_hours: Sequence[float],
        attainments: Sequence[float],
    ) -> dict[str, str | float | None]:
        hours = mean(gpu_hours) if gpu_hours else None
        return {
            "view": view,
            "policy": name,
            "knob": setting[0],
            "behavior": setting[1],
            "gpu_hours": hours,
            "oracle_ratio": self._ratio(gpu_hours, attainments, nightly=view == NIGHTLY)
            if gpu_hours
            else None,
            "node_hours": None,
            "cost_usd": None if self._usd is None or hours is None else hours * self._usd,
            "attainment": mean(attainments) if attainments else None,
            "attainment_spread": max(attainments) - min(attainments)
            if len(attainments) > 1
            else None,
        }


_MEASURED = (
    "ttft_p50", "ttft_p95", "ttft_p99", "itl_p99", "errors", "cold_start_affected", "actions",
    "flips",
)  # fmt: skip


def _pooled(results: Sequence[Result]) -> Result:
    """One knob over several traces: every trace counts the same."""
    return replace(
        results[0],
        attainment=mean(result.attainment for result in results),
        gpu_hours=sum(result.gpu_hours for result in results),
    )


def over_traces(rows: Sequence[Row]) -> list[Row]:
    """One row for each start-up, view and policy: the mean and the worst over the traces."""
    groups: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["startup"], row["view"], row["policy"]].append(row)
    return [_over(group) for group in groups.values()]


def _over(group: Sequence[Row]) -> Row:
    attainments, ratios, hours = (
        [value for row in group if isinstance(value := row[field], float)]
        for field in ("attainment", "oracle_ratio", "gpu_hours")
    )
    first = group[0]
    # A trace on which no setting gets there would drop out of its rule's sum alone.
    complete = len(hours) == len(group)
    return {
        "startup": first["startup"],
        "view": first["view"],
        "policy": first["policy"],
        "traces": len(hours),
        "attainment_mean": mean(attainments) if attainments else None,
        "attainment_worst": min(attainments, default=None),
        "gpu_hours": sum(hours) if complete else None,
        "oracle_ratio_mean": mean(ratios) if ratios else None,
        "oracle_ratio_worst": max(ratios, default=None),
    }
