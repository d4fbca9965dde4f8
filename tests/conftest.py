import asyncio
import json
import os
from collections.abc import Callable, Iterator

import hypothesis
import pytest
import structlog

from bench._faults_row import OBSERVED, Observe
from scaler.limits import COUNTS, Limit

# pytest-asyncio asks for a current loop before the first async test; asyncio then makes one that
# nobody closes, and a later collection of it fails an innocent test.
asyncio.set_event_loop(None)

# A core that is busy with other things fails no test.
hypothesis.settings.register_profile(
    "busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test that lives in real time is run a second time where it fails, and listed as RERUN.

    A machine that stalls for long can fail it without a fault of ours. Most faults fail it twice;
    what the first run said is shown at the end, so that one that does not is seen too.
    """
    if not config.pluginmanager.hasplugin("rerunfailures"):  # -p no:rerunfailures
        return
    for item in items:
        marker = item.get_closest_marker("looptime")
        if marker and marker.args == (False,):
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show why a test was run a second time, also where that one passed."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"first run of {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)


@pytest.fixture(autouse=True)
def _log_of_each_test() -> Iterator[None]:
    """A command sets the level of the log, which would hide lines from the tests after it."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session", autouse=True)
def _one_core() -> Iterator[None]:
    """The workers of pytest share the cores: replays start no processes beside them.

    A test of those processes gives itself more.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)
        yield


@pytest.fixture
def limits_exceeded() -> Callable[[], set[Limit]]:
    """The limits that were exceeded since the test began."""
    before = COUNTS.snapshot()

    def exceeded() -> set[Limit]:
        return {limit for limit, count in COUNTS.snapshot().items() if count > before.get(limit, 0)}

    return exceeded


@pytest.fixture
def observed(record_property: Callable[[str, object], None]) -> Observe:
    """What a test saw under a fault, for its row in `python -m bench faults`."""

    def take(
        text: str,
        *,
        wrong_scale_downs: int | None = None,
        lost: int | None = None,
        recovered_seconds: float | None = None,
    ) -> None:
        seen = {
            "text": text,
            "wrong_scale_downs": wrong_scale_downs,
            "lost": lost,
            "recovered_seconds": recovered_seconds,
        }
        record_property(OBSERVED, json.dumps(seen))

    return take
