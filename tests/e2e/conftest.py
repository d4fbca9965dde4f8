"""One bed for all tests, where FORESAIL_BED says that its programs were built (`make e2e`)."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import prometheus
from tests.e2e.bed import Bed
from tests.e2e.site import Site

BUILT = os.environ.get("FORESAIL_BED")
# The default test run has no Kubernetes and does not look in here.
collect_ignore_glob = [] if BUILT else ["test_*.py"]


@pytest.fixture(scope="session")
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    assert BUILT is not None
    built = Path(BUILT).resolve()
    folder = built.parent / f"bed-{os.getpid()}"
    with Bed(built, folder) as made:
        yield made
    # Logs are kept where somebody will want to read them.
    if not request.session.testsfailed:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def site(bed: Bed) -> Iterator[Site]:
    prometheus.require()
    made = Site(bed)
    try:
        made.begin()
        yield made
    finally:
        made.end()


@pytest.fixture
def chat(site: Site) -> Iterator[str]:
    """A Deployment at zero under the example's ScaledObject, gone after the test."""
    site.picker.asks(0)
    site.picker.renamed = False
    # Else KEDA would be told first what the last test asked for. NaN: nothing was read yet.
    site.bed.wait(lambda: not site.reads("chat", "running") > 0, "nothing running")
    site.deploy("chat")
    site.scale("chat")
    yield "chat"
    site.forget("chat")
