"""YAML whose values know their lines, so that an error can point at the line to change."""

from collections.abc import Hashable, Sequence
from typing import Any

import yaml

from scaler.errors import ForesailError


class UnreadableYamlError(ForesailError):
    """Text that is not YAML, or has one key twice; the message starts with the line."""


class Document:
    """A parsed YAML document: its value, and the line of any path into it."""

    def __init__(self, text: str) -> None:
        """Parse `text`.

        Raises:
            UnreadableYamlError: it is not YAML, is not a mapping, or repeats a key.
        """
        try:
            self._root = yaml.compose(text, Loader=yaml.SafeLoader)
            loader = yaml.SafeLoader("")
            self.value: Any = {} if self._root is None else loader.construct_document(self._root)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            message = f"line {line}: not YAML: {error.problem}"
            raise UnreadableYamlError(message) from error
        if self._root is not None:
            _refuse_repeated_keys(self._root)
        if not isinstance(self.value, dict):
            message = "line 1: the file must hold a mapping of settings"
            raise UnreadableYamlError(message)

    def line_of(self, path: Sequence[Hashable]) -> int:
        """The line of the key at `path`, or of its nearest parent that is there; from 1."""
        node, line = self._root, 1
        for part in path:
            found = _child(node, part)
            if found is None:
                break
            line, node = found
        return line


def _child(node: yaml.Node | None, part: Hashable) -> tuple[int, yaml.Node] | None:
    match node:
        case yaml.MappingNode(value=pairs):
            for key, value in pairs:
                if key.value == part:
                    return key.start_mark.line + 1, value
        case yaml.SequenceNode(value=items) if isinstance(part, int) and part < len(items):
            return items[part].start_mark.line + 1, items[part]
        case _:
            pass
    return None


def _refuse_repeated_keys(node: yaml.Node) -> None:
    """YAML keeps the last of two equal keys in silence; a forgotten first one is a fault."""
    match node:
        case yaml.MappingNode(value=pairs):
            seen: dict[str, int] = {}
            for key, value in pairs:
                line = key.start_mark.line + 1
                if key.value in seen:
                    message = f"line {line}: key {key.value!r} is on line {seen[key.value]} already"
                    raise UnreadableYamlError(message)
                seen[key.value] = line
                _refuse_repeated_keys(value)
        case yaml.SequenceNode(value=items):
            for item in items:
                _refuse_repeated_keys(item)
        case _:
            pass
