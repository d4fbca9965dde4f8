"""What a start tells of the duration of each stage: an exact number, bounds, or nothing.

A stage begins when all before it have ended. It tells nothing where its begin is not known, or
where it ended before it began: clocks differ, and stages overlap. Nothing is not 0.

* A start that was watched is exact, because the API server's objects name the moment. Where only a
  reading tells, the stage ended between that reading and the one before it.
* Where it told an end `GAP_SECONDS` or more after the last reading without it, nobody watched:
  the condition may have flipped since. It ended in between, and of what it tells beyond
  `UNWATCHED_SECONDS_MAX` only that reading counts.
* A stage under way, or given up, took longer than until the last reading that found it so.
* A start that had ended when it was first read took at most what it tells, since conditions flip
  back. Upper bounds alone are best explained by durations near the smallest of them, which are too
  short to plan with; so it counts as it tells, with `UNWATCHED_WEIGHT`, and not at all where it
  tells more than `UNWATCHED_SECONDS_MAX`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fleet.account.starts import NodeStart, PodStart
from fleet.account.survival import Duration

NODE_STAGES: Final = ("launched", "registered", "node ready", "initialized", "GPUs")
POD_STAGES: Final = ("scheduled", "image pulled", "started", "ready")
TO_GPUS: Final = "order to GPUs"
"""Of a machine, all its stages."""
LOAD: Final = "load"
"""Of a pod, from its node to the first time it was ready: image, weights, warm-up."""
GAP_SECONDS: Final = 600.0
"""Between two readings, for a start to have been watched."""
UNWATCHED_WEIGHT: Final = 0.5
UNWATCHED_SECONDS_MAX: Final = 3600.0


def node_durations(start: NodeStart, now_seconds: float) -> Mapping[str, Duration]:
    """The durations of a machine's stages, and of all of them together."""
    until = _until(start, now_seconds)
    stages = start.stages if start.claimed else _after_boot(start)
    found = dict(_stages(start, tuple(stages.items()), until))
    whole = _whole_of_node(start, until)
    if whole is not None:
        found[TO_GPUS] = whole
    return found


def pod_durations(start: PodStart, now_seconds: float) -> Mapping[str, Duration]:
    """The durations of a pod's stages, and of its load.

    An image counts as pulled where the pod waited for its node: a node that has served has it.
    """
    until = _until(start, now_seconds)
    begin = max(start.created_seconds, start.node_ready_seconds or start.created_seconds)
    stages = tuple((name, start.stages[name]) for name in POD_STAGES)
    found = dict(_stages(replace(start, created_seconds=begin), stages, until))
    if start.node_ready_seconds is None:
        found.pop("image pulled", None)
    if start.scheduled_seconds is not None:
        span = _Span(begin=start.scheduled_seconds, end=start.ready_seconds, until=until)
        load = span.duration(start.watched)
        if load is not None:
            found[LOAD] = load
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    begin: float
    end: float | None
    until: float
    """The last moment at which the start was seen not to have ended."""

    def duration(self, watched: bool) -> Duration | None:  # noqa: FBT001 - as the start has it
        if self.end is None:
            lasted = self.until - self.begin
            return Duration(over=lasted, up_to=math.inf) if lasted > 0 else None
        took = self.end - self.begin
        if took < 0 or (not watched and took > UNWATCHED_SECONDS_MAX):
            return None
        if watched and self.end - self.until >= GAP_SECONDS:
            lasted = max(0.0, self.until - self.begin)
            if took > UNWATCHED_SECONDS_MAX:
                return Duration(over=lasted, up_to=math.inf) if lasted > 0 else None
            return Duration(over=lasted, up_to=took)
        return Duration(over=took, up_to=took, weight=1.0 if watched else UNWATCHED_WEIGHT)


def _until(start: NodeStart | PodStart, now_seconds: float) -> float:
    if start.seen_seconds is not None:
        return start.seen_seconds
    if start.over:
        return math.inf  # it is not known what was read before its end
    return start.ended_seconds if start.ended_seconds is not None else now_seconds


def _after_boot(start: NodeStart) -> Mapping[str, float | None]:
    return {"node ready": start.node_ready_seconds, "GPUs": start.gpus_seconds}


def _stages(
    start: NodeStart | PodStart, stages: Sequence[tuple[str, float | None]], until: float
) -> Mapping[str, Duration]:
    found = {}
    begin: float | None = start.created_seconds
    latest = start.created_seconds
    for at, (name, end) in enumerate(stages):
        under_way = end is None and all(later is None for _, later in stages[at:])
        if begin is not None and (end is not None or under_way):
            duration = _Span(begin=begin, end=end, until=until).duration(start.watched)
            if isinstance(start, NodeStart) and name == "GPUs" and _told_by_reading(start):
                duration = _between_readings(start, begin)
            if duration is not None:
                found[name] = duration
        if under_way:
            break
        latest = max(latest, end) if end is not None else latest
        begin = latest if end is not None else None
    return found


def _told_by_reading(start: NodeStart) -> bool:
    return start.gpus_seconds is not None and start.gpus_seconds != start.initialized_seconds


def _between_readings(start: NodeStart, begin: float) -> Duration | None:
    """It ended after the last reading without GPUs, and before the first with them."""
    if not start.watched or start.gpus_seconds is None or start.gpus_seconds < begin:
        return None
    seen = begin if start.seen_seconds is None else max(begin, start.seen_seconds)
    return Duration(over=min(seen, start.gpus_seconds) - begin, up_to=start.gpus_seconds - begin)


def _whole_of_node(start: NodeStart, until: float) -> Duration | None:
    """From the order to GPUs; of a machine without a NodeClaim there is a lower bound only."""
    if not start.claimed:
        least = until if start.gpus_seconds is None else start.seen_seconds
        lasted = -1.0 if least is None else least - start.created_seconds
        return Duration(over=lasted, up_to=math.inf) if lasted > 0 else None
    if _told_by_reading(start):
        return _between_readings(start, start.created_seconds)
    span = _Span(begin=start.created_seconds, end=start.gpus_seconds, until=until)
    return span.duration(start.watched)
