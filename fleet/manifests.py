"""Manifests of one text, YAML or JSON, whose mappings and lists know their lines.

Built on the events of libyaml, so that a file of ten megabytes takes seconds, depth is ours to
limit, and an alias is a reference: what aliases would unfold to is counted, never made. Documents
are read one by one: what is wrong with one hides no other.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from fleet.documents import is_object
from fleet.located import BASE_60, DEPTH_MAX, shortened

VALUES_MAX: Final = 2_000_000
"""Of one document, with everything that its aliases stand for."""
FAULTS_MAX: Final = 20
"""Of one document that are told."""
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SEPARATOR: Final = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_HELM: Final = re.compile(r"\{\{-?\s*[.$a-z/(]")
_MERGE: Final = "<<"
_TEXT: Final = "tag:yaml.org,2002:str"
_PLAIN: Final = frozenset(f"tag:yaml.org,2002:{name}" for name in ("bool", "float", "int", "null"))
"""Tags whose scalars are not their text; a date is one in YAML and a text in JSON."""


class LocatedMapping(dict[str, object]):
    """A mapping that knows the line of each key, and where the text of a block begins."""

    __slots__ = ("blocks", "line", "lines")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}
        self.blocks: dict[str, int] = {}


class LocatedList(list[object]):
    """A list that knows the line of each entry."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: list[int] = []


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A document that cannot be read."""

    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A document that is a mapping, and the keys that stand in it twice."""

    value: LocatedMapping
    faults: Sequence[tuple[int, str]] = ()


class _UnreadableError(Exception):
    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line


def manifests_in(text: str, *, first_line: int = 1) -> Iterator[Manifest | Unreadable]:
    """Every document of a text that is not empty.

    Args:
        text: YAML or JSON.
        first_line: of the text, where it is a part of another one.
    """
    begun, line = 0, first_line
    for separator in (*_SEPARATOR.finditer(text), None):
        end = len(text) if separator is None else separator.start()
        chunk = text[begun:end]
        if chunk and not chunk.isspace():
            yield from _document(chunk, line)
        line += chunk.count("\n")
        begun = end + 3  # the dashes themselves; what follows them belongs to the document


def line_of(value: object, path: Iterable[str | int]) -> int | None:
    """The line of the key at `path`, or of its nearest parent that is there; None = not known."""
    line = getattr(value, "line", None)
    for key in path:
        lines: Any = getattr(value, "lines", None)
        try:
            line = lines[key]
            value = value[key]  # type: ignore[index]
        except (IndexError, KeyError, TypeError):
            break
    return line


def _document(text: str, first_line: int) -> Iterator[Manifest | Unreadable]:
    composer = _Composer(first_line)
    try:
        value = composer.composed(text)
    except _UnreadableError as error:
        plain = _json(text, first_line)
        if plain is not None:
            yield plain
            return
        why = str(error)
        if _HELM.search(text):
            why = (
                "a template ({{ ... }}), not a manifest: render it (`helm template`) and lint that"
            )
        yield Unreadable(error.line, why)
        return
    if isinstance(value, LocatedMapping):
        yield Manifest(value, tuple(composer.faults))
    elif isinstance(value, LocatedList):  # a list of manifests, as some tools write them
        yield from (Manifest(one) for one in value if isinstance(one, LocatedMapping))


def _json(text: str, first_line: int) -> Manifest | None:
    """JSON that YAML cannot read: halves of a character that are written apart."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not is_object(value):
        return None
    made = LocatedMapping(first_line)
    made.update(value)
    return Manifest(made)


@dataclass(slots=True)
class _Open:
    """A mapping or a list whose end has not come yet."""

    made: LocatedMapping | LocatedList
    anchor: str | None
    values: int = 1
    key: str | None = None
    key_line: int = 0
    merged: list[object] = field(default_factory=list)


class _Composer:
    """Makes one value of a document's events."""

    def __init__(self, first_line: int) -> None:
        self.faults: list[tuple[int, str]] = []
        self._first = first_line
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[object, int]] = {}
        self._root: object = None
        self._scalars = yaml.SafeLoader("")

    def composed(self, text: str) -> object:
        try:
            for event in yaml.parse(text, Loader=_LOADER):
                self._take(event)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = self._first + (mark.line if mark else 0)
            raise _UnreadableError(line, f"not YAML: {error.problem or error.context}") from error
        except yaml.reader.ReaderError as error:
            character = error.character
            code = ord(character) if isinstance(character, str) else int(character or 0)
            line = self._first + text.count("\n", 0, error.position)
            why = f"not YAML: it holds the control character {code:#04x}"
            raise _UnreadableError(line, why) from error
        except (ValueError, yaml.YAMLError) as error:
            raise _UnreadableError(self._first, f"not YAML: {shortened(str(error))}") from error
        return self._root

    def _take(self, event: yaml.Event) -> None:
        assert event.start_mark is not None
        line = self._first + event.start_mark.line
        match event:
            case yaml.MappingStartEvent():
                self._open(_Open(LocatedMapping(line), event.anchor), line)
            case yaml.SequenceStartEvent():
                self._open(_Open(LocatedList(line), event.anchor), line)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._close(line)
            case yaml.ScalarEvent():
                self._scalar(event, line)
            case yaml.AliasEvent():
                self._add(*self._referred(event.anchor or "", line), line)
            case _:
                pass

    def _open(self, opened: _Open, line: int) -> None:
        if len(self._stack) >= DEPTH_MAX:
            raise _UnreadableError(line, f"nested deeper than {DEPTH_MAX} levels")
        if self._stack and self._awaits_key(self._stack[-1]):
            raise _UnreadableError(line, "a key is a text, not a list or a mapping")
        self._stack.append(opened)

    def _close(self, line: int) -> None:
        done = self._stack.pop()
        if isinstance(done.made, LocatedMapping):
            for source in done.merged:
                _merge(done.made, source)
        if done.anchor is not None:
            self._anchors[done.anchor] = done.made, done.values
        self._add(done.made, done.values, line)

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        if self._stack and self._awaits_key(self._stack[-1]):
            self._begin(self._stack[-1], event.value, line)
            return
        value = self._read(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = value, 1
        top = self._stack[-1] if self._stack else None
        if top is not None and top.key is not None and event.style in {"|", ">"}:
            assert isinstance(top.made, LocatedMapping)
            top.made.blocks[top.key] = line + 1
        self._add(value, 1, line)

    def _read(self, event: yaml.ScalarEvent) -> object:
        if not event.implicit[0] and event.tag is None:
            return event.value
        tag = event.tag or self._scalars.resolve(  # type: ignore[no-untyped-call]
            yaml.ScalarNode, event.value, (True, False)
        )
        if tag not in _PLAIN or BASE_60.fullmatch(event.value):
            return event.value
        try:
            return self._scalars.construct_object(yaml.ScalarNode(tag, event.value))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            return event.value
        except yaml.YAMLError:
            return event.value

    def _begin(self, top: _Open, key: str, line: int) -> None:
        made = top.made
        assert isinstance(made, LocatedMapping)
        if key in made.lines and key != _MERGE and len(self.faults) < FAULTS_MAX:
            why = (
                f"key {shortened(key)!r} is on line {made.lines[key]} already; the last one counts"
            )
            self.faults.append((line, why))
        top.key, top.key_line = key, line

    def _add(self, value: object, values: int, line: int) -> None:
        if not self._stack:
            self._root = value
            return
        top = self._stack[-1]
        top.values += values
        if top.values > VALUES_MAX:
            raise _UnreadableError(
                line, f"more than {VALUES_MAX:,} values, aliases unfolded: no manifest has as many"
            )
        if isinstance(top.made, LocatedList):
            top.made.append(value)
            top.made.lines.append(line)
            return
        if top.key is None:
            raise _UnreadableError(line, "a key is a text, not an alias")
        if top.key == _MERGE:
            top.merged.append(value)
        else:
            top.made[top.key] = value
            top.made.lines[top.key] = top.key_line
        top.key = None

    def _referred(self, anchor: str, line: int) -> tuple[object, int]:
        if any(one.anchor == anchor for one in self._stack):
            raise _UnreadableError(line, f"*{shortened(anchor)} contains itself")
        found = self._anchors.get(anchor)
        if found is None:
            raise _UnreadableError(line, f"*{shortened(anchor)} refers to no &{shortened(anchor)}")
        return found

    @staticmethod
    def _awaits_key(top: _Open) -> bool:
        return isinstance(top.made, LocatedMapping) and top.key is None


def _merge(into: LocatedMapping, source: object) -> None:
    """What `<<` brings in, behind the mapping's own keys; of several the first counts."""
    if isinstance(source, LocatedList):
        for one in source:
            _merge(into, one)
    elif isinstance(source, LocatedMapping):
        for key, value in source.items():
            if key not in into:
                into[key] = value
                into.lines[key] = source.lines[key]
