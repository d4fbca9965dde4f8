"""Faults of Foresail in the work for one feed or workload: counted, logged, and kept from others.

The age of the answer keeps growing, so that KEDA gets an error once the answer's time is over.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import structlog

from scaler.decision.answers import Reference
from scaler.errors import alone
from scaler.serving.metrics import PlanningMetrics

log = structlog.get_logger()


@contextmanager
def contained(
    event: str, workloads: Iterable[Reference], metrics: PlanningMetrics
) -> Iterator[None]:
    """Contain any exception of the block.

    Args:
        event: the name of the log entry.
        workloads: those concerned.
    """
    try:
        yield
    except Exception as error:
        metrics.cycle_errors.inc()
        log.exception(event, workloads=[str(reference) for reference in workloads])
        _ = alone(error)  # a future of its look may keep it
