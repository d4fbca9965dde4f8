"""`foresail fleet` on a real API server, with the rights of the example and no more."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from fleet.cluster.follow.mirror import Mirror, mirrored
from fleet.cluster.kinds import SOURCES, Kind
from fleet.cluster.nodes import Node
from foresail.cli import main
from tests.e2e import bed as beds
from tests.e2e import kubernetes
from tests.e2e.clients import api_client

pytestmark = pytest.mark.looptime(False)  # processes live in real time

READER = "fleet-reader"
NAMESPACE = "fleet"
PLUGGED, CLAIMED = "fleet-plugged", "fleet-claimed"


def pod(name: str, node: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "engine", "image": "engine", "resources": spec.pop("resources", {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {"llm-d.ai/model": "qwen3-32b"},
        },
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "containers": [container],
            **spec,
        },
    }


@pytest.fixture(scope="module")
def gpus(bed: beds.Bed) -> Iterator[Path]:
    """Two nodes, one by device plugin, one by DRA, with pods that the real scheduler placed.

    The kubeconfig is of a reader who has the example's role.
    """
    bed.apply(*yaml.safe_load_all((beds.ROOT / "deploy/examples/fleet.yaml").read_text()))
    kubernetes.add_user(bed, READER, READER, group="foresail-fleet-readers")
    labels = {
        "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
        "node.kubernetes.io/instance-type": "p5.48xlarge",
    }
    kubernetes.add_node(bed, PLUGGED, gpus=8, labels=labels)
    kubernetes.add_node(bed, CLAIMED)
    device_class = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": "fleet-gpu"},
        "spec": {"selectors": [{"cel": {"expression": "device.driver == 'gpu.nvidia.com'"}}]},
    }
    devices = [
        {
            "name": f"gpu-{index}",
            "attributes": {
                "type": {"string": "gpu"},
                "uuid": {"string": f"GPU-fleet-{index}"},
                "productName": {"string": "NVIDIA B200"},
            },
            "capacity": {"memory": {"value": "183359Mi"}},
        }
        for index in range(8)
    ]
    pool = {"name": CLAIMED, "generation": 1, "resourceSliceCount": 1}
    resource_slice = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": CLAIMED},
        "spec": {
            "driver": "gpu.nvidia.com",
            "nodeName": CLAIMED,
            "pool": pool,
            "devices": devices,
        },
    }
    exactly = {"deviceClassName": "fleet-gpu", "count": 2}
    claim = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": "two", "namespace": NAMESPACE},
        "spec": {"devices": {"requests": [{"name": "gpu", "exactly": exactly}]}},
    }
    bed.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        device_class,
        resource_slice,
        claim,
        pod("plugged", PLUGGED, resources={"limits": {"nvidia.com/gpu": "3"}}),
        pod("claimed", CLAIMED, resourceClaims=[{"name": "gpu", "resourceClaimName": "two"}]),
    )
    for name in ("plugged", "claimed"):
        bed.wait(
            lambda name=name: (
                bed.conditions(f"/api/v1/namespaces/{NAMESPACE}/pods/{name}").get("PodScheduled")  # type: ignore[misc]
                == "True"
            ),
            f"pod {name} to be placed",
        )
    yield bed.kubeconfig(READER)
    bed.kubectl("delete", "namespace", NAMESPACE)
    bed.kubectl("delete", "node", PLUGGED, CLAIMED)
    bed.kubectl("delete", "resourceslice", CLAIMED)
    bed.kubectl("delete", "deviceclass", "fleet-gpu")


def test_the_fleet_is_what_the_scheduler_made_of_it(gpus: Path) -> None:
    result = CliRunner().invoke(main, ["fleet", "--kubeconfig", str(gpus), "-o", "json"])

    assert result.exit_code == 0, result.output
    nodes = {one["node"]: one for one in json.loads(result.output)["clusters"][0]["nodes"]}
    plugged, claimed = nodes[PLUGGED], nodes[CLAIMED]
    assert (plugged["generation"], plugged["allocated"], plugged["free"]) == ("h100-sxm", 3, 5)
    assert (claimed["generation"], claimed["allocated"], claimed["free"]) == ("b200", 2, 6)
    assert [(use["pod"], use["model"]) for use in claimed["uses"]] == [("claimed", "qwen3-32b")]
    assert (plugged["usdPerGpuHour"], claimed["usdPerGpuHour"]) == (6.88, None)


async def test_a_follower_sees_what_changes(bed: beds.Bed, gpus: Path) -> None:
    async with api_client(gpus) as client, mirrored(client, "bed", asyncio.Event()) as mirror:
        await _until(lambda: mirror.trouble is None)
        assert PLUGGED in _nodes(mirror)
        await asyncio.to_thread(bed.kubectl, "label", "node", PLUGGED, "fleet=seen")

        await _until(lambda: _nodes(mirror)[PLUGGED].labels.get("fleet") == "seen")


def test_who_has_no_rights_is_told_which(bed: beds.Bed) -> None:
    kubernetes.add_user(bed, "nobody", "nobody")

    result = CliRunner().invoke(main, ["fleet", "--kubeconfig", str(bed.kubeconfig("nobody"))])

    assert result.exit_code == 1
    assert f"{SOURCES[Kind.NODE].path}: HTTP 403" in result.output
    assert "grant list and watch on it" in result.output


def _nodes(mirror: Mirror) -> dict[str, Node]:
    return {one.name: one for one in mirror.cluster.nodes}


async def _until(condition: Any) -> None:
    async with asyncio.timeout(180):
        while not condition():
            await asyncio.sleep(0.05)
