"""The plan of a model's whole demand, split over its variants.

It is made as soon as all variants were looked at for one moment. Its parameters are those of the
smallest variant, in whose replicas all is counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final

from scaler.decision.answers import Reference
from scaler.decision.demand import Demand
from scaler.decision.joint import Part, joint_demand, joint_forecasts, joint_observation
from scaler.decision.need import Step
from scaler.decision.outlook import outlook_of
from scaler.decision.parameters import PART_OF_MODEL, PlanParameters
from scaler.decision.plan import PlanState, decidable, decide
from scaler.decision.variants import Variant, reason, split
from scaler.evaluate import WorkloadPlan
from scaler.signals import Signal
from scaler.trigger import REPLICAS_MAX, Mode, TriggerSpec

APART_SECONDS_MAX: Final = 60.0
"""For so long the last whole plan stands while its variants are not looked at for one moment."""
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
        """It in words."""
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
            # Whatever its own setting, its replicas would be these: its books show no difference.
            tuning=replace(parameters.tuning, chooses=False),
        )


@dataclass(slots=True, eq=False)
class Member:
    """One variant."""

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
        """Replicas that it may have."""
        return self.spec.max_replicas or REPLICAS_MAX


@dataclass(slots=True, eq=False)
class Model:
    """The variants of one model, and its last plan."""

    members: dict[Reference, Member] = field(default_factory=dict)
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

    def counted(self) -> dict[Reference, Member]:
        """The members without those that are gone."""
        return {one: of for one, of in self.members.items() if of.is_asked or of.plan is not None}

    def order(self) -> list[Reference]:
        """The same every time."""
        return sorted(self.counted(), key=lambda one: (one.name, one.metadata))


def share_of(model: Model, asking: Reference) -> ModelShare | None:
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


def _at_one_moment(model: Model, plans: Sequence[WorkloadPlan]) -> bool:
    """Whether the sum of the looks is a demand.

    What a replica that has just begun to serve takes over counts twice where its variant was looked
    at after that and another one before.
    """
    newest = max(plan.looked_at_seconds for plan in plans)
    same = len({plan.poll.at_seconds for plan in plans}) == 1
    return same or newest - model.looked_at_seconds > APART_SECONDS_MAX


def _weigh(model: Model, order: Sequence[Reference], plans: Sequence[WorkloadPlan]) -> bool:
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
    model: Model, order: Sequence[Reference], plans: Sequence[WorkloadPlan], demand: Demand
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
    model: Model, reference: Reference, plan: WorkloadPlan, *, asking: Reference
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
