"""The pages: they render the records of a source, and change nothing but what they show."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from nicegui import ui

from foresail.console import cells
from foresail.console.fleet_html import nodes_html, search_html, summary_html, workloads_html
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
        column = _Column()
        self._top = column.part()
        self._summary = column.part()
        column.part(self._ask).show(search_html(_SEARCH_MAX))
        self._list = column.part(self._ask)
        self._nodes = column.part()
        self.draw()
        column.send()
        ui.timer(source.refresh_seconds, self.draw, immediate=False)

    def draw(self) -> None:
        """Draw what is known now."""
        fleet = self._source.fleet()
        self._top.show(_top(fleet.source, fleet.at_seconds))
        self._summary.show(summary_html(fleet))
        self._list.show(workloads_html(fleet, self._asked))
        self._nodes.show(nodes_html(fleet))

    def _ask(self, data: dict[str, str]) -> None:
        if "search" in data:
            self._asked = self._asked.searched(data["search"][:_SEARCH_MAX])
        elif "sort" in data:
            self._asked = self._asked.sorted_by(data["sort"])
        elif data.get("page", "").isdecimal():
            self._asked = replace(self._asked, page=int(data["page"]))
        self._list.show(workloads_html(self._source.fleet(), self._asked))


def _workload_page(source: ConsoleSource, namespace: str, name: str, trigger: str) -> None:
    column = _Column()
    top, body = column.part(), column.part()

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
    column.send()
    ui.timer(source.refresh_seconds, draw, immediate=False)


class _Column:
    """The parts of a page, one below the other."""

    def __init__(self) -> None:
        ui.add_head_html(f"<style>{_STYLE}</style>")
        self._element = ui.element("div").classes("console")
        self._parts: list[Live] = []

    def part(self, ask: Callable[[dict[str, str]], None] | None = None) -> Live:
        """A new part, the lowest so far."""
        with self._element:
            made = Live(ask)
        self._parts.append(made)
        return made

    def send(self) -> None:
        """Send the parts as they are now within the document.

        The UI library has a megabyte of scripts, and draws nothing before the last of them ran.
        """
        parts = "".join(part.first() for part in self._parts)
        ui.add_body_html(f'<div class="console">{parts}</div>')


def _top(source: str, at_seconds: float | None) -> str:
    return (
        '<nav class="bar-top" aria-label="Foresail"><a href="/">Foresail</a>'
        f'<span>{cells.text(source)}</span><span class="end">{cells.clock(at_seconds)}</span></nav>'
    )
