"""Say on pods which of them go first: costs that the rules found, written where they change.

Server-side apply states all our annotations of a pod at once, so a pod has one of the two costs
from us and never both. A cost that another manager writes stays theirs. The lease is long, because
a cost is no money: it is renewed twice a day, and a Foresail that is gone leaves no order behind.
"""

from typing import Final

from fleet.annotations import DELETION_COST, DISRUPTION_COST, RANKED_UNTIL
from fleet.cluster.fields import seconds
from fleet.cluster.pods import Pod
from policies.levers.change import MANAGER, Change, LeverResult, Verb, applied
from policies.levers.discovery import KARPENTER_MANAGER
from policies.levers.marks import lease_to_write, stamp
from policies.levers.objects import pod_address
from policies.levers.round import PoolRound, said
from policies.policy.pool_policy import Lever

LEVER: Final = "deletion cost"
LEASE_SECONDS: Final = 86_400.0
_COSTS: Final = (DELETION_COST, DISRUPTION_COST)


def rank_pods(round_: PoolRound) -> LeverResult:
    """Write the costs that changed, and renew those that stand."""
    result = LeverResult()
    on_pool = [pod.uid for node in round_.pool.nodes for pod in node.pods]
    wanted = {DELETION_COST: round_.plan.deletion_costs, DISRUPTION_COST: _disruption(round_)}
    for uid in dict.fromkeys([*on_pool, *wanted[DELETION_COST], *wanted[DISRUPTION_COST]]):
        pod = round_.objects.pods.get(uid)
        if pod is None or pod.deleted_seconds is not None or pod.ended:
            continue
        for name in _COSTS:
            if uid in wanted[name]:
                result += _ranked(round_, pod, name, wanted[name][uid])
                break
        else:
            result += _standing(round_, pod)
    return result


def unranked(pod: Pod, why: str) -> Change:
    """Take our annotations off a pod."""
    address = pod_address(pod)
    return Change(
        verb=Verb.APPLY,
        address=address,
        lever=LEVER,
        why=why,
        body=applied(address, pod.uid, {}),
        uid=pod.uid,
    )


def ranked_by_us(pod: Pod) -> bool:
    """Whether it carries a lease of ours; one that a tenant wrote is theirs."""
    return MANAGER in pod.cost_managers.get(RANKED_UNTIL, frozenset())


def ranked_until(pod: Pod) -> float | None:
    """The end of our lease on a pod's cost; None = there is none that can be read."""
    return seconds(pod.annotations, RANKED_UNTIL)


def _disruption(round_: PoolRound) -> dict[str, int]:
    return dict(round_.plan.disruption_costs)


def _ranked(round_: PoolRound, pod: Pod, name: str, cost: int) -> LeverResult:
    if not round_.may(Lever.POD_DELETION_COST):
        return _standing(round_, pod)
    others = pod.cost_managers.get(name, frozenset()) - {MANAGER}
    leased = pod.cost_managers.get(RANKED_UNTIL, frozenset()) - {MANAGER}
    if leased:
        text = f"{pod.name}: {', '.join(sorted(leased))} writes {RANKED_UNTIL}: it is not ranked"
        return LeverResult(steps=said(LEVER, text))
    if others and pod.annotations.get(name) != str(cost):
        by = "Karpenter" if KARPENTER_MANAGER in others else ", ".join(sorted(others))
        text = f"{pod.name}: {by} writes {name}, and it stays theirs"
        # What we wrote under the other name is of an earlier round.
        changes = (unranked(pod, f"{by} ranks it"),) if ranked_by_us(pod) else ()
        return LeverResult(changes=changes, steps=said(LEVER, text))
    if pod.annotations.get(name) == str(cost) and ranked_by_us(pod):
        return _standing(round_, pod)
    return LeverResult(changes=(_write(round_, pod, name, cost),))


def _standing(round_: PoolRound, pod: Pod) -> LeverResult:
    """Renew what we wrote earlier, or take it off where the policy no longer allows it."""
    if not ranked_by_us(pod):
        return LeverResult()
    if not round_.may(Lever.POD_DELETION_COST):
        return LeverResult(changes=(unranked(pod, "the policy does not allow costs on pods"),))
    until = round_.now_seconds + LEASE_SECONDS
    lease = lease_to_write(ranked_until(pod), until, round_.now_seconds)
    if lease is None:
        return LeverResult()
    for name in _COSTS:
        ours = MANAGER in pod.cost_managers.get(name, frozenset())
        if ours and pod.annotations[name].lstrip("-").isdecimal():
            cost = int(pod.annotations[name])
            return LeverResult(changes=(_write(round_, pod, name, cost),))
    return LeverResult(changes=(unranked(pod, "the cost itself is gone"),))


def _write(round_: PoolRound, pod: Pod, name: str, cost: int) -> Change:
    address = pod_address(pod)
    until = round_.now_seconds + LEASE_SECONDS
    annotations = {name: str(cost), RANKED_UNTIL: stamp(until)}
    return Change(
        verb=Verb.APPLY,
        address=address,
        lever=LEVER,
        why=f"{name} {cost}: pods of emptier nodes go first",
        body=applied(address, pod.uid, {"annotations": annotations}),
        uid=pod.uid,
        lease_end_seconds=until,
    )
