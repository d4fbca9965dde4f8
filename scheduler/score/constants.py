"""What the terms of the placement rule weigh, as one value that benchmarks can vary.

Chosen on clusters and mixes that are made up (`python -m bench placement_constants`), not on the
traces that the rule is judged on.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleConstants:
    """In thousandths of a GPU, but for ratios."""

    step_milli: float = 50.0
    """To which the loss of expected pods is rounded: coarse steps keep filling one node after the
    other among those that lose about the same, and leave the others whole."""
    leaving_step_milli: float = 25.0
    """The same where pods leave as others come."""
    fine_step_milli: float = 5.0
    """The same where no pod of several GPUs is expected, for whom nodes would be left whole."""
    leaving_from: float = 0.1
    """The turnover from which pods that leave make the room for those that come."""
    idle_price_milli: float = 1.0
    """For each idle GPU of a node: decides only within a step."""
    width_price_milli: float = 50.0
    """Of each GPU in a place for a wider pod, where such places are as scarce as can be."""
    unexpected_part: float = 0.01
    """Of the GPUs that are asked for, by pods of 2, 4 and 8 GPUs each, at least: no mix is sure."""
    turnover_factor: float = 5.0
    """How many times more such a place is worth where as much leaves as comes."""
    model_price_milli: float = 1000.0
    """Of a place on the last nodes of a GPU model: more than any difference of worth."""
    model_scarce_from: float = 0.9
    """The part of a model's room that is asked for, from which on a place there has a price."""


SHIPPED: Final = RuleConstants()
