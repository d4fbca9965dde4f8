"""A wall clock that is set, and a machine that was suspended, take no replica away."""

import os
import signal
from collections.abc import Iterator

import pytest

from bench._faults_row import Observe
from tests.e2e.site import Site
from tests.e2e.test_faults import no_scale_down, serving
from tests.e2e.wall_clock import WallClock

pytestmark = [
    pytest.mark.looptime(False),  # processes live in real time
    pytest.mark.usefixtures("short_answers"),
]

HOUR = 3600.0


@pytest.fixture
def chat(site: Site, deployed: str) -> str:
    site.scale(deployed, fallback=True)
    return deployed


@pytest.fixture
def clock(site: Site) -> Iterator[WallClock]:
    """The wall clock of the server, which runs anew by it."""
    made = WallClock(site.bed.folder / "wall-clock")
    server = site.servers["a"]
    before, server.environment = server.environment, made.environment
    server.stop()
    site.serve("a")
    yield made
    server.environment = before
    server.stop()
    site.serve("a")


def test_a_clock_set_forward_and_right_again_takes_no_replica_away(
    site: Site, clock: WallClock, chat: str, observed: Observe
) -> None:
    serving(site, chat, 6)
    with no_scale_down(site, chat, observed) as held:
        clock.set(HOUR)
        # Prometheus has nothing of that time: as far as Foresail sees, nothing is measured.
        site.bed.wait(lambda: site.falls_back(chat), "the fallback")
        assert site.replicas(chat) == 6
        clock.set(0)
        held.recovers(8)


def test_a_clock_set_back_and_right_again_takes_no_replica_away(
    site: Site, clock: WallClock, chat: str, observed: Observe
) -> None:
    serving(site, chat, 6)
    with no_scale_down(site, chat, observed) as held:
        clock.set(-HOUR)
        site.bed.wait(lambda: site.falls_back(chat), "the fallback")
        assert site.replicas(chat) == 6
        clock.set(0)
        held.recovers(8)


def test_a_clock_that_was_wrong_at_the_start_and_is_set_back_is_followed_at_once(
    site: Site, clock: WallClock, chat: str, observed: Observe
) -> None:
    # Wrong by less than the reading window hides, so that there are readings all along.
    clock.set(2)
    serving(site, chat, 6)
    with no_scale_down(site, chat, observed) as held:
        clock.set(0)
        held.recovers(8)


def test_a_machine_that_was_suspended_takes_no_replica_away(
    site: Site, clock: WallClock, chat: str, observed: Observe
) -> None:
    serving(site, chat, 6)
    server = site.servers["a"]
    with no_scale_down(site, chat, observed) as held:
        processes = [server.pid, *server.children()]
        for pid in processes:
            os.kill(pid, signal.SIGSTOP)
        clock.set(600)  # ten minutes go by for the wall clock, none for the processes
        for pid in processes:
            os.kill(pid, signal.SIGCONT)
        site.bed.wait(lambda: site.falls_back(chat), "the fallback")
        clock.set(0)  # Prometheus was not suspended with it
        held.recovers(8)
