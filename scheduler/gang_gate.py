"""Lets no pod of a group in before all that are missing have room on the nodes asked about.

kube-scheduler leaves out nodes that are cordoned, tainted or of another pool. So room counts on the
nodes that it asks about, and for other members on those that it last asked about for them. Where
something is not known there may be room for all.
"""

import numpy as np

from scheduler.fit import UNTOLD, Filtered
from scheduler.gang import Kind, placed
from scheduler.groups import Ask, Lacking, ask_of
from scheduler.occupancy import Occupancy
from scheduler.placement import Int
from scheduler.pods import Pod


def hold_back(occupancy: Occupancy, pod: Pod, result: Filtered, now_seconds: float) -> None:
    """Refuse all nodes while the pod's group as a whole has no room on those that have passed."""
    groups, group = occupancy.groups, pod.group
    lacking = groups.lacking(pod, group, now_seconds) if group else None
    if group is None or lacking is None:
        return
    groups.remember(group.name, ask_of(pod), result.passed)
    untold = result.assumed
    result.assumed = "; ".join(filter(None, (lacking.assumed, untold))) or None
    if lacking.count <= 1:
        return
    room, unknown = _room(occupancy, lacking, result.passed)
    parts = dict.fromkeys((lacking.assumed, untold, unknown))
    result.assumed = "; ".join(filter(None, parts)) or None
    if room >= lacking.count or unknown is not None:
        return
    groups.refused(group.name, lacking, now_seconds)
    why = f"room for {room} of the {lacking.count} pods that group {group.name[:96]} still lacks"
    answered = occupancy.answered_on(set(result.passed))
    held = f"counted there and not bound yet: {answered}" if answered else None
    reason = "; ".join(filter(None, (why, held, lacking.assumed)))
    result.refuse_all(reason, "no room for its whole group")


def _room(occupancy: Occupancy, lacking: Lacking, names: list[str]) -> tuple[int, str | None]:
    """How many of the members find room at once, and what cannot be known about it."""
    asked = occupancy.rows(names)
    if (asked < 0).any():
        return 0, f"{np.count_nonzero(asked < 0)} of the nodes asked about are not known"
    per_member = [
        occupancy.rows([one for one in wanted.names if one in occupancy.row])
        if wanted.names is not None
        else asked
        for wanted in lacking.members
    ]
    rows = np.unique(np.concatenate(per_member))
    kinds = []
    for wanted, among in zip(lacking.members, per_member, strict=True):
        gpus = _claimed(occupancy, wanted.ask, among)
        if wanted.ask.claim is not None and gpus is None:
            return 0, "what a claim of the group would be given is not known on every node"
        untold = occupancy.nodes.untold()[among] if wanted.ask.shape.models else among[:0]
        if untold.any():
            return 0, f"{np.count_nonzero(untold)} {UNTOLD}"
        kinds.append(
            Kind(
                wanted.ask.shape,
                wanted.count,
                np.isin(rows, among),
                None if gpus is None else gpus[rows],
            )
        )
    return placed(occupancy.nodes, rows, kinds[0], kinds[1:]), None


def _claimed(occupancy: Occupancy, ask: Ask, among: Int) -> Int | None:
    """GPUs that one with a claim takes of each node; None = no claim, or not known on all `among`.

    kube-scheduler has just found devices for it: where we find none, what we know is old.
    """
    if ask.claim is None:
        return None
    offers = occupancy.predictor.of(ask.claim, 0)
    if (offers.count[among] < 0).any():
        return None
    return np.where(offers.count >= 0, offers.count + ask.shape.gpus, -1)
