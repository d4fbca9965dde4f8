"""The code blocks of the documentation: where each stands, what it is, and which commands it has.

A block is known by its text: commands, manifests and settings need no mark. Everything else says in
a comment before it what it is:

    <!-- snippet: output, compared by tests/docs/test_agent.py -->

The first word is the kind; the rest is the reason, which an output and Python must have.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import yaml

from foresail.settings.file import Settings

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "deploy" / "examples"
PAGES: Final = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    EXAMPLES / "README.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)
PROGRAMS: Final = frozenset(
    {"cd", "docker", "export", "foresail", "helm", "kubectl", "make", "python", "sh"}
)
"""A block whose lines all begin with one of these is commands."""
_MARK: Final = re.compile(r"<!-- snippet: (?P<kind>[a-z]+)(?:, (?P<reason>.+))? -->")
_FENCE: Final = re.compile(r"(?P<indent> *)```(?P<language>\S*)")
_INLINE: Final = re.compile(r"`((?:foresail|kubectl|make) [^`]+)`")
_SETTINGS: Final = frozenset(
    str(field.alias or name) for name, field in Settings.model_fields.items()
)
_LIST: Final = re.compile(r"\s*(?:[*-]|\d+\.) ")
_OPERATORS: Final = frozenset({"&&", "||", "|", ";", "&"})
_REDIRECTIONS: Final = frozenset({">", ">>", "<"})


class Kind(StrEnum):
    """What a block is, and so which test takes it."""

    COMMANDS = "commands"
    MANIFEST = "manifest"
    SETTINGS = "settings"
    METADATA = "metadata"
    PART = "part"
    PLAN = "plan"
    MIX = "mix"
    PRICES = "prices"
    PROMQL = "promql"
    PYTHON = "python"
    OUTPUT = "output"
    FOREIGN = "foreign"
    """Another program's own, which nothing of ours reads; the reason names the program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """One block, without its indentation."""

    page: Path
    line: int
    text: str
    language: str
    """As the fence names it; empty where it names none."""
    kind: Kind | None
    """None = nothing says what it is."""
    reason: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> list[list[str]]:
        """Each command with its arguments; of an output those after a prompt."""
        if self.kind not in {Kind.COMMANDS, Kind.OUTPUT}:
            return []
        lines = _joined(self.text)
        if self.kind is Kind.OUTPUT:
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        return [command for line in lines for command in commands_of(line)]

    def documents(self) -> list[Any]:
        return [one for one in yaml.safe_load_all(self.text) if one is not None]


def snippets(page: Path) -> list[Snippet]:
    """Every block of a page, fenced or indented by four."""
    lines = page.read_text().splitlines()
    return [_snippet(page, lines, *block) for block in _blocks(lines)]


def inline_commands(page: Path) -> list[list[str]]:
    """Commands in the running text: `foresail …` and the like, with an argument or more."""
    found = _INLINE.findall(page.read_text())
    return [shlex.split(one.replace("\\|", "|")) for one in found]


def commands_of(line: str) -> list[list[str]]:
    """A shell line's commands, without comments, redirections and settings of variables."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    words = iter(lexer)
    for word in words:
        if word in _OPERATORS:
            found.append([])
        elif word in _REDIRECTIONS:
            next(words)
        elif found[-1] or not re.match(r"[A-Z_]+=", word):
            found[-1].append(word)
    return [command for command in found if command]


def _snippet(page: Path, lines: list[str], begin: int, language: str, text: str) -> Snippet:
    before = next((line for line in reversed(lines[: begin - 1]) if line.strip()), "")
    mark = _MARK.fullmatch(before.strip())
    if mark:
        kind: Kind | None = Kind(mark["kind"])
    else:
        kind = Kind.PROMQL if language == "promql" else _kind_of(text)
    reason = (mark["reason"] or "") if mark else ""
    return Snippet(page=page, line=begin, text=text, language=language, kind=kind, reason=reason)


def _kind_of(text: str) -> Kind | None:
    if _are_commands(text):
        return Kind.COMMANDS
    try:
        documents = [one for one in yaml.safe_load_all(text) if one is not None]
    except yaml.YAMLError:
        return None
    if not documents or not all(isinstance(one, dict) for one in documents):
        return None
    if all({"apiVersion", "kind"} <= set(one) for one in documents):
        return Kind.MANIFEST
    return Kind.SETTINGS if all(set(one) <= _SETTINGS for one in documents) else None


def _are_commands(text: str) -> bool:
    try:
        commands = [command for line in _joined(text) for command in commands_of(line)]
    except ValueError:  # a quote that is never closed
        return False
    return bool(commands) and all(command[0] in PROGRAMS for command in commands)


def _joined(text: str) -> list[str]:
    return text.replace("\\\n", " ").splitlines()


def _blocks(lines: list[str]) -> Iterator[tuple[int, str, str]]:
    """The number of a block's first line, its language, and its text."""
    at = 0
    while at < len(lines):
        fence = _FENCE.fullmatch(lines[at])
        if fence:
            end = next(i for i in range(at + 1, len(lines)) if lines[i].strip() == "```")
            indent = len(fence["indent"])
            text = "".join(f"{line[indent:]}\n" for line in lines[at + 1 : end])
            yield at + 1, fence["language"], text
            at = end + 1
        elif lines[at].startswith("    ") and _opens(lines, at):
            end = at
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            block = lines[at:end]
            indent = min(len(line) - len(line.lstrip()) for line in block if line.strip())
            text = "".join(f"{line[indent:]}\n" for line in block).rstrip("\n") + "\n"
            yield at + 1, "", text
            at = end
        else:
            at += 1


def _opens(lines: list[str], at: int) -> bool:
    """Whether an indented line begins a block, and goes on no item of a list."""
    return not lines[at - 1].strip() and not _LIST.match(lines[at])
