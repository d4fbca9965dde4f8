"""The settings that shadows choose from, and the rules that people use, in a fixed order.

Records in states name a setting by its place here: a change of the order is a new version of them.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scaler.decision.parameters import PlanParameters
from scaler.durations import format_duration
from scaler.learning.estimates import Setting

Floats = NDArray[np.float64]

GIVEN: Final = 0
"""Place of the trigger's own setting."""

PEOPLES: Final = ("hpa-inflight", "keda-waiting", "knative", "fixed")
"""Rules that people use, at their usual figures; they are shown and never chosen."""
PEOPLES_TEXT: Final = {
    "hpa-inflight": "HPA on requests in flight, 70 % of a replica's at capacity, 5m stabilization",
    "keda-waiting": "KEDA on waiting requests, 5 a replica, 5m stabilization",
    "knative": "knative on concurrency, 70 % of a replica's at capacity, 60s window",
    "fixed": "the same number all day, that of the busiest minute of the day before",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    utilization: float
    late_minute_cost: float | None = None
    """None is without a forecast."""
    holds: float = 1.0
    """Of the workload's own hold."""


_CANDIDATES: Final = (
    # Utilisation and hold count where the forecast does not count in full.
    _Candidate(late_minute_cost=1.0, utilization=1.0, holds=0.5),
    _Candidate(late_minute_cost=2.0, utilization=1.0, holds=0.5),
    _Candidate(late_minute_cost=4.0, utilization=0.95),
    _Candidate(late_minute_cost=8.0, utilization=0.85),
    _Candidate(late_minute_cost=30.0, utilization=0.8),
    _Candidate(late_minute_cost=60.0, utilization=0.7),
    _Candidate(late_minute_cost=150.0, utilization=0.7, holds=2.0),
    _Candidate(late_minute_cost=500.0, utilization=0.5, holds=3.0),
    # The same without a forecast: a forecast that is worth nothing does not win by another hold.
    _Candidate(utilization=1.0, holds=0.5),
    _Candidate(utilization=0.95),
    _Candidate(utilization=0.85),
    _Candidate(utilization=0.7, holds=2.0),
    _Candidate(utilization=0.5, holds=3.0),
)
SETTINGS: Final = 1 + len(_CANDIDATES)
"""Those to choose from, the given one first."""
SHADOWS: Final = SETTINGS + len(PEOPLES)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SettingArrays:
    """The settings of one workload, and the same as arrays over the settings."""

    settings: tuple[Setting, ...]
    by_cost: NDArray[np.intp]
    """Places of those that weigh costs."""
    late_minute_costs: tuple[float, ...]
    """Theirs."""
    utilization: Floats
    hold_seconds: Floats
    forecasts: NDArray[np.bool_]


def settings_of(parameters: PlanParameters) -> SettingArrays:
    """The settings for a workload: `parameters` first; a pinned figure is the same in all."""
    given = Setting(
        level=parameters.level,
        utilization=parameters.utilization,
        hold_seconds=parameters.hold_seconds,
        late_minute_cost=parameters.late_minute_cost,
    )
    return _settings(given, parameters.tuning.pinned)


def share_books(one: PlanParameters, other: PlanParameters) -> bool:
    """Whether both have the same settings, objective and days in their books."""
    holds = [
        parameters.hold_seconds if "hold_seconds" in parameters.tuning.pinned else None
        for parameters in (one, other)
    ]
    return (
        one.objective == other.objective
        and one.tuning.timezone == other.tuning.timezone
        and one.tuning.pinned == other.tuning.pinned
        and one.tuning.late_minute_cost_max == other.tuning.late_minute_cost_max
        and one.level == other.level
        and one.utilization == other.utilization
        and one.late_minute_cost == other.late_minute_cost
        and holds[0] == holds[1]
    )


@lru_cache(maxsize=4096)
def _settings(given: Setting, pinned: frozenset[str]) -> SettingArrays:
    made = (given, *(_setting(one, given, pinned) for one in _CANDIDATES))
    by_cost = [place for place, one in enumerate(made) if one.late_minute_cost is not None]
    return SettingArrays(
        settings=made,
        by_cost=np.array(by_cost, np.intp),
        late_minute_costs=tuple(made[place].late_minute_cost or 0.0 for place in by_cost),
        utilization=np.array([setting.utilization for setting in made]),
        hold_seconds=np.array([setting.hold_seconds for setting in made]),
        forecasts=np.array([setting.forecasts for setting in made]),
    )


def _setting(candidate: _Candidate, given: Setting, pinned: frozenset[str]) -> Setting:
    # A user who gave a quantile, or what a late minute costs, wants the forecast.
    with_forecast = not pinned.isdisjoint({"level", "late_minute_cost"})
    hold = given.hold_seconds * candidate.holds
    return Setting(
        level=given.level,
        utilization=given.utilization if "utilization" in pinned else candidate.utilization,
        hold_seconds=given.hold_seconds if "hold_seconds" in pinned else hold,
        forecasts=with_forecast or candidate.late_minute_cost is not None,
        late_minute_cost=given.late_minute_cost if with_forecast else candidate.late_minute_cost,
    )


def setting_text(setting: Setting) -> str:
    """A setting in words, such as `15 GPU-minutes a late minute, utilization 0.95, hold 5m`."""
    if not setting.forecasts:
        what = "no forecast"
    elif setting.late_minute_cost is None:
        what = f"q{setting.level:g}"
    else:
        what = f"{setting.late_minute_cost:g} GPU-minutes a late minute"
    hold = format_duration(setting.hold_seconds)
    return f"{what}, utilization {setting.utilization:.2g}, hold {hold}"
