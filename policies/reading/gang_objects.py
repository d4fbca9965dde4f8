"""What the objects of gangs tell beyond their pods: sizes, queues, ends, and gangs without a pod.

A gang is named as its pods name it: a TrainJob's pods are those of a JobSet of the same name. What
Kueue admits is a Workload, whose owner is the job; it is read and never written.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from fleet.cluster.asked_gpus import AskedGpus
from fleet.cluster.jobs.gang_object import GangObject, PodSet, workload_named
from fleet.cluster.jobs.kueue import Admission, KueueWorkload
from fleet.cluster.owners import JOB_KINDS, LEADER_WORKER_SET, Owner, Workload
from fleet.cluster.reading import Cluster

_OWNERS_MAX: Final = 4
"""TrainJob, JobSet, Job; more is a ring."""
_POD_GROUP: Final = "Kueue pod group"
_MAKE_PODS_LATER: Final = JOB_KINDS | {"Job", "TrainJob", "RayCluster"}
"""Kinds that Kueue suspends, so that there is no pod before they are admitted."""
_MAY_START: Final = frozenset({Admission.ADMITTED, Admission.LACKS_NODES})
_WAITS_FOR_A_QUOTA: Final = frozenset({Admission.PENDING, Admission.INACTIVE})


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmadeGang:
    """A gang of which no pod exists."""

    workload: Workload
    pod_sets: tuple[PodSet, ...]
    """Those with GPUs."""
    gpus: tuple[float | None, ...]
    """Of a pod of each set; None = it asks by claims, and how many is not known."""
    labels: Mapping[str, str]
    """Of its pods to be."""

    @property
    def pods(self) -> int:
        return sum(one.pods for one in self.pod_sets)


class GangObjects:
    """The objects of a cluster's gangs, found by the gang."""

    def __init__(self, cluster: Cluster) -> None:
        self._asked = AskedGpus(cluster)
        self._objects = {one.workload: one for one in cluster.gang_objects}
        self._flavors = {one.name: one.node_labels for one in cluster.flavors}
        self._admissions: dict[Workload, KueueWorkload] = {}
        self._lacking: dict[tuple[str, str], KueueWorkload] = {}
        for one in sorted(cluster.kueue_workloads, key=_age):
            if one.admission is Admission.LACKS_NODES:
                self._lacking.setdefault(_queue_of(one), one)
            # A group of pods is called as its Workload, whatever owns that.
            self._admissions[workload_named(_POD_GROUP, one.name)] = one
            for owner in one.owners:
                self._admissions[_owner_of(one.name, owner)] = one

    def makers_of(self, gang: Workload) -> tuple[GangObject, ...]:
        """The object that makes the gang's pods, and those that made it, the outermost last."""
        name = gang.name.partition("/")[0] if gang.kind == LEADER_WORKER_SET else gang.name
        found = self._objects.get(replace(gang, name=name))
        if found is None and gang.kind == "JobSet":
            found = self._objects.get(replace(gang, kind="TrainJob"))  # it has made none yet
        chain: list[GangObject] = []
        while found is not None and len(chain) < _OWNERS_MAX:
            chain.append(found)
            owner = next((one for one in found.owners if one.controls), None)
            found = self._objects.get(_owner_of(found.name, owner)) if owner is not None else None
        return tuple(chain)

    def admission_of(self, gang: Workload) -> KueueWorkload | None:
        """What Kueue says of it; None = Kueue does not admit it, or that was not read."""
        named = [gang, *(one.workload for one in reversed(self.makers_of(gang)))]
        found = [self._admissions[one] for one in named if one in self._admissions]
        return found[-1] if found else None

    def ends_at(self, gang: Workload) -> float | None:
        """When it expects to end by its own status."""
        ends = [one.ends_at_seconds for one in self.makers_of(gang)]
        return max((end for end in ends if end is not None), default=None)

    def stated_pods(self, gang: Workload) -> int | None:
        """Its pods with GPUs, by its objects; None = they do not tell."""
        makers, admission = self.makers_of(gang), self.admission_of(gang)
        sets = next((one.pod_sets for one in makers if one.pod_sets is not None), None)
        if sets is None and admission is not None:
            sets = admission.pod_sets
        if sets is None:
            return None
        return sum(one.pods for one in sets if self._asked.of(one.template) != 0)

    def held_back(self, gang: Workload) -> str | None:
        """What it waits for that no node helps against."""
        admission = self.admission_of(gang)
        makers = self.makers_of(gang)
        if admission is not None:
            return _held_by_kueue(admission, self._lacking.get(_queue_of(admission)))
        queue = next((one.queue for one in makers if one.queue is not None), None)
        if not any(one.suspended for one in makers):
            return None
        return f"Kueue's queue {queue}" if queue is not None else "its owner, who has suspended it"

    def admitted_pods(self, gang: Workload) -> int | None:
        """The pods that a quota counts, and that only nodes keep from starting; None = none.

        Kueue looks for room for one workload after the other, each against the whole free quota:
        of those of a queue that lack nodes, the quota counts only the first. A tenant may state any
        number of pods, and call any object an owner. So the numbers are the quota's own, and an
        owner's are those of one gang alone: the one of its name.
        """
        makers = self.makers_of(gang)
        named = [gang, *(one.workload for one in makers[:1])]
        named += [one.workload for one in makers[1:] if one.workload.name == gang.name]
        found = next((self._admissions[one] for one in named if one in self._admissions), None)
        if found is None or not self._counted(found):
            return None
        return sum(one.pods for one in found.pod_sets)

    def _counted(self, found: KueueWorkload) -> bool:
        if found.admission is Admission.LACKS_NODES:
            return found is self._lacking[_queue_of(found)]
        return found.admission is Admission.ADMITTED

    def unmade(self, made: Iterable[Workload]) -> Iterator[UnmadeGang]:
        """The gangs that are wanted and of which there is no pod.

        Args:
            made: those with pods.
        """
        seen = set(made)
        for gang, sets in self._wanted():
            if gang in seen:
                continue
            seen.add(gang)
            pods = self._with_selector(gang, sets)
            wanted = [(one, self._asked.of(one.template)) for one in pods]
            with_gpus = [(one, gpus) for one, gpus in wanted if gpus != 0 and one.pods > 0]
            if with_gpus:
                yield UnmadeGang(
                    workload=gang,
                    pod_sets=tuple(one for one, _ in with_gpus),
                    gpus=tuple(gpus for _, gpus in with_gpus),
                    labels=with_gpus[0][0].template.labels,
                )

    def _wanted(self) -> Iterator[tuple[Workload, tuple[PodSet, ...]]]:
        for one in self._objects.values():
            is_group = one.kind == LEADER_WORKER_SET  # its pods come at once, and tell more
            over = one.autoscaled or any(each.ended for each in self.makers_of(one.workload))
            made_by_more = one.kind == "RayCluster" and one.owners
            if not is_group and not over and not made_by_more:
                gang = _gang_named(one.workload)
                inner = self._objects.get(gang)
                sets = inner.pod_sets if inner is not None else one.pod_sets
                if sets is not None and not (inner is not None and inner.ended):
                    yield gang, sets
        for owner, admission in self._admissions.items():
            found = self._objects.get(owner)
            is_known = found is not None and (found.ended or found.pod_sets is not None)
            is_over = admission.admission is Admission.FINISHED
            if owner.kind in _MAKE_PODS_LATER and not is_known and not is_over:
                yield _gang_named(owner), admission.pod_sets

    def _with_selector(self, gang: Workload, sets: Iterable[PodSet]) -> list[PodSet]:
        """The sets, with the labels of the flavours that Kueue has given them."""
        admission = self.admission_of(gang)
        labels: dict[str, str] = {}
        for flavor in admission.flavors if admission is not None else ():
            labels |= self._flavors.get(flavor, {})
        return [
            replace(
                one,
                template=replace(
                    one.template, node_selector={**one.template.node_selector, **labels}
                ),
            )
            for one in sets
        ]


def _age(one: KueueWorkload) -> tuple[float, str]:
    """For the oldest first, as a queue has them."""
    return (one.created_seconds or 0.0, one.name)


def _queue_of(one: KueueWorkload) -> tuple[str, str]:
    return (one.name.partition("/")[0], one.queue)


def _held_by_kueue(found: KueueWorkload, lacking: KueueWorkload | None) -> str | None:
    """What keeps it.

    Args:
        found: the workload.
        lacking: the first of its queue that lacks nodes.
    """
    queue = f"Kueue's queue {found.queue}"
    again = ", evicted" if found.evicted else ""
    if found.admission in _WAITS_FOR_A_QUOTA:
        return f"{queue} ({found.why or found.admission.value}{again})"
    if found.admission is Admission.RESERVED:
        checks = ", ".join(found.checks) or "of its queue"
        return f"{queue}: admission checks {checks}, which see to its nodes"
    if found.admission is Admission.LACKS_NODES and lacking is not None and found is not lacking:
        return f"{queue}, behind {lacking.name}, for which nodes are wanted first"
    return None


def _gang_named(owner: Workload) -> Workload:
    """As the pods of the owner will name their gang."""
    return replace(owner, kind="JobSet") if owner.kind == "TrainJob" else owner


def _owner_of(name: str, owner: Owner) -> Workload:
    namespace = name.partition("/")[0]
    return Workload(kind=owner.kind, namespace=namespace, name=owner.name)


def ends_of(
    objects: GangObjects, gangs: Iterable[Workload], known: Mapping[Workload, float]
) -> dict[Workload, float]:
    """When gangs end: as is known better, else by their own status."""
    own = {gang: end for gang in gangs if (end := objects.ends_at(gang)) is not None}
    return {**own, **known}
