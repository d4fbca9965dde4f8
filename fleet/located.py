"""YAML whose values know their lines, so that an error can point at the line to change."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import yaml
from yaml.reader import ReaderError


class UnreadableYamlError(Exception):
    """Text that is not YAML, or means something other than it looks like."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line


class Document:
    """A parsed YAML document: its value, and the line of any path into it."""

    def __init__(self, text: str) -> None:
        """Parse `text`.

        Raises:
            UnreadableYamlError: it is not YAML, is not a mapping, repeats a key, or contains
                itself.
        """
        try:
            self._root = yaml.compose(text, Loader=yaml.SafeLoader)
            if self._root is not None:
                _refuse_surprises(self._root, above=(), done=set())
            self.value: Any = {} if self._root is None else _constructed(self._root)
        except ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            why = f"not YAML: it holds the control character {error.character:#04x}"
            raise UnreadableYamlError(line, why) from error
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise UnreadableYamlError(line, f"not YAML: {error.problem}") from error
        if not isinstance(self.value, dict):
            raise UnreadableYamlError(1, "the file must hold a mapping of settings")

    def line_of(self, path: Sequence[Hashable]) -> int:
        """The line of the key at `path`, or of its nearest parent that is there; from 1."""
        node, line = self._root, 1
        for part in path:
            found = _child(node, part)
            if found is None:
                break
            line, node = found
        return line


def _constructed(root: yaml.Node) -> Any:
    try:
        return yaml.SafeLoader("").construct_document(root)
    except ValueError as error:
        # A scalar of the form of a date or a number that is none: 2026-13-45, !!int x.
        line, text = next(_misformed(root))
        raise UnreadableYamlError(line, f"{text!r} is no value: {error}") from error


def _misformed(node: yaml.Node) -> Iterator[tuple[int, str]]:
    match node:
        case yaml.ScalarNode():
            try:
                yaml.SafeLoader("").construct_object(node)
            except ValueError:
                yield node.start_mark.line + 1, node.value
        case yaml.MappingNode(value=pairs):
            for key, value in pairs:
                yield from _misformed(key)
                yield from _misformed(value)
        case yaml.SequenceNode(value=items):
            for item in items:
                yield from _misformed(item)
        case _:
            pass


def _child(node: yaml.Node | None, part: Hashable) -> tuple[int, yaml.Node] | None:
    match node:
        case yaml.MappingNode(value=pairs):
            # From the end: what was merged in with `<<` stands before the mapping's own keys.
            for key, value in reversed(pairs):
                if key.value == str(part):
                    return key.start_mark.line + 1, value
        case yaml.SequenceNode(value=items) if isinstance(part, int) and part < len(items):
            return items[part].start_mark.line + 1, items[part]
        case _:
            pass
    return None


def _refuse_surprises(node: yaml.Node, above: tuple[yaml.Node, ...], done: set[int]) -> None:
    """YAML keeps the last of two equal keys in silence, and lets a value contain itself."""
    line = node.start_mark.line + 1
    if any(node is one for one in above):
        raise UnreadableYamlError(line, "this value contains itself, through an alias")
    if id(node) in done:
        return
    done.add(id(node))
    match node:
        case yaml.MappingNode(value=pairs):
            _refuse_repeated_keys(pairs)
            inner = [value for _, value in pairs]
        case yaml.SequenceNode(value=items):
            inner = items
        case _:
            return
    for value in inner:
        _refuse_surprises(value, (*above, node), done)


def _refuse_repeated_keys(pairs: list[tuple[yaml.Node, yaml.Node]]) -> None:
    lines: dict[tuple[str, str], int] = {}
    for key, _ in pairs:
        if not isinstance(key, yaml.ScalarNode):
            continue
        line, name = key.start_mark.line + 1, (key.tag, key.value)
        if name in lines:
            why = f"key {key.value!r} is on line {lines[name]} already"
            raise UnreadableYamlError(line, why)
        lines[name] = line
