"""The folder in which the controller keeps what it learned, a file a part, replaced whole.

A file that cannot be used is set aside, so that the next write does not destroy it: it may be of a
newer Foresail. That part is then learned anew.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import structlog

from fleet.account.cost_book import CostBook
from fleet.account.cost_state import CostStateError
from fleet.account.cost_state import decoded as decode_costs
from fleet.account.cost_state import encoded as encode_costs
from fleet.account.start_bytes import StartsRefusedError, decode_starts, encode_starts
from fleet.account.startups import StartUps
from foresail.controller.rounds import ControllerState
from policies.planning.node_planning import PlanningState
from policies.planning.state_bytes import StateRefusedError, decode_state, encode_state
from scaler.errors import ForesailError

log = structlog.get_logger()

PLANNING: Final = "planning.json"
STARTS: Final = "starts"
COSTS: Final = "costs.json"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StateFolder:
    """The state of one cluster."""

    folder: Path
    cluster: str

    def read(self) -> ControllerState:
        """What is there; an empty state where there is nothing yet.

        Raises:
            ForesailError: the folder cannot be made or read.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return ControllerState(
                planning=self._read(PLANNING, decode_state, PlanningState()),
                startups=self._read(STARTS, self._starts, StartUps()),
                costs=self._read(COSTS, decode_costs, CostBook()),
            )
        except OSError as error:
            raise ForesailError(f"--state {self.folder}: {error.strerror or error}") from error

    def write(self, state: ControllerState) -> None:
        """Write all parts; a crash leaves each as it was or as it is.

        Raises:
            OSError: a file cannot be written.
        """
        self._write(PLANNING, encode_state(state.planning))
        self._write(STARTS, encode_starts({self.cluster: state.startups}))
        self._write(COSTS, encode_costs(state.costs))

    def _starts(self, content: bytes) -> StartUps:
        return decode_starts(content).get(self.cluster, StartUps())

    def _read(self, name: str, decode: Callable[[bytes], T], empty: T) -> T:
        file = self.folder / name
        try:
            return decode(file.read_bytes())
        except FileNotFoundError:
            return empty
        except (CostStateError, StartsRefusedError, StateRefusedError) as error:
            aside = file.with_name(f"{name}.refused")
            file.replace(aside)
            log.warning("state_refused", file=str(file), why=str(error), kept_as=aside.name)
            return empty

    def _write(self, name: str, content: bytes) -> None:
        file = self.folder / name
        beside = file.with_name(f"{name}.tmp")
        with beside.open("wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        beside.replace(file)
