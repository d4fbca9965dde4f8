"""Variants of one model: the plan of its whole demand, split over its ScaledObjects.

The triggers of one namespace that name one model, and one phase of it, are its variants as soon as
they give prices. The cycle plans feed by feed. So the model is planned as soon as all its variants
were looked at for one moment, and a count that changes is in force with the next look of its
variant.

Where the model cannot be planned as one, each variant is planned on its own, and the step
`variants` says why. While a variant cannot be read, none of the others releases a replica. One that
KEDA does not ask about any more either is taken for deleted.
"""

from typing import Final

from scaler.decision.answers import Reference
from scaler.decision.capacity import Origin
from scaler.evaluate import WorkloadPlan
from scaler.learning.estimates import CapacityEstimate
from scaler.serving.model_plan import Member, Model, ModelShare, share_of
from scaler.signals import Signal
from scaler.trigger import Phase, TriggerSpec

CONFIDENCE_MIN: Final = 0.5
"""Of a learned capacity that began as a preset's guess: below it no price a token is known."""
UNASKED_SECONDS: Final = 600.0
"""After which a variant that cannot be read is left out; KEDA asks every half minute."""
_Key = tuple[str, str, Phase]
"""Of a model: its namespace, its name and the phase."""


class Variants:
    """The models of all namespaces, with their variants."""

    def __init__(self) -> None:
        self._models: dict[_Key, Model] = {}
        self._key_of: dict[Reference, _Key] = {}
        """Of each member: where a tenant edits without end, hundreds are forgotten a minute."""

    def expect(self, reference: Reference, spec: TriggerSpec) -> None:
        """Count a trigger as a variant of its model; its object has no older one any more."""
        key = _key(reference, spec)
        if self._key_of.get(reference) == key:
            return
        self.forget(reference)
        model = self._models.setdefault(key, Model())
        for other in [one for one in model.members if one.name == reference.name]:
            del model.members[other], self._key_of[other]
        model.members[reference] = Member(spec)
        self._key_of[reference] = key

    def forget(self, reference: Reference) -> None:
        """Take a workload out of its model."""
        key = self._key_of.pop(reference, None)
        if key is None:
            return
        del self._models[key].members[reference]
        if not self._models[key].members:
            del self._models[key]

    def limited(self, reference: Reference, spec: TriggerSpec, limit: int | None) -> None:
        """Note what a pool leaves a variant: what it lacks goes to the others."""
        member = self._member(reference, spec)
        if member is not None:
            member.limit = limit

    def clock_moved(self, seconds: float) -> None:
        """Continue after the wall clock was set."""
        for model in self._models.values():
            model.state = model.state.moved(seconds)

    def share(
        self,
        spec: TriggerSpec,
        plan: WorkloadPlan,
        *,
        held: int | None,
        capacity: CapacityEstimate | None,
        unasked_seconds: float,
    ) -> ModelShare | None:
        """What the plan's variant gets; None where its model has no other, or none has a price.

        Args:
            plan: made as if it were alone.
            held: replicas last sent to KEDA; None before the first plan, and in advise mode.
            capacity: of its replica, as learned.
            unasked_seconds: how long ago KEDA asked about it.
        """
        model = self._models.get(_key(plan.reference, spec))
        member = self._member(plan.reference, spec)
        if model is None or member is None:
            return None
        _take(member, plan, held, capacity)
        member.is_asked = unasked_seconds <= UNASKED_SECONDS
        counted = model.counted()
        if len(counted) == 1 or not any(one.spec.replica_price for one in counted.values()):
            return None
        if member.plan is None:
            return None  # it is refused
        fault = _fault(model)
        if fault is not None:
            why = f"{fault}: each ScaledObject of model {spec.model} is planned on its own"
            return ModelShare(least=spec.min_replicas, most=member.most(), text=why)
        unread = [one.name for one, other in counted.items() if other.plan is None]
        if unread:
            text = (
                f"{', '.join(sorted(unread))} of model {spec.model} cannot be read: planned on its "
                f"own, none of {member.held} released"
            )
            least = min(max(spec.min_replicas, member.held), member.most())
            return ModelShare(least=least, most=member.most(), text=text)
        return share_of(model, plan.reference)

    def _member(self, reference: Reference, spec: TriggerSpec) -> Member | None:
        model = self._models.get(_key(reference, spec))
        return None if model is None else model.members.get(reference)


def _key(reference: Reference, spec: TriggerSpec) -> _Key:
    return reference.namespace, spec.model, spec.phase


def _take(
    member: Member, plan: WorkloadPlan, held: int | None, capacity: CapacityEstimate | None
) -> None:
    seen = plan.poll.observation
    usable = plan.demand is not None and plan.replica_plan is not None
    member.plan = plan if usable else None
    ready = None if seen is None else seen.value(Signal.REPLICAS)
    if held is not None:
        member.held = held
    elif ready is not None:
        member.held = int(ready)
    origin = plan.parameters.capacity.work.origin
    confidence = 0.0 if capacity is None else capacity.confidence
    given = member.spec.replica_prompt_tokens_per_second or (
        member.spec.replica_generated_tokens_per_second
    )
    member.is_known = bool(given) or (origin is Origin.LEARNED and confidence >= CONFIDENCE_MIN)


def _fault(model: Model) -> str | None:
    """Why the model cannot be planned as one; None where it can, or would if all were read."""
    members = model.counted().items()
    unpriced = sorted(one.name for one, other in members if other.spec.replica_price is None)
    if unpriced:
        return f"no replicaPrice at {', '.join(unpriced)}"
    if len({other.spec.mode for _, other in members}) > 1:
        return "their modes differ"
    read = [
        (one.source, one.server_address, one.match_labels)
        for one in (other.spec for _, other in members)
    ]
    if len(set(read)) < len(read):
        return "they read the same series, so give each its matchLabels"
    unknown = sorted(one.name for one, other in members if other.plan and not other.is_known)
    if unknown:
        return f"the capacity of a replica of {', '.join(unknown)} is not known yet"
    return None
