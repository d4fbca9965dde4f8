"""Hours in a policy, by days and times or by a cron expression, and warm floors by such hours."""

from collections.abc import Mapping
from enum import StrEnum
from math import ceil, inf
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from fleet.located import Path
from policies.policy.cross_rules import CrossRule, PolicyPart, given
from policies.policy.values import Cron, Duration, Gpus, Nodes, TimeOfDay, TimeZone
from policies.policy.windows import DAY_MINUTES, WEEK, CronWindow, WeeklyWindow, Window, minute_of


class Day(StrEnum):
    """A day of the week."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


_HOURS: Final = ("days", "begin", "to")


def _half(values: Mapping[str, Any], first: str, second: str) -> bool:
    return (values[first] is None) != (values[second] is None)


def _beside_cron(values: Mapping[str, Any]) -> Path | None:
    beside = given(values, *_HOURS)
    return (_KEYS[beside[0]],) if values["cron"] is not None and beside else None


def _empty_hours(values: Mapping[str, Any]) -> Path | None:
    begin = values["begin"]
    return ("to",) if begin is not None and begin == values["to"] else None


_KEYS: Final = {"days": "days", "begin": "from", "to": "to"}
_HOURS_RULES: Final = (
    CrossRule(
        cel="has(self.from) == has(self.to)",
        message="from and to go together: one of them is missing",
        fields=("begin", "to"),
        broken_at=lambda values: () if _half(values, "begin", "to") else None,
    ),
    CrossRule(
        cel="has(self.cron) == has(self.lasts)",
        message="cron and lasts go together: one of them is missing",
        fields=("cron", "lasts"),
        broken_at=lambda values: () if _half(values, "cron", "lasts") else None,
    ),
    CrossRule(
        cel="!has(self.cron) || !(has(self.days) || has(self.from) || has(self.to))",
        message="it stands beside cron, which has days and hours of its own: leave one of them out",
        fields=("cron", *_HOURS),
        broken_at=_beside_cron,
    ),
    CrossRule(
        cel="!has(self.from) || !has(self.to) || self.from != self.to",
        message="from and to are equal: a whole day is from 00:00 to 24:00",
        fields=("begin", "to"),
        broken_at=_empty_hours,
    ),
)


class Hours(PolicyPart):
    """Days with times, or a cron expression with a length; without either, always."""

    cross_rules: ClassVar[tuple[CrossRule, ...]] = _HOURS_RULES

    days: Annotated[tuple[Day, ...], Field(min_length=1, max_length=7)] | None = Field(
        default=None, description="a list of mon, tue, wed, thu, fri, sat, sun"
    )
    """Days of the week; without them every day."""
    begin: TimeOfDay | None = Field(default=None, alias="from")
    """When the hours begin; without `from` and `to` whole days. Hours that pass midnight belong to
    the day on which they begin."""
    to: TimeOfDay | None = None
    """When the hours end."""
    cron: Cron | None = None
    """In place of days and times: the moments at which the hours begin."""
    lasts: Duration | None = None
    """How long the hours last from each moment of `cron`."""
    time_zone: TimeZone | None = None
    """Of days, times and `cron`; without it `spec.timeZone`. Summer time is respected."""

    def end_of_span_at(self, now_seconds: float, time_zone: str) -> float | None:
        """When the hours end in which `now` is; None = it is outside, inf = they never end.

        Args:
            time_zone: of hours that name none.
        """
        zone = self.time_zone or time_zone
        if self.cron is not None:
            assert self.lasts is not None
            window: Window = CronWindow(cron=self.cron, length_seconds=self.lasts, time_zone=zone)
        elif self.days is None and self.begin is None:
            return inf
        else:
            window = WeeklyWindow(
                days=frozenset(WEEK if self.days is None else (day.value for day in self.days)),
                from_minute=minute_of(self.begin) if self.begin else 0,
                to_minute=minute_of(self.to) if self.to else DAY_MINUTES,
                time_zone=zone,
            )
        return window.end_of_span_at(now_seconds)


class QuietHours(Hours):
    """Hours in which Karpenter moves no pod to save money."""

    cross_rules: ClassVar[tuple[CrossRule, ...]] = (
        *_HOURS_RULES,
        CrossRule(
            cel="has(self.days) || has(self.from) || has(self.cron)",
            message="always would be quiet: give days, from and to, or cron and lasts",
            fields=(*_HOURS, "cron"),
            broken_at=lambda values: None if given(values, *_HOURS, "cron") else (),
        ),
    )


class WarmFloor(Hours):
    """Capacity of each pool that is there in these hours whatever the demand."""

    cross_rules: ClassVar[tuple[CrossRule, ...]] = (
        *_HOURS_RULES,
        CrossRule(
            cel="has(self.nodes) != has(self.gpus)",
            message="it takes either nodes or gpus",
            fields=("nodes", "gpus"),
            broken_at=lambda values: None if _half(values, "nodes", "gpus") else (),
        ),
    )

    nodes: Nodes | None = None
    """Nodes of each pool, busy ones among them."""
    gpus: Gpus | None = None
    """The same in GPUs, rounded up to whole nodes."""

    def nodes_of(self, gpus_per_node: int) -> int:
        """The floor in nodes of a pool."""
        if self.nodes is not None:
            return self.nodes
        assert self.gpus is not None
        return ceil(self.gpus / max(1, gpus_per_node))
