"""The planning process, as the answering process starts and ends it."""

import asyncio
import os
import socket
import sys
from collections.abc import Mapping
from typing import Final, Self

from foresail.serve.link import Begin, Failed, Link, Started
from foresail.settings.file import Settings
from scaler.errors import ForesailError

ALLOCATOR: Final[Mapping[str, str]] = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**20),
}
"""For glibc: answers of sources are read in many threads, and what they took is given back.

By itself each thread gets an arena, and once a long answer was freed all shorter ones come from
arenas too. Between them lies what is kept, so that nearly all of it stays: where eight threads read
answers of 16 MiB, 129 MiB."""
_START_SECONDS_MAX = 60.0
_END_SECONDS_MAX = 5.0


class Planner:
    """A planning process and the link to it."""

    def __init__(self, process: asyncio.subprocess.Process, link: Link, ports: Started) -> None:
        self.process = process
        self.link = link
        self.ports = ports

    @classmethod
    async def start(cls, settings: Settings, log_level: str) -> Self:
        """Start a planner and wait until it plans.

        Raises:
            ForesailError: it cannot run, with its own reason.
        """
        try:
            process, link = await cls._begun(log_level)
        except OSError as error:  # no memory, no process or no file left on this node
            message = f"the planning process cannot be started: {error}"
            raise ForesailError(message) from error
        link.send(Begin(settings))
        try:
            async with asyncio.timeout(_START_SECONDS_MAX):
                answer = await link.receive()
        except TimeoutError:
            answer = Failed(f"it did not start within {_START_SECONDS_MAX:g} s")
        if isinstance(answer, Started):
            return cls(process, link, answer)
        await _ended(process, link)
        why = answer.message if isinstance(answer, Failed) else f"status {process.returncode}"
        message = f"the planning process cannot run: {why}"
        raise ForesailError(message)

    async def end(self) -> None:
        await _ended(self.process, self.link)

    @staticmethod
    async def _begun(log_level: str) -> tuple[asyncio.subprocess.Process, Link]:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "foresail.serve.planner",
                    log_level,
                    stdin=theirs.fileno(),
                    env={**ALLOCATOR, **os.environ},
                )
        except OSError:
            ours.close()
            raise
        return process, await Link.over(ours)


async def _ended(process: asyncio.subprocess.Process, link: Link) -> None:
    """Close the link, which ends the planner; kill one that does not end."""
    link.close()
    try:
        async with asyncio.timeout(_END_SECONDS_MAX):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
