"""The agent's loop: read the machine, and write the report to its node when it has changed."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from pydantic import ValidationError

from fleet.cluster.report import Report
from fleet.invalid import invalid
from scheduler.agent.nccl import BusBandwidth, with_bandwidth
from scheduler.agent.recording import Recording
from scheduler.agent.survey import report_of

AGAIN_SECONDS = 3600.0
"""An unchanged report is written again after this time, in case somebody removed the annotation.
For the API server the same value is no change."""
_KEY = re.compile("[a-z][A-Za-z0-9]*").fullmatch

log = structlog.get_logger()


class Machine(Protocol):
    """A machine, with GPUs or without."""

    def read(self) -> object:
        """One recording, as JSON."""
        ...


class NodeRefusedError(Exception):
    """The API server refused a report; the message says why and what to do."""


class Node(Protocol):
    """The node object of that machine."""

    async def write(self, report: str) -> None:
        """Set its annotation.

        Raises:
            NodeRefusedError: it is not set.
        """
        ...


class UnreadableMachineError(ValueError):
    """A recording whose keys or values NVML does not produce."""


def _no_runs() -> BusBandwidth | None:
    return None


def surveyed(machine: Machine, bandwidth: Callable[[], BusBandwidth | None] = _no_runs) -> Report:
    """The report of a machine as it is now.

    Args:
        machine: to be read.
        bandwidth: the best that NCCL got on it of late.

    Raises:
        UnreadableMachineError: of a file only; NVML's own answers are always readable.
    """
    try:
        recording = Recording.model_validate(machine.read())
    except ValidationError as error:
        place, why = next(invalid(error))
        # Between the keys pydantic names the types that it tried, such as `Gpu`.
        at = ".".join(str(key) for key in place if isinstance(key, int) or _KEY(key))
        raise UnreadableMachineError(f"no recording of a machine: {at}: {why}") from error
    return with_bandwidth(report_of(recording), bandwidth())


@dataclass(slots=True, kw_only=True)
class Rounds:
    """The report that was written last, and when."""

    machine: Machine
    node: Node
    bandwidth: Callable[[], BusBandwidth | None] = _no_runs
    _written: str = field(default="", init=False)
    _written_at_seconds: float = field(default=0.0, init=False)

    async def one(self) -> Report:
        """Read the machine, and write its report if it has changed.

        Raises:
            NodeRefusedError: the report is not on the node; the next round writes it again.
        """
        # Not in a thread: nothing else runs in this process, and a call that hangs in the driver
        # could not be cancelled from outside either.
        report = surveyed(self.machine, self.bandwidth)
        text = report.text()
        now_seconds = asyncio.get_running_loop().time()
        if text != self._written or now_seconds - self._written_at_seconds >= AGAIN_SECONDS:
            is_new = text != self._written
            await self.node.write(text)
            self._written, self._written_at_seconds = text, now_seconds
            if is_new:
                log.info("gpus_reported", **_facts(report))
        return report

    async def go(self, *, every_seconds: float) -> None:
        """One round after another, until cancelled."""
        while True:
            try:
                await self.one()
            except NodeRefusedError as error:
                log.warning("report_not_taken", error=str(error), again_seconds=every_seconds)
            await asyncio.sleep(every_seconds)


def _facts(report: Report) -> dict[str, object]:
    if report.gpus is None:
        return {"gpus": None, "why": report.unknown}
    return {
        "gpus": len(report.gpus),
        "islands": len(set(report.islands)) if report.islands else None,
        "clique": report.clique,
        "unhealthy": [one.index for one in report.gpus if one.health.healthy is False],
    }
