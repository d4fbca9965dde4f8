"""CapacityPolicy: what an operator says about GPU nodes, the one definition of it.

Files, the CustomResourceDefinition, the JSON Schema and docs/policies-reference.md all come from
these classes. Keys are the field names in camel case; the text under a field says what it does.
Nothing has to be given but a name: every default is the one that is safe.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from fleet.located import Path
from policies.policy.cross_rules import CrossRule, PolicyPart
from policies.policy.groups import (
    DelayedMinuteWorth,
    IdleCeiling,
    LeverSettings,
    ModelLoadingVeto,
    SpotHedgeSettings,
)
from policies.policy.pool_policy import (
    HOLD_LEASE_DEFAULT_SECONDS,
    RHO_DEFAULT,
    TRUST_DEFAULT,
    Mode,
    Tuning,
)
from policies.policy.schedule import QuietHours, WarmFloor
from policies.policy.selectors import PoolSelector, WorkloadSelector
from policies.policy.values import Duration, Name, ObjectName, Share, TimeZone

API_VERSION: Final = "foresail.io/v1alpha1"
KIND: Final = "CapacityPolicy"
FLOORS_MAX: Final = 32
RULES_MAX: Final = 32


_SELECTS: Final = ("names", "match_labels", "generations", "capacity_types")


class PoolSettings(PolicyPart):
    """What may differ from pool to pool: it stands in spec, and again in rules."""

    mode: Mode = Field(default=Mode.ADVISE, description="advise or act")
    """`advise` says what Foresail would do and why, and changes nothing; `act` does it."""
    delayed_minute_worth: DelayedMinuteWorth = DelayedMinuteWorth.model_validate(
        {"gpuMinutes": RHO_DEFAULT}
    )
    """What waiting costs you. Foresail keeps a GPU idle where the pod-minutes of waiting that it is
    likely to save are worth more than its idle minutes."""
    forecast_trust: Share = TRUST_DEFAULT
    """How far the forecast counts: at 0 only demand that is there, at 1 the forecast as it is."""
    warm_floors: Annotated[tuple[WarmFloor, ...], Field(max_length=FLOORS_MAX)] = Field(
        default=(), description="a list of warm floors"
    )
    """Capacity that is there at certain hours whatever the demand; the largest floor counts."""
    spot_hedge: SpotHedgeSettings = SpotHedgeSettings()
    """What to keep in hand where nodes may be reclaimed."""
    levers: LeverSettings = LeverSettings()
    """The ways in which decisions may be carried out, in mode act."""
    quiet_hours: Annotated[tuple[QuietHours, ...], Field(max_length=FLOORS_MAX)] = Field(
        default=(), description="a list of hours"
    )
    """Hours in which Karpenter moves no pod to save money. Empty nodes still go."""
    hold_lease: Duration = HOLD_LEASE_DEFAULT_SECONDS
    """How long a hold stands after it was last renewed. The next round in mode act takes it off
    then; without one it stays until `foresail controller --withdraw`."""
    model_loading_veto: ModelLoadingVeto = ModelLoadingVeto()
    """A node is not let go while a pod on it loads its model."""
    keep_new_nodes: Duration | None = None
    """How long a new node is kept at least, used or not: where machines are paid for a least time.
    Left out, a node may go as soon as it is empty."""
    tuning: Tuning = Field(default=Tuning.NEVER, description="nightly or never")
    """`nightly`: at 03:00 of `timeZone` the pool's last three days are replayed, and the factors by
    which holds and orders count a delayed minute move by one small step where that would have cost
    less. `never`: they are as they ship."""


class PoolRule(PoolSettings):
    """Other settings for some of the policy's pools; only the keys that it states count."""

    cross_rules: ClassVar[tuple[CrossRule, ...]] = (
        CrossRule(
            cel=" || ".join(f"has(self.match.{to_camel(name)})" for name in _SELECTS),
            message=f"it takes at least one of {', '.join(map(to_camel, _SELECTS))}; "
            "what holds for all pools stands in spec itself",
            fields=("match",),
            broken_at=lambda values: (
                None if any(getattr(values["match"], name) for name in _SELECTS) else ("match",)
            ),
        ),
    )

    name: Name
    """Named where a value comes from this rule."""
    match: PoolSelector
    """The pools that it is about."""


def _act_without_ceiling(values: Mapping[str, Any]) -> Path | None:
    if values["idle_ceiling"] is not None:
        return None
    if values["mode"] is Mode.ACT:
        return ("mode",)
    acting = (index for index, rule in enumerate(values["rules"]) if rule.mode is Mode.ACT)
    return next((("rules", index, "mode") for index in acting), None)


def _name_twice(values: Mapping[str, Any]) -> Path | None:
    names = [rule.name for rule in values["rules"]]
    twice = (index for index, name in enumerate(names) if name in names[:index])
    return next((("rules", index, "name") for index in twice), None)


class CapacityPolicySpec(PoolSettings):
    """What an operator wants of GPU nodes."""

    cross_rules: ClassVar[tuple[CrossRule, ...]] = (
        CrossRule(
            cel="has(self.idleCeiling) || !((has(self.mode) && self.mode == 'act')"
            " || (has(self.rules) && self.rules.exists(r, has(r.mode) && r.mode == 'act')))",
            message="mode act spends money: give spec.idleCeiling too",
            fields=("mode", "rules", "idle_ceiling"),
            broken_at=_act_without_ceiling,
        ),
        CrossRule(
            cel="!has(self.rules) || self.rules.all(r, self.rules.exists_one(s, s.name == r.name))",
            message="two rules have this name",
            fields=("rules",),
            broken_at=_name_twice,
        ),
    )

    pools: PoolSelector | None = None
    """The pools that this policy governs; without it every pool with GPUs. A pool has one policy at
    most: two that match it are an error."""
    workloads: WorkloadSelector | None = None
    """The workloads that nodes are ordered and held for; without it all that run on the pools. Pods
    of others fill nodes all the same, and their demand is taken to stay as it is. Where two
    policies name one workload, it goes in each pool by the policy of that pool."""
    time_zone: TimeZone = "UTC"
    """Of hours that name none, of the month that `idleCeiling.usdPerMonth` counts in, and of the
    night in which `tuning` chooses."""
    idle_ceiling: IdleCeiling | None = None
    """The most that idle capacity may cost. Required in mode act."""
    rules: Annotated[tuple[PoolRule, ...], Field(max_length=RULES_MAX)] = Field(
        default=(), description="a list of rules"
    )
    """Other settings for some of the pools, by pool, GPU generation and capacity type. Where
    several rules state a key, the one that describes the pool most closely gives it: by the pool's
    name, then a glob of it, then more labels, then a generation, then a glob of generations, then a
    capacity type; of equal rules the one that stands first. A list and `delayedMinuteWorth` replace
    those of spec as a whole; of other groups the keys that are left out stay as they are."""


class Metadata(PolicyPart):
    """The object's metadata; the API server writes more than Foresail reads."""

    model_config = ConfigDict(extra="ignore")

    name: ObjectName
    """Named in every message, plan and metric."""


class CapacityPolicy(PolicyPart):
    """The whole object."""

    api_version: Literal["foresail.io/v1alpha1"] = Field(description=API_VERSION)
    """Of the object."""
    kind: Literal["CapacityPolicy"] = Field(description=KIND)
    """Of the object."""
    metadata: Metadata
    """Its name; labels and annotations are not read."""
    spec: CapacityPolicySpec = CapacityPolicySpec()
    """What an operator wants of GPU nodes."""

    @property
    def name(self) -> str:
        return self.metadata.name
