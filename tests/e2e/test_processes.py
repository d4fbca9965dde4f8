"""A program that a test starts ends when it is asked to, and else is killed."""

import signal
from pathlib import Path

import pytest

from tests.e2e.processes import Done, Program, done_unless_busy
from tests.prometheus import wait_for

pytestmark = pytest.mark.looptime(False)  # processes live in real time


def started(folder: Path, script: str, *, end_seconds: float) -> Program:
    """A shell that wrote `ready` into its log."""
    program = Program("shell", ["sh", "-c", script], folder, end_seconds=end_seconds)
    program.start()
    wait_for(lambda: "ready" in program.log.read_text(), "the shell")
    return program


def test_a_program_ends_as_it_wants_when_it_is_asked_to(tmp_path: Path) -> None:
    script = "trap 'exit 7' TERM; echo ready; while true; do sleep 0.05; done"
    program = started(tmp_path, script, end_seconds=60)

    assert program.stop() == 7
    assert not program.runs


def test_a_program_that_does_not_end_is_killed_with_what_it_started(tmp_path: Path) -> None:
    script = "trap '' TERM; sleep 600 & echo ready; wait"
    program = started(tmp_path, script, end_seconds=0.2)
    (sleeper,) = program.children()

    assert program.stop() == -signal.SIGKILL
    wait_for(lambda: not Path(f"/proc/{sleeper}/exe").exists(), "what it started to end")


def test_a_program_that_a_busy_machine_kept_from_an_answer_is_run_again() -> None:
    ends = iter([Done([], 1, "", "busy"), Done([], 1, "", "busy"), Done([], 1, "", "refused")])

    done = done_unless_busy(
        lambda: next(ends), "it", busy=lambda done: done.stderr == "busy", deadline_seconds=60
    )

    assert done.stderr == "refused"


def test_a_program_that_never_answers_is_shown_with_its_last_output() -> None:
    ends = iter([Done([], 1, "", "first"), Done([], 1, "out ", "last")])

    with pytest.raises(pytest.fail.Exception, match=r"for it; last seen:\n(out last|first)$"):
        done_unless_busy(lambda: next(ends), "it", busy=lambda _: True, deadline_seconds=0)
