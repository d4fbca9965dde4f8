"""When the state is written: at each change that a crash must not lose, else once a minute at most.

Rounds may follow each other within seconds, and a write encodes all of the state. A crash loses
three minutes at most of what is read again or soon passes: a value of a pool's demand, since when a
node is empty, when one that is to go was so last, stages of starts, and costs, which go on from the
last write. It must not lose which nodes and orders rules noted, nights' choices, or starts that
were called off: the next process would order again what was let go, or learn of a launch that
failed.
"""

from math import inf
from typing import Final, Protocol

import structlog

from foresail.controller.rounds import ControllerState
from scaler.clock import Clock

log = structlog.get_logger()

WRITE_SECONDS: Final = 60.0
"""Between two writes for which nothing calls: each regular round writes where no other did."""


class StateStore(Protocol):
    """Keeps the state over restarts."""

    def write(self, state: ControllerState) -> None:
        """Raises `OSError` where it cannot."""
        ...


class Remembering(Protocol):
    """What rounds remember."""

    @property
    def state(self) -> ControllerState: ...

    @property
    def lasting(self) -> object:
        """What a crash must not lose, to compare with what it was before."""
        ...


class StateWrites:
    """Writes the state of rounds to a store, where there is one."""

    def __init__(self, rounds: Remembering, store: StateStore | None, steady: Clock) -> None:
        self._rounds = rounds
        self._store = store
        self._steady = steady
        self._written_seconds = -inf
        self._lasting = rounds.lasting
        """As it was written."""
        self._unwritten = False

    def after_round(self) -> None:
        """Write, if it is time or something changed that must last."""
        self._unwritten = True
        waited = self._steady() - self._written_seconds
        if waited >= WRITE_SECONDS or self._must_last():
            self._write()

    def at_end(self) -> None:
        """Write what is not written, also of a round that was broken off."""
        if self._unwritten or self._must_last():
            self._write()

    def _must_last(self) -> bool:
        return self._rounds.lasting != self._lasting

    def _write(self) -> None:
        if self._store is None:
            return
        lasting = self._rounds.lasting
        try:
            self._store.write(self._rounds.state)
        except OSError as error:
            log.warning("state_not_written", why=error.strerror or str(error))
            return
        self._written_seconds, self._lasting = self._steady(), lasting
        self._unwritten = False
