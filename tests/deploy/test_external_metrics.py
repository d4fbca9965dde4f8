"""The manifests of the external metrics API: to Foresail, to the HPA, and to each other."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from foresail.api.service import EXTERNAL_METRICS
from foresail.serve.external_metrics_objects import GROUP, VERSION, WORKLOAD_LABEL
from foresail.settings.external_metrics import ExternalMetricsSettings
from foresail.settings.file import Settings, read
from scaler.serving.service import METRIC_NAME
from tests.deploy.examples import Manifest, documents, documents_of, only
from tests.deploy.schema import unknown_fields
from tests.docs.snippets import ROOT, Kind, snippets

PAGE = ROOT / "docs" / "hpa.md"


def named(kind: str, name: str | None = None) -> Manifest:
    (found,) = [
        one
        for one in documents_of("external-metrics.yaml")
        if one["kind"] == kind and name in (None, one["metadata"]["name"])
    ]
    return found


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Those that the page shows."""
    (shown,) = [one for one in snippets(PAGE) if one.kind is Kind.SETTINGS]
    file = tmp_path / "foresail.yaml"
    file.write_text(shown.text)
    return read(file)


def metrics_of(settings: Settings) -> ExternalMetricsSettings:
    assert settings.external_metrics is not None
    return settings.external_metrics


@pytest.mark.parametrize("kind", ["Service", "NetworkPolicy"])
def test_kubernetes_knows_every_field(kind: str) -> None:
    assert list(unknown_fields(named(kind), f"V1{kind}")) == []


def test_kubernetes_knows_every_field_of_the_hpa() -> None:
    hpa = named("HorizontalPodAutoscaler")
    # Newer than the client's model.
    for direction in hpa["spec"]["behavior"].values():
        assert direction.pop("tolerance") == "0"

    assert list(unknown_fields(hpa, "V2HorizontalPodAutoscaler")) == []


def test_the_api_service_leads_to_the_port_that_the_settings_name(settings: Settings) -> None:
    spec, metrics = named("APIService")["spec"], metrics_of(settings)
    (port,) = named("Service")["spec"]["ports"]
    (rule,) = named("NetworkPolicy")["spec"]["ingress"]

    assert named("APIService")["metadata"]["name"] == EXTERNAL_METRICS
    assert (spec["group"], spec["version"]) == (GROUP, VERSION)
    assert f"{spec['service']['namespace']}/{spec['service']['name']}" == metrics.service
    assert named("Service")["metadata"]["name"] == spec["service"]["name"]
    assert port["port"] == spec["service"]["port"]
    assert metrics.listen.endswith(f":{port['targetPort']}")
    assert rule["ports"] == [{"port": port["targetPort"]}]


def test_the_selectors_find_the_pods() -> None:
    labels = only("Deployment")["spec"]["template"]["metadata"]["labels"]

    assert named("Service")["spec"]["selector"] == labels
    assert named("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels


def test_the_certificate_has_the_name_by_which_the_api_server_dials() -> None:
    service = named("APIService")["spec"]["service"]
    certificate = named("Certificate")

    assert certificate["spec"]["dnsNames"] == [f"{service['name']}.{service['namespace']}.svc"]
    assert named("APIService")["metadata"]["annotations"] == {
        "cert-manager.io/inject-ca-from": "foresail/" + certificate["metadata"]["name"]
    }
    issuers = {one["metadata"]["name"] for one in documents() if one["kind"] == "ClusterIssuer"}
    assert certificate["spec"]["issuerRef"]["name"] in issuers


def test_the_hpa_asks_for_what_the_settings_plan(settings: Settings) -> None:
    hpa = named("HorizontalPodAutoscaler")
    (asked,) = [one["external"] for one in hpa["spec"]["metrics"]]
    (planned,) = settings.watch

    assert planned.is_answered
    assert asked["metric"] == {
        "name": METRIC_NAME,
        "selector": {"matchLabels": {WORKLOAD_LABEL: planned.name}},
    }
    assert asked["target"] == {"type": "AverageValue", "averageValue": "1"}
    assert hpa["metadata"]["namespace"] == planned.namespace
    bounds = (planned.metadata["minReplicas"], planned.metadata["maxReplicas"])
    assert bounds == (str(hpa["spec"]["minReplicas"]), str(hpa["spec"]["maxReplicas"]))


def test_the_hpa_behaves_as_that_of_the_scaled_object() -> None:
    advanced = only("ScaledObject")["spec"]["advanced"]

    assert (
        named("HorizontalPodAutoscaler")["spec"]["behavior"]
        == advanced["horizontalPodAutoscalerConfig"]["behavior"]
    )


def test_the_hpa_controller_may_read_the_metric_and_nothing_else() -> None:
    (rule,) = named("ClusterRole", "foresail-external-metrics-reader")["rules"]
    binding = named("ClusterRoleBinding", "foresail-external-metrics-reader")
    (account,) = binding["subjects"]

    assert (rule["apiGroups"], rule["resources"]) == ([GROUP], [METRIC_NAME])
    assert binding["roleRef"]["name"] == "foresail-external-metrics-reader"
    assert (account["namespace"], account["name"]) == ("kube-system", "horizontal-pod-autoscaler")


def test_foresail_may_look_at_its_own_api_service_alone() -> None:
    (rule,) = named("ClusterRole", "foresail-external-metrics-owner")["rules"]
    (account,) = named("ClusterRoleBinding", "foresail-external-metrics-owner")["subjects"]

    assert (rule["resourceNames"], rule["verbs"]) == ([EXTERNAL_METRICS], ["get"])
    assert account["name"] == only("ServiceAccount")["metadata"]["name"]


def patch() -> Any:
    """What the page's command changes in the Deployment."""
    text = PAGE.read_text().partition("patch deployment foresail -p ")[2].partition("```")[0]
    (found,) = shlex.split(text)
    return json.loads(found)


def test_the_patch_mounts_what_the_settings_read(settings: Settings) -> None:
    pod, metrics = patch()["spec"]["template"]["spec"], metrics_of(settings)
    (container,) = pod["containers"]
    folders = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    sources = {one["name"]: one for one in pod["volumes"]}

    (own,) = only("Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["name"] == own["name"]
    assert str(metrics.certificate) == f"{folders['external-metrics']}/tls.crt"
    assert str(metrics.key) == f"{folders['external-metrics']}/tls.key"
    assert str(metrics.front_proxy_ca) == f"{folders['front-proxy']}/ca.crt"
    secret = sources["external-metrics"]["secret"]["secretName"]
    assert secret == named("Certificate")["spec"]["secretName"]
    text = PAGE.read_text()
    assert f"create secret tls {secret} " in text
    config = sources["front-proxy"]["configMap"]["name"]
    assert re.search(rf"create configmap {config} --from-file=ca\.crt=", text)


def test_the_patch_is_of_fields_that_kubernetes_knows() -> None:
    merged = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}, **patch()}

    assert list(unknown_fields(yaml.safe_load(json.dumps(merged)), "V1Deployment")) == []
