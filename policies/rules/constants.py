"""The numbers of the rules that are not the operator's; replay may choose them again."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleConstants:
    hold_factor: float = 1.0
    """A hold counts this share of the operator's rho."""
    order_factor: float = 0.4
    """An order counts this share of what a hold counts: it pays for launches that are not used.
    Chosen from .3, .42 and .55 by replays of day-long traces, over rho 3, 10, 30 and 1 and 8 GPUs a
    node, under priors that had not seen the trace, and rounded to the grid of `tuning: nightly`."""
    windows_seconds: tuple[float, ...] = (600.0, 1200.0, 2400.0, 4800.0, 9600.0)
    """Windows of the running maximum that are tried; of a forecast with none of them, all its
    own."""
    forecast_age_seconds_max: float = 900.0
    """An older forecast, or one from the future, is not used."""
    settle_seconds: float = 120.0
    """After a start without a state nothing is released for so long: one round of planning or
    more."""
    gang_overrun_seconds: float = 1800.0
    """How long nodes are held for a gang after it was expected to end."""
    gang_wait_seconds_max: float = 3600.0
    """How long nodes are held for a gang that does not start."""

    def __post_init__(self) -> None:
        if not self.windows_seconds or list(self.windows_seconds) != sorted(
            set(self.windows_seconds)
        ):
            raise ValueError(f"windows_seconds are {self.windows_seconds}: they must ascend")
        if self.hold_factor <= 0 or self.order_factor <= 0:
            raise ValueError(
                f"hold_factor is {self.hold_factor}, order_factor {self.order_factor}: "
                "both must be above 0"
            )
