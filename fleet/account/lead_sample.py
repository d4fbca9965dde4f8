"""What one start tells of lead times."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from fleet.account.places import Place
from fleet.account.retries import Outcome, outcome_of
from fleet.account.stage_durations import node_durations, pod_durations
from fleet.account.starts import NodeStart, PodStart
from fleet.account.survival import Duration
from fleet.cluster.owners import Workload


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What one start tells: found when it is asked for, as most are too old to count."""

    start: NodeStart | PodStart
    around: tuple[Place, ...]
    """The places that it lies in, the widest first."""
    weight: float
    now_seconds: float

    @property
    def workload(self) -> Workload | None:
        """Of a pod."""
        return self.start.workload if isinstance(self.start, PodStart) else None

    @cached_property
    def durations(self) -> Mapping[str, Duration]:
        """By stage, with the weight of the start."""
        one, now = self.start, self.now_seconds
        found = pod_durations(one, now) if isinstance(one, PodStart) else node_durations(one, now)
        return {stage: each.weighted(self.weight) for stage, each in found.items()}

    @property
    def outcome(self) -> Outcome | None:
        """Of a machine's order."""
        return outcome_of(self.start, self.weight) if isinstance(self.start, NodeStart) else None

    def ended(self, stage: str) -> Duration | None:
        """The duration of a stage, if that has ended."""
        found = self.durations.get(stage)
        return None if found is None or found.open else found
