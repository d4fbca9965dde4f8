"""Rules that only compute a metric: KEDA and the HPA turn it into replicas.

The metric is a total over the fleet with a target a replica, as an external metric of type
AverageValue; ratios are therefore multiplied by the replicas that report them. Of several triggers
the HPA takes the one that asks for most: `the_larger` joins them, exactly, into one with target 1.
"""

from collections.abc import Callable
from dataclasses import replace

from replay import hpa
from replay.control import Control
from replay.keda import ScaledObject, Value
from replay.policies.port import PolicyKind, Seen
from replay.replay_input import ReplayInput

Metric = Callable[[Seen], tuple[float, float]]
"""Total over the fleet and target a replica."""


class KedaDriven:
    """One metric behind KEDA's polling and the HPA's arithmetic."""

    period_seconds = hpa.SYNC_PERIOD_SECONDS

    def __init__(
        self,
        metric: Metric,
        replay_input: ReplayInput,
        *,
        scaled: ScaledObject | None = None,
        behavior: hpa.Behavior | None = None,
    ) -> None:
        platform = replay_input.platform
        bounded = replace(
            scaled or ScaledObject(),
            replicas_min=platform.replicas_min,
            replicas_max=platform.replicas_max,
        )
        self._metric = metric
        self._control = Control(bounded, behavior, replicas_at_start=replay_input.replicas_at_start)

    def decide(self, seen: Seen) -> int:
        replicas = seen.replicas
        # KEDA's poll and the HPA's sync of one moment read the same metrics.
        total, target = self._metric(seen)
        # An activationThreshold of 0, the default: any value above it.
        answer = Value(total=total, target=target, is_active=total > 0)
        for due in self._control.due(seen.at_seconds, replicas=replicas):
            replicas = self._control.apply(
                due, answer, replicas=replicas, now_seconds=seen.at_seconds
            )
        return replicas


def keda_kind(  # noqa: PLR0913 - a row of the catalogue
    *,
    name: str,
    source: str,
    knob: str,
    usual: float,
    knobs: tuple[float, ...],
    metric: Callable[[ReplayInput, float], Metric],
    scaled: ScaledObject | None = None,
    behavior: hpa.Behavior | None = None,
) -> PolicyKind:
    """A rule that is a metric.

    Args:
        metric: makes one run's metric from the knob.
        scaled: None = KEDA's defaults.
        behavior: of the rule's guide; None = the HPA's defaults.
    """

    def make(
        replay_input: ReplayInput, setting: float, other: hpa.Behavior | None = None
    ) -> KedaDriven:
        return KedaDriven(
            metric(replay_input, setting), replay_input, scaled=scaled, behavior=other or behavior
        )

    return PolicyKind(
        name=name, source=source, knob=knob, usual=usual, knobs=knobs, make=make, with_behavior=make
    )


def the_larger(*metrics: tuple[float, float]) -> tuple[float, float]:
    """Several triggers as one: the replicas that the most demanding of them asks for, target 1."""
    return max(total / target for total, target in metrics), 1.0
