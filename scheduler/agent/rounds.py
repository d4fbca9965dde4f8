"""The agent's rounds: read the machine, and tell its node when there is something new to tell."""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from pydantic import ValidationError

from fleet.cluster.report import Report
from fleet.invalid import invalid
from scheduler.agent.recording import Recording
from scheduler.agent.survey import report_of

AGAIN_SECONDS = 3600.0
"""After this an unchanged report is told again, lest an annotation that someone removed stays
away. To the API server the same once more is no change."""
_KEY = re.compile("[a-z][A-Za-z0-9]*").fullmatch

log = structlog.get_logger()


class Machine(Protocol):
    """Something with GPUs, or without."""

    def read(self) -> object:
        """One recording, as JSON."""
        ...


class NodeRefusedError(Exception):
    """The API server did not take a report; the message says why and what to do."""


class Node(Protocol):
    """The node object of that machine."""

    async def tell(self, report: str) -> None:
        """Set its annotation.

        Raises:
            NodeRefusedError: it is not set.
        """
        ...


class UnreadableMachineError(ValueError):
    """A recording with other keys or values than NVML's answers have."""


def surveyed(machine: Machine) -> Report:
    """The report of a machine as it is now.

    Raises:
        UnreadableMachineError: from a file; NVML itself always answers something.
    """
    try:
        recording = Recording.model_validate(machine.read())
    except ValidationError as error:
        place, why = next(invalid(error))
        # Between the keys pydantic names the types that it tried, such as `Gpu`.
        at = ".".join(str(key) for key in place if isinstance(key, int) or _KEY(key))
        raise UnreadableMachineError(f"no recording of a machine: {at}: {why}") from error
    return report_of(recording)


@dataclass(slots=True, kw_only=True)
class Rounds:
    """What was told last, and when."""

    machine: Machine
    node: Node
    _told: str = field(default="", init=False)
    _told_at_seconds: float = field(default=0.0, init=False)

    async def one(self) -> Report:
        """Read, and tell if it is new.

        Raises:
            NodeRefusedError: the report is not on the node; the next round tells it again.
        """
        # Not in a thread: nothing else runs here, and a call that hangs in the driver could not be
        # ended from outside either.
        report = surveyed(self.machine)
        text = report.text()
        now_seconds = asyncio.get_running_loop().time()
        if text != self._told or now_seconds - self._told_at_seconds >= AGAIN_SECONDS:
            is_new = text != self._told
            await self.node.tell(text)
            self._told, self._told_at_seconds = text, now_seconds
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
