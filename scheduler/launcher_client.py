"""The edge that asks launchers what they hold, over HTTP: few at once, each in time, and not much.

A launcher is a pod that a tenant may have made. It is asked by its IP address, on FMA's fixed port
and path, without redirects; an answer is read up to a limit and never inflated.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout

from scheduler.launcher_state import LauncherState
from scheduler.launchers import Instance, Launcher, UnreadableLauncherError, instances_of

log = structlog.get_logger()

PORT: Final = 8001
_PATH: Final = "/v2/vllm/instances"
ANSWER_BYTES_MAX: Final = 2**18
"""64 instances with their options; each launcher's answer is held at once."""
SECONDS_MAX: Final = 2.0
AT_ONCE_MAX: Final = 16
_WHY_CHARACTERS_MAX: Final = 160
ROUND_SECONDS_MAX: Final = 20.0
"""For all launchers together: 160 that hang, with sixteen asked at once."""


class LauncherUnreachableError(Exception):
    """A launcher that gave no usable answer; the message says why."""


@dataclass(slots=True, kw_only=True)
class LauncherClient:
    """Asks launchers, as many at once as is allowed."""

    session: ClientSession
    port: int = PORT
    seconds_max: float = SECONDS_MAX
    """For one launcher's answer."""
    _slots: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(AT_ONCE_MAX), init=False
    )

    async def instances(self, launcher: Launcher) -> tuple[Instance, ...]:
        """The instances that run in a launcher.

        Raises:
            LauncherUnreachableError: it has no address, is late, or answers something else.
        """
        if launcher.address is None:
            raise LauncherUnreachableError(f"launcher {_name(launcher)} has no address yet")
        try:
            async with self._slots, asyncio.timeout(self.seconds_max):
                return instances_of(launcher, json.loads(await self._answer(launcher.address)))
        except TimeoutError as error:
            why = f"no answer within {self.seconds_max:g} s"
            raise LauncherUnreachableError(f"launcher {_name(launcher)}: {why}") from error
        except (ClientError, OSError, ValueError, RecursionError) as error:
            # The HTTP client quotes what it cannot read: thousands of bytes of a tenant's choice.
            why = (str(error) or type(error).__name__)[:_WHY_CHARACTERS_MAX]
            raise LauncherUnreachableError(f"launcher {_name(launcher)}: {why}") from error

    async def ask(
        self, launchers: Iterable[Launcher]
    ) -> tuple[Mapping[Launcher, tuple[Instance, ...] | None], tuple[str, ...]]:
        """The instances of each launcher, None where it gave no usable answer; and why not."""
        tasks = {asyncio.create_task(self.instances(one)): one for one in launchers}
        if not tasks:
            return {}, ()
        _, late = await asyncio.wait(tasks, timeout=ROUND_SECONDS_MAX)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        found: dict[Launcher, tuple[Instance, ...] | None] = {}
        faults: list[str] = []
        for task, launcher in tasks.items():
            try:
                found[launcher] = task.result()
            except (LauncherUnreachableError, asyncio.CancelledError) as error:
                late_why = f"launcher {_name(launcher)}: others are slow, and it was not waited for"
                faults.append(str(error) or late_why)
                found[launcher] = None
        return found, tuple(faults)

    async def follow(self, state: LauncherState, *, every_seconds: float = 10.0) -> None:
        """Keep a state current until cancelled; each fault is logged when it is new.

        Launchers that gave no answer last time come after the others: those that hang, however
        many a tenant has made, take the time of none that answers.
        """
        known: frozenset[str] = frozenset()
        silent: frozenset[Launcher] = frozenset()
        while True:
            in_turn = sorted(state.launchers, key=lambda one: one in silent)
            answers, faults = await self.ask(in_turn)
            silent = frozenset(one for one, instances in answers.items() if instances is None)
            state.answered(answers)
            for fault in sorted(set(faults) - known):
                log.warning("launcher_silent", why=fault)
            known = frozenset(faults)
            await asyncio.sleep(every_seconds)

    async def _answer(self, address: str) -> bytes:
        host = f"[{address}]" if ":" in address else address
        async with self.session.get(
            f"http://{host}:{self.port}{_PATH}",
            allow_redirects=False,
            auto_decompress=False,
            headers={"Accept-Encoding": "identity"},
            timeout=ClientTimeout(total=self.seconds_max),
        ) as response:
            if response.status != 200:  # noqa: PLR2004 - HTTP's OK
                raise UnreadableLauncherError(f"HTTP {response.status}")
            body = b""
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > ANSWER_BYTES_MAX:
                    raise UnreadableLauncherError(f"more than {ANSWER_BYTES_MAX} bytes")
            return body


def _name(launcher: Launcher) -> str:
    return f"{launcher.namespace}/{launcher.name}"
