"""What a workload keeps of its object's trigger from before an edit.

KEDA names a scaler by its metadata, so an edit of any key makes a new workload. What it is planned
for is the same: its replicas take as long to start, and its demand is the one in the books.
"""

from dataclasses import replace

from scaler.decision.parameters import PlanParameters
from scaler.learning.lead import LeadRecord
from scaler.learning.shadows.choice import FIRST_DAYS
from scaler.learning.shadows.record import Shadows
from scaler.learning.shadows.settings import share_books
from scaler.serving.feeds import Workload


def keep_learned(workload: Workload, before: Workload, *, remembers: bool) -> None:
    """Continue what was learned under the trigger before an edit, where it holds for both.

    The lead time does where both read the same engines, and the books where the same settings and
    the same objective stand in them. A workload that knows something of its own stays as it is.

    Args:
        remembers: whether the orders and needs of before still count.
    """
    own, other = workload.parameters, before.parameters
    state, old = workload.cycle_state, before.cycle_state
    if own is None or other is None or workload.live is None or before.live is None:
        return
    if state.plan is not None or state.lead != LeadRecord() or state.shadows is not None:
        return
    if not workload.live.key.reads_as(before.live.key):
        return
    # The replicas of another mode were not those of its plans: what runs is held for one hold.
    remembers = remembers and own.mode is other.mode and old.state.handed is not None
    workload.cycle_state = replace(
        state,
        state=old.state if remembers else state.state,
        lead=old.lead if remembers else old.lead.without_orders(),
        shadows=old.shadows and _shadows(old.shadows, own, other),
    )


def _shadows(shadows: Shadows, own: PlanParameters, other: PlanParameters) -> Shadows | None:
    if not share_books(own, other):
        return None
    if own.tuning == other.tuning and own.mode is other.mode:
        return shadows
    # The late requests that a correction counts were those of another rule.
    choice = shadows.choice if own.tuning.chooses else FIRST_DAYS
    return replace(shadows, choice=choice, correction=0.0)
