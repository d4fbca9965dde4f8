"""Accounts of nodes that are used again while what they are made of stays.

A mirror has the same record of an object until the object changes, so the same records make the
same account: of thousands of nodes few change from one reading to the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fleet.account.node import NodeGpus
from fleet.cluster.karpenter import NodeClaim
from fleet.cluster.nodes import Node
from fleet.cluster.pods import Pod


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeOf:
    """The records that an account is made of, where no GPU of the node is given out by DRA."""

    node: Node
    claim: NodeClaim | None
    pods: Sequence[Pod]
    unread: frozenset[str]
    """Of the cluster, the kinds that were not read, of those which tell the use of GPUs."""
    by_claims: bool
    """A pod of the cluster has claims, or may have."""

    def same_as(self, other: "MadeOf") -> bool:
        """Whether they are the very same records; equal ones need not be compared in full."""
        return (
            self.node is other.node
            and self.claim is other.claim
            and self.unread == other.unread
            and self.by_claims == other.by_claims
            and len(self.pods) == len(other.pods)
            and all(mine is theirs for mine, theirs in zip(self.pods, other.pods, strict=True))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Of one node."""

    gpus: NodeGpus | None
    """None = it has none, or their number is not known yet."""
    has_gpus: bool
    """A label says so, if not how many."""


class RememberedAccounts:
    """Those of the last reading; an own one for each cluster and what is known beside it."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[MadeOf, Account]] = {}
        self._now: dict[str, tuple[MadeOf, Account]] = {}

    def find(self, made_of: MadeOf) -> Account | None:
        """The account of the last reading, if it is of the same records."""
        found = self._last.get(made_of.node.name)
        return found[1] if found is not None and found[0].same_as(made_of) else None

    def remember(self, made_of: MadeOf, account: Account) -> None:
        """Have an account of this reading for the next one."""
        if made_of.node.kept_until_seconds is None:  # else the account changes with time
            self._now[made_of.node.name] = made_of, account

    def end(self) -> None:
        """This reading is over: what was not remembered in it is forgotten."""
        self._last, self._now = self._now, {}
