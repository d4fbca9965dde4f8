"""What the objective would cost beyond the price that the operator pays for a late minute."""

from scaler.learning.shadows.books import Days
from scaler.learning.shadows.settings import SETTINGS


def beyond_price(days: Days, objective: float, late_minute_cost_max: float) -> str:
    """What a plan says where late requests would make it dearer than the operator allows.

    Args:
        days: of the books; their cheapest setting that kept the objective is what it would cost.
    """
    limit = f"lateMinuteCostMax {late_minute_cost_max:g} is reached and {objective:.2%} not kept"
    hours, late = days.gpu_hours[:SETTINGS], days.late_shares[:SETTINGS]
    kept = hours[late <= 1 - objective]
    if not len(kept):
        return f"{limit}: by the books no setting keeps it"
    more = (float(kept.min()) - days.planned_hours) / (days.minutes / 1440)
    if more <= 0:
        return f"{limit}: by the books a setting keeps it for no more replica-hours than the plan"
    cost = f"{more:,.1f}".removesuffix(".0")
    return f"{limit}: by the books it would cost {cost} replica-hours a day more"
