"""YAML whose values know their lines, so that an error can point at the line to change.

The parser stops at the first place where the text is not YAML. All other faults (a key twice, a key
that is not text, a scalar without a value) are collected while the rest is read, so that one run
reports all of them.
"""

import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Final

import yaml
from typing_extensions import override
from yaml.reader import ReaderError

DEPTH_MAX: Final = 64
"""Levels of nesting. Settings have seven, a CustomResourceDefinition's schema about forty; PyYAML
needs three stack frames for each."""
_SHOWN_CHARACTERS_MAX: Final = 80
BASE_60: Final = re.compile(r"[0-9]+(:[0-9]+)+")
"""`20:00` or `1:30:00`: a number to the base of 60 in YAML 1.1, and a text to kubectl."""
_TEXT: Final = "tag:yaml.org,2002:str"
_KEY_TAGS: Final = frozenset({_TEXT, "tag:yaml.org,2002:merge", "tag:yaml.org,2002:value"})
_NO_VALUE: Final = (ValueError, ArithmeticError, AttributeError, LookupError, TypeError)
"""What PyYAML raises for `2026-13-45`, `!!timestamp x`, `!!bool x` or `!!int ''`."""

Path = tuple[str | int, ...]


class UnreadableYamlError(Exception):
    """Text that cannot be read as a whole."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"{why}; the rest of the file is checked once this is mended")
        self.line = line


class Document:
    """A parsed YAML document: its value, its faults, and the line of any path into it."""

    def __init__(self, text: str) -> None:
        """Parse `text`.

        Raises:
            UnreadableYamlError: it is not YAML, is not a mapping, is nested too deep, or contains
                itself.
        """
        self._take(next(_composed(text, _Loader.get_only_node), None))

    def _take(self, root: yaml.Node | None) -> None:
        self.faults: list[tuple[int, str]] = []
        """Line and text of what the value does not show, or shows as a text."""
        self._no_values: set[int] = set()
        self._done: set[int] = set()
        self._root = root
        if self._root is None:
            self.value: Any = {}
            return
        if not isinstance(self._root, yaml.MappingNode):
            message = "the file must hold a mapping of settings"
            raise UnreadableYamlError(_line(self._root), message)
        try:
            self._survey(self._root, (), frozenset())
            self.value = _Loader("").construct_document(self._root)
        except yaml.MarkedYAMLError as error:
            raise _unreadable(error) from error
        except _NO_VALUE as error:
            raise UnreadableYamlError(1, f"not YAML: {error}") from error

    @classmethod
    def sound(cls, text: str) -> "Document":
        """The document of a text that has no fault at all.

        Raises:
            UnreadableYamlError: as above, and for the first of the faults.
        """
        made = cls(text)
        for line, why in made.faults:
            raise UnreadableYamlError(line, why)
        return made

    @classmethod
    def several(cls, text: str) -> "list[Document]":
        """The documents of a text, which `---` divides; lines count from the text's beginning.

        Empty ones are left out.

        Raises:
            UnreadableYamlError: as above, for the first that is not right.
        """
        made = []
        for root in _composed(text, _Loader.get_nodes):
            one = cls("")
            one._take(root)
            made.append(one)
        return made

    @property
    def line(self) -> int:
        """The line on which the value begins."""
        return _line(self._root) if self._root is not None else 1

    def line_of(self, path: Sequence[Hashable]) -> int:
        """The line of the key at `path`, or of its nearest parent that is there; from 1."""
        line = self.line
        for key, _ in self._way(path):
            line = _line(key)
        return line

    def has_no_value(self, path: Sequence[Hashable]) -> bool:
        """Whether the faults name the scalar at `path`, which is given as a text then."""
        return any(id(value) in self._no_values for _, value in self._way(path))

    def _way(self, path: Sequence[Hashable]) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        """Key and value of each part of the path, as far as they are there."""
        node = self._root
        for part in path:
            found = _child(node, part)
            if found is None:
                return
            yield found
            node = found[1]

    def _survey(self, node: yaml.Node, path: Path, above: frozenset[int]) -> None:
        """Note every fault in a node and below it; what is noted is a text from here on.

        Raises:
            UnreadableYamlError: it contains itself, or a key is a list or a mapping.
        """
        if id(node) in above:
            raise UnreadableYamlError(_line(node), "this value contains itself, through an alias")
        if id(node) in self._done:
            return
        self._done.add(id(node))
        match node:
            case yaml.ScalarNode():
                self._survey_scalar(node, path)
            case yaml.MappingNode(value=pairs):
                self._survey_keys(pairs, path)
                for key, value in pairs:
                    self._survey(value, (*path, key.value), above | {id(node)})
            case yaml.SequenceNode(value=items):
                for index, item in enumerate(items):
                    self._survey(item, (*path, index), above | {id(node)})
            case _:
                pass

    def _survey_scalar(self, node: yaml.ScalarNode, path: Path) -> None:
        try:
            _Loader("").construct_object(node)
        except _NO_VALUE as error:
            shown = shortened(node.value)
            why = "too long a number" if "digits" in str(error) else " ".join(str(error).split())
            self._note(node, path, f"{shown!r} is no value: {why}")
            self._no_values.add(id(node))
            node.tag = _TEXT

    def _survey_keys(self, pairs: list[tuple[yaml.Node, yaml.Node]], path: Path) -> None:
        """YAML keeps the last of two equal keys in silence, and takes any value for a key."""
        lines: dict[str, int] = {}
        for key, _ in pairs:
            if not isinstance(key, yaml.ScalarNode):
                raise UnreadableYamlError(_line(key), "a key is a text, not a list or a mapping")
            if key.tag not in _KEY_TAGS:
                self._note(key, (*path, key.value), "a key is a text: quote it")
                key.tag = _TEXT
            if key.value in lines:
                why = f"key {shortened(key.value)!r} is on line {lines[key.value]} already"
                self._note(key, (), why)
            lines.setdefault(key.value, _line(key))

    def _note(self, node: yaml.Node, path: Path, why: str) -> None:
        name = name_of(path)
        self.faults.append((_line(node), f"{name}: {why}" if name else why))


def name_of(path: Sequence[object]) -> str:
    """A path for a message: `sources.0.name`; what a terminal would obey is escaped."""
    parts = (shortened(str(part)) for part in path)
    return ".".join(part if part.isprintable() else repr(part)[1:-1] for part in parts)


def shortened(text: str) -> str:
    """A text for a message, cut where it is long."""
    limit = _SHOWN_CHARACTERS_MAX
    return text if len(text) <= limit else text[:limit] + "…"


class _Loader(yaml.SafeLoader):
    """Refuses nesting that would exhaust the stack."""

    _depth = 0

    def get_only_node(self) -> Iterator[yaml.Node]:
        """The root of the only document; none where the text is empty."""
        root = self.get_single_node()
        if root is not None:
            yield root

    def get_nodes(self) -> Iterator[yaml.Node]:
        """The root of each document that is not empty."""
        while self.check_node():
            root = self.get_node()
            if root is not None and not (isinstance(root, yaml.ScalarNode) and not root.value):
                yield root

    @override
    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        """A time of day is a text, as kubectl reads it."""
        if kind is yaml.ScalarNode and implicit[0] and BASE_60.fullmatch(value):
            return _TEXT
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]

    @override
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
            raise UnreadableYamlError(line, f"nested deeper than {DEPTH_MAX} levels")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _composed(text: str, nodes: Callable[[_Loader], Iterator[yaml.Node]]) -> Iterator[yaml.Node]:
    loader = None
    try:
        loader = _Loader(text)
        yield from nodes(loader)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        why = f"not YAML: it holds the control character {error.character:#04x}"
        raise UnreadableYamlError(line, why) from error
    except yaml.MarkedYAMLError as error:
        raise _unreadable(error) from error
    except ValueError as error:  # an escape beyond Unicode, which PyYAML does not expect
        assert loader is not None
        raise UnreadableYamlError(loader.line + 1, f"not YAML: {error}") from error


def _unreadable(error: yaml.MarkedYAMLError) -> UnreadableYamlError:
    line = error.problem_mark.line + 1 if error.problem_mark else 1
    return UnreadableYamlError(line, f"not YAML: {error.problem}")


def _line(node: yaml.Node) -> int:
    line: int = node.start_mark.line
    return line + 1


def _child(node: yaml.Node | None, part: Hashable) -> tuple[yaml.Node, yaml.Node] | None:
    match node:
        case yaml.MappingNode(value=pairs):
            # From the end: what was merged in with `<<` stands before the mapping's own keys.
            for key, value in reversed(pairs):
                if key.value == str(part):
                    return key, value
        case yaml.SequenceNode(value=items) if isinstance(part, int) and part < len(items):
            return items[part], items[part]
        case _:
            pass
    return None
