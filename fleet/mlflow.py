"""Training runs, as MLflow's REST API tells of them.

Times are milliseconds there and seconds here. A param is text that the training program wrote, and
a metric's value may be the text `NaN`. The latest value of a metric is that of its largest step:
after a restart from a checkpoint it is older than what the program logs now.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from fleet.documents import Json, is_object, listed, part, text
from fleet.run_progress import Goal, Point, Unit

RUNNING: Final = "RUNNING"
PARENT_TAG: Final = "mlflow.parentRunId"
_MILLISECONDS: Final = 1000.0
_OF_THE_MACHINE: Final = "system/"
"""Metrics of CPU, memory and GPUs that MLflow's client logs; their steps count samples."""
_EPOCH: Final = "epoch"
_STEPS: Final = ("max_steps", "total_steps", "num_steps")
_EPOCHS: Final = ("num_train_epochs", "max_epochs", "epochs", "num_epochs")
_TOTAL_MAX: Final = 1e12
_SECONDS_MAX: Final = 4_102_444_800.0
"""The year 2100: later moments are mistakes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run."""

    run_id: str
    name: str
    status: str
    start_seconds: float | None
    end_seconds: float | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    latest_step: Mapping[str, int] = field(default_factory=dict)
    """Of each metric."""

    @property
    def running(self) -> bool:
        return self.status == RUNNING


def runs_of(answer: Json) -> tuple[Run, ...]:
    """The runs of an answer of `runs/search`; what is no run is left out."""
    return tuple(run for one in listed(answer, "runs") if (run := run_of(one)) is not None)


def run_of(document: Json) -> Run | None:
    """A run; None = the document has no id."""
    info, data = part(document, "info"), part(document, "data")
    run_id = text(info, "run_id")
    if run_id is None:
        return None
    return Run(
        run_id=run_id,
        name=text(info, "run_name") or run_id,
        status=text(info, "status") or "",
        start_seconds=_seconds(info.get("start_time")),
        end_seconds=_seconds(info.get("end_time")),
        params=_pairs(data, "params"),
        tags=_pairs(data, "tags"),
        latest_step={
            key: step
            for one in listed(data, "metrics")
            if (key := text(one, "key")) and (step := _whole(one.get("step", 0))) is not None
        },
    )


def goal_of(run: Run) -> Goal | None:
    """Which metric shows how far a run has come, and its end; None = the run does not tell.

    `max_steps` counts steps, of whichever metric has come furthest. Where it is missing, or -1 as
    trainers write for "not limited", epochs count: `num_train_epochs` and the metric `epoch`.
    """
    steps = _first(run.params, _STEPS)
    by_step = [key for key in run.latest_step if not key.startswith(_OF_THE_MACHINE)]
    if steps is not None and by_step:
        furthest = max(by_step, key=lambda key: (run.latest_step[key], key))
        return Goal(metric=furthest, total=steps, unit=Unit.STEPS)
    epochs = _first(run.params, _EPOCHS)
    if epochs is not None and _EPOCH in run.latest_step:
        return Goal(metric=_EPOCH, total=epochs, unit=Unit.EPOCHS)
    return None


def watched_metric(run: Run) -> str | None:
    """The metric by which a run without a known end is seen to go on."""
    by_step = [key for key in run.latest_step if not key.startswith(_OF_THE_MACHINE)]
    return max(by_step, key=lambda key: (run.latest_step[key], key), default=None)


def points_of(answer: Json, unit: Unit) -> list[Point]:
    """How far a run had come at each moment, from an answer of `metrics/get-history`."""
    found = []
    for one in listed(answer, "metrics"):
        at = _seconds(one.get("timestamp"))
        done = _whole(one.get("step", 0)) if unit is Unit.STEPS else _number(one.get("value"))
        if at is not None and done is not None:
            found.append(Point(at_seconds=at, done=float(done)))
    return found


def next_page_of(answer: object) -> str | None:
    """The token of the next page; None = this was the last."""
    return text(answer, "next_page_token") or None if is_object(answer) else None


def _first(params: Mapping[str, str], names: Sequence[str]) -> float | None:
    for name in names:
        try:
            found = float(params.get(name, ""))
        except ValueError:
            continue
        if 0 < found <= _TOTAL_MAX:
            return found
    return None


def _pairs(data: Json, name: str) -> dict[str, str]:
    return {
        key: value
        for one in listed(data, name)
        if (key := text(one, "key")) is not None and (value := text(one, "value")) is not None
    }


def _seconds(value: object) -> float | None:
    found = _number(value)
    if found is None or not 0 < found <= _SECONDS_MAX * _MILLISECONDS:
        return None
    return found / _MILLISECONDS


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= _TOTAL_MAX * _MILLISECONDS else None


def _whole(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if abs(value) <= _TOTAL_MAX else None
