"""`foresail agent`: reports the GPUs of this node to the cluster, or prints them.

This module chooses between the real machine and a recorded one. pynvml is loaded for the real one
only.
"""

import asyncio
import json
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from fleet.cluster.report import Report
from foresail.gpus.nccl_files import best_bandwidth
from scaler.errors import ForesailError
from scheduler.agent.nccl import BusBandwidth
from scheduler.agent.rounds import (
    Machine,
    NodeRefusedError,
    Rounds,
    UnreadableMachineError,
    surveyed,
)
from scheduler.agent.scrub import scrubbed

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RecordedMachine:
    """A machine from a file that `--record` wrote."""

    file: Path

    def read(self) -> object:
        try:
            return json.loads(self.file.read_bytes())
        except (OSError, ValueError) as error:
            raise ForesailError(f"{self.file}: no recorded machine: {error}") from error


def machine_of(file: Path | None) -> Machine:
    """A recorded machine, or without a file the one we run on."""
    if file is not None:
        return RecordedMachine(file)
    from scheduler.agent.nvml import NvmlMachine  # noqa: PLC0415 - pynvml, for this alone

    return NvmlMachine()


def record(machine: Machine, file: Path) -> None:
    """Write the machine's answers, scrubbed of what tells one such machine from another."""
    try:
        file.write_text(json.dumps(scrubbed(machine.read()), indent=1) + "\n")
    except OSError as error:
        raise ForesailError(f"{file}: not written: {error}") from error


def survey(machine: Machine, nccl: Path | None = None) -> Report:
    """The report that would be written to the node."""
    try:
        return surveyed(machine, bandwidth_of(nccl))
    except UnreadableMachineError as error:
        raise ForesailError(str(error)) from error


def bandwidth_of(nccl: Path | None) -> Callable[[], BusBandwidth | None]:
    """What NCCL got on this node of late, by files; without a path nothing tells."""
    return (lambda: None) if nccl is None else partial(best_bandwidth, nccl)


async def run(
    machine: Machine, node_name: str, *, every_seconds: float | None, nccl: Path | None = None
) -> None:
    """Write the report once; with `every_seconds` again on changes, until SIGTERM or SIGINT.

    Raises:
        ForesailError: it was to be written once, and the API server refused it.
    """
    from scheduler.agent.node import ApiNode  # noqa: PLC0415 - a large import, for this alone

    node = ApiNode(node_name)
    rounds = Rounds(machine=machine, node=node, bandwidth=bandwidth_of(nccl))
    try:
        if every_seconds is None:
            await rounds.one()
        else:
            await _until_stopped(rounds.go(every_seconds=every_seconds))
    except (NodeRefusedError, UnreadableMachineError) as error:
        raise ForesailError(str(error)) from error
    finally:
        await node.close()


async def _until_stopped(work: Coroutine[None, None, None]) -> None:
    task = asyncio.create_task(work, name="rounds")
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await task
    log.info("ended")
