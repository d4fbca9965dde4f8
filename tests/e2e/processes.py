"""Real programs as children: logged, ended by their pid, and never left behind."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.prometheus import wait_for

Done = subprocess.CompletedProcess[str]
END_SECONDS = 20.0
"""Until a program that was asked to end is killed. An API server with open watches needs four."""


@dataclass(eq=False)
class Program:
    """One program, started and started again with the same arguments."""

    name: str
    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    end_seconds: float = END_SECONDS
    _process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        # The kernel ends the child when we die in whatever way; a clean end is `stop`.
        guarded = ["setpriv", "--pdeathsig", "KILL", "--", *self.command]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                guarded,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )

    def stop(self) -> int | None:
        """Ask it to end, and kill it with all that it started if it does not in time."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a node that goes dark."""
        self._end(signal.SIGKILL)

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    def children(self) -> list[int]:
        """Processes that it started and that run."""
        return [int(pid) for pid in _proc(self.pid, "children").split()]

    def log_since(self) -> Callable[[], list[str]]:
        """What asks for the lines that were logged after this call."""
        begin = self.log.stat().st_size

        def lines() -> list[str]:
            return self.log.read_bytes()[begin:].decode(errors="replace").splitlines()

        return lines

    def tail(self, lines: int = 30) -> str:
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _end(self, number: signal.Signals) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(number)
        try:
            return process.wait(timeout=self.end_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # it leads a session of its own
            return process.wait()


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """The process does not run inside, and still holds its ports."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # somebody ended it, as a keeper would
            os.kill(pid, signal.SIGCONT)


def done_unless_busy(
    run: Callable[[], Done], what: str, *, busy: Callable[[Done], bool], deadline_seconds: float
) -> Done:
    """Run a program, and run it again where a busy machine kept it from an answer.

    Args:
        run: runs it to its end.
        what: it is, for the failure, which shows its last output too.
        busy: whether its end says no more than that.
        deadline_seconds: until no further run begins; reached on failure only.
    """
    ends: list[Done] = []

    def has_an_answer() -> bool:
        ends[:] = [run()]
        return not busy(ends[0])

    wait_for(
        has_an_answer,
        what,
        deadline_seconds=deadline_seconds,
        seen=lambda: f"{ends[0].stdout}{ends[0].stderr}",
    )
    return ends[0]


def _proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/task/{pid}/{name}").read_text()
