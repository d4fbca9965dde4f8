"""The starts of machines and models in the clusters of `foresail fleet`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Final

from fleet.account.lead_times import LeadTimes, learned
from fleet.account.startups import StartUps
from fleet.account.watchdog import LateMachine, late_machines
from fleet.cluster.reading import Cluster
from fleet.snapshot import FleetSnapshot, Known
from foresail.gpus.start_file import read_starts, write_starts

_WRITE_SECONDS: Final = 60.0
"""While it watches. What a minute shows of starts is there to be read again after a restart."""
_LEARN_SECONDS: Final = 60.0
"""Changes may come each second, and thousands of starts take a moment to learn from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStarts:
    """What the starts of one cluster tell."""

    cluster: str
    at_seconds: float
    recorded: bool
    """Its objects are a record's, and `at_seconds` is the newest time stamp in it."""
    lead_times: LeadTimes
    late: Sequence[LateMachine]


class StartBook:
    """The starts of each cluster, from one reading to the next."""

    def __init__(self, file: Path | None = None) -> None:
        """Continue from a file, where one is named.

        Raises:
            ForesailError: it cannot be read.
        """
        self._file = file
        known, self.refusal = read_starts(file) if file is not None else ({}, None)
        self._clusters: dict[str, StartUps] = dict(known)
        self._learned: dict[str, tuple[float, LeadTimes]] = {}
        self._written_seconds = -inf

    def read(
        self,
        clusters: Iterable[tuple[Cluster, FleetSnapshot]],
        known: Known,
        now_seconds: float,
    ) -> Sequence[ClusterStarts]:
        """With what a reading of some clusters adds.

        Args:
            clusters: each with its GPUs as they are shown.
            known: the catalogue and prices.
            now_seconds: of the reading.

        Raises:
            ForesailError: the file cannot be written.
        """
        found = []
        for cluster, snapshot in clusters:
            # A record's machines got no older since.
            at = now_seconds if cluster.recorded_seconds is None else cluster.recorded_seconds
            startups = self._clusters.get(cluster.name, StartUps()).read(cluster, known, at)
            self._clusters[cluster.name] = startups
            lead_times = self._lead_times(cluster.name, startups, at)
            found.append(
                ClusterStarts(
                    cluster=cluster.name,
                    at_seconds=at,
                    recorded=cluster.recorded_seconds is not None,
                    lead_times=lead_times,
                    late=late_machines(cluster, snapshot, startups, lead_times, known, at),
                )
            )
        self._write(now_seconds)
        return found

    def _lead_times(self, cluster: str, startups: StartUps, now_seconds: float) -> LeadTimes:
        learned_seconds, lead_times = self._learned.get(cluster, (-inf, None))
        if lead_times is None or now_seconds - learned_seconds >= _LEARN_SECONDS:
            lead_times = learned(startups, now_seconds)
            self._learned[cluster] = (now_seconds, lead_times)
        return lead_times

    def _write(self, now_seconds: float) -> None:
        due = now_seconds - self._written_seconds >= _WRITE_SECONDS
        if self._file is not None and due:
            write_starts(self._file, self._clusters)
            self._written_seconds = now_seconds
