"""What an extender knows, by its page: it follows the API server, and may be behind it."""

from collections import Counter
from collections.abc import Mapping

import requests

from tests.e2e.bed import Bed

_GPU = "nvidia.com/gpu"


def is_up_to_date(bed: Bed, address: str, namespace: str, gpus: Mapping[str, int]) -> bool:
    """Whether it counts the GPUs that are there, and in use, as the API server has them.

    Args:
        bed: whose API server it follows.
        address: of its pages.
        namespace: of the pods that hold GPUs.
        gpus: of each node; its ResourceSlices have its name as their pool.
    """
    used = _used(bed, namespace)
    try:
        page = requests.get(f"http://{address}/gpus", timeout=60).json()
    except requests.RequestException:
        return False
    found = {one["node"]: (one["gpus"], one["used"]) for one in page["nodes"]}
    return all(found.get(node) == (count, used[node]) for node, count in gpus.items())


def _used(bed: Bed, namespace: str) -> Counter[str]:
    """GPUs of each node that pods hold, by limit or by claim."""
    used: Counter[str] = Counter()
    for pod in bed.read(f"/api/v1/namespaces/{namespace}/pods")["items"]:
        for container in pod["spec"]["containers"]:
            limits = container.get("resources", {}).get("limits", {})
            used[pod["spec"].get("nodeName", "")] += int(limits.get(_GPU, 0))
    path = f"/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaims"
    for claim in bed.read(path)["items"]:
        allocation = claim.get("status", {}).get("allocation", {})
        for result in allocation.get("devices", {}).get("results", ()):
            used[result["pool"]] += 1
    return used
