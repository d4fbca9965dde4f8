"""The records that the console's pages render. Made from plans and rounds; they hold no I/O.

What is not known is None, and is shown as `?`; in a series over time it is NaN, and is shown as a
gap.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from foresail.plans_api.plan import LearnedLead
from scaler.decision.need import Step
from scaler.learning.shadows.account import BooksAccount


class Level(IntEnum):
    """How much a state needs a person; in the order of urgency."""

    OK = 0
    WATCH = 1
    BAD = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The state of a workload, a node or a source."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadRow:
    """One workload in the list."""

    key: str
    """Unique: two triggers of one ScaledObject have the same name."""
    namespace: str
    name: str
    model: str | None
    mode: str | None
    """None = unknown."""
    demand: float | None
    """Prompt and generated tokens a second."""
    planned: int | None
    ready: int | None
    state: State
    objective_kept: bool | None
    usd_per_hour: float | None

    @property
    def title(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonCost:
    """GPUs that are there for one reason."""

    reason: str
    serves: bool
    gpus: float
    usd_per_hour: float | None
    """Of those with a price; None = none of them has one."""
    unpriced_gpus: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """One node, or an order of nodes."""

    node: str
    pool: str
    used: str
    usd_per_hour: float | None
    verdict: str
    reason: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRow:
    """One cluster."""

    name: str
    gpus: float
    used: float | None
    free: float | None
    usd_per_hour: float | None
    unpriced_gpus: float
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """GPU nodes, as the last round of the controller found them."""

    reasons: tuple[ReasonCost, ...]
    rows: tuple[NodeRow, ...]
    clusters: tuple[ClusterRow, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Everything that the first page shows."""

    source: str
    """What is shown: a cluster, or the demo."""
    at_seconds: float | None
    """Unix time at which the page was drawn; the demo's, of its day."""
    workloads: tuple[WorkloadRow, ...]
    plans_missing: str | None
    """Why no plans are known; None = they are."""
    nodes: Nodes | None
    nodes_missing: str | None
    """Why no nodes are known."""
    nodes_old: str | None = None
    """Since when nodes and dollars are old, and why; None = they are of the last minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The past of a workload, one entry a step; NaN = not measured."""

    at_seconds: tuple[float, ...] = ()
    demand: tuple[float, ...] = ()
    planned: tuple[float, ...] = ()
    ready: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AheadPoint:
    """The forecast of demand at one moment, in tokens a second."""

    at_seconds: float
    median: float
    high: float
    """At the level that is planned for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """The forecast from now on."""

    level: float
    points: tuple[AheadPoint, ...]
    lead_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A plan that differs from the one before it, with its steps."""

    at_seconds: float
    planned: int
    before: int | None
    """Replicas of the plan before it; None = it is the first that was seen."""
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One figure, and how surely it is known."""

    name: str
    value: str
    basis: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A rule on the traffic of the demo, when it is over."""

    rule: str
    in_time: float
    """Share of the requests."""
    ttft_p95_seconds: float
    gpu_hours: float
    usd: float | None
    lost: int
    ours: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadPage:
    """Everything that the page of one workload shows."""

    row: WorkloadRow
    source: str
    at_seconds: float | None
    outcome: str
    """What KEDA gets."""
    decided_at_seconds: float | None
    stands: bool
    steps: tuple[Step, ...]
    past: Series
    ahead: Ahead | None
    decisions: tuple[Decision, ...]
    """The newest first."""
    facts: tuple[Fact, ...]
    learned_lead: LearnedLead | None
    books: BooksAccount | None
    remarks: tuple[str, ...]
    paid_gpu_hours: float | None
    """Since the source began to count; None = it does not count."""
    paid_usd: float | None
    usd_per_gpu_hour: float | None
    scores: tuple[Score, ...]
    scores_meaning: str | None
    """What the scores are of; None = there are none."""


class ConsoleSource(Protocol):
    """Gives the records; the pages ask for them as often as they are drawn."""

    @property
    def refresh_seconds(self) -> float:
        """How often a page asks again."""
        ...

    def fleet(self) -> Fleet:
        """The first page."""
        ...

    def workload(self, key: str) -> WorkloadPage | None:
        """The page of a workload; None = it is not known."""
        ...

    def keys_of(self, namespace: str, name: str) -> Sequence[str]:
        """The keys of the workloads with a name; one for each trigger."""
        ...
