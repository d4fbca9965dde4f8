"""The shipped rules as a node policy of the replay: the same `decide` as in production."""

from policies.decide import SETTLED, DecisionState, PolicyOf, decide
from policies.node_plan import NodePlan
from policies.rules.constants import RuleConstants
from policies.situation import Situation


class ShippedRules:
    """The rules with what they remember; constants may change between rounds."""

    def __init__(self, policy_of: PolicyOf, constants: RuleConstants | None = None) -> None:
        self.constants = constants or RuleConstants()
        self._policy_of = policy_of
        self._state: DecisionState = SETTLED

    def decide(self, situation: Situation) -> NodePlan:
        constants = {pool.name: self.constants for pool in situation.pools}
        plan, self._state = decide(situation, self._policy_of, self._state, constants=constants)
        return plan
