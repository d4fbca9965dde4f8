"""`foresail demo --web`: the demo live in a browser, with its summary, and a clean end."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from bench._console_browser import CHROMIUM, chromium

COMMAND = (sys.executable, "-m", "foresail.cli", "demo", "--web", "--seconds", "1", "--seed", "7")
DAY_SECONDS_MAX = 600
"""For days of history, the day, and four other rules, on a machine that does other things too."""


@contextmanager
def demo() -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A demo that runs, and the address of its page."""
    process = subprocess.Popen(
        COMMAND,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    assert process.stdout is not None
    try:
        found = re.search(r"http://127\.0\.0\.1:\d+/\S+", process.stdout.readline())
        assert found is not None
        yield process, found[0]
    finally:
        process.kill()
        process.communicate()  # waits, and closes the pipes


@pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here: scripts/chromium.sh installs Debian's"
)
def test_a_day_is_seen_live_and_its_summary_stays_until_ctrl_c() -> None:
    with chromium() as browser, demo() as (process, url):
        page = browser.new_page()
        page.set_default_timeout(1000 * DAY_SECONDS_MAX)
        page.goto(url, wait_until="commit")
        # A browser that gets no core for seconds comes when the day has begun.
        reads = page.get_by_text("three days of history are read first")
        reads.or_(page.locator("dl.tiles")).first.wait_for()
        page.wait_for_selector("dl.tiles")  # the day begins
        page.wait_for_selector("table.scores")  # and is over

        rules = page.locator("table.scores tbody th").all_text_contents()
        assert rules[0] == "foresail"
        assert {"keda-waiting", "hpa-inflight"} <= set(rules)
        assert "$" in (page.locator("table.scores tbody tr td").nth(3).text_content() or "")
        assert page.locator("svg.wide").count() == 2
        assert page.locator(".steps tr").count() > 3

        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    assert "The pages stay until Ctrl-C." in said
    assert "requests lost" not in said  # the summary of a whole day, not of a stopped one


def test_a_demo_that_is_stopped_early_ends_at_once_and_without_a_trace() -> None:
    with demo() as (process, _):
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors.split()) == (1, ["Aborted!"])
