"""Replays on a Ray cluster: the same work as on local cores, so the same results to the digit.

Ray is no dependency of Foresail. The cluster's nodes need Foresail, of the same version.
"""

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from replay.kept_runs import code_digest
from scaler.errors import ForesailError

_REACHED_SECONDS: Final = 5.0
Shared = TypeVar("Shared")
Piece = TypeVar("Piece")
Outcome = TypeVar("Outcome")


class RayRunsError(ForesailError):
    """The cluster cannot do the work; the message says what to do."""


class _Worker:
    """Lives on the cluster; holds what all pieces share."""

    def __init__(self, shared: Any, work: Callable[[Any, Any], Any]) -> None:
        self._shared, self._work = shared, work

    def code(self) -> str:
        return code_digest()

    def do(self, place: int, piece: Any) -> tuple[int, Any]:
        return place, self._work(self._shared, piece)


@dataclass(frozen=True, slots=True)
class OnRay:
    """A `Spread`: a worker for each CPU of the cluster at this address."""

    ray: Any
    address: str

    def __call__(
        self,
        shared: Shared,
        work: Callable[[Shared, Piece], Outcome],
        pieces: Sequence[Piece],
        /,
    ) -> Iterator[tuple[Piece, Outcome]]:
        """Do the work.

        Raises:
            RayRunsError: a node lacks Foresail or has another version of it, or workers died.
        """
        if not pieces:
            return
        ray = self.ray
        cpus = int(ray.cluster_resources().get("CPU", 0))
        if cpus < 1:
            raise RayRunsError(f"--ray {self.address}: the cluster has no CPU to run on")
        actor = ray.remote(num_cpus=1)(_Worker)
        given = ray.put(shared)
        workers = [actor.remote(given, work) for _ in range(min(cpus, len(pieces)))]
        try:
            self._check(workers)
            pool = ray.util.ActorPool(workers)
            places = pool.map_unordered(
                lambda worker, place: worker.do.remote(place, pieces[place]), range(len(pieces))
            )
            for place, outcome in places:
                yield pieces[place], outcome
        except ray.exceptions.RayError as error:
            why = str(error).strip().splitlines()[-1][:300]
            remedy = (
                "install Foresail on the cluster's nodes"
                if "No module named" in why
                else "with --state the same command goes on from what is finished"
            )
            raise RayRunsError(f"--ray {self.address}: {why}; {remedy}") from error
        finally:
            for worker in workers:
                ray.kill(worker)

    def _check(self, workers: Sequence[Any]) -> None:
        if {*self.ray.get([worker.code.remote() for worker in workers])} != {code_digest()}:
            raise RayRunsError(
                f"--ray {self.address}: its nodes have another version of Foresail, whose results"
                " would not be the same: install the same one there"
            )


def _check_reached(address: str) -> None:
    """Ray itself tries for minutes, and then ends the process."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return  # `auto`: Ray finds the cluster of this machine
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACHED_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise RayRunsError(f"--ray {address}: no cluster can be reached: {error}") from error


@contextmanager
def on_ray(address: str) -> Iterator[OnRay]:
    """A cluster, as long as it is used.

    Raises:
        RayRunsError: Ray is not installed, or there is no cluster at that address.
    """
    try:
        import ray  # noqa: PLC0415 - no dependency
    except ModuleNotFoundError as error:
        raise RayRunsError(
            f"--ray {address}: Ray is not installed in this environment: pip install ray, of the"
            " cluster's version, or leave --ray out for the cores of this machine"
        ) from error
    _check_reached(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        why = str(error).strip().splitlines()[0][:300]
        raise RayRunsError(f"--ray {address}: no cluster can be reached: {why}") from error
    try:
        yield OnRay(ray, address)
    finally:
        ray.shutdown()
