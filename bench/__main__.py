"""`python -m bench NAME [options]`: one benchmark, its table, and with --json its rows.

A benchmark is a module of this folder with `main(arguments: list[str]) -> None`.
"""

import ast
import importlib
import pkgutil
import sys
from pathlib import Path


def names() -> list[str]:
    """Benchmarks are the modules of this folder; a leading underscore hides one."""
    here = [str(Path(__file__).parent)]
    return sorted(m.name for m in pkgutil.iter_modules(here) if not m.name.startswith("_"))


def usage() -> str:
    """Every benchmark with the first line of its text, which is read without an import."""
    lines = ["usage: python -m bench NAME [options]", ""]
    for name in names():
        module = ast.parse((Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8"))
        first = (ast.get_docstring(module) or "").partition("\n")[0]
        lines.append(f"  {name:<20} {first.removeprefix(f'`python -m bench {name}`: ')}")
    return "\n".join([*lines, "", "python -m bench NAME --help has the options of one."])


def main() -> None:
    match sys.argv[1:]:
        case [name, *arguments] if name in names():
            importlib.import_module(f"bench.{name}").main(arguments)
        case ["-h" | "--help" | "help"]:
            print(usage())
        case _:
            sys.exit(usage())


if __name__ == "__main__":
    main()
