"""No scaling at all: in the table because on an hour of noise it wins."""

from math import ceil

import numpy as np

from replay.oracle import lateness_by_size
from replay.policies.port import PolicyKind, Seen
from replay.replay_input import ReplayInput


class Static:
    """The same number all the time."""

    period_seconds = 60

    def __init__(self, replicas: int) -> None:
        self._replicas = replicas

    def decide(self, seen: Seen) -> int:
        return self._replicas


def _peak(replay_input: ReplayInput, share: float) -> Static:
    late = lateness_by_size(replay_input).late.sum(axis=0)
    nobody_late = np.flatnonzero(late <= 0)
    peak = int(nobody_late[0]) + 1 if len(nobody_late) else len(late)
    return Static(ceil(share * peak))


def _mean(replay_input: ReplayInput, share: float) -> Static:
    return Static(ceil(share * replay_input.need_by_minute().mean()))


KINDS = (
    PolicyKind(
        name="static-peak",
        source="as few as are never late, known afterwards",
        knob="share of the peak need",
        usual=1.0,
        knobs=(0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
        make=_peak,
    ),
    PolicyKind(
        name="static-mean",
        source="as many as the mean minute needs, known afterwards",
        knob="multiple of the mean need",
        usual=1.0,
        knobs=(1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0),
        make=_mean,
    ),
)
NAMES = frozenset(kind.name for kind in KINDS)
"""Of the rules that somebody sized who had seen the whole trace."""
