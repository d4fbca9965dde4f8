"""Many runs of many rules on all cores; a run that a file already holds is not repeated."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from pydantic import TypeAdapter

from replay.kept_runs import code_digest, key_of, resumed
from replay.oracle import best_found
from replay.policies.behaviors import BEHAVIORS, OWN
from replay.policies.catalogue import kind_named
from replay.policies.own_rule import OwnRule
from replay.policies.port import Policy, PolicyKind
from replay.replay_input import Platform, ReplayInput, draw_input
from replay.simulate import Result, simulate
from replay.spread import Spread, on_local_cores
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
            code_digest(), self.trace.step_seconds, self.platform, self.replicas_mean,
            self.days_max, self.rules, self.trace.begin_seconds,
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
    spread: Spread = on_local_cores,
) -> dict[Entry, Result]:
    """Run the entries.

    Args:
        kept: file of finished runs; those found there are not run again.
        progress: called for each run that is finished or found.
    """
    digests = [scenario.digest() for scenario in scenarios]
    keys = {entry: _key(digests[entry.scenario], entry) for entry in entries}
    shared = tuple(scenarios)
    return resumed(
        keys,
        lambda missing: spread(shared, run_entry, missing),
        kept=kept,
        adapter=_RESULT,
        progress=progress,
    )


def by_policy(results: dict[Entry, Result], *, scenario: int, seed: int) -> dict[str, list[Result]]:
    """Results of one scenario and seed, each rule's in the order of its knobs."""
    found: dict[str, list[Result]] = defaultdict(list)
    for entry in sorted(results, key=lambda entry: entry.knob):
        if (entry.scenario, entry.seed) == (scenario, seed):
            found[entry.policy].append(results[entry])
    return dict(found)


def run_entry(scenarios: tuple[Scenario, ...], entry: Entry) -> Result:
    """One run."""
    scenario = scenarios[entry.scenario]
    drawn = drawn_of(scenario, entry.seed)
    if entry.policy == ORACLE:
        return best_found(drawn, entry.knob, seed=entry.seed, marks=entry.marks)
    return simulate(
        drawn,
        _policy(scenario, drawn, entry),
        name=entry.policy,
        knob=entry.knob,
        seed=entry.seed,
        behavior=entry.behavior,
        marks=entry.marks,
        cut_seconds=entry.cut_seconds,
    )


def _policy(scenario: Scenario, drawn: ReplayInput, entry: Entry) -> Policy:
    kind = scenario.kind(entry.policy)
    if entry.behavior == OWN:
        return kind.make(drawn, entry.knob)
    if kind.with_behavior is None:
        raise ValueError(f"{kind.name} acts through no HPA: it has no behavior {entry.behavior!r}")
    return kind.with_behavior(drawn, entry.knob, BEHAVIORS[entry.behavior])


@lru_cache(maxsize=1)
def drawn_of(scenario: Scenario, seed: int) -> ReplayInput:
    """What is drawn, for the runs of one scenario that follow each other."""
    return scenario.draw(seed)


def _key(digest: str, entry: Entry) -> str:
    parts_of_key = (
        entry.policy, entry.knob, entry.behavior, entry.seed, entry.marks, entry.cut_seconds
    )  # fmt: skip
    return key_of(digest, parts_of_key)
