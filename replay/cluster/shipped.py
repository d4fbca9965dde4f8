"""The shipped rules as a node policy of the replay, by the assembly that the controller calls."""

from policies.decide import SETTLED, DecisionState, PolicyOf
from policies.node_plan import NodePlan
from policies.planning.pool_decisions import decide_pools
from policies.planning.tuning import TunedPools
from policies.rules.constants import RuleConstants
from policies.situation import Situation


class ShippedRules:
    """The rules with what they remember; constants may change between rounds."""

    def __init__(self, policy_of: PolicyOf, constants: RuleConstants | None = None) -> None:
        self.constants = constants or RuleConstants()
        self._policy_of = policy_of
        self._state: DecisionState = SETTLED

    def decide(self, situation: Situation) -> NodePlan:
        decided, self._state = decide_pools(
            situation, self._policy_of, self._state, TunedPools(), untuned=self.constants
        )
        return decided.plan
