"""Set the size of a static NodePool, through its scale subresource.

When the size falls, Karpenter first removes machines that are not launched yet, then any node
without pods, whether it is ready and whether we hold it. So for a launched machine that is not
wanted any more the size falls only where no empty node is to stay. The NodePool carries what the
size was before us, what we set, and a lease; after the lease anybody sets it back, unless somebody
else has changed the size since: then theirs counts. A pool whose size stands in Git is left alone,
and so is one that a cloud made.
"""

from dataclasses import dataclass
from typing import Final

from fleet.annotations import KEPT_BECAUSE, KEPT_UNTIL
from fleet.cluster.fields import seconds
from fleet.cluster.karpenter import NodePool
from policies.levers.change import Change, LeverResult, Verb, applied, expect
from policies.levers.marks import lease_marks, lease_to_write
from policies.levers.objects import pool_address
from policies.levers.round import PoolRound, said
from policies.node_plan import Verdict
from policies.policy.pool_policy import Lever
from policies.rules.draft import is_empty, is_starting
from policies.situation import NodeStage, PoolNode

LEVER: Final = "static pool"
BEFORE: Final = "foresail.io/replicas-before"
"""Annotation: the size before we changed it."""
SET: Final = "foresail.io/replicas-set"
"""Annotation: the size that it had when we last set it, and the one that we set.

A controller that dies between this mark and the scale leaves the former, one that does not the
latter; any other size is somebody else's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeMark:
    """What a NodePool says of our change of its size."""

    before: int
    sizes: tuple[int, ...]
    """Those that are our doing."""
    because: str
    lease_end_seconds: float | None

    @property
    def last(self) -> int:
        """The one that we set, or were about to."""
        return self.sizes[-1]


def scale_refused(round_: PoolRound) -> str | None:
    """Why the pool's size is not set; None = it may be."""
    record = round_.record
    if not round_.pool.static or record is None or record.replicas is None:
        return "the pool is not static"
    if not round_.discovery.pool_scale:
        return "NodePools have no scale subresource here"
    if not round_.may(Lever.STATIC_POOL):
        return "the policy does not allow it"
    if record.built_in:
        return "the cloud made this pool and keeps it"
    if record.replicas_in_git is not None:
        return f"{record.replicas_in_git} sets its replicas: leave the field out of Git"
    return None


def set_size(round_: PoolRound) -> LeverResult:
    """Make a static pool, whose size may be set, as large as the plan has it."""
    record = round_.record
    assert record is not None
    assert record.replicas is not None
    mark, target = size_mark(record), _target(round_, record.replicas)
    ours = mark is not None and record.replicas in mark.sizes
    before = mark.before if mark is not None and ours else record.replicas
    if target == before:
        if target == record.replicas:
            return LeverResult(changes=(unmarked(record),) if mark is not None else ())
        text = f"back to the {before} nodes that it had before"
        return LeverResult(changes=sized_back(record, before, text), steps=said(LEVER, text))
    text = f"{target} nodes; it had {before} before, and {record.replicas} now"
    because = _because(round_) or (mark.because if mark is not None else "")
    until = round_.lease_end_seconds
    stands = (
        mark is not None
        and ours
        and (mark.before, mark.last) == (before, target)
        and mark.because == because
        and (
            not _wants(round_, before)
            or lease_to_write(mark.lease_end_seconds, until, round_.now_seconds) is None
        )
    )
    changes = [] if stands else [marked(record, before, target, because, until)]
    if target != record.replicas:
        changes.append(scale(record, target, text))
    return LeverResult(changes=tuple(changes), steps=said(LEVER, text))


def size_mark(record: NodePool) -> SizeMark | None:
    """Our mark on a NodePool; None = there is none that makes sense."""
    found = record.annotations
    try:
        before, sizes = int(found[BEFORE]), tuple(map(int, found[SET].split()))
    except (KeyError, ValueError):
        return None
    if not sizes:
        return None
    return SizeMark(
        before=before,
        sizes=sizes,
        because=found.get(KEPT_BECAUSE, ""),
        lease_end_seconds=seconds(found, KEPT_UNTIL),
    )


def scale(record: NodePool, target: int, why: str) -> Change:
    """Set the size, if it is still what it was when we read it."""
    # The scale of a pool of 0 nodes has no such field.
    present = record.replicas or None
    return Change(
        verb=Verb.PATCH,
        address=pool_address(record.name),
        subresource="scale",
        lever=LEVER,
        why=why,
        body=(
            expect("/metadata/uid", record.uid),
            expect("/spec/replicas", present),
            {"op": "add", "path": "/spec/replicas", "value": target},
        ),
        uid=record.uid,
        after=(pool_address(record.name),),
    )


def marked(record: NodePool, before: int, target: int, because: str, until: float) -> Change:
    """Say on the pool what its size was, before it is changed."""
    address = pool_address(record.name)
    marks = {**lease_marks(because, until), BEFORE: str(before), SET: f"{record.replicas} {target}"}
    return Change(
        verb=Verb.APPLY,
        address=address,
        lever=LEVER,
        why=f"it had {before} nodes, and gets {target} until the lease ends",
        body=applied(address, record.uid, {"annotations": marks}),
        uid=record.uid,
        lease_end_seconds=until,
    )


def sized_back(record: NodePool, before: int, why: str) -> tuple[Change, ...]:
    """The size that it had before us, and then nothing of ours on it."""
    return scale(record, before, why), unmarked(record)


def unmarked(record: NodePool) -> Change:
    """Take our mark off, once the size is set."""
    address = pool_address(record.name)
    return Change(
        verb=Verb.APPLY,
        address=address,
        lever=LEVER,
        why="its size is no longer ours",
        body=applied(address, record.uid, {}),
        uid=record.uid,
        after=(address,),
    )


def _target(round_: PoolRound, replicas: int) -> int:
    """The size by the plan; without an order or a release it stays."""
    present = sum(not node.leaving for node in round_.pool.nodes)
    ordered = sum(order.nodes for order in round_.plan.orders)
    if ordered:
        return max(replicas, present + ordered)
    released = len(_released(round_))
    return min(replicas, present - released) if released else replicas


def _released(round_: PoolRound) -> list[str]:
    return [
        node.uid
        for node in round_.pool.nodes
        if round_.verdict(node) is Verdict.RELEASE
        and not node.leaving
        and (is_empty(node) or (is_starting(node) and may_fall_for(round_, node)))
    ]


def may_fall_for(round_: PoolRound, node: PoolNode) -> bool:
    """Whether a smaller size removes a machine that starts, and no empty node that is to stay."""
    claim = round_.objects.claims.get(node.name)
    if claim is not None and claim.provider_id is None and node.stage is NodeStage.ORDERED:
        return True
    return not any(
        is_empty(one) and not one.leaving and round_.verdict(one) is not Verdict.RELEASE
        for one in round_.pool.nodes
    )


def _wants(round_: PoolRound, before: int) -> bool:
    """Whether the plan still wants another size than the pool had; else its lease runs out."""
    nodes = [node for node in round_.pool.nodes if not node.leaving]
    free = [node for node in nodes if is_empty(node) and round_.verdict(node) is not Verdict.HOLD]
    wanted = len(nodes) - len(free) + sum(order.nodes for order in round_.plan.orders)
    return wanted > before or len(nodes) < before


def _because(round_: PoolRound) -> str | None:
    if round_.plan.orders:
        return max(round_.plan.orders, key=lambda order: order.nodes).reason.value
    return "release" if _released(round_) else None
