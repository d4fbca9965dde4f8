"""The triggers of each object, by namespace and name: which one counts, and which was before it.

KEDA names a scaler by its metadata, so an edit of any key makes a new workload, and the one before
is looked at for an hour still. Beside the plans of other objects, and for what an engine is learned
for, the newer one counts.
"""

from collections import defaultdict
from collections.abc import Callable, Collection

from scaler.decision.answers import Reference
from scaler.serving.feeds import Workload
from scaler.serving.groups import take_out
from scaler.serving.variants import UNASKED_SECONDS

_Object = tuple[str, str]


class ObjectTriggers:
    """Workloads by object, with the one of each that counts."""

    def __init__(self, count: Callable[[Workload], None]) -> None:
        """Begin without triggers.

        Args:
            count: called with a workload that counts from now on in place of the one before.
        """
        self._count = count
        self._of: defaultdict[_Object, dict[Reference, Workload]] = defaultdict(dict)
        self._counted: dict[_Object, Workload] = {}

    def of(self, namespace: str, name: str) -> Collection[Workload]:
        """The workloads of one object."""
        return self._of.get((namespace, name), {}).values()

    def add(self, workload: Workload) -> None:
        """Know one more."""
        self._of[_object(workload)][workload.reference] = workload

    def remove(self, workload: Workload) -> None:
        """Forget one; of those that are left the one asked about last counts in its place."""
        at = _object(workload)
        take_out(self._of, at, workload.reference)
        if self._counted.get(at) is workload:
            del self._counted[at]
            for other in self.of(*at):
                self.count(other)

    def count(self, workload: Workload) -> None:
        """Count with one from now on, unless KEDA asked later about another of its object."""
        at = _object(workload)
        if workload.on_watch_list:
            return
        before = self._counted.get(at, workload)
        if before.asked_at_seconds <= workload.asked_at_seconds:
            before.counts, workload.counts = False, True
            self._counted[at] = workload
            self._count(workload)

    def asked(self, workload: Workload) -> None:
        """Count again with the one of before, where KEDA asks about it again after an edit."""
        counted = self._counted.get(_object(workload), workload)
        if workload.asked_at_seconds - counted.asked_at_seconds > UNASKED_SECONDS:
            self.count(workload)

    def before(self, workload: Workload) -> Workload | None:
        """The other one of its object that KEDA asked about last, and that reads a feed."""
        same = self.of(*_object(workload))
        others = [one for one in same if one is not workload and one.live is not None]
        return max(others, key=lambda one: one.asked_at_seconds, default=None)


def _object(workload: Workload) -> _Object:
    return workload.reference.namespace, workload.reference.name
