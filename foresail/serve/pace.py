"""From the settings of the cycle to those that the scaler's room takes."""

from collections.abc import Mapping

from foresail.settings.cycle import CycleSettings
from scaler.serving.cycle_settings import PlanningSettings


def planning_settings(
    cycle: CycleSettings, pools: Mapping[str, int] | None = None
) -> PlanningSettings:
    return PlanningSettings(
        look_period_seconds=cycle.period,
        step_seconds=cycle.step,
        answer_seconds_max=cycle.answer_max,
        look_seconds_max=cycle.look_max,
        looks_at_once=cycle.looks_at_once,
        history_seconds=cycle.history,
        pools=pools or {},
    )
