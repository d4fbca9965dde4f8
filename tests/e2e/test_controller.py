"""`foresail controller` on a real API server, with the roles that we ship for each mode."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from fleet.annotations import SCALE_DOWN_DISABLED
from foresail.controller.options import ControllerOptions
from foresail.controller.process import LEASE, running
from tests.e2e import bed as beds
from tests.e2e import kubernetes
from tests.e2e.clients import api_client

pytestmark = pytest.mark.looptime(False)  # processes live in real time

USER = "controller"
ACCOUNT = "system:serviceaccount:foresail:foresail-controller"
NODE, POOL = "controller-gpus", "controller-pool"
POLICY = "controller-test"
EXAMPLES = beds.ROOT / "deploy" / "examples"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/foresail/leases/{LEASE}"


def policy(mode: str) -> dict[str, Any]:
    """A floor of one node at all hours: the empty node is held."""
    floor = {
        "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
        "from": "00:00",
        "to": "24:00",
        "nodes": 1,
    }
    return {
        "apiVersion": "foresail.io/v1alpha1",
        "kind": "CapacityPolicy",
        "metadata": {"name": POLICY},
        "spec": {"mode": mode, "idleCeiling": {"usdPerHour": 1000}, "warmFloors": [floor]},
    }


def roles(name: str) -> list[dict[str, Any]]:
    documents = yaml.safe_load_all((EXAMPLES / name).read_text())
    return [one for one in documents if "Role" in one["kind"] or one["kind"] == "ServiceAccount"]


@pytest.fixture(scope="module")
def kubeconfig(bed: beds.Bed) -> Iterator[Path]:
    """Of the controller's account, with the rights of mode advise; one empty node with GPUs.

    It is of an EKS node group, where the Cluster Autoscaler takes nodes away.
    """
    bed.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "foresail"}})
    crd = (beds.ROOT / "deploy" / "crds" / "capacitypolicies.yaml").read_text()
    bed.apply(*yaml.safe_load_all(crd))
    bed.wait_for_kinds()
    bed.apply(*roles("controller.yaml"))
    kubernetes.add_user(bed, USER, ACCOUNT)
    labels = {
        "eks.amazonaws.com/nodegroup": POOL,
        "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
        "node.kubernetes.io/instance-type": "p5.48xlarge",
    }
    kubernetes.add_node(bed, NODE, gpus=8, labels=labels)
    yield bed.kubeconfig(USER)
    bed.kubectl("delete", "node", NODE)
    bed.kubectl("delete", "capacitypolicy", POLICY)
    for name in ("controller.yaml", "controller-act.yaml"):
        text = yaml.safe_dump_all(roles(name))
        bed.kubectl("delete", "--ignore-not-found", "-f", "-", text=text)


@asynccontextmanager
async def controller(kubeconfig: Path) -> AsyncIterator[str]:
    """A running one; the address of its pages."""
    options = ControllerOptions(http="127.0.0.1:0", identity="e2e", kubeconfig=kubeconfig)
    async with api_client(kubeconfig) as client, running(options, client) as port:
        yield f"http://127.0.0.1:{port}"


async def until(condition: Any, what: str) -> Any:
    async with asyncio.timeout(180):
        while not (found := await condition()):
            await asyncio.sleep(0.1)
    assert found, what
    return found


async def pool_of(url: str) -> dict[str, Any] | None:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/plan") as response:
        pools = (await response.json()).get("pools", [])
    return next((one for one in pools if one["pool"] == POOL), None)


def annotations(bed: beds.Bed) -> dict[str, str]:
    found: dict[str, str] = bed.read(f"/api/v1/nodes/{NODE}")["metadata"].get("annotations", {})
    return found


async def test_with_the_rights_of_mode_advise_it_reads_leads_and_says(
    bed: beds.Bed, kubeconfig: Path
) -> None:
    await asyncio.to_thread(bed.apply, policy("advise"))
    async with controller(kubeconfig) as url:

        async def decided() -> Any:
            pool = await pool_of(url)
            return pool if pool is not None and pool["mode"] == "advise" else None

        pool = await until(decided, "a plan")
        assert {one["node"]: one["verdict"] for one in pool["nodes"]} == {NODE: "hold"}

        async def told() -> Any:
            events = await asyncio.to_thread(bed.read, "/apis/events.k8s.io/v1/events")
            return [one for one in events["items"] if one["regarding"].get("name") == NODE
                    and one["reason"] == "WouldHold"]  # fmt: skip

        (event,) = await until(told, "an Event")
        assert event["note"].startswith("hold: warm floor")
        lease = await asyncio.to_thread(bed.read, LEASES)
        assert lease["spec"]["holderIdentity"] == "e2e"
        assert "karpenter.sh/do-not-disrupt" not in annotations(bed)

    async def given_back() -> bool:
        lease = await asyncio.to_thread(bed.read, LEASES)
        if lease["spec"].get("holderIdentity", "") == "":
            return True
        # An API server that stood still at that moment was not told of it.
        async with controller(kubeconfig) as url:
            await until(partial(pool_of, url), "a plan")
        return False

    await until(given_back, "the Lease given back")


async def test_without_the_rights_of_mode_act_a_refusal_is_counted(
    bed: beds.Bed, kubeconfig: Path
) -> None:
    await asyncio.to_thread(bed.apply, policy("act"))
    async with controller(kubeconfig) as url:

        async def refused() -> bool:
            async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as page:
                text = await page.text()
            acted = 'foresail_controller_rounds_total{outcome="acted"}' in text
            return acted and "karpenter.sh/do-not-disrupt" not in annotations(bed)

        await until(refused, "a round")


async def test_with_the_rights_of_mode_act_it_holds_the_node_with_a_lease(
    bed: beds.Bed, kubeconfig: Path
) -> None:
    await asyncio.to_thread(bed.apply, policy("act"), *roles("controller-act.yaml"))
    async with controller(kubeconfig):

        async def held() -> bool:
            found = await asyncio.to_thread(annotations, bed)
            return found.get(SCALE_DOWN_DISABLED) == "true"

        await until(held, "a hold")
    found = annotations(bed)
    assert found["foresail.io/kept-because"] == "warm floor"
    assert "foresail.io/kept-until" in found
