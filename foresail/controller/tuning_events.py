"""Events about the nightly choice of constants: one for each pool and night, on its policy."""

from collections.abc import Callable, Iterator
from typing import Final

from foresail.controller.node_events import Decision, reference
from foresail.controller.rounds import ClusterRound
from policies.planning.tuning import NoChoice, TuningRecord
from policies.policy.schema import API_VERSION, KIND

_NEWS_SECONDS: Final = 43_200.0
"""An older choice is no news, such as one that a restart found in the state."""


def tuning_decisions(
    made: ClusterRound, policy_uid: Callable[[str], str | None]
) -> Iterator[Decision]:
    """What the last night chose.

    Args:
        made: a round, with the choices in force.
        policy_uid: of a CapacityPolicy object; None = it is of a file, and the Event is on the
            NodePool.
    """
    tuned = made.decided.tuned
    pools = {one.name: one.uid for one in made.cluster.node_pools or ()}
    for pool in {**tuned.records, **tuned.without}:
        found = tuned.last_night_of(pool)
        if found is None or not 0 <= made.at_seconds - found.at_seconds <= _NEWS_SECONDS:
            continue
        policy = made.decided.policies[pool].policy
        uid = policy_uid(policy)
        if uid is not None:
            about = reference(API_VERSION, KIND, policy, uid)
        elif pool in pools:
            about = reference("karpenter.sh/v1", "NodePool", pool, pools[pool])
        else:
            continue
        yield Decision(
            about=about,
            reason=_reason(found),
            topic=f"tuning/{pool}",
            said=f"{found.at_seconds}",
            note=f"pool {pool}: {found.why if isinstance(found, NoChoice) else found.text}",
        )


def _reason(found: TuningRecord | NoChoice) -> str:
    if isinstance(found, NoChoice):
        return "NotTuned"
    return "Tuned" if found.moved else "TuningKept"
