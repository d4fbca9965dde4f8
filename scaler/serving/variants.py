"""Variants of one model: the plan of its whole demand, split over its ScaledObjects.

The triggers of one namespace that name one model, and one phase of it, are its variants as soon as
they give prices. The cycle plans feed by feed. So the model is planned as soon as all its variants
were looked at for one moment, and a count that changes is in force with the next look of its
variant.

Where the model cannot be planned as one, each variant is planned on its own, and the step
`variants` says why. While a variant cannot be read, none of the others releases a replica. One that
KEDA does not ask about any more either is taken for deleted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final

from scaler.decision.answers import Reference
from scaler.decision.capacity import Origin
from scaler.decision.demand import Demand
from scaler.decision.joint import Part, joint_demand, joint_forecasts, joint_observation
from scaler.decision.need import Step
from scaler.decision.parameters import PART_OF_MODEL, PlanParameters
from scaler.decision.plan import PlanState, decidable, decide
from scaler.decision.tracker import outlook_of
from scaler.decision.variants import Variant, reason, split
from scaler.evaluate import WorkloadPlan
from scaler.learning.estimates import CapacityEstimate
from scaler.signals import Signal
from scaler.trigger import REPLICAS_MAX, Mode, Phase, TriggerSpec

CONFIDENCE_MIN: Final = 0.5
"""Of a learned capacity that began as a preset's guess: below it no price a token is known."""
APART_SECONDS_MAX: Final = 60.0
"""For so long the last whole plan stands while its variants are not looked at for one moment."""
UNASKED_SECONDS: Final = 600.0
"""After which a variant that cannot be read is left out; KEDA asks every half minute."""
_HELD: Final = "what a variant keeps"
_CHANGE_MIN: Final = 0.05
"""A worth stays as it is until it is this much off, so that what is learned moves no replica."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShare:
    """What one variant gets of its model's plan."""

    least: int
    most: int
    text: str

    def step(self) -> Step:
        return Step(rule="variants", text=self.text, replicas=float(self.least))

    def within(self, parameters: PlanParameters) -> PlanParameters:
        """The parameters of a plan that keeps to this share."""
        if self.least < self.most:  # planned on its own
            if self.least <= parameters.replicas_min:
                return parameters
            return replace(parameters, replicas_min=self.least, replicas_min_name=_HELD)
        return replace(
            parameters,
            replicas_min=self.least,
            replicas_max=self.most,
            replicas_min_name=PART_OF_MODEL,
            replicas_max_name=PART_OF_MODEL,
        )


@dataclass(slots=True, eq=False)
class _Member:
    spec: TriggerSpec
    plan: WorkloadPlan | None = None
    """The last one that was made on its own; None before the first and while it cannot be read."""
    held: int = 0
    is_asked: bool = True
    """Whether KEDA has asked about it lately."""
    is_known: bool = False
    """Whether its capacity is more than a preset's guess."""
    limit: int | None = None
    """What its pool leaves it; None where that is what it wants."""

    def most(self) -> int:
        return self.spec.max_replicas or REPLICAS_MAX


@dataclass(slots=True, eq=False)
class _Model:
    members: dict[Reference, _Member] = field(default_factory=dict)
    state: PlanState = field(default_factory=PlanState)
    """Of its whole plan, in replicas of the reference."""
    reference: Reference | None = None
    """The smallest of its variants when it was first planned: whole replicas of a large one would
    round too much up."""
    mix: Demand | None = None
    """The newest demand that was not nothing: what a replica is worth depends on it."""
    worths: dict[Reference, float] = field(default_factory=dict)
    needed: float | None = None
    """Replicas of the reference that the newest whole plan wants."""
    looked_at_seconds: float = -inf
    """When it was made, on the monotonic clock."""

    def counted(self) -> dict[Reference, _Member]:
        """The members without those that are gone."""
        return {one: of for one, of in self.members.items() if of.is_asked or of.plan is not None}

    def order(self) -> list[Reference]:
        return sorted(self.counted(), key=lambda one: (one.name, one.metadata))


class Variants:
    """The models of all namespaces, with their variants."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, str, Phase], _Model] = {}

    def expect(self, reference: Reference, spec: TriggerSpec) -> None:
        """Count a trigger as a variant of its model; its object has no older one any more."""
        model = self._models.setdefault(_key(reference, spec), _Model())
        if reference in model.members:
            return
        for other in [one for one in model.members if one.name == reference.name]:
            del model.members[other]
        model.members[reference] = _Member(spec)

    def forget(self, reference: Reference) -> None:
        """Take a workload out of its model."""
        for key, model in list(self._models.items()):
            model.members.pop(reference, None)
            if not model.members:
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
        return _split(model, plan.reference)

    def _member(self, reference: Reference, spec: TriggerSpec) -> _Member | None:
        model = self._models.get(_key(reference, spec))
        return None if model is None else model.members.get(reference)


def _key(reference: Reference, spec: TriggerSpec) -> tuple[str, str, Phase]:
    return reference.namespace, spec.model, spec.phase


def _take(
    member: _Member, plan: WorkloadPlan, held: int | None, capacity: CapacityEstimate | None
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


def _fault(model: _Model) -> str | None:
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


def _split(model: _Model, asking: Reference) -> ModelShare | None:
    """The share of the one that asks, from the plan of the whole demand."""
    order, member = model.order(), model.members[asking]
    plans = [plan for one in order if (plan := model.members[one].plan) is not None]
    if _at_one_moment(model, plans) or model.reference not in order or model.needed is None:
        demand = joint_demand([plan.demand for plan in plans if plan.demand is not None])
        if demand.prompt_tokens or demand.generated_tokens:
            model.mix = demand
        if not _weigh(model, order, plans):
            text = f"nothing was asked of model {member.spec.model} yet: planned on its own"
            return ModelShare(least=member.spec.min_replicas, most=member.most(), text=text)
        model.needed = _needed(model, order, plans, demand)
        model.looked_at_seconds = max(plan.looked_at_seconds for plan in plans)
    if model.needed is None:
        return None
    variants = [
        _variant(model, one, plan, asking=asking) for one, plan in zip(order, plans, strict=True)
    ]
    counts = split(model.needed, variants)
    count = counts[order.index(asking)]
    text = reason(member.spec.model, model.needed, variants, counts)
    return ModelShare(least=count, most=count, text=text)


def _at_one_moment(model: _Model, plans: Sequence[WorkloadPlan]) -> bool:
    """Whether the sum of the looks is a demand.

    What a replica that has just begun to serve takes over counts twice where its variant was looked
    at after that and another one before.
    """
    newest = max(plan.looked_at_seconds for plan in plans)
    same = len({plan.poll.at_seconds for plan in plans}) == 1
    return same or newest - model.looked_at_seconds > APART_SECONDS_MAX


def _weigh(model: _Model, order: Sequence[Reference], plans: Sequence[WorkloadPlan]) -> bool:
    """Bring the worths up to date; whether they are known."""
    mix = model.mix
    if mix is None:
        return False
    loads = {
        one: plan.parameters.capacity.work.replicas(mix.prompt_tokens, mix.generated_tokens) or 0.0
        for one, plan in zip(order, plans, strict=True)
    }
    if not all(loads.values()):
        return False
    reference = model.reference
    if reference is None or reference not in order:
        reference = model.reference = max(order, key=lambda one: loads[one])
        model.state, model.worths, model.needed = PlanState(), {}, None
    for one, load in loads.items():
        worth, before = loads[reference] / load, model.worths.get(one)
        if before is None or abs(worth / before - 1) > _CHANGE_MIN:
            model.worths[one] = worth
    return True


def _needed(
    model: _Model, order: Sequence[Reference], plans: Sequence[WorkloadPlan], demand: Demand
) -> float | None:
    """Replicas of the reference that the whole demand needs; None where nothing can tell."""
    assert model.reference is not None, "worths are known"
    own = plans[order.index(model.reference)].parameters
    parts = [
        Part(
            name=one.name,
            observation=plan.poll.observation,
            demand=plan.demand,
            forecasts=plan.forecasts,
            worth=model.worths[one],
            slots_worth=model.worths[one]
            * own.capacity.requests
            / plan.parameters.capacity.requests,
        )
        for one, plan in zip(order, plans, strict=True)
        if plan.poll.observation is not None and plan.demand is not None
    ]
    parameters = replace(
        own,
        lead_seconds=max(plan.parameters.lead_seconds for plan in plans),
        hold_seconds=max(plan.parameters.hold_seconds for plan in plans),
        replicas_min=0,
        replicas_max=REPLICAS_MAX,
        mode=Mode.ACT,
    )
    seen = joint_observation(parts)
    if not decidable(seen, model.state):
        return None
    outlook = outlook_of(
        joint_forecasts(parts),
        parameters.capacity,
        lead_seconds=parameters.lead_seconds,
        level=parameters.level,
    )
    made, model.state = decide(
        seen, demand, outlook if parameters.forecasts else None, parameters, model.state
    )
    return float(made.reactive if own.mode is Mode.REACTIVE else made.planned)


def _variant(
    model: _Model, reference: Reference, plan: WorkloadPlan, *, asking: Reference
) -> Variant:
    member = model.members[reference]
    mix, spec, seen = model.mix, member.spec, plan.poll.observation
    assert mix is not None, "worths are known"
    assert spec.replica_price is not None, "a model without a price is not split"
    load = plan.parameters.capacity.work.replicas(mix.prompt_tokens, mix.generated_tokens)
    tokens = (mix.prompt_tokens or 0.0) + (mix.generated_tokens or 0.0)
    ready = None if seen is None else seen.value(Signal.REPLICAS)
    stuck = plan.lead.stuck if plan.lead is not None else None
    # Its own pool is asked again at each look; to the others it has what the pool left it.
    limit = member.most() if reference == asking or member.limit is None else member.limit
    return Variant(
        name=reference.name,
        dollars=spec.replica_price / 3600 * (load or 0.0) / tokens * 1e6,
        worth=model.worths[reference],
        held=member.held,
        ready=0 if ready is None else int(ready),
        least=min(spec.min_replicas, limit),
        most=limit,
        stuck=min(stuck.replicas, member.held) if stuck is not None else 0,
    )
