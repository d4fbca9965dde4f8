"""The pages: they render the records of a source, and change nothing but what they show."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from nicegui import ui

from foresail.console import cells
from foresail.console.fleet_html import nodes_html, summary_html, workloads_html
from foresail.console.listing import Asked
from foresail.console.live import Live
from foresail.console.records import ConsoleSource
from foresail.console.workload_html import unknown_html, workload_html

_STYLE: Final = Path(__file__).with_name("console.css").read_text(encoding="utf-8")
_SEARCH_MAX: Final = 200


def add_pages(source: ConsoleSource) -> None:
    """Make the pages over a source; a process has one console."""

    @ui.page("/", title="Foresail")
    def fleet() -> None:
        FleetPage(source)

    @ui.page("/workload/{namespace}/{name}", title="Foresail")
    def workload(namespace: str, name: str, trigger: str = "") -> None:
        _workload_page(source, namespace, name, trigger)


class FleetPage:
    """The first page, as one reader has it open."""

    def __init__(self, source: ConsoleSource) -> None:
        self._source = source
        self._asked = Asked()
        with _frame() as top:
            self._top = top
            self._summary = Live()
            ui.html("<h2>Workloads</h2>", sanitize=True)
            ui.input(
                placeholder="search: namespace, name, model, state",
                on_change=lambda event: self._search(event.value),
            ).props('dense outlined clearable debounce=200 aria-label="Search workloads"').classes(
                "search"
            )
            self._list = Live(self._ask)
            self._nodes = Live()
        self.draw()
        ui.timer(source.refresh_seconds, self.draw, immediate=False)

    def draw(self) -> None:
        """Draw what is known now."""
        fleet = self._source.fleet()
        self._top.show(_top(fleet.source, fleet.at_seconds))
        self._summary.show(summary_html(fleet))
        self._list.show(workloads_html(fleet, self._asked))
        self._nodes.show(nodes_html(fleet))

    def _search(self, words: object) -> None:
        self._asked = self._asked.searched(str(words or "")[:_SEARCH_MAX])
        self._list.show(workloads_html(self._source.fleet(), self._asked))

    def _ask(self, data: dict[str, str]) -> None:
        if "sort" in data:
            self._asked = self._asked.sorted_by(data["sort"])
        elif data.get("page", "").isdecimal():
            self._asked = replace(self._asked, page=int(data["page"]))
        self._list.show(workloads_html(self._source.fleet(), self._asked))


def _workload_page(source: ConsoleSource, namespace: str, name: str, trigger: str) -> None:
    with _frame() as top:
        body = Live()

    def draw() -> None:
        keys = source.keys_of(namespace, name)
        key = trigger if trigger in keys else next(iter(keys), None)
        page = None if key is None else source.workload(key)
        if page is None:
            body.show(unknown_html(namespace, name, source.fleet().plans_missing))
        else:
            top.show(_top(page.source, page.at_seconds))
            body.show(workload_html(page))

    top.show(_top("", None))
    draw()
    ui.timer(source.refresh_seconds, draw, immediate=False)


@contextmanager
def _frame() -> Iterator[Live]:
    """A page's head and its column; the head is filled as data come."""
    ui.add_head_html(f"<style>{_STYLE}</style>")
    with ui.element("div").classes("console"):
        top = Live()
        yield top


def _top(source: str, at_seconds: float | None) -> str:
    return (
        '<nav class="bar-top" aria-label="Foresail"><a href="/">Foresail</a>'
        f'<span>{cells.text(source)}</span><span class="end">{cells.clock(at_seconds)}</span></nav>'
    )
