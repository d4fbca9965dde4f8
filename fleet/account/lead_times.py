"""The lead times of machines and of models, learned from the starts that were seen.

A place is learned from its own starts and from the wider place around it: a zone from its machine
type, that from its pool, the pool from the prior. The wider one counts like `WIDER_STARTS` starts,
so that nothing seen gives the prior, and what a place shows itself wins with every start. A start
counts once, in the narrowest of the places that it shares with the one that is asked for.
Starts lose half their weight each `HALF_LIFE_SECONDS`; those with another machine image or driver
than the newest keep `OTHER_SOFTWARE_WEIGHT` of it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, TypeVar

from fleet.account.lead_sample import Sample
from fleet.account.lead_time_priors import PRIORS
from fleet.account.places import Place
from fleet.account.retries import Failures, failures_of, with_retries
from fleet.account.stage_durations import (
    LOAD,
    NODE_STAGES,
    POD_STAGES,
    TO_GPUS,
)
from fleet.account.starts import NodeStart, PodStart, Starts
from fleet.account.startups import StartUps
from fleet.account.survival import Curve, Duration, curve_of
from fleet.cluster.karpenter import LAUNCH_LIMIT_SECONDS, REGISTRATION_LIMIT_SECONDS
from fleet.cluster.owners import Workload

WIDER_STARTS: Final = 4.0
HALF_LIFE_SECONDS: Final = 7 * 86400.0
OTHER_SOFTWARE_WEIGHT: Final = 0.25
STARTS_MAX: Final = 128
"""The newest starts of a place that count; more would cost time and move no digit that matters."""
MEAN_SECONDS_MAX: Final = 3600.0
"""What a longer duration counts as in a mean, except in stages that Karpenter ends sooner."""
_MEAN_SECONDS_MAX: Final = {
    "launched": LAUNCH_LIMIT_SECONDS,
    "registered": REGISTRATION_LIMIT_SECONDS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How long something takes."""

    p50_seconds: float
    p90_seconds: float
    p99_seconds: float
    mean_seconds: float
    ended: int = 0
    """Durations that it rests on, beside the prior."""
    unended: int = 0
    """Of which only a lower bound is known: under way, or given up."""
    beyond_share: float = 0.0
    """That took longer than all that ended, nobody knows how long: a quantile within it is a least,
    and in the mean it counts as the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLeadTime:
    """How long a new machine takes at a place."""

    place: Place
    stages: Mapping[str, Spread]
    """Of the machine, then of the pods on it."""
    to_gpus: Spread
    """From the order to GPUs that pods can ask for, of a launch that comes to something."""
    failures: Failures
    with_retries: Spread
    """From the first order to GPUs."""
    starts: int
    """Of machines at this very place, whatever became of them, `STARTS_MAX` at most; 0 = wider
    places and the prior alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadTimes:
    """What was seen of starts, for a spread of any stage at any place."""

    nodes: tuple[Sample, ...]
    """Of machines, the newest last."""
    pods: tuple[Sample, ...]
    """Of pods with GPUs, the newest last."""

    @property
    def places(self) -> tuple[Place, ...]:
        """Where machines were seen to start, by name; each follows the place around it."""
        return tuple(sorted({each for one in self.nodes for each in one.around}, key=_texts))

    def at(self, place: Place) -> NodeLeadTime:
        """The lead time at a place, whether anything was seen there or not."""
        nodes, pods = _rings(self.nodes, place), _rings(self.pods, place)
        curve, to_gpus = _learned(TO_GPUS, nodes)
        outcomes = [[one.outcome for one in ring if one.outcome is not None] for ring in nodes]
        failures = failures_of(outcomes, WIDER_STARTS)
        retried, mean_seconds = with_retries(curve, to_gpus.mean_seconds, failures)
        return NodeLeadTime(
            place=place,
            stages={
                **{stage: _learned(stage, nodes)[1] for stage in NODE_STAGES},
                **{stage: _learned(stage, pods)[1] for stage in POD_STAGES},
            },
            to_gpus=to_gpus,
            failures=failures,
            with_retries=_spread(retried, mean_seconds, (to_gpus.ended, to_gpus.unended)),
            starts=len(nodes[-1]),
        )

    def usual(self, stage: str, place: Place) -> Spread:
        """How long a stage takes where it ends: what is under way or was given up does not count.

        A machine that hangs would otherwise make itself the rule.
        """
        samples = self.nodes if stage in NODE_STAGES else self.pods
        rings = _rings(samples, place)
        return _told(stage, *_narrowest(stage, [[one.ended(stage) for one in r] for r in rings]))

    def load_of(self, workload: Workload | None) -> Spread:
        """How long a pod of a workload loads, from its node to ready; of None: of any."""
        return _learned(LOAD, self._loads(workload))[1]

    def usual_loads(self, workloads: Iterable[Workload | None]) -> Mapping[Workload | None, Spread]:
        """How long a pod of each workload loads that becomes ready; of None: of any.

        All starts are gone through once, not once for each workload: a cluster of thousands of
        nodes has as many workloads, and tens of thousands of starts.
        """
        asked = set(workloads)
        if not asked:
            return {}
        newest = self.pods[-STARTS_MAX:]
        own: defaultdict[Workload | None, list[Sample]] = defaultdict(list)
        for one in self.pods:
            if one.workload in asked:
                own[one.workload].append(one)
        own[None] = [*newest]
        recent = {one.workload for one in newest}
        of_any, _ = _narrowed(PRIORS[LOAD], [one.ended(LOAD) for one in newest])

        def usual(workload: Workload | None) -> Spread:
            around = of_any
            if workload is None:
                around = PRIORS[LOAD]
            elif workload in recent:
                others = (one for one in reversed(self.pods) if one.workload != workload)
                before = [*islice(others, STARTS_MAX)][::-1]
                around, _ = _narrowed(PRIORS[LOAD], [one.ended(LOAD) for one in before])
            loads = [one.ended(LOAD) for one in own[workload][-STARTS_MAX:]]
            return _told(LOAD, *_narrowed(around, loads))

        return {each: usual(each) for each in asked}

    def _loads(self, workload: Workload | None) -> Sequence[Sequence[Sample]]:
        """The newest pods of all other workloads, then of this one."""
        own = [one for one in self.pods if workload in {None, one.workload}]
        others = [one for one in self.pods if workload not in {None, one.workload}]
        return others[-STARTS_MAX:], own[-STARTS_MAX:]


def learned(startups: StartUps, now_seconds: float) -> LeadTimes:
    """What the starts of a cluster tell of its lead times."""
    machines = _known(startups.nodes)
    newest = _newest_software(machines)
    nodes = []
    for one in machines:
        weight = _weight(one, now_seconds) * _software_weight(one, newest)
        nodes.append(_sample(one, one.place, weight, now_seconds))
    pods = [
        _sample(pod, pod.place or Place(), _weight(pod, now_seconds), now_seconds)
        for pod in _known(startups.pods)
        if pod.takes_gpus
    ]
    return LeadTimes(nodes=tuple(nodes), pods=tuple(pods))


def _sample(start: NodeStart | PodStart, place: Place, weight: float, now_seconds: float) -> Sample:
    return Sample(start=start, around=place.wider, weight=weight, now_seconds=now_seconds)


S = TypeVar("S", NodeStart, PodStart)


def _known(starts: Starts[S]) -> Sequence[S]:
    """Each start once, by its creation, whatever order they were read in."""
    once: dict[str, S] = {one.uid: one for one in starts.starting.values()}
    once |= {one.uid: one for one in starts.ended}
    return sorted(once.values(), key=lambda one: (one.created_seconds, one.uid))


def _weight(start: NodeStart | PodStart, now_seconds: float) -> float:
    age = max(0.0, now_seconds - start.created_seconds)
    return float(0.5 ** (age / HALF_LIFE_SECONDS))


_Software = tuple[str | None, str | None]


def _newest_software(starts: Iterable[NodeStart]) -> Mapping[Place, _Software]:
    """The machine image and the driver of the newest start that tells, by machine type."""
    newest: dict[Place, _Software] = {}
    for one in starts:
        image, driver = newest.get(_any_zone(one), (None, None))
        newest[_any_zone(one)] = (one.machine_image or image, one.driver or driver)
    return newest


def _software_weight(start: NodeStart, newest: Mapping[Place, _Software]) -> float:
    image, driver = newest[_any_zone(start)]
    same = start.machine_image in {None, image} and start.driver in {None, driver}
    return 1.0 if same else OTHER_SOFTWARE_WEIGHT


def _any_zone(start: NodeStart) -> Place:
    return replace(start.place, zone=None)


def _rings(samples: Sequence[Sample], place: Place) -> Sequence[Sequence[Sample]]:
    """The newest starts of a place, after those of the places around it that lie outside of it."""
    asked = place.wider
    rings: list[list[Sample]] = [[] for _ in asked]
    for one in samples:
        shared = sum(mine == theirs for mine, theirs in zip(one.around, asked, strict=False))
        if shared:
            rings[shared - 1].append(one)
    return [ring[-STARTS_MAX:] for ring in rings]


def _learned(stage: str, rings: Sequence[Sequence[Sample]]) -> tuple[Curve, Spread]:
    """The curve of a stage and its spread, from places that lie in each other, widest first."""
    curve, seen = _narrowest(stage, [[one.durations.get(stage) for one in r] for r in rings])
    return curve, _told(stage, curve, seen)


def _narrowest(
    stage: str, rings: Sequence[Sequence[Duration | None]]
) -> tuple[Curve, Sequence[Duration]]:
    curve, seen = PRIORS[stage], list[Duration]()
    for ring in rings:
        curve, seen = _narrowed(curve, ring)
    return curve, seen


def _narrowed(around: Curve, ring: Sequence[Duration | None]) -> tuple[Curve, list[Duration]]:
    """The curve within a ring, from that of the wider place, and what was seen in the ring."""
    seen = [one for one in ring if one is not None]
    return (curve_of(seen, around, WIDER_STARTS) if seen else around), seen


def _told(stage: str, curve: Curve, seen: Sequence[Duration]) -> Spread:
    unended = sum(one.open for one in seen)
    mean_seconds = curve.mean(_MEAN_SECONDS_MAX.get(stage, MEAN_SECONDS_MAX))
    return _spread(curve, mean_seconds, (len(seen) - unended, unended))


def _spread(curve: Curve, mean_seconds: float, counts: tuple[int, int]) -> Spread:
    return Spread(
        p50_seconds=curve.quantile(0.5),
        p90_seconds=curve.quantile(0.9),
        p99_seconds=curve.quantile(0.99),
        mean_seconds=mean_seconds,
        ended=counts[0],
        unended=counts[1],
        beyond_share=curve.beyond,
    )


def _texts(place: Place) -> tuple[str, ...]:
    known = (place.pool, place.instance_type, place.capacity_type, place.zone)
    return tuple(part or "" for part in known)
