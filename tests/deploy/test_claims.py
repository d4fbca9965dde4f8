"""The webhook's manifests: what they say to Kubernetes, to Foresail, and to each other."""

import re

import pytest
from cel_expr_python import cel

from fleet.catalogue import shipped
from scheduler.admission import CONTAINER, GivenBy, Policy, admit
from scheduler.need_annotations import DOMAIN, FIELDS, SIZES
from scheduler.webhook import APPLY_SECONDS_MAX, PATH
from tests.deploy.examples import FOLDER, Manifest, documents_of
from tests.schemas.kubernetes import VERSIONS, unfit


def only(kind: str) -> Manifest:
    (found,) = [one for one in documents_of("claims-webhook.yaml") if one["kind"] == kind]
    return found


def webhook() -> Manifest:
    (found,) = only("MutatingWebhookConfiguration")["webhooks"]
    return dict(found)


def workload() -> Manifest:
    (found,) = documents_of("claims-workload.yaml")
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_the_configuration(version: str) -> None:
    configuration = only("MutatingWebhookConfiguration")
    assert unfit(configuration, "MutatingWebhookConfiguration", version) == []


def test_an_outage_and_a_dry_run_leave_the_cluster_as_it_was() -> None:
    assert (webhook()["failurePolicy"], webhook()["sideEffects"]) == ("Ignore", "NoneOnDryRun")
    assert webhook()["reinvocationPolicy"] == "IfNeeded"
    assert webhook()["admissionReviewVersions"] == ["v1"]


def test_the_reason_of_a_refusal_is_out_before_the_api_server_gives_up() -> None:
    assert webhook()["timeoutSeconds"] > APPLY_SECONDS_MAX


def test_only_pods_that_are_made_are_sent() -> None:
    (rule,) = webhook()["rules"]
    assert (rule["resources"], rule["operations"], rule["apiGroups"]) == (
        ["pods"],
        ["CREATE"],
        [""],
    )
    (selector,) = webhook()["namespaceSelector"]["matchExpressions"]
    assert selector["operator"] == "NotIn"
    assert {"kube-system", only("Service")["metadata"]["namespace"]} <= set(selector["values"])


@pytest.mark.parametrize(
    ("metadata", "sent"),
    [
        *(pytest.param({"annotations": {DOMAIN + key: "1"}}, True, id=key) for key in SIZES),
        pytest.param({}, False, id="no-annotations"),
        pytest.param({"annotations": {}}, False, id="empty"),
        pytest.param({"annotations": {"foresail.io/gpu-models": "l4"}}, False, id="no-size"),
    ],
)
def test_the_condition_is_that_the_pod_states_a_size(metadata: Manifest, *, sent: bool) -> None:
    (condition,) = webhook()["matchConditions"]
    program = cel.NewEnv(variables={"object": cel.Type.DYN}).compile(condition["expression"])
    assert program.eval(data={"object": {"metadata": metadata}}).plain_value() is sent


def test_the_api_server_dials_the_service_by_the_name_in_its_certificate() -> None:
    to = webhook()["clientConfig"]["service"]
    service = only("Service")
    (certificate,) = (
        one
        for one in documents_of("certificates.yaml")
        if one["metadata"]["name"] == "foresail-webhook"
    )
    assert (to["name"], to["namespace"]) == (
        service["metadata"]["name"],
        service["metadata"]["namespace"],
    )
    assert to["path"] == PATH
    assert certificate["spec"]["dnsNames"] == [f"{to['name']}.{to['namespace']}.svc"]
    injected = only("MutatingWebhookConfiguration")["metadata"]["annotations"]
    assert injected == {
        "cert-manager.io/inject-ca-from": f"{to['namespace']}/{certificate['metadata']['name']}"
    }


def test_the_rights_are_to_apply_templates_and_no_other() -> None:
    (rule,) = only("ClusterRole")["rules"]
    assert rule == {
        "apiGroups": ["resource.k8s.io"],
        "resources": ["resourceclaimtemplates"],
        "verbs": ["create", "patch"],
    }
    binding = only("ClusterRoleBinding")
    assert binding["roleRef"]["name"] == only("ClusterRole")["metadata"]["name"]


@pytest.mark.parametrize("given_by", GivenBy)
def test_the_example_workload_is_given_gpus(given_by: GivenBy) -> None:
    template = workload()["spec"]["template"]
    admission = admit(
        template,
        "llm",
        Policy(catalogue=shipped(), given_by=given_by),
        frozenset({"gpu.nvidia.com"}),
    )
    assert len(admission.patch) == 3
    assert admission.warnings == ()


def test_every_annotation_of_the_example_is_known() -> None:
    annotations = workload()["spec"]["template"]["metadata"]["annotations"]
    known = {DOMAIN + field.key for field in FIELDS} | {CONTAINER}
    assert set(annotations) <= known


def test_the_guide_names_both_files() -> None:
    text = (FOLDER / "README.md").read_text()
    assert set(re.findall(r"`?(claims-[a-z]+\.yaml)\b", text)) == {
        "claims-webhook.yaml",
        "claims-workload.yaml",
    }
