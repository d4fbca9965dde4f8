"""`python -m tests.fuzz [TARGET...]`: inputs without end for every parser of foreign bytes.

Each target runs in a process of its own. The status is 1 if one raised what its callers do not
expect, or took too long; the input is printed and kept under .cache/fuzz.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from tests.fuzz import engines

FOLDER = Path(".cache/fuzz")
_MEMORY = Path("/dev/shm")  # noqa: S108 a folder of our own in it
"""For the files that parsers read: on a disk their writing would be most of the time."""
_COUNT = re.compile(r"^Done (\d+) in|^#(\d+)\s", re.MULTILINE)
"""At the end; of a target that ends early, in its last line of progress."""
_TARGETS = Path(__file__).parent / "targets.py"


def main() -> None:
    options = _options()
    if options.one:
        engines.run(
            options.one,
            runs=options.runs,
            seconds=options.seconds,
            hang_seconds=options.hang_seconds,
            folder=options.folder,
        )
        return
    click.echo(f"engine: {engines.name()}")
    bad = [one for one in options.targets or _names() if not _passed(one, options)]
    if bad:
        sys.exit(f"findings in: {', '.join(bad)}")


def _names() -> list[str]:
    """The targets, read from the text: to import them here would keep atheris from following."""
    return re.findall(r'^    "([a-z-]+)": Target\(', _TARGETS.read_text(), re.MULTILINE)


def _passed(target: str, options: argparse.Namespace) -> bool:
    folder = options.folder / target
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "tests.fuzz", "--one", target, "--folder", str(folder)),
        *("--runs", str(options.runs), "--seconds", str(options.seconds)),
        *("--hang-seconds", str(options.hang_seconds)),
    ]
    before = _cpu_seconds()
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as files:
        ended = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env={**os.environ, "TMPDIR": files},
        )
    seconds = _cpu_seconds() - before
    counts = _COUNT.findall(ended.stderr)
    count = int("".join(counts[-1])) if counts else 0
    shown = "ok" if ended.returncode == 0 else f"FINDING, status {ended.returncode}"
    rate = f"{count / seconds:>8,.0f} a second of processor time"
    click.echo(f"{target:<20} {count:>10,} inputs {rate}  {shown}")
    if ended.returncode:
        click.echo("\n".join(ended.stderr.splitlines()[-40:]))
    return ended.returncode == 0


def _cpu_seconds() -> float:
    """Of the processes that ended: a machine that is busy with other things makes no rate lower."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(_names()))
    parser.add_argument("--runs", type=int, default=1_000_000, help="inputs for each target")
    parser.add_argument(
        "--seconds", type=int, default=3600, help="the most time for each (atheris)"
    )
    parser.add_argument(
        "--hang-seconds",
        type=int,
        default=20,
        help="of wall time for one input; more where other things have the cores",
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for inputs that are kept")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
