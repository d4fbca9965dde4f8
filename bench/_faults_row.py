"""One fault of `python -m bench faults`, and what was observed under it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

OBSERVED: Final = "observed"
"""The property of a test's result that has what it observed, as JSON."""


class Observe(Protocol):
    """Takes what a test saw under a fault."""

    def __call__(
        self,
        text: str,
        *,
        wrong_scale_downs: int | None = None,
        lost: int | None = None,
        recovered_seconds: float | None = None,
    ) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What came of it."""

    text: str
    wrong_scale_downs: int | None
    """Answers below what the demand needs; None where none is made, or nothing was observed."""
    lost: int | None
    """Answers, looks or calls of others that were not given; None as above."""
    recovered_seconds: float | None
    """From the end of the fault until all is as before; None where nothing is to recover."""
    ok: bool | None
    """None: it was not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ByTest:
    """A fault that a test injects, which takes what it sees to its `observed`."""

    test: str
    """As pytest names it, from the root of the repository."""

    @property
    def needs_bed(self) -> bool:
        """Whether it needs the programs of the real control plane."""
        return self.test.startswith("tests/e2e/")

    @property
    def by(self) -> str:
        """How the fault is injected."""
        return "bed" if self.needs_bed else "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault and what is expected under it."""

    name: str
    part: str
    """What it befalls."""
    fault: str
    """What goes wrong."""
    expected: str
    by: str
    """How it is injected."""
    run: Callable[[], Observed] | ByTest


def tested(part: str, name: str, fault: str, expected: str, test: str) -> Fault:
    """A fault that a test injects."""
    run = ByTest(test=test)
    return Fault(name=name, part=part, fault=fault, expected=expected, by=run.by, run=run)
