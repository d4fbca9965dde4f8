"""A rule of your own, from a Python file with a class `Rule` (docs/own-rule.md).

The file is run in every process of a replay, so its text travels with the runs. What it raises, or
returns in place of a whole number, is an error that names the file and the line.
"""

import traceback
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral
from typing import Any, Protocol

from replay.policies.port import PERIOD_SECONDS, Policy, PolicyKind, Seen, rule_kind
from replay.replay_input import ReplayInput
from scaler.errors import ForesailError

_PERIOD_SECONDS_MAX = 3600


class OwnRule(Protocol):
    """A rule that is no part of the catalogue; its value is the same in every process."""

    @property
    def name(self) -> str: ...

    def kind(self) -> PolicyKind:
        """Raises ForesailError: the rule cannot be used."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonRule:
    """The text of a file that has a class `Rule`."""

    file: str
    text: str

    @property
    def name(self) -> str:
        return self.kind().name

    def kind(self) -> PolicyKind:
        """Raises ForesailError: the file has no class `Rule`, or cannot be run."""
        return _kind(self.file, self.text)


@lru_cache(maxsize=8)
def _kind(file: str, text: str) -> PolicyKind:
    stem = file.rpartition("/")[2].removesuffix(".py")
    # Not "__main__", so that a guard for running the file by itself does not run here.
    names: dict[str, Any] = {"__name__": stem, "__file__": file}
    try:
        exec(compile(text, file, "exec"), names)  # noqa: S102 - the reader's own file, as asked
    except Exception as error:
        raise ForesailError(_said(file, error)) from error
    rule = names.get("Rule")
    if not isinstance(rule, type) or not callable(getattr(rule, "decide", None)):
        raise ForesailError(
            f"{file}: no class `Rule` with a method `decide(self, seen)`; docs/own-rule.md has one "
            "to start from"
        )
    period = getattr(rule, "period_seconds", PERIOD_SECONDS)
    if not isinstance(period, int) or not 1 <= period <= _PERIOD_SECONDS_MAX:
        raise ForesailError(
            f"{file}: Rule.period_seconds is {period!r}: set a whole number of seconds from 1 to "
            f"{_PERIOD_SECONDS_MAX}"
        )
    made = rule_kind(rule, name=stem)

    def make(replay_input: ReplayInput, knob: float) -> Policy:
        try:
            policy = made.make(replay_input, knob)
        except Exception as error:
            raise ForesailError(_said(file, error)) from error
        return _Checked(policy, file, period)

    return PolicyKind(
        name=made.name,
        source=f"{file}: {made.source}",
        knob=made.knob,
        usual=made.usual,
        knobs=made.knobs,
        make=make,
    )


class _Checked:
    """A rule whose faults name its file."""

    def __init__(self, policy: Policy, file: str, period_seconds: int) -> None:
        self.period_seconds = period_seconds
        self._policy, self._file = policy, file

    def decide(self, seen: Seen) -> int:
        try:
            replicas: object = self._policy.decide(seen)
        except Exception as error:
            raise ForesailError(
                f"{_said(self._file, error)} (at second {seen.at_seconds} of the replay)"
            ) from error
        if isinstance(replicas, bool) or not isinstance(replicas, Integral):
            raise ForesailError(
                f"{self._file}: Rule.decide returned {replicas!r} at second {seen.at_seconds}: "
                "return a whole number of replicas"
            )
        return int(replicas)


def _said(file: str, error: Exception) -> str:
    """The fault with its line, where it happened in the file."""
    lines = [
        one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == file
    ]
    if isinstance(error, SyntaxError) and error.filename == file:
        lines.append(error.lineno)
    place = f"{file}:{lines[-1]}" if lines else file
    return f"{place}: {type(error).__name__}: {error}"
