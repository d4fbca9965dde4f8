"""The installation by hand, command by command, on a control plane that has seen nothing before.

In order: certificates, settings, a workload, an explanation, `act`, the webhook. Each test goes on
where the one before it ended. What a bed without containers and DNS lacks is put in before, in
`own`, where a reader makes the files theirs.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from scheduler.admission import CLAIM
from tests import prometheus
from tests.docs.snippets import EXAMPLES, ROOT, Kind, Snippet, snippets
from tests.e2e import containers, kubernetes
from tests.e2e.bed import Bed
from tests.e2e.claims_webhook import USER
from tests.e2e.conftest import BUILT
from tests.e2e.names import NameServer
from tests.e2e.processes import Program
from tests.e2e.site import SERVICE, Record
from tests.e2e.workload_objects import engine
from tests.exporter import Engine, served
from tests.prometheus import Job, PrometheusServer, free_port, wait_for

pytestmark = pytest.mark.looptime(False)  # processes live in real time

REPLICAS = 2
ASKED = Engine(
    model="qwen3-32b",
    computed_per_second=22_400,
    cached_per_second=0,
    generated_per_second=1_600,
    waiting=0,
    deferred=0,
)
NEEDED = 4
"""22,400 of 8,000 prompt tokens/s a replica, planned with 0.8 of it: 3.5."""
SERVERS = ("127.0.0.1", "127.0.0.2")
"""One for each pod behind the Service."""


@dataclass
class Reader:
    """Somebody with the page, a shell and a cluster."""

    bed: Bed
    folder: Path
    """Their copy of deploy/examples."""
    environment: dict[str, str]
    ports: dict[str, int] = field(default_factory=dict)

    def port(self, what: str) -> int:
        """One of its own for each thing that listens."""
        if what not in self.ports:
            self.ports[what] = free_port()
        return self.ports[what]

    def types(self, text: str) -> str:
        """Commands at a prompt, to the end of the last one; what they print."""
        done = subprocess.run(
            ["bash", "-euc", text],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        return done.stdout

    def leaves_running(self, text: str) -> Program:
        """A command that ends with the bed."""
        name = f"reader-{len(self.bed.programs)}"
        program = Program(name, ["bash", "-c", f"exec {text}"], self.folder, self.environment)
        self.bed.programs[name] = program
        program.start()
        return program


@pytest.fixture(scope="module")
def steps() -> dict[str, list[Snippet]]:
    """The page's commands by the number of the step that they stand in."""
    page = ROOT / "docs" / "install-by-hand.md"
    found: dict[str, list[Snippet]] = {}
    for one in snippets(page):
        heads = re.findall(r"^## (?:(\d)\. )?", "\n".join(_lines(page, one)), re.MULTILINE)
        if one.kind is Kind.COMMANDS and heads and heads[-1]:
            found.setdefault(heads[-1], []).append(one)
    return found


def _lines(page: Path, before: Snippet) -> list[str]:
    return page.read_text().splitlines()[: before.line]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A bed of their own, where the engines are scraped and the Deployment runs."""
    prometheus.require()
    assert BUILT is not None
    folder = tmp_path_factory.mktemp("reader")
    metrics = PrometheusServer(folder / "prometheus")
    with served(ASKED) as (page,), Bed(Path(BUILT).resolve(), folder / "bed") as bed:
        metrics.configure(Job(name="engines", address=page.address, labels={"namespace": "llm"}))
        metrics.start()
        names = NameServer(SERVICE, lambda: SERVERS)
        try:
            made = Reader(bed, folder / "examples", _environment(bed, folder / "bin"))
            shutil.copytree(EXAMPLES, made.folder)
            own(made.folder, metrics.url, f"dns://{names.address}/{SERVICE}")
            _deploy(bed)
            yield made
        finally:
            metrics.kill()
            names.stop()


def own(folder: Path, prometheus_url: str, service: str) -> None:
    """What a reader changes, and what a bed without a cluster's DNS changes."""
    for name, before, after in (
        ("foresail.yaml", "http://prometheus.monitoring.svc:9090", prometheus_url),
        ("scaledobject.yaml", SERVICE, service),
    ):
        text = (folder / name).read_text()
        assert before in text
        (folder / name).write_text(text.replace(before, after))


def _environment(bed: Bed, programs: Path) -> dict[str, str]:
    programs.mkdir()
    (programs / "kubectl").symlink_to(bed.program("kubernetes", "kubectl"))
    (programs / "foresail").write_text(f'#!/bin/sh\nexec {sys.executable} -m foresail.cli "$@"\n')
    (programs / "foresail").chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "KUBECONFIG": str(bed.kubeconfig("admin")),
    }


def _deploy(bed: Bed) -> None:
    """The workload that is there before anybody reads the page."""
    labels = {"app": "qwen3-32b"}
    bed.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "qwen3-32b", "namespace": "llm"},
            "spec": {
                "replicas": REPLICAS,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [engine()], "terminationGracePeriodSeconds": 1},
                },
            },
        }
    )


Step = Callable[[str], list[str]]


@pytest.fixture
def step(steps: dict[str, list[Snippet]]) -> Step:
    return lambda number: [one.text for one in steps[number]]


WORKLOAD = "/apis/apps/v1/namespaces/llm/deployments/qwen3-32b"


def test_certificates_are_made_and_applied(reader: Reader, step: Step) -> None:
    (commands,) = step("2")

    said = reader.types(commands)

    assert "secret/foresail-keda-client created" in said


def test_settings_are_in_order_and_two_servers_come_up(reader: Reader, step: Step) -> None:
    (commands,) = step("3")

    said = reader.types(commands)

    assert "foresail.yaml: in order; sources: main" in said
    assert 'deployment "foresail" successfully rolled out' in said
    pods = containers.pods_of(reader.bed, "foresail", "foresail")
    assert len(pods) == len(SERVERS)
    for pod, address in zip(pods, SERVERS, strict=True):
        http = f"{address}:{reader.port('http')}"
        program = containers.start(
            reader.bed,
            pod,
            addresses={
                "0.0.0.0:6500": f"{address}:{reader.port('grpc')}",
                "0.0.0.0:8080": http,
            },
        )
        wait_for(
            lambda http=http: _says_ok(http, "/readyz"),  # type: ignore[misc]
            str(program.log),
        )
    reader.bed.apply(_forward("foresail", SERVERS[0], reader.port("http")))


def test_the_object_as_it_is_shows_a_plan_and_changes_no_replica(
    reader: Reader, step: Step
) -> None:
    # KEDA dials the port of the Service; on one machine it is another.
    file = reader.folder / "scaledobject.yaml"
    file.write_text(file.read_text().replace(f"{SERVICE}:6500", f"{SERVICE}:{reader.port('grpc')}"))
    (apply,) = step("4")
    forward, explain = (one.strip() for one in step("5"))
    record = Record()
    record.take(reader.bed.read(WORKLOAD))
    with reader.bed.watching(WORKLOAD, record.take):
        reader.types(apply)
        forwarding = reader.leaves_running(forward.removesuffix("&"))
        wait_for(lambda: "Forwarding from" in forwarding.tail(), f"port 8080: {forwarding.log}")
        wait_for(
            lambda: _planned(reader, explain) == NEEDED, f"a plan of {NEEDED}", deadline_seconds=180
        )
    said = reader.types(explain)
    assert said.startswith("llm/qwen3-32b: mode advise, no replica is changed")
    assert record.counts == [REPLICAS]


def _planned(reader: Reader, explain: str) -> int | None:
    done = subprocess.run(
        ["bash", "-c", f"{explain} -o json"],
        env=reader.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return None
    (account,) = yaml.safe_load(done.stdout)
    plan = account.get("plan")
    return plan and int(plan["planned"])


def test_told_to_act_it_sets_the_replicas(reader: Reader, step: Step) -> None:
    file = reader.folder / "scaledobject.yaml"
    file.write_text(file.read_text().replace("mode: advise", "mode: act"))
    (apply,) = step("7")

    reader.types(apply)

    reader.bed.wait(
        lambda: reader.bed.read(WORKLOAD)["spec"]["replicas"] == NEEDED, "the plan's replicas"
    )


def test_a_pod_that_states_a_need_gets_its_claim(reader: Reader, step: Step) -> None:
    bed = reader.bed
    (commands,) = step("8")
    *before, workload = commands.splitlines()
    bed.apply(_device_class())
    # deploy/examples/README.md: the API server's certificate.
    for key in ("crt", "key"):
        shown = reader.folder / "certificates" / "apiserver" / f"tls.{key}"
        bed.write(f"webhook-client.{key}", shown.read_bytes())
    admission = reader.port("webhook")
    _local_service(reader.folder / "claims-webhook.yaml", admission)
    reader.types("\n".join(before))
    kubernetes.add_user(bed, "claims", USER)
    http = f"127.0.0.1:{reader.port('webhook-http')}"
    pod, _ = containers.pods_of(bed, "foresail", "foresail-webhook")
    program = containers.start(
        bed,
        pod,
        addresses={"0.0.0.0:8443": f"127.0.0.1:{admission}", "0.0.0.0:8080": http},
        more=("--kubeconfig", str(bed.kubeconfig("claims"))),
    )
    wait_for(lambda: _says_ok(http, "/readyz"), str(program.log))

    reader.types(workload)

    pods = "/api/v1/namespaces/llm/pods?labelSelector=app%3Dllama-70b"
    bed.wait(lambda: bed.read(pods)["items"], "the workload's pod")
    (pod,) = bed.read(pods)["items"]
    assert CLAIM in pod["metadata"]["annotations"]
    assert pod["spec"]["resourceClaims"]


def _says_ok(address: str, path: str) -> bool:
    try:
        return requests.get(f"http://{address}{path}", timeout=60).ok
    except requests.RequestException:
        return False


def _forward(namespace: str, address: str, port: int) -> dict[str, Any]:
    """Where kwok leads a port-forward to 8080 of a pod: to its process."""
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "ClusterPortForward",
        "metadata": {"name": namespace},
        "spec": {
            "selector": {"matchNamespaces": [namespace]},
            "forwards": [{"ports": [8080], "target": {"address": address, "port": port}}],
        },
    }


def _device_class() -> dict[str, Any]:
    """As NVIDIA's driver for DRA brings it."""
    expression = "device.driver == 'gpu.nvidia.com'"
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": "gpu.nvidia.com"},
        "spec": {"selectors": [{"cel": {"expression": expression}}]},
    }


def _local_service(file: Path, port: int) -> None:
    """No proxy routes a ClusterIP here: the Service leads to loopback, and TLS to its own name."""
    documents = list(yaml.safe_load_all(file.read_text()))
    for one in documents:
        match one["kind"]:
            case "Service":
                one["spec"] = {"type": "ExternalName", "externalName": "localhost"}
            case "MutatingWebhookConfiguration":
                for webhook in one["webhooks"]:
                    webhook["clientConfig"]["service"]["port"] = port
    file.write_text(yaml.safe_dump_all(documents))
