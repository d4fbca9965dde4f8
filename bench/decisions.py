"""`python -m bench decisions`: what it costs to keep the decisions of many workloads.

A few workloads are looked at and forecast for some hours. Their accounts stand for those of all:
each minute a share of the workloads gets other replicas, and the keeper does what it does in
`foresail serve`: it makes the accounts on the event loop, and a thread writes them. Shown are both
for a minute, the longest time that one account holds up the loop, the size of the file, and a
question about a past moment.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import sin
from pathlib import Path
from time import perf_counter

import structlog
from typing_extensions import override

from bench._decisions_workloads import EPOCH, lived
from bench._report import Row, show
from foresail.explain import workload, workload_text
from foresail.explain.decision_keeper import DecisionKeeper
from foresail.explain.decision_log import Bounds, DecisionLog, Entry
from scaler.decision.answers import Reference
from scaler.serving.feeds import WorkloadStatus
from scaler.serving.plan_book import NoReaders

_DAY_SECONDS = 86_400.0
_MEBIBYTE = 2**20


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench decisions", description=__doc__)
    parser.add_argument("--workloads", type=int, default=2000, help="that are kept")
    parser.add_argument("--minutes", type=int, default=20, help="of decisions")
    parser.add_argument("--changed", type=float, default=0.2, help="share of them each minute")
    parser.add_argument("--hours", type=float, default=3.0, help="that each account lived through")
    parser.add_argument("--mebibytes", type=int, default=512, help="bound of the file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the rows as JSON")
    options = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    statuses = asyncio.run(lived(hours=options.hours))
    with tempfile.TemporaryDirectory() as folder:
        bounds = Bounds(
            seconds=7 * _DAY_SECONDS, per_workload=1000, size_bytes=options.mebibytes * _MEBIBYTE
        )
        timed = Timed(Path(folder), bounds)
        fleet = Fleet(statuses, options.workloads, options.changed)
        row = asyncio.run(kept(timed, fleet, options.minutes))
    show("decisions", vars(options), [row], options.json)


class Timed(DecisionLog):
    """Counts the time in its thread."""

    seconds = 0.0
    entries = 0

    @override
    def append(self, entries: Sequence[Entry], *, now_seconds: float) -> None:
        begun = perf_counter()
        super().append(entries, now_seconds=now_seconds)
        self.seconds += perf_counter() - begun
        self.entries += len(entries)

    @override
    def prune(self, *, now_seconds: float) -> None:
        begun = perf_counter()
        super().prune(now_seconds=now_seconds)
        self.seconds += perf_counter() - begun


@dataclass(slots=True)
class Fleet:
    """Workloads with the accounts of a few, and replicas of their own."""

    statuses: Sequence[WorkloadStatus]
    count: int
    changed: float
    minute: int = 0
    references: dict[Reference, int] = field(init=False)

    def __post_init__(self) -> None:
        names = (Reference.of("llm", f"chat-{number}", {}) for number in range(self.count))
        self.references = {reference: number for number, reference in enumerate(names)}

    def touched(self) -> list[Reference]:
        """Of this minute: another part of the fleet each time, all of it in the first."""
        every = 1 if self.minute == 0 else max(1, round(1 / self.changed))
        return [one for one, n in self.references.items() if (n + self.minute) % every == 0]

    def status(self, reference: Reference) -> WorkloadStatus:
        number = self.references[reference]
        status = self.statuses[number % len(self.statuses)]
        plan = status.cycle_state.plan
        assert plan is not None
        replicas = 2 + round(20 * (1 + sin(number + self.minute / 3))) + self.minute % 2
        plan = replace(plan, desired=replicas, planned=replicas)
        state = replace(status.cycle_state, plan=plan)
        return replace(status, reference=reference, cycle_state=state)


async def kept(timed: Timed, fleet: Fleet, minutes: int) -> Row:
    now = [EPOCH]
    keeper = DecisionKeeper(timed, NoReaders(), wall=lambda: now[0], steady=lambda: now[0])
    first_seconds, all_seconds = 0.0, 0.0
    for minute in range(minutes):
        fleet.minute = minute
        now[0] += 60.0
        for reference in fleet.touched():
            keeper.changed(reference)
        begun = perf_counter()
        await keeper.write_changes(fleet.status)
        all_seconds += perf_counter() - begun
        if minute == 0:  # every workload at once, as after a start
            first_seconds = all_seconds
            all_seconds, timed.seconds, timed.entries = 0.0, 0.0, 0
    entries, thread_seconds = timed.entries, timed.seconds
    asked = [_question(timed, number, now[0]) for number in range(50)]
    accounts = sorted(_account_seconds(fleet, one) for one in fleet.touched()[:500])
    keeper.close()
    size = timed.path.stat().st_size
    return {
        "workloads": fleet.count,
        "decisions_a_minute": entries / max(1, minutes - 1),
        "loop_ms_a_minute": 1000 * (all_seconds - thread_seconds) / max(1, minutes - 1),
        "longest_account_ms": 1000 * accounts[-1],
        "thread_ms_a_minute": 1000 * thread_seconds / max(1, minutes - 1),
        "start_seconds": first_seconds,
        "bytes_a_decision": size / (entries + fleet.count),
        "file_mib": size / _MEBIBYTE,
        "question_ms": 1000 * sorted(asked)[len(asked) // 2],
    }


def _question(decisions: DecisionLog, number: int, now_seconds: float) -> float:
    begun = perf_counter()
    found = decisions.at(f"llm/chat-{number}", now_seconds - 30)
    assert found.decisions
    return perf_counter() - begun


def _account_seconds(fleet: Fleet, reference: Reference) -> float:
    status = fleet.status(reference)
    begun = perf_counter()
    _ = workload_text.kept(workload.account(status, now_seconds=EPOCH))
    return perf_counter() - begun
