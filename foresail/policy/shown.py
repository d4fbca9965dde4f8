"""What a policy says of one pool, as lines for a person and as JSON."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from fleet.cluster.nodes import CapacityType
from foresail.figures import camel
from foresail.policy.files import read
from policies.policy.groups import DelayedMinuteWorth
from policies.policy.pool_policy import Lever, Mode, PoolPolicy, Tuning
from policies.policy.resolve import policy_for
from policies.policy.schema import CapacityPolicy
from policies.policy.shipped_policies import NAMES, shipped
from scaler.durations import format_duration
from scaler.errors import ForesailError
from scaler.spelling import nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedPool:
    """A pool as it is described on the command line."""

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    generation: str | None = None
    capacity_type: CapacityType | None = None
    gpus_per_node: int = 1
    usd_per_hour: float | None = None


def policies_named(name: str) -> tuple[CapacityPolicy, ...]:
    """A ready-made policy, or those of a file or a folder.

    Raises:
        ForesailError: there is none, or it has faults.
    """
    if name in NAMES and not Path(name).exists():
        return (shipped(name),)
    if not Path(name).exists():
        near = nearest(name, NAMES)
        meant = f"; did you mean {near!r}?" if near else f", which are {', '.join(NAMES)}"
        raise ForesailError(f"{name}: neither a file nor a ready-made policy{meant}")
    return read([Path(name)])


def resolved(
    policies: tuple[CapacityPolicy, ...], pool: NamedPool, now_seconds: float
) -> PoolPolicy:
    """What the policies say of the pool.

    Raises:
        ForesailError: two match it, or none.
    """
    found = policy_for(policies, pool, now_seconds)
    if found is None:
        names = ", ".join(one.name for one in policies)
        asked = "".join(f"; {one}" for one in _unanswered(policies, pool))
        raise ForesailError(f"pool {pool.name!r}: none of the policies matches it ({names}){asked}")
    return found


def _unanswered(policies: tuple[CapacityPolicy, ...], pool: NamedPool) -> list[str]:
    """Policies and rules that may be about the pool, by options that were not given."""
    selectors = [
        (f"policy {one.name!r}", one.spec.pools) for one in policies if one.spec.pools is not None
    ]
    selectors += [
        (f"rule {rule.name!r}", rule.match)
        for one in policies
        if one.spec.pools is None or one.spec.pools.matches(pool)
        for rule in one.spec.rules
    ]
    found = []
    for what, selector in selectors:
        asked = {
            "match_labels": ("--label", selector.match_labels, pool.labels),
            "generations": ("--generation", selector.generations, pool.generation),
            "capacity_types": ("--capacity-type", selector.capacity_types, pool.capacity_type),
        }
        missing = {key: one for key, (one, stated, given) in asked.items() if stated and not given}
        if missing and selector.model_copy(update=dict.fromkeys(missing)).matches(pool):
            found.append(f"{what} was not matched: it asks for {' and '.join(missing.values())}")
    return found


def text(
    policies: tuple[CapacityPolicy, ...], pool: NamedPool, policy: PoolPolicy, now_seconds: float
) -> str:
    """The lines of what holds for the pool, and which rules could not be told."""
    now = _moment(now_seconds, policy.time_zone)
    lines = [f"pool {pool.name}, policy {policy.policy}, at {now} {policy.time_zone}"]
    lines += [f"  {name:<16}{said}" for name, said in _said(policy)]
    return "\n".join(
        [*lines, *(f"  {note}" for note in (*policy.notes, *_unanswered(policies, pool)))]
    )


def checked_text(name: str, policies: tuple[CapacityPolicy, ...]) -> str:
    """That they have no fault, and of each what a delayed minute is worth."""
    lines = [f"{name}: in order; policies: {', '.join(one.name for one in policies)}"]
    for policy in policies:
        lines.append(f"  {policy.name}: {_worth(policy.spec.delayed_minute_worth)}")
        lines += [
            f"  {policy.name}, rule {rule.name!r}: {_worth(rule.delayed_minute_worth)}"
            for rule in policy.spec.rules
            if "delayed_minute_worth" in rule.model_fields_set
        ]
    return "\n".join(lines)


def as_document(pool: NamedPool, policy: PoolPolicy, now_seconds: float) -> object:
    values = asdict(policy) | {"levers": sorted(policy.levers)}
    return camel({"pool": pool.name, "at_seconds": now_seconds, **values})


def _said(policy: PoolPolicy) -> Iterator[tuple[str, str]]:
    acts = policy.mode is Mode.ACT
    yield "mode", "act" if acts else "advise: nothing is changed"
    yield "delayed minute", f"worth {policy.rho:.4g} GPU-minutes (ρ)"
    yield "forecast trust", f"{policy.trust:g}"
    yield "warm floor now", _floor(policy)
    yield "idle ceiling", _ceiling(policy)
    hedge = policy.spot_hedge
    yield (
        "spot hedge",
        f"{hedge.on_demand_share:.0%} on demand, {_nodes(hedge.spare_nodes)} to spare",
    )
    yield "levers", _levers(policy)
    quiet = policy.quiet_until_seconds
    yield "quiet now", f"until {_moment(quiet, policy.time_zone)}" if quiet else "no"
    yield "hold lease", format_duration(policy.hold_lease_seconds)
    veto = policy.veto_seconds
    yield "loading model", f"keeps its node for {format_duration(veto)}" if veto else "no veto"
    nightly = policy.tuning is Tuning.NIGHTLY
    yield "constants", "chosen again each night" if nightly else "as they ship"


def _worth(stated: DelayedMinuteWorth) -> str:
    if stated.gpu_minutes is not None:
        return f"a delayed minute is worth {stated.gpu_minutes:.4g} GPU-minutes (ρ)"
    return f"a delayed minute is worth ${stated.usd:g}; --pool and --usd-per-hour show ρ"


def _levers(policy: PoolPolicy) -> str:
    allowed = [one.value for one in Lever if one in policy.levers]
    refused = [one.value for one in Lever if one not in policy.levers]
    if not refused:
        return "all"
    if len(refused) < len(allowed):
        return f"all but {', '.join(refused)}"
    return ", ".join(allowed) or "none"


def _floor(policy: PoolPolicy) -> str:
    if not policy.warm_floor_nodes:
        return "none"
    until = policy.warm_floor_until_seconds
    end = "always" if until is None else f"until {_moment(until, policy.time_zone)}"
    return f"{_nodes(policy.warm_floor_nodes)}, {end}"


def _nodes(count: int) -> str:
    return f"{count} node" if count == 1 else f"{count} nodes"


def _ceiling(policy: PoolPolicy) -> str:
    stated = (
        (policy.idle_usd_per_hour_max, "an hour"),
        (policy.idle_usd_per_month_max, "a month"),
    )
    parts = [f"${usd:,.2f} {per}" for usd, per in stated if usd is not None]
    return ", ".join(parts) or "none"


def _moment(seconds: float, time_zone: str) -> str:
    return f"{datetime.fromtimestamp(seconds, ZoneInfo(time_zone)):%a %Y-%m-%d %H:%M}"
