"""However a bed ends, nothing of it is left."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.conftest import BUILT
from tests.e2e.processes import END_SECONDS
from tests.prometheus import wait_for

pytestmark = pytest.mark.looptime(False)  # processes live in real time

_PROGRAMS = 9
"""etcd, four of Kubernetes and kwok, two of KEDA, Prometheus, Foresail."""


_IN_BACKGROUND = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")
"""SIGINT is ignored, as in a background job of a shell without job control."""


@pytest.mark.parametrize(
    ("number", "begin"),
    [
        pytest.param(signal.SIGKILL, (), id="killed"),
        pytest.param(signal.SIGTERM, (), id="asked"),
        pytest.param(signal.SIGTERM, _IN_BACKGROUND, id="asked-in-background"),
    ],
)
def test_every_process_ends_with_the_one_that_started_it(
    number: signal.Signals, begin: Sequence[str]
) -> None:
    command = [*begin, sys.executable, "-m", "tests.e2e", "--built", str(BUILT), "bed"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as person:
        try:
            assert person.stdout is not None
            next(line for line in person.stdout if line.startswith("The bed runs"))
            started = _descendants(person.pid)
            assert len(started) >= _PROGRAMS
        finally:
            person.send_signal(number)
        try:
            wait_for(
                lambda: not any(_runs(pid) for pid in started),
                "all to end",
                # One after the other, and each is killed that has not ended by then.
                deadline_seconds=(_PROGRAMS + 1) * END_SECONDS,
            )
            status = person.wait(timeout=60)
        finally:
            person.kill()  # or the test would wait for it for ever
    assert status == (-number if number == signal.SIGKILL else 128 + number)
    folder = Path(str(BUILT)).resolve().parent / f"bed-{person.pid}"
    if number == signal.SIGKILL:
        shutil.rmtree(folder)  # nobody was left to remove it
    assert not folder.exists()


def _descendants(pid: int) -> list[int]:
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # a thread that has ended since; each scrape has one
            children += map(int, (task / "children").read_text().split())
    return [one for child in children for one in (child, *_descendants(child))]


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
