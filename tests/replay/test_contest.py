"""Many runs at once, and nothing left of them when they are ended."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from multiprocessing import active_children

import numpy as np
import pytest

from replay.contest import Entry, Scenario, contest
from replay.replay_input import Platform
from replay.traces import Trace

CONTEST = """
import multiprocessing

import numpy as np

from replay.contest import Entry, Scenario, contest
from replay.replay_input import Platform
from replay.traces import Trace

def told():
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)

def scenario(minutes):
    trace = Trace(
        name="even", step_seconds=60.0, requests_per_second=np.ones(minutes),
        prompt_tokens=np.full(minutes, 800.0), output_tokens=np.full(minutes, 200.0),
    )
    return Scenario(trace=trace, platform=Platform(), replicas_mean=4)

if __name__ == "__main__":
    # One run that ends soon, and two of weeks that nobody waits for.
    entries = [Entry(scenario=int(seed > 1), policy="static-mean", knob=1.0, seed=seed)
               for seed in (1, 2, 3)]
    contest([scenario(30), scenario(60_000)], entries, progress=told)
"""


@pytest.fixture
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    script = tmp_path_factory.mktemp("contest") / "run.py"
    script.write_text(CONTEST)
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        # A shell's background job ignores the signal, and so would its children.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    with process:
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_contest_that_is_killed_leaves_no_worker(
    killed: subprocess.Popen[str], number: signal.Signals
) -> None:
    assert killed.stdout is not None
    workers = [int(text) for text in killed.stdout.readline().split()]
    assert workers
    ends = select.poll()
    handles = [os.pidfd_open(worker) for worker in workers]
    for handle in handles:
        ends.register(handle, select.POLLIN)

    killed.send_signal(number)  # to the first process alone

    left = set(handles)
    while left and (ended := ends.poll(60_000)):
        for handle, _ in ended:
            ends.unregister(handle)
            left.remove(handle)
    for worker, handle in zip(workers, handles, strict=True):
        if handle in left:
            os.kill(worker, signal.SIGKILL)
        os.close(handle)
    assert not left
    killed.wait(timeout=60)


def test_one_core_plays_in_this_process_what_two_play_in_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    minutes = 30
    trace = Trace(
        name="even",
        step_seconds=60.0,
        requests_per_second=np.ones(minutes),
        prompt_tokens=np.full(minutes, 800.0),
        output_tokens=np.full(minutes, 200.0),
    )
    scenario = Scenario(trace=trace, platform=Platform(), replicas_mean=4)
    entries = [Entry(scenario=0, policy="static-mean", knob=1.0, seed=seed) for seed in (1, 2)]
    workers: dict[int, int] = {}
    results = {}
    for cores in (1, 2):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        seen: list[int] = []
        results[cores] = contest(
            [scenario], entries, progress=lambda seen=seen: seen.append(len(active_children()))
        )
        workers[cores] = seen[0]

    assert workers == {1: 0, 2: 2}
    assert results[1] == results[2]
