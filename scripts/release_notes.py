"""Print what CHANGELOG.md says of one version: python -m scripts.release_notes 0.1.0."""

import re
import sys
from pathlib import Path
from typing import Final

CHANGELOG: Final = Path(__file__).parents[1] / "CHANGELOG.md"


def notes_of(text: str, version: str) -> str:
    """The section of a version, without its heading.

    Raises:
        LookupError: there is none, or nothing stands in it.
    """
    parts = re.split(r"^## \[(?P<version>[^\]]+)\].*$", text, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    if version not in sections:
        known = ", ".join(sections)
        raise LookupError(
            f"CHANGELOG.md has no section [{version}] (it has {known}): rename [Unreleased]"
        )
    found = re.sub(r"^\[[^\]]+\]: .*$", "", sections[version], flags=re.MULTILINE).strip()
    if not found:
        raise LookupError(f"the section [{version}] of CHANGELOG.md is empty")
    return found + "\n"


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m scripts.release_notes VERSION\n")
        return 2
    try:
        sys.stdout.write(notes_of(CHANGELOG.read_text(), arguments[0].removeprefix("v")))
    except LookupError as error:
        sys.stderr.write(f"{error.args[0]}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
