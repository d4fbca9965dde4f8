"""Settings of Foresail's own traces, metrics and logs over OTLP."""

from scaler.parts import Part


class TelemetrySettings(Part):
    """What is sent over OTLP; without this group nothing is.

    Where to, the standard environment variables say (`OTEL_EXPORTER_OTLP_ENDPOINT`).
    """

    traces: bool = True
    """A trace of each `GetMetrics` of KEDA, and one of each plan."""
    metrics: bool = True
    """The series of the page `/metrics`."""
    logs: bool = True
    """The lines of the log."""
