"""JSON of an API server, read whatever depth it has.

Tenants may nest freely where the API lets them write what it does not know: the parameters of a
claim's opaque configuration, `managedFields`. Python reads about a thousand levels; the objects
here have a dozen.
"""

import json
import re
from collections.abc import Iterator
from typing import Final

DEPTH_MAX: Final = 64
"""Levels that are kept of a text too deep to be read as it is."""
_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{\]}]')


def document_of(text: bytes) -> object:
    """What a JSON text says; of one that is nested too deep, without what is below `DEPTH_MAX`.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return json.loads(text)
    except RecursionError:
        return json.loads(b"null".join(_shallow(text)))


def _shallow(text: bytes) -> Iterator[bytes]:
    """The parts of a text around what is too deep."""
    depth, begun = 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in b"[{":
            depth += 1
            if depth == DEPTH_MAX + 1:
                yield text[begun : token.start()]
        elif token[0] in b"]}":
            if depth == DEPTH_MAX + 1:
                begun = token.end()
            depth -= 1
    yield text[begun:]
