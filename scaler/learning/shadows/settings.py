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
    "fixed": "a fixed number, the busiest minute of the day before",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    level: float
    utilization: float
    holds: float = 1.0
    """Of the workload's own hold."""
    forecasts: bool = True


def _reactive(utilization: float, *, holds: float = 1.0) -> _Candidate:
    return _Candidate(level=0.5, utilization=utilization, holds=holds, forecasts=False)


_CANDIDATES: Final = (
    _Candidate(level=0.5, utilization=1.0, holds=0.5),
    _Candidate(level=0.8, utilization=0.95),
    _Candidate(level=0.9, utilization=0.95),
    _Candidate(level=0.95, utilization=0.95),
    _Candidate(level=0.99, utilization=0.85),
    _Candidate(level=0.995, utilization=0.7, holds=2.0),
    # The same without a forecast: a forecast that is worth nothing does not win by another hold.
    _reactive(1.0, holds=0.5),
    _reactive(0.95),
    _reactive(0.85),
    _reactive(0.7, holds=2.0),
    _reactive(0.5, holds=3.0),
)
SETTINGS: Final = 1 + len(_CANDIDATES)
"""Those to choose from, the given one first."""
SHADOWS: Final = SETTINGS + len(PEOPLES)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SettingArrays:
    """The settings of one workload, and the same as arrays over the settings."""

    settings: tuple[Setting, ...]
    levels: tuple[float, ...]
    """The different levels of those with a forecast."""
    level_places: NDArray[np.intp]
    """Place in `levels` of each setting's level."""
    utilization: Floats
    hold_seconds: Floats
    forecasts: NDArray[np.bool_]


def settings_of(parameters: PlanParameters) -> SettingArrays:
    """The settings for a workload: `parameters` first; a pinned figure is the same in all."""
    return _settings(
        parameters.level,
        parameters.utilization,
        parameters.hold_seconds,
        parameters.tuning.pinned,
    )


@lru_cache(maxsize=4096)
def _settings(
    level: float, utilization: float, hold_seconds: float, pinned: frozenset[str]
) -> SettingArrays:
    given = Setting(level=level, utilization=utilization, hold_seconds=hold_seconds)
    made = [given]
    for one in _CANDIDATES:
        hold = hold_seconds * one.holds
        made.append(
            Setting(
                level=level if "level" in pinned else one.level,
                utilization=utilization if "utilization" in pinned else one.utilization,
                hold_seconds=hold_seconds if "hold_seconds" in pinned else hold,
                # A user who gave a quantile wants the forecast.
                forecasts=one.forecasts or "level" in pinned,
            )
        )
    levels = tuple(sorted({setting.level for setting in made if setting.forecasts}))
    return SettingArrays(
        settings=tuple(made),
        levels=levels,
        level_places=np.array([levels.index(s.level) if s.forecasts else 0 for s in made]),
        utilization=np.array([setting.utilization for setting in made]),
        hold_seconds=np.array([setting.hold_seconds for setting in made]),
        forecasts=np.array([setting.forecasts for setting in made]),
    )


def setting_text(setting: Setting) -> str:
    """A setting in words, for example `q0.9, utilisation 0.95, hold 5m`."""
    what = f"q{setting.level:g}" if setting.forecasts else "no forecast"
    hold = format_duration(setting.hold_seconds)
    return f"{what}, utilisation {setting.utilization:.2g}, hold {hold}"
