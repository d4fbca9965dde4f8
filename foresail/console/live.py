"""A part of a page that is drawn again as its data change."""

from collections.abc import Callable

from nicegui.element import Element
from nicegui.events import GenericEventArguments


class Live(Element, component="live.js"):
    """HTML that is patched in place; it says which button was pressed and what was typed."""

    def __init__(self, ask: Callable[[dict[str, str]], None] | None = None) -> None:
        """Be empty at first.

        Args:
            ask: gets the `data-` attributes of a button that was pressed, or as `search` what was
                typed.
        """
        super().__init__()
        self._props["content"] = ""
        self._props["first"] = f"first-{self.id}"
        if ask is not None:
            self.on("ask", lambda event: _taken(event, ask))

    def show(self, html: str) -> None:
        """Show HTML in which everything that others wrote is escaped."""
        if self._props["content"] != html:
            self._props["content"] = html
            self.update()

    def first(self) -> str:
        """The same as plain HTML, from which the element takes over once its scripts run."""
        return f'<div id="{self._props["first"]}">{self._props["content"]}</div>'


def _taken(event: GenericEventArguments, ask: Callable[[dict[str, str]], None]) -> None:
    """What a browser sends is as it likes: only texts are passed on."""
    given = event.args if isinstance(event.args, dict) else {}
    ask({str(name): value for name, value in given.items() if isinstance(value, str)})
