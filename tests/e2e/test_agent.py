"""The agent's manifest before a real API server: what its token may tell, and to which node."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import yaml

from fleet.annotations import REPORT
from fleet.cluster.nodes import node_of
from scheduler.machines import machine_of
from tests.agent.machines import FOLDER, report, told
from tests.deploy.examples import AGENT
from tests.e2e.bed import Bed
from tests.e2e.kubernetes import add_node

NODES = ("agent-1", "agent-2")


@pytest.fixture(scope="module")
def pods(bed: Bed) -> Iterator[dict[str, str]]:
    """The DaemonSet's pod on each GPU node."""
    bed.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "foresail"}})
    runtime = {"name": "nvidia"}
    bed.apply({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": runtime,
               "handler": "nvidia"})  # fmt: skip
    for name in NODES:
        add_node(bed, name, gpus=4, labels={"nvidia.com/gpu.present": "true"})
    bed.apply(*yaml.safe_load_all(AGENT.read_text()))
    found: dict[str, str] = {}

    def scheduled() -> bool:
        of_agent = "labelSelector=app.kubernetes.io%2Fname%3Dforesail-agent"
        listed = bed.read(f"/api/v1/namespaces/foresail/pods?{of_agent}")
        found.update(
            {one["spec"]["nodeName"]: one["metadata"]["name"] for one in listed["items"]
             if "nodeName" in one["spec"]}
        )  # fmt: skip
        return set(found) >= set(NODES)

    bed.wait(scheduled, "a pod of the agent on each GPU node")
    # Rights and the policy are in force a moment after they were applied.
    cordon = {"spec": {"unschedulable": True}}
    bed.wait(
        lambda: "nothing of a node" in asked(bed, found[NODES[0]], "PATCH", cordon, dry=True).text,
        "the policy",
    )
    yield found
    bed.kubectl("delete", "-f", str(AGENT), "--timeout=600s")
    bed.kubectl("delete", "node", *NODES)


def token_of(bed: Bed, pod: str | None) -> str:
    """The token that this pod would have; None = one bound to no pod."""
    bound = ("--bound-object-kind=Pod", f"--bound-object-name={pod}") if pod else ()
    told: str = bed.kubectl("create", "token", "foresail-agent", "-n", "foresail", *bound)
    return told.strip()


def tell(bed: Bed, pod: str | None, node: str) -> subprocess.CompletedProcess[str]:
    """`foresail agent` as this pod, about a node."""
    document = yaml.safe_load(bed.kubeconfig("admin").read_text())
    document["users"][0]["user"] = {"token": token_of(bed, pod)}
    bed.kubeconfig("agent").write_text(yaml.safe_dump(document))
    machine = FOLDER / "a100-4-pairs.json"
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "foresail.cli",
            "agent",
            "--once",
            "--node",
            node,
            "--from",
            machine,
        ],
        env={**os.environ, "KUBECONFIG": str(bed.kubeconfig("agent"))},
        capture_output=True,
        text=True,
        check=False,
    )


def told_in_time(bed: Bed, pod: str | None, node: str) -> subprocess.CompletedProcess[str]:
    """The same, again while the API server takes longer to answer than the agent waits."""
    answered: list[subprocess.CompletedProcess[str]] = []

    def is_answered() -> bool:
        done = tell(bed, pod, node)
        answered.append(done)
        return done.returncode == 0 or "HTTP" in done.stderr

    bed.wait(is_answered, "an answer to the agent")
    return answered[-1]


def asked(
    bed: Bed, pod: str, verb: str, patch: object = None, *, dry: bool = False
) -> requests.Response:
    """The API server's answer to this pod about node agent-1."""
    return requests.request(
        verb,
        f"https://127.0.0.1:{bed.api_port}/api/v1/nodes/agent-1",
        params={"dryRun": "All"} if dry else None,
        data=json.dumps(patch),
        headers={
            "Content-Type": "application/merge-patch+json",
            "Authorization": f"Bearer {token_of(bed, pod)}",
        },
        verify=bed.file("ca.crt"),
        timeout=60,
    )


def test_the_agent_tells_its_own_node_and_the_extender_reads_it(
    bed: Bed, pods: dict[str, str]
) -> None:
    for _ in range(2):  # the same once more is taken too
        done = told_in_time(bed, pods["agent-1"], "agent-1")
        assert (done.returncode, done.stderr.count("error")) == (0, 0), done.stderr

    node = bed.get("node", "agent-1")
    assert node["metadata"]["annotations"][REPORT] == report(told("a100-4-pairs")).text()
    assert machine_of(node_of(node)).islands == (0, 0, 1, 1)
    written = bed.kubectl("get", "node", "agent-1", "-o", "json", "--show-managed-fields")
    managers = [
        (one["manager"], one["operation"])
        for one in json.loads(written)["metadata"]["managedFields"]
    ]
    assert managers.count(("foresail-agent", "Apply")) == 1


@pytest.mark.parametrize("pod_of", ["agent-2", None], ids=["of-another-node", "of-no-pod"])
def test_a_token_of_elsewhere_is_refused(
    bed: Bed, pods: dict[str, str], pod_of: str | None
) -> None:
    done = told_in_time(bed, pods[pod_of] if pod_of else None, "agent-1")

    assert done.returncode == 1
    assert "HTTP 403" in done.stderr
    assert "the node of its own pod only" in done.stderr


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        pytest.param(
            {"metadata": {"annotations": {"other": "1"}}}, "gpu-report only", id="annotation"
        ),
        pytest.param({"metadata": {"labels": {"zone": "b"}}}, "nothing of a node", id="label"),
        pytest.param({"spec": {"unschedulable": True}}, "nothing of a node", id="cordon"),
    ],
)
def test_nothing_else_of_its_node_may_change(
    bed: Bed, pods: dict[str, str], patch: dict[str, Any], said: str
) -> None:
    refused = asked(bed, pods["agent-1"], "PATCH", patch)

    assert (refused.status_code, said in refused.json()["message"]) == (403, True), refused.text


def test_it_may_not_even_look(bed: Bed, pods: dict[str, str]) -> None:
    assert asked(bed, pods["agent-1"], "GET").status_code == 403


@pytest.mark.usefixtures("pods")
def test_kubernetes_type_check_has_nothing_to_say_of_the_policy(bed: Bed) -> None:
    def status() -> dict[str, Any]:
        found: dict[str, Any] = bed.get("validatingadmissionpolicy", "foresail-agent")
        return found.get("status") or {}

    bed.wait(lambda: "typeChecking" in status(), "the policy's type check")
    assert status()["typeChecking"] == {}
