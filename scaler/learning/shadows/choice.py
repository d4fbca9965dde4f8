"""The setting in force: chosen from the books at the end of a day, and corrected within it.

A setting kept the objective if its late share, plus a margin, is within it. The margin is the
spread of the days seen, because the next day is another day: settings picked by the mean of the
last days fall short by half a point to a point and a half. Where none keeps it with the margin, the
cheapest that kept it on average is taken; where none does, a safer one. One change may make the
workload so much cheaper or dearer, and no more. Where the model is off, the setting stays.

Within a day a correction makes the setting safer by the measured late share, whatever the model
says (adaptive conformal inference, Gibbs and Candès 2021), where more replicas could help. Its
lower bound is what one day without a late request earns: the objective is a share of all requests,
so a burst after a good day need not be paid for.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scaler.learning.estimates import Setting
from scaler.learning.shadows.books import Days
from scaler.learning.shadows.settings import GIVEN, SETTINGS, Floats, SettingArrays

DAYS_MIN: Final = 2
"""Whole days in the books before the first choice; until then the trigger's setting is in force."""
CHEAPER_MAX: Final = 0.15
"""GPU-hours that one change may save, as a share of what the plan wanted, corrections included; the
realised saving is seen before the next."""
DEARER_MAX: Final = 0.3
KEPT_WITHIN: Final = 0.01
"""A setting in force that is dearer by no more than this stays."""
FORECAST_WORTH_MIN: Final = 0.02
"""A setting with a forecast must save so much against one without, else chance decides."""
SAFER_MIN: Final = 0.1
"""Share of its late requests that a step towards safety must save, else it is chance."""
SPREADS: Final = 1.0
"""Standard deviations of the days' late shares that a setting must stay within the objective by."""
OFF_FACTOR: Final = 2.0
"""Measured and modelled late shares may differ by this factor, and by the objective's own share."""
REPLICAS_OFF_MAX: Final = 0.25
"""Of the shadow of the setting in force against the plan."""

CORRECTION_MAX: Final = 3.0
"""A late minute is then worth twenty times as much."""
_CORRECTION_PER_MINUTE: Final = 0.1
"""Ten minutes in which all is late make a late minute worth e times as much."""
_CREDIT_MINUTES: Final = 24 * 60
"""In time, that are remembered."""
CREDIT_MAX: Final = _CORRECTION_PER_MINUTE * _CREDIT_MINUTES
"""More than any objective leaves."""
_UTILIZATION_PER_CORRECTION: Final = 0.1


class Verdict(IntEnum):
    """What came of the last choice; the values are in states."""

    FIRST_DAYS = 0
    """Too few days are in the books."""
    CHEAPEST = 1
    """The cheapest that kept the objective, within the bound on a change."""
    ON_AVERAGE = 2
    """None kept it with the margin: the cheapest that kept it without, within the bound."""
    SAFER = 3
    """None kept it: the next one that is later less, within the bound on a change."""
    UNJUDGED = 4
    """Late requests were not measured, so the model is not known to be right."""
    LATER = 5
    """More was late than the model says."""
    EARLIER = 6
    """Less was late than the model says."""
    OTHER_REPLICAS = 7
    """The plan wanted other replicas than its shadow."""

    @property
    def words(self) -> str:
        """For a step of the plan; the books' account says more."""
        match self:
            case Verdict.FIRST_DAYS:
                return "the trigger's own in the first days"
            case Verdict.CHEAPEST:
                return "the cheapest that kept the objective on this workload's last days"
            case Verdict.ON_AVERAGE:
                return "the cheapest that kept the objective on average of the last days"
            case Verdict.SAFER:
                return "a step safer, because none kept the objective on the last days"
            case Verdict.UNJUDGED | Verdict.LATER | Verdict.EARLIER | Verdict.OTHER_REPLICAS:
                return "kept, because the model of the fleet was off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The place of the setting in force, and why it is that."""

    place: int = GIVEN
    verdict: Verdict = Verdict.FIRST_DAYS
    days: int = 0
    """In the books when it was made."""
    late: float = math.nan
    """Late share of the setting over those days, margin included."""
    measured: float = math.nan
    """Late share that was measured over those days."""
    modelled: float = math.nan
    """The model's share over the same minutes."""

    @property
    def keeps_objective(self) -> bool:
        """Whether the books have it that the setting keeps the objective."""
        return self.verdict in (Verdict.CHEAPEST, Verdict.ON_AVERAGE)

    @property
    def model_holds(self) -> bool | None:
        """Whether the model agrees with what happened; None while that is not known."""
        match self.verdict:
            case Verdict.CHEAPEST | Verdict.ON_AVERAGE | Verdict.SAFER:
                return True
            case Verdict.FIRST_DAYS | Verdict.UNJUDGED:
                return None
            case Verdict.LATER | Verdict.EARLIER | Verdict.OTHER_REPLICAS:
                return False


FIRST_DAYS: Final = Choice()


def choose(
    days: Days,
    choice: Choice,
    arrays: SettingArrays,
    objective: float,
    *,
    late_minute_cost_max: float | None = None,
) -> Choice:
    """The setting for the next day.

    Args:
        late_minute_cost_max: no setting that makes a late minute dearer is chosen.
    """
    judged = Choice(
        place=choice.place,
        days=len(days),
        measured=days.measured_late,
        modelled=days.modelled_late,
    )
    if len(days) < DAYS_MIN:
        return judged
    late = _cautious(days)
    verdict = _off(days, objective)
    if verdict is not None:
        return replace(judged, verdict=verdict, late=float(late[choice.place]))
    hours, now = days.gpu_hours[:SETTINGS], days.planned_hours
    allowed = (hours >= (1 - CHEAPER_MAX) * now) & (hours <= (1 + DEARER_MAX) * now)
    if late_minute_cost_max is not None:
        allowed &= [(one.late_minute_cost or 0) <= late_minute_cost_max for one in arrays.settings]
    allowed[choice.place] = True
    tiers = ((Verdict.CHEAPEST, late), (Verdict.ON_AVERAGE, days.late_shares[:SETTINGS]))
    for verdict, shares in tiers:
        kept = allowed & (shares <= 1 - objective)
        if kept.any():
            place = _cheapest(hours, kept, choice.place, arrays, allowed=allowed)
            return replace(judged, place=place, verdict=verdict, late=float(shares[place]))
    place = _a_step_safer(hours, late, allowed, choice.place)
    return replace(judged, place=place, verdict=Verdict.SAFER, late=float(late[place]))


def _a_step_safer(hours: Floats, late: Floats, allowed: NDArray[np.bool_], place: int) -> int:
    """The cheapest of those that are less late, by more than chance; else the one in force."""
    safer = allowed & (late <= (1 - SAFER_MIN) * late[place])
    return int(np.where(safer, hours, np.inf).argmin()) if safer.any() else place


def _cheapest(
    hours: Floats,
    kept: NDArray[np.bool_],
    place: int,
    arrays: SettingArrays,
    *,
    allowed: NDArray[np.bool_],
) -> int:
    """The cheapest of those that kept the objective; small differences change nothing.

    Between two with a forecast, or two without, the one in force stays. One with a forecast gives
    way to one without unless it saves more than chance. Where all cost the same, as in two days at
    `minReplicas`, the days show nothing of any, and the one in force stays.
    """
    same = np.abs(hours - hours[place]) <= KEPT_WITHIN * hours[place]
    if kept[place] and same[allowed].all():
        return place
    worth = hours * np.where(arrays.forecasts, 1 + FORECAST_WORTH_MIN, 1.0)
    worth[place] *= 1 - KEPT_WITHIN
    return int(np.where(kept, worth, np.inf).argmin())


def _cautious(days: Days) -> Floats:
    """The late share by setting, and its spread over the days."""
    by_day = days.late_by_day[:, :SETTINGS]
    return np.asarray(days.late_shares[:SETTINGS] + SPREADS * by_day.std(axis=0, ddof=1))


def _off(days: Days, objective: float) -> Verdict | None:
    """How the model is off; None where it holds."""
    measured, modelled = days.measured_late, days.modelled_late
    if math.isnan(measured) or math.isnan(modelled):
        return Verdict.UNJUDGED
    slack = 1 - objective
    if measured > OFF_FACTOR * modelled + slack:
        return Verdict.LATER
    if modelled > OFF_FACTOR * measured + slack:
        return Verdict.EARLIER
    if abs(days.shadowed_ratio - 1) > REPLICAS_OFF_MAX:
        return Verdict.OTHER_REPLICAS
    return None


def correction_max(setting: Setting, late_minute_cost_max: float | None) -> float:
    """How much safer than this setting late requests may make a plan, by the operator's price."""
    cost = setting.late_minute_cost
    if late_minute_cost_max is None or cost is None:
        return CORRECTION_MAX
    return min(max(math.log(late_minute_cost_max / cost), 0.0), CORRECTION_MAX)


def correction_after(
    correction: float,
    late: float,
    objective: float,
    *,
    most: float = CORRECTION_MAX,
    weight: float = 1.0,
) -> float:
    """The correction after one minute with this measured late share; below 0 is credit.

    Args:
        most: that it may be.
        weight: of the minute, its load over the mean load: the objective is about requests, and the
            late minutes are the busy ones.
    """
    allowed = 1 - objective
    moved = correction + _CORRECTION_PER_MINUTE * weight * (late - allowed)
    credit = _CORRECTION_PER_MINUTE * allowed * _CREDIT_MINUTES
    return min(max(moved, -credit), most)


def corrected(setting: Setting, correction: float, pinned: Collection[str]) -> Setting:
    """A setting made safer; pinned figures stay, and a credit changes nothing."""
    correction = max(correction, 0.0)
    cost, utilization = setting.late_minute_cost, setting.utilization
    if cost is not None and "late_minute_cost" not in pinned:
        cost *= math.exp(correction)
    if "utilization" not in pinned:
        utilization *= math.exp(-_UTILIZATION_PER_CORRECTION * correction)
    return replace(setting, late_minute_cost=cost, utilization=utilization)
