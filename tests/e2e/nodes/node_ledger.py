"""GPU-hours by the bed's own events: from the launch of a machine until its NodeClaim is gone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from foresail.clock import wall_clock
from tests.e2e.bed import Bed
from tests.e2e.nodes.documents import POOL, Document
from tests.e2e.nodes.node_cluster import holds

_CLAIMS = "/apis/karpenter.sh/v1/nodeclaims"


@dataclass
class NodeLedger:
    """When each machine was there, as the API server told of it."""

    pools: dict[str, str] = field(default_factory=dict)
    """By UID of the NodeClaim."""
    launched_seconds: dict[str, float] = field(default_factory=dict)
    gone_seconds: dict[str, float] = field(default_factory=dict)

    def gpu_hours(
        self, gpus: Mapping[str, int], begin_seconds: float, end_seconds: float
    ) -> dict[str, float]:
        """By pool, between two moments.

        Args:
            gpus: of a node, by pool; others are left out.
            begin_seconds: Unix time.
            end_seconds: Unix time.
        """
        found = dict.fromkeys(gpus, 0.0)
        for uid, launched in self.launched_seconds.items():
            end = min(end_seconds, self.gone_seconds.get(uid, end_seconds))
            pool = self.pools[uid]
            if pool in gpus:
                found[pool] += gpus[pool] * max(0.0, end - max(launched, begin_seconds)) / 3600
        return found

    def changes(self, pool: str) -> int:
        """How often a machine of a pool was launched or went."""
        uids = [*self.launched_seconds, *self.gone_seconds]
        return sum(self.pools[uid] == pool for uid in uids)

    def there(self, pool: str) -> int:
        """Machines of a pool that are paid for now."""
        present = set(self.launched_seconds) - set(self.gone_seconds)
        return sum(self.pools[uid] == pool for uid in present)

    def see(self, claim: Document) -> None:
        """A state of a NodeClaim, at the moment at which it is told."""
        if holds(claim, "Launched"):
            uid = claim["metadata"]["uid"]
            self.pools[uid] = claim["metadata"]["labels"][POOL]
            self.launched_seconds.setdefault(uid, wall_clock())

    def drop(self, claim: Document) -> None:
        """A NodeClaim is gone."""
        self.gone_seconds[claim["metadata"]["uid"]] = wall_clock()


@contextmanager
def node_ledger(bed: Bed) -> Iterator[NodeLedger]:
    """One that is kept while the context is open."""
    ledger = NodeLedger()
    with bed.watching_all(_CLAIMS, ledger.see, ledger.drop):
        yield ledger
