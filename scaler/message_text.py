"""Texts for messages: short, and without what a terminal would obey.

Tenants, exporters and servers write parts of the messages. KEDA copies a message into events and
logs at each poll, so a long one costs everybody; an escape sequence in one would rewrite the screen
of the operator who reads it.
"""

from collections.abc import Sequence
from typing import Final

MESSAGE_BYTES_MAX: Final = 1024
"""Also the limit of an event's note in Kubernetes."""
FAULTS_LISTED_MAX: Final = 5
_CUT: Final = "…"
_LINE_END: Final = "\n"


def listed_faults(faults: Sequence[str]) -> str:
    """The first faults in one message, and the number of the others."""
    few = list(faults[:FAULTS_LISTED_MAX])
    more = len(faults) - len(few)
    return "; ".join([*few, *([f"and {more} more faults"] if more else [])])


def limited(text: str) -> str:
    """A printable text of at most `MESSAGE_BYTES_MAX` bytes; a longer one is cut and says so."""
    # Longer than the limit in any case, and escaping a whole body would cost more than its end.
    text = printable(text[: MESSAGE_BYTES_MAX + 1])
    encoded = text.encode(errors="replace")
    if len(encoded) <= MESSAGE_BYTES_MAX:
        return text
    room = MESSAGE_BYTES_MAX - len(_CUT.encode())
    return encoded[:room].decode(errors="ignore") + _CUT


def is_cut(text: str, original: str) -> bool:
    """Whether `limited` cut the original to this text."""
    return text.endswith(_CUT) and text != printable(original)


def printable(text: str) -> str:
    """The text with every character escaped that a terminal would obey or not show."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def printable_lines(text: str) -> str:
    """The same for a text of several lines, whose line ends stay."""
    return _LINE_END.join(printable(line) for line in text.split(_LINE_END))
