"""A wall clock of its own for a program, to be set while it runs: Debian's libfaketime.

The monotonic clock stays what it is, as it does when an administrator or NTP sets the time.
"""

from pathlib import Path

from tests.e2e.bed import ROOT

_UNPACKED = ROOT / ".cache" / "faketime"


class WallClock:
    """The offset of a program's wall clock, in a file that the program reads again."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    def set(self, seconds: float) -> None:
        """Let the program's time be this far ahead of the true one."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+g}")
        fresh.rename(self._file)

    @property
    def environment(self) -> dict[str, str]:
        """What makes a program, and those that it starts, go by this clock."""
        (library,) = _UNPACKED.rglob("libfaketimeMT.so.1")
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
