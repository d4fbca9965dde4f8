"""What a replay found, for its table, its JSON and its page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from foresail.replaying.nodes import NodeReport
from replay.frontier import Point, cheapest_known
from replay.limits import Limit
from replay.peers import static
from replay.policies.catalogue import KINDS
from replay.policies.port import PolicyKind
from replay.replay_input import ReplayInput
from replay.simulate import Result

FORESAIL = "foresail"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Report:
    """What a page is made from; results of one seed."""

    replay_input: ReplayInput
    attainment: float
    limits: tuple[Limit, ...]
    """That no rule gets past."""
    usual: dict[str, Result]
    """By policy, with marks."""
    oracle: list[Result]
    sweeps: dict[str, list[Result]]
    """By policy; empty where only usual settings ran."""
    gpu_usd_hour: float | None
    nodes: NodeReport | None = None
    """Where somebody asked about nodes."""
    kinds: Mapping[str, PolicyKind] = field(default_factory=lambda: KINDS)
    """Of each rule that ran, those of the reader's own among them."""
    seed: int = 1
    command: str = ""
    """That made it, for its page."""
    version: str = ""
    answer: str = ""
    """Which rule to take, by more than the one seed; empty where nobody asked."""

    @property
    def is_valid(self) -> bool:
        """Whether some fleet that is allowed could be in time as often as is asked."""
        return valid(self.limits, self.attainment)

    def best(self) -> Point | None:
        """The cheapest schedule known for what is asked, or else the one that comes nearest."""
        return cheapest_known(self.oracle, self._ran(), self.attainment) if self.oracle else None

    def ratio(self, result: Result) -> float | None:
        """GPU-hours over those of the cheapest schedule known that is in time as often.

        A rule in time more often than the oracle's dearest schedule is held against that one.
        """
        if not self.oracle:
            return None
        most = max(one.attainment for one in self.oracle)
        best = cheapest_known(self.oracle, self._ran(), min(result.attainment, most))
        return result.gpu_hours / best.gpu_hours if best and best.gpu_hours else None

    def rivals(self) -> list[Result]:
        """Every rule beside Foresail; the first is the one to draw unless the reader wishes."""
        first = self.rival()
        others = [result for name, result in self.usual.items() if name != FORESAIL]
        return [] if first is None else [first, *(one for one in others if one is not first)]

    def oracle_run(self) -> Result | None:
        """The cheapest run with every arrival known for what is asked, or the most in time."""
        drawn = [one for one in self.oracle if one.marks]
        enough = [one for one in drawn if one.attainment >= self.attainment]
        if enough:
            return min(enough, key=lambda one: one.gpu_hours)
        return max(drawn, key=lambda one: one.attainment, default=None)

    def wait(self, seconds: float) -> str:
        """Waits are counted in whole seconds, and end with a client's patience."""
        patience = self.replay_input.platform.patience_seconds
        if seconds < 1:
            return "< 1 s"
        return f"{seconds:.0f} s" if seconds <= patience else f"> {patience} s"

    def _ran(self) -> list[Result]:
        swept = (result for results in self.sweeps.values() for result in results)
        return [*self.usual.values(), *swept]

    def rival(self) -> Result | None:
        """The peer to draw beside Foresail.

        Of those that scale and cost its double at most: the one most in time, then the cheapest.
        """
        peers = [result for name, result in self.usual.items() if name != FORESAIL]
        dearest = 2 * self.usual[FORESAIL].gpu_hours
        alike = [r for r in peers if r.gpu_hours <= dearest and r.policy not in static.NAMES]
        return max(
            alike or peers, key=lambda r: (round(r.attainment, 2), -r.gpu_hours), default=None
        )


def valid(limits: Sequence[Limit], attainment: float) -> bool:
    """Whether what is asked can be had at all."""
    return all(limit.attainable >= attainment for limit in limits)


def about(replay_input: ReplayInput) -> str:
    """What was replayed on what, in one line."""
    platform, mix = replay_input.platform, replay_input.mix
    return (
        f"{_length(replay_input.seconds)}, {replay_input.arrivals.sum():,.0f} requests of"
        f" {mix.prompt_tokens:,.0f} prompt and {mix.output_tokens:,.0f} generated"
        f" tokens · {platform.profile.name} · {platform.replicas_min:,} to"
        f" {platform.replicas_max:,} replicas · start-up"
        f" {platform.fleet.start_up.median_seconds:.0f} s · in time: first token within"
        f" {platform.objective.ttft_seconds:g} s, the others within"
        f" {platform.objective.itl_seconds * 1000:.0f} ms each"
    )


def _length(seconds: int) -> str:
    for name, unit in (("days", _DAY), ("hours", _HOUR)):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / _MINUTE:.0f} minutes"


def percent(ratio: float) -> str:
    """As it was asked: 99%, 99.5%."""
    return f"{100 * ratio:.5g}%"
