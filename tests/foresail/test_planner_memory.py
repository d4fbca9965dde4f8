"""What the planning process keeps of the memory that long answers took."""

import os
import platform
import subprocess
import sys

import pytest

from foresail.serve.planner_process import ALLOCATOR

_READS = """
import os, threading

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def read():
    for _ in range(4):
        together.wait()
        body = bytearray()
        for _ in range(256):
            body += b"x" * 2**16
        kept.append(bytearray(2000))
        del body

before, kept, together = resident(), [], threading.Barrier(8)
threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(resident() - before)
"""
"""Eight threads that read answers of 16 MiB at a time, and keep 2 kB of each."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_long_answers_that_were_read_in_many_threads_leave_no_memory_behind() -> None:
    environment = {key: text for key, text in os.environ.items() if not key.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", _READS],
        env={**environment, **ALLOCATOR},
        capture_output=True,
        text=True,
        check=True,
    )

    assert int(done.stdout) < 16 * 2**20
