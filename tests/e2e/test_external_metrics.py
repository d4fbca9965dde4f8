"""A plain HPA on a cluster without KEDA: the real HPA controller asks `foresail serve`."""

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests import prometheus
from tests.e2e import kubernetes
from tests.e2e.bed import Bed
from tests.e2e.conftest import BUILT
from tests.e2e.pages import PageServer
from tests.e2e.picker import Picker
from tests.e2e.processes import Program
from tests.e2e.workload_objects import documents, engine
from tests.prometheus import Job, PrometheusServer, free_port

pytestmark = pytest.mark.looptime(False)  # processes live in real time

NAMESPACE = "llm"
NAME = "llama-8b"
API = "v1beta1.external.metrics.k8s.io"
VALUES = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/foresail-replicas"
ANSWER_SECONDS_MAX = 6
SERVER_NAMES = ("foresail-external-metrics.foresail.svc", "localhost")
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}"
HPA = f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers/{NAME}"


class PlainSite:
    """Foresail between a real Prometheus and the HPA controller, and nothing of KEDA."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.folder = bed.folder / "site"
        self.folder.mkdir()
        self.picker = Picker(model="one")
        self._page = PageServer(self.picker.page)
        self._prometheus = PrometheusServer(self.folder / "prometheus")
        self.port, self._http = free_port(), free_port()
        self.server = Program(
            "foresail",
            serve_command(self.folder / "foresail.yaml"),
            self.folder,
            {"KUBECONFIG": str(bed.kubeconfig("admin"))},
        )

    def begin(self) -> None:
        for name in (NAMESPACE, "foresail"):
            self.bed.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        self.bed.issue("external-metrics", "foresail", hosts=SERVER_NAMES)
        self._prometheus.configure(
            Job(name="picker", address=self._page.address, labels={"namespace": NAMESPACE})
        )
        self._prometheus.start()
        settings = self.folder / "foresail.yaml"
        settings.write_text(yaml.safe_dump(self._settings()))
        self.serve()
        self.bed.apply(*self._objects())
        self.bed.wait(
            lambda: self.bed.conditions("apiservice", API).get("Available") == "True",
            "the external metrics API",
        )

    def end(self) -> None:
        self.server.stop()
        self._prometheus.kill()
        self._page.stop()

    def serve(self) -> None:
        self.server.start()
        self.bed.wait(self._is_ready, "foresail")

    def values(self) -> list[tuple[str, str]]:
        """Metrics and numbers that the API server hands on to whoever asks; none while refused."""
        try:
            found = self.bed.read(f"{VALUES}?labelSelector=workload%3D{NAME}")
        except requests.HTTPError:
            return []
        return [(one["metricName"], one["value"]) for one in found["items"]]

    def replicas(self) -> int:
        return int(self.bed.read(DEPLOYMENT)["spec"]["replicas"])

    def reaches(self, wanted: int) -> None:
        self.bed.wait(lambda: self.replicas() == wanted, f"{NAME} at {wanted}")

    def hpa_condition(self, kind: str) -> dict[str, Any]:
        conditions = self.bed.read(HPA)["status"].get("conditions", ())
        return next((one for one in conditions if one["type"] == kind), {})

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self._http}/readyz", timeout=60).text == "ok\n"
        except requests.RequestException:
            return False

    def _settings(self) -> dict[str, Any]:
        return {
            "listen": {"grpc": "127.0.0.1:0", "http": f"127.0.0.1:{self._http}"},
            "externalMetrics": external_metrics(self.bed, self.port),
            "sources": [
                {
                    "name": "main",
                    "prometheus": {
                        "url": self._prometheus.url,
                        "timeout": "900ms",
                        "reading": {"window": "4s", "staleAfter": "3s"},
                    },
                }
            ],
            "cycle": {
                "period": "1s",
                "step": "2s",
                "lookMax": "1s",
                "answerMax": f"{ANSWER_SECONDS_MAX}s",
                "history": "1h",
            },
            "watch": [
                {
                    "namespace": NAMESPACE,
                    "name": NAME,
                    "model": self.picker.model,
                    "engine": "llm-d",
                    "mode": "act",
                    "minReplicas": 0,
                    "maxReplicas": 40,
                    "replicaRequests": 1,
                    "utilization": 1,
                    "leadTime": "1s",
                    "hold": "0s",
                }
            ],
        }

    def _objects(self) -> Iterator[dict[str, Any]]:
        """Those of the example; its Service leads to a port of this machine."""
        labels = {"app": NAME}
        yield {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [engine()], "terminationGracePeriodSeconds": 1},
                },
            },
        }
        for one in documents("external-metrics.yaml"):
            match one["kind"]:
                case "Certificate":
                    continue
                case "Service":
                    # Dialled by name, as no proxy routes a ClusterIP here.
                    one["spec"] = {"type": "ExternalName", "externalName": "localhost"}
                case "APIService":
                    one["spec"]["service"]["port"] = self.port
                    one["spec"]["caBundle"] = ca_bundle(self.bed)
            yield one


def serve_command(settings: Path) -> list[str]:
    return [sys.executable, "-m", "foresail.cli", "serve", "--config", str(settings)]


def external_metrics(bed: Bed, port: int) -> dict[str, Any]:
    return {
        "listen": f"127.0.0.1:{port}",
        "certificate": bed.file("external-metrics.crt"),
        "key": bed.file("external-metrics.key"),
        "frontProxyCa": bed.file("ca.crt"),
        "frontProxyNames": ["front-proxy"],
    }


def ca_bundle(bed: Bed) -> str:
    return base64.b64encode(bed.authority.certificate).decode()


@pytest.fixture(scope="module")
def plain(request: pytest.FixtureRequest) -> Iterator[PlainSite]:
    """A control plane of its own, on which KEDA was never installed."""
    prometheus.require()
    assert BUILT is not None
    built = Path(BUILT).resolve()
    folder = built.parent / f"hpa-bed-{os.getpid()}"
    with Bed(built, folder, beside=(kubernetes.start_nodes,)) as bed:
        site = PlainSite(bed)
        try:
            site.begin()
            yield site
        finally:
            site.end()
    # Logs are kept where somebody will want to read them.
    if not request.session.testsfailed:
        shutil.rmtree(folder)


def test_a_plain_hpa_follows_the_plan_exactly_to_zero_and_back(plain: PlainSite) -> None:
    for wanted in (3, 10, 11, 0, 1, 0, 4):
        plain.picker.asks(wanted)
        plain.reaches(wanted)
        told = [("foresail-replicas", f"{wanted}")]
        plain.bed.wait(lambda told=told: plain.values() == told, f"the number {wanted}")
    plain.bed.wait(
        lambda: plain.hpa_condition("ScalingActive").get("status") == "True", "the HPA to be active"
    )


def test_without_a_reading_the_hpa_keeps_the_replicas(plain: PlainSite) -> None:
    plain.picker.asks(5)
    plain.reaches(5)
    plain.picker.renamed = True
    try:
        plain.bed.wait(lambda: _is_told_why(plain), "the HPA to hear of no answer")
        assert plain.replicas() == 5
    finally:
        plain.picker.renamed = False
    plain.picker.asks(2)
    plain.reaches(2)


def _is_told_why(plain: PlainSite) -> bool:
    condition = plain.hpa_condition("ScalingActive")
    why = "the HPA changes no replica"
    return condition.get("status") == "False" and why in condition["message"]


def test_a_foresail_that_is_gone_changes_nothing_and_one_that_is_back_goes_on(
    plain: PlainSite,
) -> None:
    plain.picker.asks(6)
    plain.reaches(6)
    plain.server.kill()
    plain.bed.wait(
        lambda: plain.hpa_condition("ScalingActive").get("status") == "False",
        "the HPA to hear nothing",
    )
    assert plain.replicas() == 6
    plain.serve()
    plain.picker.asks(3)
    plain.reaches(3)


def test_another_client_of_the_same_authority_is_not_answered(plain: PlainSite) -> None:
    # On this bed one authority signs everybody, so that the name alone makes the difference.
    plain.bed.wait(plain.values, "a number")
    with requests.Session() as session:
        session.trust_env = False
        url = f"https://localhost:{plain.port}{VALUES}"
        for user, code in (("admin", 403), ("front-proxy", 200)):
            answer = session.get(
                url,
                params={"labelSelector": f"workload={NAME}"},
                cert=(plain.bed.file(f"{user}.crt"), plain.bed.file(f"{user}.key")),
                verify=plain.bed.file("ca.crt"),
                timeout=60,
            )
            assert answer.status_code == code


def test_where_keda_owns_the_api_foresail_refuses_to_start(bed: Bed, tmp_path: Path) -> None:
    bed.issue("external-metrics", "foresail", hosts=SERVER_NAMES)
    settings = tmp_path / "foresail.yaml"
    settings.write_text(
        yaml.safe_dump(
            {
                "listen": {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0"},
                "externalMetrics": external_metrics(bed, 0),
                "sources": [{"name": "main", "prometheus": {"url": "http://127.0.0.1:9"}}],
            }
        )
    )

    done = subprocess.run(
        serve_command(settings),
        env={**os.environ, "KUBECONFIG": str(bed.kubeconfig("admin"))},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 1
    assert f"the APIService {API} belongs to the Service keda/keda-metrics-apiserver" in done.stderr
    assert "With KEDA use a ScaledObject and leave externalMetrics out" in done.stderr
