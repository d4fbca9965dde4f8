"""`python -m bench console`: how long the console takes to show a fleet of many workloads.

The page is complete when its list, its figures and its nodes are drawn in headless Chromium. It
answers once the UI library's scripts have run: a search typed as soon as there is a field measures
that. The first load fills the browser's cache with the library's files; later ones find it filled.
"""

import argparse
import sys
import urllib.request
from pathlib import Path
from statistics import median
from time import perf_counter

from playwright.sync_api import Browser, Page

from bench._console_browser import CHROMIUM, chromium, served
from bench._report import Row, show


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench console", description=__doc__)
    parser.add_argument("--workloads", type=int, default=2000, help="in the list")
    parser.add_argument("--loads", type=int, default=3, help="after the first one")
    parser.add_argument("--hours", type=float, default=0.5, help="of past for each workload")
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="FOLDER",
        help="write docs' pictures there, measure nothing",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the rows as JSON")
    options = parser.parse_args(arguments)
    if CHROMIUM is None:
        sys.exit("no program `chromium` is here: install it first")
    with served(options.workloads, hours=options.hours) as address, chromium() as browser:
        if options.pictures is not None:
            _draw(address, browser, options.pictures)
            return
        rows = list(_rows(address, browser, options.loads))
    show("console", vars(options), rows, options.json)


def _rows(address: str, browser: Browser, loads: int) -> list[Row]:
    server = [_server_seconds(address) for _ in range(loads + 2)]
    page = browser.new_page()
    first = _loaded(page, address)
    later = [_loaded(page, address) for _ in range(loads)]
    search = _searched(page, "team-08")
    complete, answers = zip(*later, strict=True)
    return [
        {"what": "server: HTML of the first page, median", "seconds": median(server)},
        {"what": "browser: complete page, first load", "seconds": first[0]},
        {"what": "browser: complete page, later loads, median", "seconds": median(complete)},
        {"what": "browser: a search typed at once answers, first load", "seconds": first[1]},
        {"what": "browser: the same, later loads, median", "seconds": median(answers)},
        {"what": "browser: a later search, from its last key to the rows", "seconds": search},
    ]


def _loaded(page: Page, address: str) -> tuple[float, float]:
    """Seconds until the page was complete, and until it had answered a search."""
    begun = perf_counter()
    _complete(page, address)
    complete = perf_counter() - begun
    _searched(page, "team-07")
    return complete, perf_counter() - begun


def _server_seconds(address: str) -> float:
    begun = perf_counter()
    with urllib.request.urlopen(address) as answer:  # noqa: S310 - our own server
        answer.read()
    return perf_counter() - begun


def _complete(page: Page, address: str) -> None:
    page.goto(address, wait_until="commit")
    page.wait_for_selector("table.workloads tbody tr")
    page.wait_for_selector("table.clusters tbody tr")


def _searched(page: Page, words: str) -> float:
    page.get_by_label("Search workloads").fill(words)
    begun = perf_counter()
    page.wait_for_function(
        "words => document.querySelector('caption').textContent.includes(' of ')"
        " && document.querySelector('table.workloads tbody th').textContent.includes(words)",
        arg=words,
    )
    return perf_counter() - begun


def _draw(address: str, browser: Browser, folder: Path) -> None:
    """The fleet by day, and a workload by night."""
    fleet = browser.new_page(viewport={"width": 1000, "height": 900}, color_scheme="light")
    _complete(fleet, address)
    fleet.screenshot(path=folder / "console-fleet.png")
    workload = browser.new_page(viewport={"width": 1000, "height": 1120}, color_scheme="dark")
    workload.goto(f"{address}/workload/team-26/llama-70b-0026")
    workload.wait_for_selector("svg.wide")
    workload.screenshot(path=folder / "console-workload.png")
