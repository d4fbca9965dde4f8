"""What one process of `foresail serve` sends over OTLP."""

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

import grpc.aio
from typing_extensions import override

from foresail.clock import steady_clock, wall_clock
from foresail.explain.decision_trace import DecisionTrace
from foresail.settings.telemetry import TelemetrySettings
from foresail.telemetry.begun import Families, Telemetry
from foresail.telemetry.exporters import (
    end,
    is_wanted,
    logger_provider,
    metric_exporter,
    resource,
    tracer_provider,
)
from foresail.telemetry.log_lines import send_log
from foresail.telemetry.series import SeriesPush
from foresail.telemetry.spans import CallTraces, PlanTraces
from scaler.decision.answers import Reference, TimedOutcome

if TYPE_CHECKING:
    from scaler.serving.feeds import WorkloadStatus


class TelemetryOverOtlp(Telemetry):
    """Traces and logs of this process, and metrics where it has their page."""

    def __init__(self, settings: TelemetrySettings, process: str) -> None:
        """Begin.

        Raises:
            ForesailError: the environment names what there is not.
        """
        self._settings = settings
        self._process = process
        self._ends: list[Callable[[], object]] = []
        self._calls: CallTraces | None = None
        self._plans: PlanTraces | None = None
        if settings.traces and is_wanted("TRACES"):
            traces = tracer_provider(process)
            self._calls, self._plans = CallTraces(traces), PlanTraces(traces, wall_clock)
            self._ends.append(traces.shutdown)
        if settings.logs and is_wanted("LOGS"):
            logs = logger_provider(process)
            send_log(logs)
            self._ends.append(logs.shutdown)

    @property
    @override
    def interceptors(self) -> Sequence[grpc.aio.ServerInterceptor]:
        return () if self._calls is None else (self._calls,)

    @override
    def note(self, reference: Reference, decision: DecisionTrace | None) -> None:
        if self._calls is not None and decision is not None:
            self._calls.note(reference, decision)

    @override
    def keep(self, known: Collection[Reference]) -> None:
        if self._calls is not None:
            self._calls.keep(known)

    @override
    def decided(self, status: "WorkloadStatus | None", timed: TimedOutcome) -> DecisionTrace | None:
        if self._plans is None or status is None or status.plan is None:
            return None
        plan = status.plan
        if plan.timed is not timed:
            return None  # the outcome is of no look, such as a trigger that its source refuses
        # It brings the forecast's libraries, which the answering process has no use for.
        from foresail.telemetry.decisions import decision_trace  # noqa: PLC0415

        decision = decision_trace(plan)
        return self._plans.traced(decision, age_seconds=steady_clock() - plan.looked_at_seconds)

    @override
    def series(self, begin: Callable[[], Callable[[], Families]]) -> SeriesPush | None:
        if not (self._settings.metrics and is_wanted("METRICS")):
            return None
        push = SeriesPush(metric_exporter(), resource(self._process), begin, wall_clock)
        self._ends.append(push.shutdown)
        return push

    @override
    def end(self) -> None:
        end(*self._ends)
