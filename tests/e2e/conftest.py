"""One bed for all tests, where FORESAIL_BED says that its programs were built (`make e2e`)."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests import prometheus
from tests.e2e.bed import Bed
from tests.e2e.files_by_bed import LoadFilesByBed
from tests.e2e.site import ANSWER_SECONDS_MAX, SHORT_ANSWER_SECONDS, Site

BUILT = os.environ.get("FORESAIL_BED")
# The default test run has no Kubernetes and does not look in here.
collect_ignore_glob = [] if BUILT else ["test_*.py"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadFilesByBed | None:
    return LoadFilesByBed(config, log) if config.option.dist == "loadfile" else None


_beds: list[pytest.FixtureRequest] = []
"""Of the fixtures that have a bed now."""


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End the beds of a folder that a worker leaves: one that nobody uses takes a core's tenth.

    It never comes back, as it leaves none while a file waits there (`LoadFilesByBed`).
    """
    if nextitem is None or nextitem.path.parent == item.path.parent:
        return
    for request in [*_beds]:
        # As pytest does it with a fixture whose parameter changes: who depends on it ends first.
        request._fixturedef.finish(request)  # type: ignore[attr-defined]


@contextmanager
def made_bed(
    request: pytest.FixtureRequest, name: str, **parts: Sequence[Callable[[Bed], None]]
) -> Iterator[Bed]:
    """A bed in a folder of this name; `parts` as `Bed` takes them."""
    assert BUILT is not None
    built = Path(BUILT).resolve()
    folder = built.parent / f"{name}-{os.getpid()}"
    while folder.exists():  # of a bed that a failed test left, which is run once more
        folder = folder.with_name(f"{folder.name}-next")
    with Bed(built, folder, **parts) as made:
        _beds.append(request)
        yield made
        _beds.remove(request)
    # Logs are kept where somebody will want to read them.
    if not request.session.testsfailed:
        shutil.rmtree(folder)


@contextmanager
def made_site(bed: Bed, *, answer_seconds_max: int = ANSWER_SECONDS_MAX) -> Iterator[Site]:
    """Foresail on a bed; no answer of its servers stands longer."""
    prometheus.require()
    made = Site(bed, answer_seconds_max=answer_seconds_max)
    try:
        made.begin()
        yield made
    finally:
        made.end()


@pytest.fixture(scope="session")
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    with made_bed(request, "bed") as made:
        yield made


@pytest.fixture(scope="session")
def site(bed: Bed) -> Iterator[Site]:
    with made_site(bed) as made:
        yield made


_numbers = count(1)


@pytest.fixture
def deployed(site: Site) -> Iterator[str]:
    """A Deployment at zero, gone after the test with the ScaledObject that it makes.

    Its name is new, as the HPA's controller remembers what it recommended to one of the same name.
    """
    name = f"chat-{next(_numbers)}"
    site.rests()
    site.deploy(name)
    yield name
    site.forget(name)


@pytest.fixture
def chat(site: Site, deployed: str) -> str:
    """A Deployment at zero under the example's ScaledObject, without its fallback."""
    site.scale(deployed)
    return deployed


@pytest.fixture(scope="module")
def short_answers(site: Site) -> Iterator[None]:
    """Answers that KEDA's fallback follows soon, from here to the end of the file."""
    site.limit_answers(SHORT_ANSWER_SECONDS)
    yield
    site.limit_answers(ANSWER_SECONDS_MAX)


@pytest.fixture
def second(site: Site) -> Iterator[None]:
    """A second server, there before KEDA connects."""
    site.serve("b")
    operator = site.bed.programs["keda-operator"]
    operator.stop()
    operator.start()
    yield
    for name in site.servers.keys() - {"a"}:
        site.servers[name].stop()
    if not site.servers["a"].runs:
        site.serve("a")
