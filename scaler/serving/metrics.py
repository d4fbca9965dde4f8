"""The scaler's own Prometheus series, of the planning cycle and of the gRPC service.

`WorkloadCollector` makes the series about workloads when Prometheus scrapes, so that no series of
a forgotten workload stays.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_LOOK_BUCKETS = (0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
CERTIFICATE_EXPIRY: Final = "foresail_certificate_expiry_timestamp_seconds"
"""Other processes export it too (foresail/ports/certificate_ends.py)."""
_RPC_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)


class PlanningMetrics:
    """Series of the cycle."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.look_seconds = Histogram(
            "foresail_look_duration_seconds",
            "Time to read a workload with those of its query, once it has a slot, by source.",
            ["source"],
            buckets=_LOOK_BUCKETS,
            registry=registry,
        )
        self.looks_missed = Counter(
            "foresail_looks_missed",
            "Reads that were due and not begun before the next one was due, by source.",
            ["source"],
            registry=registry,
        )
        self.clock_steps = Counter(
            "foresail_wall_clock_steps",
            "Times that the wall clock was set back or forward.",
            registry=registry,
        )
        self.cycle_errors = Counter(
            "foresail_cycle_errors",
            "Cycles that ended without a plan because of a fault in Foresail.",
            registry=registry,
        )
        self.resumed = Counter(
            "foresail_forecasts_resumed",
            "Forecasts that continued from the state of a peer or of the disk.",
            registry=registry,
        )


class ServiceMetrics:
    """Series of the gRPC service."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.rpc_seconds = Histogram(
            "foresail_rpc_duration_seconds",
            "Time to answer KEDA, by method and gRPC status.",
            ["method", "code"],
            buckets=_RPC_BUCKETS,
            registry=registry,
        )
        self.refusals = Counter(
            "foresail_refusals",
            "KEDA's calls that were answered with an error, by reason.",
            ["reason"],
            registry=registry,
        )
        self.clamps = Counter(
            "foresail_answers_clamped",
            "Answers that were not finite or not within 0 and limits.replicasMax, and were cut.",
            registry=registry,
        )
        self.certificate_expiry = Gauge(
            CERTIFICATE_EXPIRY,
            "Unix time at which a file's first certificate expires, by the setting that names it.",
            ["setting"],
            registry=registry,
        )
        self.streams = Gauge(
            "foresail_streams_open", "Open push streams, by method.", ["method"], registry=registry
        )
