"""The workload as a run sees it: something that serves second by second under a fleet."""

from typing import Protocol

from replay.fleet import Fleet
from replay.judgement import Judgement, Tally
from replay.policies.port import Seen


class Served(Protocol):
    """One of the two engines, with its fleet and its traffic."""

    @property
    def fleet(self) -> Fleet: ...

    @property
    def ready(self) -> int: ...

    @property
    def waiting(self) -> float: ...

    def seen(self, now: int) -> Seen:
        """What metrics show before the second `now` is served."""
        ...

    def serve(self, now: int) -> None:
        """Serve the second that begins at `now`."""
        ...

    def scale_to(self, replicas: int, now: int) -> None: ...

    def judge_anew(self, now: int) -> None:
        """Forget the judgement so far: the run-in is over."""
        ...

    def tally(self) -> Tally: ...

    def judgement(self) -> Judgement: ...
