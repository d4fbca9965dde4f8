"""The documentation as a site: `make docs`. Its pages are the Markdown files that GitHub shows.

The source directory is the root of the repository, so that a relative link between README, docs/
and deploy/examples/ leads to the same place on GitHub and in the site.
"""

import re
import tomllib
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
INDEX: Final = "docs/index"

project = "Foresail"
release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
html_title = f"Foresail {release}"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False

extensions = ["myst_parser"]
root_doc = INDEX
include_patterns = [
    *("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"),
    *("docs/*.md", "docs/*/*.md", "deploy/examples/README.md"),
]
exclude_patterns = [".*", "dist", "tests", "bench", "scripts", "requirements"]
html_extra_path = ["site"]
html_static_path = ["static"]
html_css_files = ["site.css"]

myst_heading_anchors = 4  # named as GitHub names them
highlight_language = "none"
html_theme = "furo"


def toctrees(text: str) -> str:
    """The index with a table of contents for each of its sections: its links, under its heading.

    GitHub shows a toctree as text, so the index has plain lists.
    """
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    return text + "".join(_toctree(*one.split("\n", 1)) for one in sections)


def _toctree(caption: str, section: str) -> str:
    links = re.findall(r"^\* \[([^]]+)]\(([^)#]+)\.md\)", section, re.MULTILINE)
    pages = (f"{name} </{_document(to)}>" for name, to in links)
    return "\n".join(
        ["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""]
    )


def _document(to: str) -> str:
    """The document that a link of the index leads to, from the root."""
    return str((ROOT / "docs" / to).resolve().relative_to(ROOT))


def _read(_: Any, document: str, source: list[str]) -> None:
    if document == INDEX:
        source[0] = toctrees(source[0])


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _read)
