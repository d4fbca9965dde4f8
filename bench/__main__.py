"""`python -m bench NAME [options]`: one benchmark, its table, and with --json its rows.

A benchmark is a module of this folder with `main(arguments: list[str]) -> None`.
"""

import importlib
import pkgutil
import sys
from pathlib import Path


def names() -> list[str]:
    """Benchmarks are the modules of this folder; a leading underscore hides one."""
    here = [str(Path(__file__).parent)]
    return sorted(m.name for m in pkgutil.iter_modules(here) if not m.name.startswith("_"))


def main() -> None:
    match sys.argv[1:]:
        case [name, *arguments] if name in names():
            importlib.import_module(f"bench.{name}").main(arguments)
        case _:
            sys.exit(f"usage: python -m bench NAME [options]\nNAME is one of: {', '.join(names())}")


if __name__ == "__main__":
    main()
