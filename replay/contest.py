"""Many runs of many rules on all cores; a run that a file already holds is not repeated.

A single run, and all of them on a single core, are made in the process that asks.

A finished run is one line of JSON in that file, under a digest of everything it depends on, the
code included. An interrupted contest reads it and runs only what is missing.
"""

import json
import os
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread

from pydantic import TypeAdapter

from replay.oracle import best_found
from replay.policies.behaviors import BEHAVIORS, OWN
from replay.policies.catalogue import kind_named
from replay.policies.own_rule import OwnRule
from replay.policies.port import Policy, PolicyKind
from replay.replay_input import Platform, ReplayInput, draw_input
from replay.simulate import Result, simulate
from replay.traces import Trace
from replay.traffic import DAY_SECONDS
from scaler.forecast.trees import read as read_trees

ORACLE = "oracle"
_RESULT = TypeAdapter(Result)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scenario:
    """What replay inputs are drawn from."""

    trace: Trace
    platform: Platform
    replicas_mean: float | None
    """Replicas that the mean demand keeps busy; None = as recorded."""
    days_max: float | None = None
    """Judge only the first days."""
    prior: bytes | None = None
    """Of the forecaster, as a file holds it; None = the shipped one."""
    rules: tuple[OwnRule, ...] = ()
    """Beside those of the catalogue."""

    def kind(self, name: str) -> PolicyKind:
        """A rule of the catalogue, or one of the scenario's own."""
        own = next((rule for rule in self.rules if rule.name == name), None)
        return own.kind() if own else kind_named(name)

    def draw(self, seed: int) -> ReplayInput:
        drawn = draw_input(
            self.trace,
            self.platform,
            seed=seed,
            replicas_mean=self.replicas_mean,
            prior=None if self.prior is None else read_trees(self.prior),
        )
        return drawn if self.days_max is None else drawn.first(int(self.days_max * DAY_SECONDS))

    def digest(self) -> str:
        """Of everything a run on this scenario depends on."""
        arrays = (
            self.trace.requests_per_second,
            self.trace.prompt_tokens,
            self.trace.output_tokens,
        )
        settings_used = (
            _code(), self.trace.step_seconds, self.platform, self.replicas_mean, self.days_max,
            self.rules, self.trace.begin_seconds,
        )  # fmt: skip
        parts = (*(a.tobytes() for a in arrays), self.prior or b"", repr(settings_used).encode())
        return sha256(b"".join(parts)).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One run of one rule."""

    scenario: int
    """Place in the scenarios."""
    policy: str
    knob: float
    """Of the oracle: the price of a late request."""
    seed: int
    behavior: str = OWN
    """Of the HPA behind it: one of `BEHAVIORS`, or the rule's own."""
    marks: bool = False
    """Keep what plots need."""
    cut_seconds: int | None = None
    """Account for what was before and after that second apart, too."""


def knobs(kind: PolicyKind, *, sweep: bool) -> tuple[float, ...]:
    """The usual setting, or with it all that a sweep covers."""
    return tuple(sorted({kind.usual, *kind.knobs})) if sweep else (kind.usual,)


def settings(policy: str, *, sweep: bool) -> tuple[tuple[float, str], ...]:
    """Knobs and HPA behaviors: with the sweep every knob under every behavior that applies."""
    kind = kind_named(policy)
    behaviors = (OWN, *BEHAVIORS) if sweep and kind.with_behavior else (OWN,)
    return tuple((knob, behavior) for behavior in behaviors for knob in knobs(kind, sweep=sweep))


def contest(
    scenarios: Sequence[Scenario],
    entries: Sequence[Entry],
    *,
    kept: Path | None = None,
    progress: Callable[[], None] = lambda: None,
) -> dict[Entry, Result]:
    """Run the entries.

    Args:
        kept: file of finished runs; those found there are not run again.
        progress: called for each run that is finished or found.
    """
    finished = _read(kept)
    digests = [scenario.digest() for scenario in scenarios]
    keys = {entry: _key(digests[entry.scenario], entry) for entry in entries}
    results = {entry: finished[key] for entry, key in keys.items() if key in finished}
    for _ in results:
        progress()
    missing = [entry for entry in entries if entry not in results]
    for entry, result in _run_all(scenarios, missing):
        results[entry] = result
        if kept is not None:
            line = json.dumps({"key": keys[entry], "result": _RESULT.dump_python(result)})
            with kept.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        progress()
    return {entry: results[entry] for entry in entries}


def by_policy(results: dict[Entry, Result], *, scenario: int, seed: int) -> dict[str, list[Result]]:
    """Results of one scenario and seed, each rule's in the order of its knobs."""
    found: dict[str, list[Result]] = defaultdict(list)
    for entry in sorted(results, key=lambda entry: entry.knob):
        if (entry.scenario, entry.seed) == (scenario, seed):
            found[entry.policy].append(results[entry])
    return dict(found)


def _run_all(
    scenarios: Sequence[Scenario], entries: Sequence[Entry]
) -> Iterator[tuple[Entry, Result]]:
    workers = min(os.cpu_count() or 1, len(entries))
    if workers <= 1:
        player = _Player(scenarios)
        for entry in entries:
            yield entry, player.run(entry)
        return
    # A process that was forked off threads may hang; one that is spawned reads no state of ours.
    context = get_context("spawn")
    worker_end, main_end = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, _take, (scenarios, worker_end))
    try:
        runs = {pool.submit(_run, entry): entry for entry in entries}
        for run in as_completed(runs):
            yield runs[run], run.result()
    finally:
        # An interrupted contest does not wait for the runs that it has begun.
        main_end.close()
        pool.shutdown(cancel_futures=True)


class _Player:
    """Runs entries one after the other; those of one scenario and seed share what is drawn."""

    def __init__(self, scenarios: Sequence[Scenario]) -> None:
        self._scenarios = scenarios
        self._last: tuple[int, int] | None = None
        self._drawn: ReplayInput | None = None

    def run(self, entry: Entry) -> Result:
        drawn = self._draw(entry.scenario, entry.seed)
        if entry.policy == ORACLE:
            return best_found(drawn, entry.knob, seed=entry.seed, marks=entry.marks)
        return simulate(
            drawn,
            self._policy(drawn, entry),
            name=entry.policy,
            knob=entry.knob,
            seed=entry.seed,
            behavior=entry.behavior,
            marks=entry.marks,
            cut_seconds=entry.cut_seconds,
        )

    def _draw(self, scenario: int, seed: int) -> ReplayInput:
        if self._drawn is None or self._last != (scenario, seed):
            self._last = scenario, seed
            self._drawn = self._scenarios[scenario].draw(seed)
        return self._drawn

    def _policy(self, drawn: ReplayInput, entry: Entry) -> Policy:
        kind = self._scenarios[entry.scenario].kind(entry.policy)
        if entry.behavior == OWN:
            return kind.make(drawn, entry.knob)
        if kind.with_behavior is None:
            raise ValueError(
                f"{kind.name} acts through no HPA: it has no behavior {entry.behavior!r}"
            )
        return kind.with_behavior(drawn, entry.knob, BEHAVIORS[entry.behavior])


_player = _Player(())
"""Of a worker process: the scenarios are sent once, because a trace is large beside an entry."""


def _take(scenarios: Sequence[Scenario], worker_end: Connection) -> None:
    global _player  # noqa: PLW0603 - a process pool has no other way to hand something over once
    _player = _Player(scenarios)
    # Ctrl-C reaches all processes of a terminal: the first of them ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with, args=(worker_end,), daemon=True).start()


def _end_with(worker_end: Connection) -> None:
    """Exit as soon as the other end is closed, on purpose or because its process has ended."""
    worker_end.poll(None)
    os._exit(1)


def _run(entry: Entry) -> Result:
    return _player.run(entry)


@lru_cache(maxsize=1)
def _code() -> str:
    """A digest of the code that runs: a rule that was changed is not the one that ran before."""
    here = Path(__file__).parent
    sources = sorted(path for room in (here, here.parent / "scaler") for path in room.rglob("*.py"))
    return sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def _key(digest: str, entry: Entry) -> str:
    parts_of_key = (
        entry.policy, entry.knob, entry.behavior, entry.seed, entry.marks, entry.cut_seconds
    )  # fmt: skip
    return sha256(f"{digest} {parts_of_key}".encode()).hexdigest()


def _read(kept: Path | None) -> dict[str, Result]:
    if kept is None or not kept.exists():
        return {}
    found = {}
    for line in kept.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
            found[str(record["key"])] = _RESULT.validate_python(record["result"])
        except (ValueError, KeyError, TypeError):
            continue  # the last line of a run that was cut off, or another version's
    return found
