"""Foresail's own telemetry, begun where the settings ask for it; else nothing of it is imported."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from prometheus_client import Metric

from foresail.explain.decision_trace import DecisionTrace
from foresail.settings.file import Settings
from foresail.telemetry.installed import require_opentelemetry
from scaler.decision.answers import Reference, TimedOutcome

if TYPE_CHECKING:
    import grpc.aio

    from scaler.serving.feeds import WorkloadStatus

Families = Iterable[Metric]


class Sending(Protocol):
    """A task that sends until it is cancelled."""

    async def run(self) -> None: ...


class Telemetry:
    """What one process sends over OTLP: nothing, where the settings do not ask for it."""

    @property
    def interceptors(self) -> "Sequence[grpc.aio.ServerInterceptor]":
        """Of the server that KEDA asks."""
        return ()

    def note(self, reference: Reference, decision: DecisionTrace | None) -> None:
        """Remember the decision behind the next answers about an object."""

    def keep(self, known: Collection[Reference]) -> None:
        """Forget the decisions about all other objects."""

    def decided(self, status: "WorkloadStatus | None", timed: TimedOutcome) -> DecisionTrace | None:
        """The trace of the plan behind an outcome; None where it comes of none."""
        return None

    def series(self, begin: Callable[[], Callable[[], Families]]) -> Sending | None:
        """What sends the series that `begin` finds; None where they are not wanted.

        Args:
            begin: called in the event loop; what it returns makes the families, in a thread.

        Raises:
            ForesailError: the environment names what there is not.
        """
        return None

    def end(self) -> None:
        """Send what is left, for a moment. Blocks."""


def begin_telemetry(settings: Settings, process: str) -> Telemetry:
    """The telemetry of this process.

    Args:
        process: the part that it has in `foresail serve`.

    Raises:
        ForesailError: the extra is not installed, or the environment names what there is not.
    """
    if settings.telemetry is None:
        return Telemetry()
    require_opentelemetry("telemetry")
    # 20 MiB of libraries, and an extra.
    from foresail.telemetry.process import TelemetryOverOtlp  # noqa: PLC0415

    return TelemetryOverOtlp(settings.telemetry, process)
