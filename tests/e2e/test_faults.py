"""No fault of ours, of KEDA's or of Prometheus' takes a replica away."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from time import monotonic  # noqa: TID251 - processes live in real time

import pytest

from bench._faults_row import Observe
from tests.contracts.certificates import Authority
from tests.e2e.processes import frozen
from tests.e2e.site import Record, Site

pytestmark = pytest.mark.looptime(False)  # processes live in real time


FAILURE_THRESHOLD = 3
"""The example's, after which its fallback acts: at least 4, and never fewer than there are."""


@pytest.fixture
def chat(site: Site, deployed: str) -> str:
    site.scale(deployed, fallback=True)
    return deployed


@dataclass
class Held:
    """A Deployment under a fault."""

    site: Site
    name: str
    record: Record
    logged: Callable[[], list[str]]
    """What KEDA logged, of which calls that failed are counted."""
    seconds: float | None = None
    """From the end of the fault to the count that was asked for then."""

    def recovers(self, replicas: int) -> None:
        """Ask for so many now that the fault is over, and wait for them."""
        begun = monotonic()
        serving(self.site, self.name, replicas)
        self.seconds = monotonic() - begun


@contextmanager
def no_scale_down(
    site: Site,
    name: str,
    observed: Observe | None = None,
    *,
    away: bool = False,
    least: int | None = None,
) -> Iterator[Held]:
    """No count inside is below the one before it, and no `GetMetricSpec` fails.

    Args:
        site: where the Deployment is.
        name: of the Deployment.
        observed: takes what is seen.
        away: at some time no server runs, so that calls of `GetMetricSpec` fail.
        least: of two servers one may see a new need later than the other, and KEDA asks them in
            turns: no count is below this one in place of the one before it.
    """
    logged = site.bed.programs["keda-operator"].log_since()
    with site.recording(name) as record:
        held = Held(site, name, record, logged)
        yield held
    failed = spec_failures(held.logged())
    downs = scale_downs(record.counts, least)
    if observed is not None:
        counts = " → ".join(map(str, record.counts))
        observed(
            f"replicas {counts}; {failed} polls without a metric spec",
            wrong_scale_downs=downs,
            lost=failed,
            recovered_seconds=held.seconds,
        )
    assert downs == 0
    assert away or not failed


def scale_downs(counts: Sequence[int], least: int | None) -> int:
    """Counts below the one before them; with `least`, below both."""
    return sum(
        after < (before if least is None else min(before, least))
        for before, after in pairwise(counts)
    )


def serving(site: Site, name: str, replicas: int) -> None:
    site.picker.asks(replicas)
    site.reaches(name, replicas)


@pytest.mark.parametrize("replicas", [7, 2], ids=["above-fallback", "below-fallback"])
def test_no_server_at_all_holds_what_runs(
    site: Site, chat: str, observed: Observe, replicas: int
) -> None:
    # The example's fallback would say 4. It does not act, because `GetMetricSpec` fails first and
    # KEDA does not count that (kedacore/keda#8056).
    serving(site, chat, replicas)
    logged = site.bed.programs["keda-operator"].log_since()
    with no_scale_down(site, chat, observed, away=True) as held:
        site.servers["a"].kill()
        site.bed.wait(lambda: spec_failures(logged()) > 2 * FAILURE_THRESHOLD, "polls in vain")
        assert not site.falls_back(chat)
        assert held.record.counts == [replicas]
        # Until its first look the server refuses, and the fallback may act now: 4.
        site.picker.asks(9)
        site.serve("a")
        held.recovers(9)


def test_an_object_made_while_the_server_is_away_works_when_it_is_back(site: Site) -> None:
    try:
        site.servers["a"].stop()
        site.deploy("early", replicas=2)
        site.scale("early", fallback=True)
        site.picker.asks(3)
        site.serve("a")
        site.reaches("early", 3)
    finally:
        site.forget("early")
        if not site.servers["a"].runs:
            site.serve("a")


def test_two_servers_rolled_one_after_the_other_fail_no_call(
    site: Site, second: None, chat: str
) -> None:
    serving(site, chat, 5)
    with no_scale_down(site, chat, least=5):
        # As a Deployment does: the new one is there before the old one goes.
        for wanted, old, new in ((6, "a", "c"), (7, "b", "a")):
            _asked(site, old)
            site.serve(new)
            assert site.servers[old].stop() == 0
            serving(site, chat, wanted)
            _asked(site, new)


def test_one_of_two_servers_that_dies_takes_no_replica_away(
    site: Site, second: None, chat: str
) -> None:
    serving(site, chat, 5)
    with no_scale_down(site, chat, away=True, least=5):
        site.servers["a"].kill()
        serving(site, chat, 7)
        site.serve("a")
        site.servers["b"].kill()
        serving(site, chat, 9)


def test_two_servers_that_die_together_take_no_replica_away(
    site: Site, second: None, chat: str, observed: Observe
) -> None:
    serving(site, chat, 5)
    with no_scale_down(site, chat, observed, away=True, least=5) as held:
        for name in ("a", "b"):
            site.servers[name].kill()
        for name in ("a", "b"):
            site.serve(name)
        held.recovers(7)


def _asked(site: Site, name: str) -> None:
    """Wait until KEDA asks this server."""
    before = site.answered(name)
    site.bed.wait(lambda: site.answered(name) > before, f"calls to {name}")


@pytest.mark.parametrize("name", ["keda-operator", "keda-adapter"])
def test_a_part_of_keda_that_is_restarted_goes_on(
    site: Site, chat: str, observed: Observe, name: str
) -> None:
    serving(site, chat, 4)
    with no_scale_down(site, chat, observed) as held:
        program = site.bed.programs[name]
        program.stop()
        held.logged = site.bed.programs["keda-operator"].log_since()  # its end breaks off calls
        site.picker.asks(6)
        program.start()
        held.recovers(6)


@pytest.fixture
def rotated(site: Site) -> Iterator[Authority]:
    """An authority in place of the bed's, which is the one that is trusted again after the test."""
    yield Authority("next")
    site.trust(site.bed.authority)
    site.prove(site.bed.authority)
    _reconnected(site)


def test_certificates_are_rotated_on_both_sides(site: Site, rotated: Authority, chat: str) -> None:
    old, new = site.bed.authority, rotated
    # At least as many as the fallback asks for: a server that starts anew refuses before its look.
    serving(site, chat, 5)
    with no_scale_down(site, chat, away=True):
        # Old and new are trusted together, then each side takes a certificate of the new one,
        # then the old one is trusted no longer.
        site.trust(old, new, client=old)
        site.prove(old, new, server=old)
        _reconnected(site)
        serving(site, chat, 6)
        site.trust(old, new, client=new)
        site.prove(old, new, server=new)
        _reconnected(site)
        serving(site, chat, 7)
        site.trust(new)
        site.prove(new)
        _reconnected(site)
        serving(site, chat, 8)
    site.trust(old, new, client=old)
    site.prove(old, new, server=old)
    _reconnected(site)
    serving(site, chat, 9)


def _reconnected(site: Site) -> None:
    """Every certificate is asked for again: connections of a restarted server are new."""
    site.servers["a"].stop()
    site.serve("a")


def test_prometheus_that_is_emptied_takes_no_replica_away(
    site: Site, chat: str, observed: Observe
) -> None:
    serving(site, chat, 6)
    with no_scale_down(site, chat, observed) as held:
        site.prometheus.kill()
        site.prometheus.wipe()
        site.prometheus.start()
        held.recovers(8)


def test_a_planning_process_that_dies_takes_no_replica_away(
    site: Site, chat: str, observed: Observe
) -> None:
    serving(site, chat, 6)
    with no_scale_down(site, chat, observed) as held:
        (planner,) = site.servers["a"].children()
        os.kill(planner, signal.SIGKILL)
        held.recovers(8)


# These wait for the fallback, and so for the end of an answer.


def test_prometheus_that_dies_takes_no_replica_away(
    site: Site, short_answers: None, chat: str, observed: Observe
) -> None:
    serving(site, chat, 6)
    with no_scale_down(site, chat, observed) as held:
        site.prometheus.kill()
        site.bed.wait(lambda: site.falls_back(chat), "the fallback")
        assert site.replicas(chat) == 6
        site.prometheus.start()
        held.recovers(8)


def test_prometheus_that_is_frozen_takes_no_replica_away(
    site: Site, short_answers: None, chat: str, observed: Observe
) -> None:
    serving(site, chat, 6)
    with no_scale_down(site, chat, observed) as held:
        with frozen(site.prometheus.pid):
            site.bed.wait(lambda: site.falls_back(chat), "the fallback")
            assert site.replicas(chat) == 6
        held.recovers(8)


def test_series_that_were_renamed_take_no_replica_away(
    site: Site, short_answers: None, chat: str, observed: Observe
) -> None:
    serving(site, chat, 6)
    with no_scale_down(site, chat, observed) as held:
        site.picker.renamed = True
        site.bed.wait(lambda: site.falls_back(chat), "the fallback")
        assert site.replicas(chat) == 6
        site.picker.renamed = False
        held.recovers(8)


def test_a_planning_process_that_hangs_takes_no_replica_away(
    site: Site, short_answers: None, chat: str, observed: Observe
) -> None:
    serving(site, chat, 6)
    with no_scale_down(site, chat, observed) as held:
        (planner,) = site.servers["a"].children()
        with frozen(planner):
            site.bed.wait(lambda: site.falls_back(chat), "the fallback")
            assert site.replicas(chat) == 6
        held.recovers(8)


def spec_failures(lines: Sequence[str]) -> int:
    """How often KEDA could not read the specs, after its one retry."""
    return sum("error getting metric spec for the scaler" in line for line in lines)
