"""Node pools, and what asks them for nodes, on the bed with Karpenter.

Names are new in each test: a pool, a workload and a buffer are called by the caller's word with a
number behind it, and every method takes what `pool`, `deploy` and `buffer` returned.

    pool = nodes.pool("one")                      # on demand, a GPU a node, empty nodes are kept
    chat = nodes.deploy("chat", pool, replicas=2) # pods that run on that pool's nodes alone
    nodes.wait_running(chat, 2)
    nodes.nodes(pool), nodes.claims(pool)         # documents as the API server has them
    nodes.scale(chat, 0)

The name of a node differs from that of its NodeClaim, which `status.nodeName` of the latter tells.
"""

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import requests

from tests.e2e.bed import READY_SECONDS, Bed
from tests.e2e.karpenter import NODE_CLASS, ONE_GPU, SLOW_NODE_CLASS
from tests.e2e.nodes import documents
from tests.e2e.nodes.documents import POOL, Document
from tests.e2e.workload_objects import deployment

NAMESPACE = "default"
HOLD = "karpenter.sh/do-not-disrupt"
BUFFER_FITS, BUFFER_EMPTY = "FitsExistingCapacity", "BufferEmpty"
"""Karpenter's word for a buffer whose room is there, and for one that asks for none."""
_numbers = count(1)


class NodeCluster:
    """What a test makes on the bed, and what has become of it."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self._pools: list[str] = []
        self._paths: list[str] = []

    # -- making ----------------------------------------------------------------------------------

    def pool(  # noqa: PLR0913 - by keyword, and each has a default
        self,
        word: str,
        *,
        instance_type: str = ONE_GPU,
        capacity_types: tuple[str, ...] = ("on-demand",),
        replicas: int | None = None,
        consolidate_after: str = "Never",
        budget: str = "100%",
        startup_taint: str | None = None,
        boots: bool = True,
    ) -> str:
        """A NodePool; its name.

        Args:
            word: that the name begins with.
            instance_type: of all its nodes.
            capacity_types: Karpenter takes the cheapest of them.
            replicas: None = dynamic; else static, with so many nodes.
            consolidate_after: of dynamic pools.
            budget: of dynamic pools: how many nodes may go at once.
            startup_taint: key of a taint that nodes have until somebody removes it.
            boots: False = its machines are launched and no node comes of them.
        """
        name = f"{word}-{next(_numbers)}"
        template = documents.node_template(
            instance_type, capacity_types, startup_taint, NODE_CLASS if boots else SLOW_NODE_CLASS
        )
        size: Document = {"replicas": replicas}
        if replicas is None:
            size = {"disruption": documents.disruption(consolidate_after, budget)}
        self._pools.append(name)
        self.bed.apply(
            {
                "apiVersion": "karpenter.sh/v1",
                "kind": "NodePool",
                "metadata": {"name": name},
                "spec": {"template": {"spec": template}, **size},
            }
        )
        return name

    def deploy(
        self,
        word: str,
        pool: str,
        *,
        replicas: int = 0,
        gpus: int = 1,
        placeholder: bool = False,
        gpu_under: str = "requests",
        **annotations: str,
    ) -> str:
        """A Deployment of pods that run on a pool's nodes alone; its name.

        Args:
            placeholder: of a priority below all others, so that it makes room for them.
            gpu_under: `limits` = nothing under requests; a pod gets them from its limits.
            annotations: of its pods.
        """
        name = f"{word}-{next(_numbers)}"
        spec = documents.pod_spec(pool, gpus, gpu_under)
        if placeholder:
            self.bed.apply(documents.PLACEHOLDER_CLASS)
            spec["priorityClassName"] = documents.PLACEHOLDER
        self.make(
            f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments",
            deployment(name, replicas, annotations, spec=spec, namespace=NAMESPACE),
        )
        return name

    def buffer(
        self, word: str, pool: str, *, replicas: int, gpus: int = 1, gpu_under: str = "requests"
    ) -> str:
        """A CapacityBuffer for pods of a PodTemplate; its name."""
        name = f"{word}-{next(_numbers)}"
        self.make(
            f"/api/v1/namespaces/{NAMESPACE}/podtemplates",
            {
                "apiVersion": "v1",
                "kind": "PodTemplate",
                "metadata": {"name": name},
                "template": {"spec": documents.pod_spec(pool, gpus, gpu_under)},
            },
        )
        self.make(
            f"/apis/autoscaling.x-k8s.io/v1beta1/namespaces/{NAMESPACE}/capacitybuffers",
            {
                "apiVersion": "autoscaling.x-k8s.io/v1beta1",
                "kind": "CapacityBuffer",
                "metadata": {"name": name},
            },
            spec={"podTemplateRef": {"name": name}, "replicas": replicas},
        )
        return name

    def buffer_with_room(self, word: str, pool: str) -> str:
        """A CapacityBuffer for one pod, with a node that Karpenter counts as taken by it."""
        buffer = self.buffer(word, pool, replicas=1)
        self.wait_initialized(pool, 1)
        self.touch_buffer(buffer)
        self.wait_buffer(buffer, BUFFER_FITS)
        return buffer

    def make(self, collection: str, document: Document, **fields: object) -> None:
        """Any namespaced object, by the API path of its collection; gone after the test."""
        self.bed.send("POST", collection, {**document, **fields})
        self._paths.append(f"{collection}/{document['metadata']['name']}")

    # -- changing --------------------------------------------------------------------------------

    def scale(self, workload: str, replicas: int) -> None:
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{workload}/scale"
        self.bed.send("PATCH", path, {"spec": {"replicas": replicas}})

    def scale_pool(self, pool: str, replicas: int) -> None:
        """A static one, by its subresource as a Deployment's."""
        path = f"/apis/karpenter.sh/v1/nodepools/{pool}/scale"
        self.bed.send("PATCH", path, {"spec": {"replicas": replicas}})

    def move_pool(self, pool: str, zone: str) -> None:
        """Let its nodes to come be of this zone; those that are there drift."""
        (found,) = [
            one
            for one in self.bed.read("/apis/karpenter.sh/v1/nodepools")["items"]
            if one["metadata"]["name"] == pool
        ]
        spec = found["spec"]["template"]["spec"]
        others = [one for one in spec["requirements"] if one["key"] != documents.ZONE_LABEL]
        zoned = {"key": documents.ZONE_LABEL, "operator": "In", "values": [zone]}
        change = {"template": {"spec": {"requirements": [*others, zoned]}}}
        self.bed.send("PATCH", f"/apis/karpenter.sh/v1/nodepools/{pool}", {"spec": change})

    def change_template(self, pool: str) -> None:
        """Let all its nodes drift."""
        labels = {"metadata": {"labels": {"changed": str(next(_numbers))}}}
        change = {"spec": {"template": labels}}
        self.bed.send("PATCH", f"/apis/karpenter.sh/v1/nodepools/{pool}", change)

    def stop_boots(self, pool: str) -> None:
        """Let no node come of its machines from now on; those that are there drift."""
        reference = {"nodeClassRef": {"name": SLOW_NODE_CLASS}}
        change = {"spec": {"template": {"spec": reference}}}
        self.bed.send("PATCH", f"/apis/karpenter.sh/v1/nodepools/{pool}", change)

    def scale_buffer(self, buffer: str, replicas: int) -> None:
        self.bed.send("PATCH", _buffer_path(buffer), {"spec": {"replicas": replicas}})

    def delete_buffer(self, buffer: str) -> None:
        self.bed.send("DELETE", _buffer_path(buffer))

    def touch_buffer(self, buffer: str) -> None:
        """Karpenter looks at it at once, as it does each half minute."""
        self._annotate(_buffer_path(buffer), "touched", str(next(_numbers)))

    def annotate_node(self, node: str, key: str, value: str | None) -> None:
        """None = remove it."""
        self._annotate(f"/api/v1/nodes/{node}", key, value)

    def annotate_pod(self, pod: str, key: str, value: str | None) -> None:
        """None = remove it."""
        self._annotate(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}", key, value)

    def delete_claim(self, claim: str, *, uid: str) -> None:
        """Delete a NodeClaim if it is still the one with this UID.

        Raises:
            HTTPError: 409, it is another.
        """
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        self.bed.send("DELETE", f"/apis/karpenter.sh/v1/nodeclaims/{claim}", options)

    # -- looking ---------------------------------------------------------------------------------

    def claims(self, pool: str) -> list[Document]:
        return _of_pool(self.bed.read("/apis/karpenter.sh/v1/nodeclaims"), pool)

    def nodes(self, pool: str) -> list[Document]:
        return _of_pool(self.bed.read("/api/v1/nodes"), pool)

    def names(self, pool: str) -> set[str]:
        """Of a pool's nodes."""
        return {one["metadata"]["name"] for one in self.nodes(pool)}

    def pods(self, workload: str) -> list[Document]:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app%3D{workload}"
        found: list[Document] = self.bed.read(path)["items"]
        return found

    def running(self, workload: str) -> list[Document]:
        """Pods that run and are not on their way out."""
        return [
            pod
            for pod in self.pods(workload)
            if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
        ]

    def ready(self, workload: str) -> int:
        """Ready pods, as the controllers of workloads have read them."""
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{workload}"
        return int(self.bed.read(path)["status"].get("readyReplicas", 0))

    def buffer_reason(self, buffer: str) -> str | None:
        """Why its room is or is not there, in Karpenter's word; None = it has not said yet."""
        conditions = self.bed.read(_buffer_path(buffer)).get("status", {}).get("conditions", ())
        found = [one["reason"] for one in conditions if one["type"] == "Provisioning"]
        return found[0] if found else None

    def events(self, name: str) -> list[str]:
        """What was reported about an object, with the reason in front."""
        found = self.bed.read(f"/api/v1/namespaces/{NAMESPACE}/events")["items"]
        return [
            f"{one['reason']}: {one.get('message', '')}"
            for one in found
            if one["involvedObject"].get("name") == name
        ]

    def emptiness_passes(self) -> int:
        """How often Karpenter has looked for empty nodes since it started."""
        name = "karpenter_voluntary_disruption_decision_evaluation_duration_seconds_count"
        return int(sum(self._samples(name, 'reason="empty"')))

    def allowed(self, pool: str, reason: str) -> float | None:
        """How many nodes Karpenter may disrupt now for a reason; None = it has not said yet."""
        name = "karpenter_nodepools_allowed_disruptions"
        found = self._samples(name, f'nodepool="{pool}"', f'reason="{reason}"')
        return found[0] if found else None

    def created(self, pool: str) -> int:
        """How many NodeClaims Karpenter has made for a pool."""
        return int(sum(self._samples("karpenter_nodeclaims_created_total", f'nodepool="{pool}"')))

    def _samples(self, name: str, *labels: str) -> list[float]:
        """Of Karpenter's page of metrics."""
        port = self.bed.programs["karpenter"].environment["METRICS_PORT"]
        page = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text
        return [
            float(line.rsplit(" ", 1)[1])
            for line in page.splitlines()
            if line.startswith(name) and all(label in line for label in labels)
        ]

    # -- waiting ---------------------------------------------------------------------------------

    def wait(
        self, condition: Callable[[], object], what: str, *, seconds: float = READY_SECONDS
    ) -> None:
        self.bed.wait(condition, what, seconds=seconds)

    def wait_running(self, workload: str, pods: int) -> list[Document]:
        """Until so many of its pods run; these."""
        self.wait(lambda: len(self.running(workload)) == pods, f"{pods} pods of {workload} to run")
        return self.running(workload)

    def wait_initialized(self, pool: str, nodes: int) -> list[Document]:
        """Until a pool has so many nodes and pods can have all of them; these."""

        def there() -> bool:
            claims = self.claims(pool)
            return len(claims) == nodes and all(holds(one, "Initialized") for one in claims)

        self.wait(there, f"{nodes} initialized nodes of {pool}")
        return self.nodes(pool)

    def wait_buffer(self, buffer: str, reason: str) -> None:
        """Until Karpenter says this of it."""
        self.wait(lambda: self.buffer_reason(buffer) == reason, f"{buffer} to say {reason}")

    def wait_emptiness_passes(self, more: int) -> None:
        """Until Karpenter has looked for empty nodes so often, beginning after this call."""
        # One may be under way.
        end = self.emptiness_passes() + more + 1
        self.wait(lambda: self.emptiness_passes() >= end, f"{more} passes of emptiness")

    # -- ending ----------------------------------------------------------------------------------

    def clear(self) -> None:
        """Take away all that was made. Its nodes go in their own time: no later pod fits them."""
        for path in reversed(self._paths):
            self._delete(path)
        for pool in self._pools:
            self._delete(f"/apis/karpenter.sh/v1/nodepools/{pool}")

    def wait_empty(self) -> None:
        """Until nothing of earlier tests is left, for a test that looks at all nodes or pods."""
        for path in ("/apis/karpenter.sh/v1/nodeclaims", "/api/v1/nodes", "/api/v1/pods"):
            self.wait(lambda path=path: not self.bed.read(path)["items"], f"no {path}")  # type: ignore[misc]

    def _annotate(self, path: str, key: str, value: str | None) -> None:
        self.bed.send("PATCH", path, {"metadata": {"annotations": {key: value}}})

    def _delete(self, path: str) -> None:
        try:
            self.bed.send("DELETE", path)
        except requests.HTTPError as error:
            if error.response.status_code != requests.codes.not_found:
                raise


def holds(document: Mapping[str, Any], kind: str) -> bool:
    """Whether a condition of an object is True."""
    conditions = document.get("status", {}).get("conditions", ())
    return any(one["type"] == kind and one["status"] == "True" for one in conditions)


def _of_pool(found: Document, pool: str) -> list[Document]:
    return [one for one in found["items"] if one["metadata"].get("labels", {}).get(POOL) == pool]


def _buffer_path(name: str) -> str:
    group = "/apis/autoscaling.x-k8s.io/v1beta1"
    return f"{group}/namespaces/{NAMESPACE}/capacitybuffers/{name}"
