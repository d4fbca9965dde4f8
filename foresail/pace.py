"""From the settings of the cycle to those that the scaler's room takes."""

from foresail.settings import CycleSettings
from scaler.loop_settings import LoopSettings


def loop_settings(cycle: CycleSettings) -> LoopSettings:
    return LoopSettings(
        look_period_seconds=cycle.period,
        step_seconds=cycle.step,
        blind_seconds_max=cycle.blind_max,
        look_seconds_max=cycle.look_max,
        looks_at_once=cycle.looks_at_once,
        history_seconds=cycle.history,
        beside=cycle.also_forecast,
    )
