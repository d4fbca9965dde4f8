"""Two servers under calls about many objects: no fault fails one or takes a replica away.

The real KEDA and HPA follow one object meanwhile. A poll each few seconds and a cycle each second
are what many times as many objects cost at the shipped periods. `FORESAIL_LOAD_OBJECTS` makes them
more, as `python -m bench faults` does.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic, sleep  # noqa: TID251 - processes live in real time

import pytest

from bench._faults_row import Observe
from scaler.rpc import externalscaler_pb2 as pb
from tests.contracts.certificates import Authority
from tests.e2e.bed import Bed
from tests.e2e.conftest import made_bed, made_site
from tests.e2e.keda_load import KedaLoad
from tests.e2e.processes import frozen
from tests.e2e.site import ADDRESSES, SERVICE, Site
from tests.e2e.test_faults import scale_downs, serving, spec_failures
from tests.e2e.wall_clock import WallClock
from tests.e2e.workload_objects import NAMESPACE

pytestmark = pytest.mark.looptime(False)  # processes live in real time

OBJECTS = int(os.environ.get("FORESAIL_LOAD_OBJECTS", "30"))
EVERY_SECONDS = 3.0
"""Of 300 objects 300 calls a second: those of 750 objects at KEDA's and the HPA's 15 s."""
ANSWER_SECONDS_MAX = 30
FOUND_CALLS = OBJECTS // 3


@pytest.fixture(scope="module")
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    """A bed of its own: after these faults KEDA asked too little about objects of later tests."""
    with made_bed(request, "bed-available") as made:
        yield made


@pytest.fixture(scope="module")
def site(bed: Bed) -> Iterator[Site]:
    """Its answers stand until a server has started on a busy machine, as the shipped 5 minutes."""
    with made_site(bed, answer_seconds_max=ANSWER_SECONDS_MAX) as made:
        yield made


@pytest.fixture
def chat(site: Site, deployed: str) -> str:
    site.scale(deployed, fallback=True)
    return deployed


@pytest.fixture
def load(request: pytest.FixtureRequest, site: Site, second: None) -> Iterator[KedaLoad]:
    """Calls about objects that all want what the picker asks for; a test may set a limit."""
    objects = [
        pb.ScaledObjectRef(name=f"load-{n}", namespace=NAMESPACE, scalerMetadata=site.metadata())
        for n in range(min(OBJECTS, getattr(request, "param", OBJECTS)))
    ]
    addresses = [f"{address}:{site.port}" for address in ADDRESSES.values()]
    made = KedaLoad(addresses, SERVICE, site.client_files, objects, every_seconds=EVERY_SECONDS)
    with made.running():
        yield made
    # A server that starts anew knows none of the objects.
    site.servers["a"].stop()


@dataclass
class Fault:
    """What the test says of its fault."""

    logged: Callable[[], list[str]]
    """What KEDA logged, of which calls that failed are counted."""
    over_at: float | None = None
    refused_ok: bool = False
    """Whether there may be no answer while it lasts: then KEDA's fallback holds the replicas."""

    def over(self) -> None:
        self.over_at = monotonic()


def running(site: Site) -> list[str]:
    return [name for name, server in site.servers.items() if server.runs]


def different(site: Site, load: KedaLoad) -> int:
    """Objects that two servers answer differently, or one of them not at all."""
    names = running(site)
    assert len(names) == 2
    one, other = (load.answers(f"{ADDRESSES[name]}:{site.port}") for name in names)
    return sum(one[name] is None or one[name] != other[name] for name in one)


def alike(site: Site, load: KedaLoad) -> None:
    site.bed.wait(lambda: not different(site, load), "the same answers")


@contextmanager
def counted(
    site: Site, chat: str, load: KedaLoad, observed: Observe, *, replicas: int = 5
) -> Iterator[Fault]:
    """A fault inside, while `replicas` are needed; then two more are, and both servers say so."""
    serving(site, chat, replicas)
    alike(site, load)
    fault = Fault(site.bed.programs["keda-operator"].log_since())
    with site.recording(chat) as record:
        calls = load.count(least=replicas)
        yield fault
        serving(site, chat, replicas + 2)
        recovered = None if fault.over_at is None else monotonic() - fault.over_at
        alike(site, load)
        site.reaches(chat, replicas + 2)
    unanswered = 0 if fault.refused_ok else calls.lost.total()
    specs = calls.lost["GetMetricSpec"] + spec_failures(fault.logged())
    # Between the two counts one server may be behind the other; KEDA asks them in turns.
    downs = calls.lower + scale_downs(record.counts, replicas)
    text = (
        f"{calls.answered} calls about {len(load.objects)} objects answered, {calls.asked_again} "
        f"of them at the second try, {specs} of GetMetricSpec failed; "
        f"longest {calls.longest_seconds:.1f} s"
    )
    if fault.refused_ok:
        text += f"; {calls.lost.total()} refused for want of a reading"
    print(text, record.counts, calls.errors.most_common(3))  # noqa: T201 - for whoever runs it
    observed(
        text,
        wrong_scale_downs=downs,
        lost=max(specs, unanswered),
        recovered_seconds=recovered,
    )
    assert (specs, unanswered, downs) == (0, 0, 0), calls.errors.most_common(3)
    assert record.counts[-1] == replicas + 2


def found(site: Site, name: str) -> None:
    """Wait until clients ask a server that came: the shipped Deployment waits 30 s for it."""
    before = site.answered(name)
    site.bed.wait(lambda: site.answered(name) > before + FOUND_CALLS, f"calls to {name}")


def test_a_rolling_update_fails_no_call(
    site: Site, load: KedaLoad, chat: str, observed: Observe
) -> None:
    with counted(site, chat, load, observed) as fault:
        # As a Deployment does: the new one is there before the old one goes.
        for old, new in (("a", "c"), ("b", "a")):
            site.serve(new)
            found(site, new)
            assert site.servers[old].stop() == 0
        fault.over()


def test_a_server_that_dies_fails_no_call_at_the_second_try(
    site: Site, load: KedaLoad, chat: str, observed: Observe
) -> None:
    with counted(site, chat, load, observed) as fault:
        site.servers["b"].kill()
        fault.over()
        sleep(2 * EVERY_SECONDS)  # every object is asked about while one serves alone
        site.serve("b")


def test_a_drained_node_takes_one_server_and_fails_no_call(
    site: Site, load: KedaLoad, chat: str, observed: Observe
) -> None:
    with counted(site, chat, load, observed) as fault:
        # Other than in an update the next one starts after the old one has gone.
        assert site.servers["a"].stop() == 0
        sleep(2 * EVERY_SECONDS)
        site.serve("a")
        fault.over()


def test_certificates_rotated_on_both_sides_fail_no_call(
    site: Site, load: KedaLoad, chat: str, observed: Observe
) -> None:
    old, new = site.bed.authority, Authority("next")
    with counted(site, chat, load, observed) as fault:
        for trusted, proof in (((old, new), old), ((old, new), new), ((new,), new)):
            site.trust(*trusted, client=proof)
            site.prove(*trusted, server=proof)
            # Servers read their files again in place; KEDA reads its Secret at its start.
            load.reconnect()
            operator = site.bed.programs["keda-operator"]
            operator.stop()
            fault.logged = operator.log_since()  # its end breaks off calls
            operator.start()
        fault.over()
    for trusted, proof in (((old, new), old), ((old,), old)):
        site.trust(*trusted, client=proof)
        site.prove(*trusted, server=proof)


def test_prometheus_gone_takes_no_replica_away(
    site: Site, load: KedaLoad, chat: str, observed: Observe
) -> None:
    with counted(site, chat, load, observed) as fault:
        fault.refused_ok = True
        site.prometheus.kill()
        site.bed.wait(lambda: site.falls_back(chat), "the fallback")
        assert site.replicas(chat) == 5
        site.prometheus.start()
        fault.over()


def slow(pid: int, *, seconds: float) -> None:
    """Let a process stand still for most of each of these seconds."""
    until = monotonic() + seconds
    while monotonic() < until:
        with frozen(pid):
            sleep(0.8)
        sleep(0.2)


def test_a_slow_api_server_fails_no_call(
    site: Site, load: KedaLoad, chat: str, observed: Observe
) -> None:
    with counted(site, chat, load, observed) as fault:
        slow(site.bed.programs["kube-apiserver"].pid, seconds=20)
        fault.over()


# Every look at a clock of libfaketime reads a file.
@pytest.mark.parametrize("load", [60], indirect=True, ids=["at most 60"])
@pytest.mark.parametrize("seconds", [2, 3600], ids=["by-little", "by-an-hour"])
def test_one_servers_clock_that_is_ahead_takes_no_replica_away(
    site: Site, load: KedaLoad, chat: str, observed: Observe, seconds: float
) -> None:
    clock, server = WallClock(site.bed.folder / "ahead"), site.servers["b"]
    before, server.environment = server.environment, clock.environment
    try:
        server.stop()
        site.serve("b")
        with counted(site, chat, load, observed) as fault:
            # Prometheus has nothing of an hour from now: that server has no reading.
            fault.refused_ok = seconds > 60
            clock.set(seconds)
            if fault.refused_ok:
                other = f"{ADDRESSES['b']}:{site.port}"
                site.bed.wait(lambda: None in load.answers(other).values(), "no answer")
            else:
                sleep(4 * EVERY_SECONDS)
                alike(site, load)
            clock.set(0)
            fault.over()
    finally:
        server.environment = before
