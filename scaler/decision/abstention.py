"""Mode advise: the answer that changes no replica.

It depends on the trigger's metadata alone, so neither a reading nor a plan nor a fault changes it.
ScaledObjects need different answers, because the HPA takes the highest of its metrics' proposals:

* Beside other triggers the answer is 0 and not active. The other triggers' proposals are never
  lower than 0, and KEDA is active while any trigger is. A number such as "what runs now" would
  block their scale-down, and so would an error: the HPA removes nothing while a metric is invalid,
  and KEDA fails the other triggers' metrics of that request too.
* Alone, 0 would take the workload to its minimum. A number cannot hold it either: the HPA compares
  with the pods that exist, and metrics count those that are ready. So `GetMetrics` succeeds and
  carries no value. An HPA whose only metric has no value changes nothing; for KEDA it is no error,
  so that its `fallback` does not count it.
* Alone and with zero as the minimum, `IsActive` matters too: true wakes a workload from zero, false
  sends it there after the cooldown. Only an error does neither, as long as the ScaledObject has no
  `fallback`. But after an error KEDA 2.21 closes the ScaledObject's scalers, and a poll that finds
  them closed counts as inactive and as no error (`getScalerState` in pkg/scaling/scale_handler.go,
  `ErrCacheClosed`): the workload goes to zero, unless it was active within `cooldownPeriod`. So an
  HPA, which asks only while there are replicas, gets no value and no error as above, and while it
  asks (`Entry.note_hpa`) an open stream says true, which then moves nothing and begins the cooldown
  anew.

An empty `GetMetricSpec` does not work: KEDA takes that for an error of the scaler and fails the
other triggers' metrics with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from scaler.trigger import Mode, TriggerSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Abstention:
    """The answer to KEDA in mode advise."""

    beside_others: bool
    """Whether other triggers decide the ScaledObject's replicas."""
    zero_allowed: bool
    """Whether the workload may be at zero replicas."""

    @property
    def is_error(self) -> bool:
        """Whether only an error changes nothing."""
        return self.zero_allowed and not self.beside_others

    @property
    def text(self) -> str:
        """The answer in words."""
        if self.beside_others:
            return "KEDA gets 0 and not active, so that the other triggers decide"
        if self.is_error:
            return (
                "KEDA gets an error and the HPA no value, which changes nothing where the "
                "ScaledObject has no fallback and a cooldown of minutes"
            )
        return "KEDA gets no value, so that the HPA changes nothing"


def abstention_of(trigger: TriggerSpec) -> Abstention | None:
    """The trigger's abstention; None in the modes that send replicas to KEDA."""
    if trigger.mode is not Mode.ADVISE:
        return None
    return Abstention(beside_others=trigger.other_triggers, zero_allowed=trigger.min_replicas == 0)


def abstention_of_unusable(metadata: Mapping[str, str]) -> Abstention | None:
    """The abstention of a trigger whose metadata cannot be used; None where KEDA gets the error.

    An error counts towards KEDA's `fallback`, which moves replicas: a misspelled key must not do
    that to a workload that never asked for `act` or `reactive`. The log and explain tell the fault.
    """
    if metadata.get("mode", Mode.ADVISE) in (Mode.ACT, Mode.REACTIVE):
        return None
    beside_others = metadata.get("otherTriggers", "").strip().lower() == "true"
    zero_allowed = metadata.get("minReplicas", "").strip() == "0"
    made = Abstention(beside_others=beside_others, zero_allowed=zero_allowed)
    return None if made.is_error else made
