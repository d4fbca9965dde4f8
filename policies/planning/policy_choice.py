"""The policy of each pool in one round."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from policies.planning.coverage import Selectors
from policies.policy.pool_policy import PoolPolicy
from policies.policy.resolve import PolicyOverlapError, governing, policy_for
from policies.policy.schema import CapacityPolicy
from policies.situation import PoolState


@dataclass(slots=True, kw_only=True)
class PolicyChoice:
    """The policy of each pool; a pool that two want is left alone."""

    policies: tuple[CapacityPolicy, ...]
    faults: dict[str, None] = field(default_factory=dict)
    """In the order in which they were found."""

    def of(self, pool: PoolState, at_seconds: float) -> PoolPolicy | None:
        try:
            return policy_for(self.policies, pool, at_seconds)
        except PolicyOverlapError as error:
            self.faults[f"{error}; the pool is left alone"] = None
            return None

    def selectors_of(self, pools: Iterable[PoolState]) -> Selectors:
        """The workloads that their policies are about, by pool."""
        found = {}
        for pool in pools:
            try:
                policy = governing(self.policies, pool)
            except PolicyOverlapError:
                continue  # `of` says so
            if policy is not None and policy.spec.workloads is not None:
                found[pool.name] = policy.spec.workloads
        return found
