"""CapacityPolicies, by themselves and against the NodePools beside them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from pydantic import ValidationError

from policies.lint.finding import Fault, Severity
from policies.lint.objects import Inputs, Object
from policies.lint.pods import SERVING_TYPES, gpu_workloads
from policies.lint.priced_pools import PricedPool, priced_pools
from policies.lint.rule import rule
from policies.policy.documents import PolicyError, parts_read, policy_of
from policies.policy.pool_policy import Lever, Mode
from policies.policy.resolve import pool_policy
from policies.policy.schedule import WarmFloor
from policies.policy.schema import CapacityPolicy, PoolRule
from policies.policy.selectors import PoolSelector
from scaler.faults import places_of

POLICY: Final = "foresail.io/CapacityPolicy"
_ANY: Final = PoolSelector()
_SOME_TIME_SECONDS: Final = 1.8e9
"""Modes and levers are the same at any time."""
_COMPARED_MAX: Final = 200
"""Policies, and pools, that one policy is compared with."""
_SOURCE: Final = "docs/policies-reference.md"


@rule(
    "FS401",
    Severity.ERROR,
    on=POLICY,
    what="a policy that Foresail refuses",
    fix="correct the field as the message says",
    source=_SOURCE,
)
def refused(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Foresail goes on with the last policy that was right, and a new one governs nothing. The rule
    is the schema that Foresail and the API server have.
    """
    try:
        CapacityPolicy.model_validate(parts_read(of.value))
    except ValidationError as error:
        for at, why in places_of(error, CapacityPolicy):
            where = tuple(part for part in at if part != "[key]")
            yield Fault(at=where, why=_without_place(why, where), do=f"see {_SOURCE}")


@rule(
    "FS402",
    Severity.ERROR,
    on=POLICY,
    what="two policies on one pool",
    fix="narrow spec.pools of one of them, or join them and use rules",
    source=_SOURCE,
)
def two_policies(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """A pool has one policy at most: where two match it, Foresail leaves the pool alone. Told of
    pools among the inputs, and of policies that meet in any cluster.
    """
    policies = inputs.once(parsed)
    mine = policies.get(of)
    if mine is None:
        return
    others = list(islice(policies.items(), _COMPARED_MAX))
    for pool in inputs.once(priced_pools)[:_COMPARED_MAX]:
        if _pools(mine).matches(pool):
            for other, its in others:
                if _is_another(other, of) and _pools(its).matches(pool):
                    yield _twice(f"{other.title} matches the pool {pool.name} too")
                    return
    for other, its in others:
        one, two = _pools(mine), _pools(its)
        if _is_another(other, of) and (one.surely_meets(two) or two.surely_meets(one)):
            yield _twice(f"{other.title} matches the same pools")
            return


@rule(
    "FS403",
    Severity.WARNING,
    on=POLICY,
    what="a policy that covers no pool",
    fix="correct spec.pools",
    source=_SOURCE,
)
def covers_nothing(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """It governs nothing, in silence. Told where there are GPU pools among the inputs."""
    policy, pools = inputs.once(parsed).get(of), inputs.once(priced_pools)
    if policy is None or policy.spec.pools is None or not pools:
        return
    if not any(policy.spec.pools.matches(pool) for pool in pools):
        names = ", ".join(pool.name for pool in pools[:3])
        why = f"none of {len(pools)} GPU pools here matches ({names})"
        yield Fault(at=("spec", "pools"), why=why, do="correct names, labels or generations")


@rule(
    "FS404",
    Severity.WARNING,
    on=POLICY,
    what="an idle ceiling below the price of one node",
    fix="set usdPerHour to the price of the nodes that may stand idle",
    source=f"{_SOURCE}; list prices: `foresail gpus`",
)
def ceiling_too_low(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Then no node of the pool can ever be held or ordered ahead, and the policy does nothing but
    advise it. By the list price of the cheapest machine that the pool allows, on demand.
    """
    policy = inputs.once(parsed).get(of)
    ceiling = policy.spec.idle_ceiling if policy is not None else None
    if policy is None or ceiling is None or ceiling.usd_per_hour is None:
        return
    for pool in inputs.once(priced_pools)[:_COMPARED_MAX]:
        price = pool.usd_per_hour
        if _pools(policy).matches(pool) and price is not None and ceiling.usd_per_hour < price:
            why = f"a node of {pool.object.title} costs ${price:g} an hour"
            at = ("spec", "idleCeiling", "usdPerHour")
            yield Fault(at=at, why=why, do=f"set {price:g} or more, or leave that pool out")
            return


@rule(
    "FS405",
    Severity.WARNING,
    on=POLICY,
    what="mode act without any lever",
    fix="allow one of spec.levers, or say mode: advise",
    source=_SOURCE,
)
def nothing_to_act_with(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Every decision is then only told, as in mode advise."""
    policy = inputs.once(parsed).get(of)
    if policy is None:
        return
    spec = policy.spec
    acts = any(one.mode is Mode.ACT for one in (spec, *spec.rules))
    if acts and not any(one.levers.allowed for one in (spec, *_with_levers(spec.rules))):
        why = "no lever is allowed, so nothing is done"
        yield Fault(at=("spec", "levers"), why=why, do="allow one, or say mode: advise")


def _with_levers(rules: Iterable[PoolRule]) -> Iterator[PoolRule]:
    """Rules that state levers; in the others those of spec hold."""
    return (one for one in rules if "levers" in one.model_fields_set)


@rule(
    "FS406",
    Severity.WARNING,
    on=POLICY,
    what="a static pool whose size Git and Foresail both set",
    fix="leave spec.replicas out of the NodePool in Git, or set levers.staticPool: false",
    source="Karpenter, static NodePools: scale subresource",
)
def size_in_git(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Each apply sets the number of the manifest again, and nodes with replicas go. It is as with
    an HPA and a Deployment's replicas.
    """
    policy = inputs.once(parsed).get(of)
    if policy is None or inputs.context.live:
        return
    for pool in inputs.once(priced_pools)[:_COMPARED_MAX]:
        if not pool.static or not _pools(policy).matches(pool):
            continue
        own = pool_policy(policy, pool, _SOME_TIME_SECONDS)
        if own.mode is Mode.ACT and Lever.STATIC_POOL in own.levers:
            why = f"{pool.object.title} has spec.replicas, which every apply sets again"
            do = "leave replicas out of that manifest, or set staticPool: false"
            yield Fault(at=("spec", "levers", "staticPool"), why=why, do=do)
            return


@rule(
    "FS407",
    Severity.WARNING,
    on=POLICY,
    what="a warm floor above the pool's limits",
    fix="raise spec.limits of the NodePool, or lower the floor",
    source=f"{_SOURCE}; Karpenter, NodePools: spec.limits",
)
def floor_above_limits(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Karpenter creates no node beyond its limits: the floor is never reached."""
    policy = inputs.once(parsed).get(of)
    told = set()
    for pool in inputs.once(priced_pools)[:_COMPARED_MAX]:
        most = pool.nodes_max
        if policy is None or most is None or not _pools(policy).matches(pool):
            continue
        where, floors = _floors(policy, pool)
        for index, floor in enumerate(floors):
            at = (*where, index, "nodes" if floor.nodes is not None else "gpus")
            known = floor.nodes is not None or pool.gpus_per_node > 0
            if known and at not in told and floor.nodes_of(pool.gpus_per_node) > most:
                told.add(at)
                nodes = "1 node" if most == 1 else f"{most} nodes"
                why = f"{pool.object.title} allows {nodes} by its limits"
                yield Fault(at=at, why=why, do="raise its limits, or lower the floor")


def _floors(
    policy: CapacityPolicy, pool: PricedPool
) -> tuple[tuple[str | int, ...], Sequence[WarmFloor]]:
    """Where the floors of a pool stand, and they: a rule's replace those of spec as a whole."""
    stating = [
        (index, one)
        for index, one in enumerate(policy.spec.rules)
        if "warm_floors" in one.model_fields_set and one.match.matches(pool)
    ]
    if not stating:
        return ("spec", "warmFloors"), policy.spec.warm_floors
    index, one = max(stating, key=lambda stated: stated[1].match.specificity(pool))
    return ("spec", "rules", index, "warmFloors"), one.warm_floors


@rule(
    "FS408",
    Severity.WARNING,
    on=POLICY,
    what="a rule of a policy that matches no pool",
    fix="correct its match",
    source=_SOURCE,
)
def rule_without_pool(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Its settings hold nowhere. Told where the policy covers a pool among the inputs."""
    policy = inputs.once(parsed).get(of)
    if policy is None:
        return
    mine = [one for one in inputs.once(priced_pools) if _pools(policy).matches(one)]
    for index, one in enumerate(policy.spec.rules):
        if mine and not any(one.match.matches(pool) for pool in mine):
            why = f"none of the policy's {len(mine)} pools here matches the rule {one.name!r}"
            at = ("spec", "rules", index, "match")
            yield Fault(at=at, why=why, do="correct it, or delete the rule")


@rule(
    "FS409",
    Severity.WARNING,
    on=POLICY,
    what="a policy whose workloads are not there",
    fix="correct spec.workloads",
    source=_SOURCE,
)
def no_workload(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """No node is ordered or held for demand then. Told where there are workloads with GPUs among
    the inputs, and not of a cluster where some could not be listed.
    """
    if inputs.context.live and not inputs.context.complete.issuperset(SERVING_TYPES):
        return
    policy, workloads = inputs.once(parsed).get(of), inputs.once(gpu_workloads)
    if policy is None or policy.spec.workloads is None or not workloads:
        return
    selector = policy.spec.workloads
    for one, pods in workloads.items():
        for pod in pods:
            labels = {key: value for key, value in pod.labels.items() if isinstance(value, str)}
            if not one.namespace or selector.covers(one.namespace, labels):
                return
    why = f"none of {len(workloads)} workloads with GPUs here matches"
    yield Fault(at=("spec", "workloads"), why=why, do="correct namespaces or labels")


def parsed(inputs: Inputs) -> Mapping[Object, CapacityPolicy]:
    """The policies that are right by themselves."""
    found = {}
    for one in inputs.of(POLICY):
        try:
            found[one] = policy_of(one.value)
        except PolicyError:
            continue  # FS401 tells
    return found


def _without_place(why: str, where: tuple[str | int, ...]) -> str:
    """A fault without its field and value, which the finding names already."""
    said = why.removeprefix(f"{'.'.join(map(str, where))}: ")
    _, has_value, allowed = said.partition(": it takes ")
    return f"it takes {allowed}" if has_value and said.startswith("has the value ") else said


def _pools(policy: CapacityPolicy) -> PoolSelector:
    return policy.spec.pools or _ANY


def _is_another(one: Object, of: Object) -> bool:
    """Whether it is not the same policy, perhaps in another file."""
    return one is not of and (one.name, one.namespace) != (of.name, of.namespace)


def _twice(why: str) -> Fault:
    return Fault(at=("spec", "pools"), why=why, do="narrow one of them, or join them and use rules")
