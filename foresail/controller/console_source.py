"""The controller as a source of the console: plans as it hears them, and its own last round.

Plans come by events in the program's loop; pages ask in a thread of their own. Each question works
on a copy, and what it found is kept for a moment, so that many readers cost as much as one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from foresail.client import Changed, Plan, Removed, Snapshot
from foresail.console.history import Bounds, History
from foresail.console.records import Fleet, Nodes, WorkloadPage, WorkloadRow
from foresail.console.workload_page import Paid, page_of
from foresail.console.workload_row import key_of, row_of
from foresail.controller.node_records import WorkloadCost, nodes_of, workload_costs
from foresail.controller.rounds import ClusterRound
from foresail.plans_api.events import Event
from scaler.clock import Clock
from scaler.durations import format_duration

REFRESH_SECONDS: Final = 2.0
OLD_SECONDS: Final = 600.0
"""Of the last round; there is one each two minutes."""
_BOUNDS: Final = Bounds(step_seconds=60.0, samples_max=360, decisions_max=12)
"""Six hours of each workload: about 12 kB, and 24 MB for 2,000."""
_WATCHES_NONE: Final = "the controller asks no Plans API: name one with --plans"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    """A plan, and when it came on the monotonic clock."""

    plan: Plan
    at_seconds: float
    history: History

    def stands(self, now_seconds: float) -> bool:
        valid = self.plan.valid_for_seconds
        return valid is not None and now_seconds - self.at_seconds < valid

    def now(self, now_seconds: float) -> Plan:
        """The plan with the age that it has by now."""
        passed = now_seconds - self.at_seconds
        valid, age = self.plan.valid_for_seconds, self.plan.age_seconds
        return replace(
            self.plan,
            valid_for_seconds=None if valid is None or valid <= passed else valid - passed,
            age_seconds=None if age is None else age + passed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfRound:
    """What was made of a round, for as long as it is the last."""

    made: ClusterRound
    nodes: Nodes
    costs: Mapping[str, WorkloadCost]


@dataclass(frozen=True, slots=True, kw_only=True)
class _MadeRow:
    """A row, and what it was made of."""

    heard: _Heard
    of_round: _OfRound | None
    row: WorkloadRow


@dataclass(slots=True, kw_only=True)
class ControllerSource:
    """Takes the events of a watch of plans, and looks at rounds."""

    cluster: str
    last: Callable[[], ClusterRound | None]
    trouble: Callable[[], str | None]
    """Why there is nothing to decide on now."""
    plans_trouble: Callable[[], str | None]
    """Why no more plans are heard."""
    watches: bool
    """Whether plans are asked for."""
    steady: Clock
    wall: Clock
    refresh_seconds: float = REFRESH_SECONDS
    _heard: dict[str, _Heard] = field(default_factory=dict)
    _synced: bool = False
    _round: _OfRound | None = None
    _fleet: tuple[float, Fleet] | None = None
    _rows: dict[str, _MadeRow] = field(default_factory=dict)
    """As they were made the last time: most are the same the next time."""

    def take(self, event: Event) -> None:
        """Take an event of the watch."""
        match event:
            case Snapshot(plans=plans):
                keep = {key_of(plan.workload) for plan in plans}
                for key in self._heard.keys() - keep:
                    del self._heard[key]
                for plan in plans:
                    self._take(plan)
                self._synced = True
            case Changed(plan=plan):
                self._take(plan)
            case Removed(workload=workload):
                self._heard.pop(key_of(workload), None)

    def _take(self, plan: Plan) -> None:
        key = key_of(plan.workload)
        before = self._heard.get(key)
        history = History(_BOUNDS) if before is None else before.history
        history.take(plan)
        self._heard[key] = _Heard(plan=plan, at_seconds=self.steady(), history=history)

    def fleet(self) -> Fleet:
        """The first page, at most as old as pages are drawn."""
        now = self.steady()
        if self._fleet is not None and now - self._fleet[0] < self.refresh_seconds / 2:
            return self._fleet[1]
        of_round = self._of_round()
        fleet = Fleet(
            source=self.cluster,
            at_seconds=self.wall(),
            workloads=self._all_rows(now, of_round),
            plans_missing=self._plans_missing(),
            nodes=None if of_round is None else of_round.nodes,
            nodes_missing=self.trouble() if of_round is None else None,
            nodes_old=self._old(of_round),
        )
        self._fleet = (now, fleet)
        return fleet

    def workload(self, key: str) -> WorkloadPage | None:
        """The page of a workload."""
        heard, of_round = self._heard.get(key), self._of_round()
        if heard is None:
            return None
        plan = heard.now(self.steady())
        cost = _cost(plan, of_round)
        page = page_of(
            plan,
            self._row(plan, of_round),
            heard.history,
            source=self.cluster,
            paid=Paid(usd_per_gpu_hour=None if cost is None else cost.usd_per_replica_hour),
        )
        old = None if cost is None else self._old(of_round)
        return page if old is None else replace(page, remarks=(*page.remarks, f"dollars are {old}"))

    def keys_of(self, namespace: str, name: str) -> Sequence[str]:
        """The keys of its triggers."""
        return [
            key
            for key, one in list(self._heard.items())
            if (one.plan.workload.namespace, one.plan.workload.name) == (namespace, name)
        ]

    def _all_rows(self, now: float, of_round: _OfRound | None) -> tuple[WorkloadRow, ...]:
        before = self._rows
        after = {
            key: _made(before.get(key), heard, of_round, now)
            or _MadeRow(heard=heard, of_round=of_round, row=self._row(heard.now(now), of_round))
            for key, heard in list(self._heard.items())
        }
        self._rows = after
        return tuple(one.row for one in after.values())

    def _row(self, plan: Plan, of_round: _OfRound | None) -> WorkloadRow:
        cost = _cost(plan, of_round)
        return row_of(plan, usd_per_hour=None if cost is None else cost.usd_per_hour)

    def _of_round(self) -> _OfRound | None:
        made, before = self.last(), self._round
        if made is None or (before is not None and before.made is made):
            return None if made is None else before
        found = _OfRound(made=made, nodes=nodes_of(made), costs=workload_costs(made))
        self._round = found
        return found

    def _old(self, of_round: _OfRound | None) -> str | None:
        if of_round is None:
            return None
        at_seconds, trouble = of_round.made.at_seconds, self.trouble()
        age_seconds = max(0.0, self.wall() - at_seconds)
        if trouble is None and age_seconds <= OLD_SECONDS:
            return None
        why = trouble or "no round was made since"
        when = datetime.fromtimestamp(at_seconds, UTC)
        return f"of {when:%Y-%m-%d %H:%M} UTC, {format_duration(age_seconds)} ago: {why}"

    def _plans_missing(self) -> str | None:
        if not self.watches:
            return _WATCHES_NONE
        return self.plans_trouble() or (None if self._synced else "no plan was heard yet")


def _cost(plan: Plan, of_round: _OfRound | None) -> WorkloadCost | None:
    if of_round is None or plan.on_watch_list:
        return None
    return of_round.costs.get(f"{plan.workload.namespace}/{plan.workload.name}")


def _made(
    before: _MadeRow | None, heard: _Heard, of_round: _OfRound | None, now_seconds: float
) -> _MadeRow | None:
    """The row as it was made before, where it would be the same."""
    if before is None or before.heard is not heard or before.of_round is not of_round:
        return None
    return before if heard.stands(now_seconds) else None
