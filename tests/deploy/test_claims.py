"""The webhook's manifests: what they say to Kubernetes, to Foresail, and to each other."""

import re
from pathlib import Path

import pytest
from cel_expr_python import cel
from click.testing import CliRunner

from fleet.catalogue import shipped
from foresail.cli import main
from scheduler.admission import GivenBy, Policy, admit
from scheduler.claim_template import owned_template
from scheduler.gpu_container import CONTAINER
from scheduler.need_annotations import DOMAIN, FIELDS, SIZES
from scheduler.webhook import APPLY_SECONDS_MAX, PATH
from tests.deploy.examples import FOLDER, Manifest, documents_of
from tests.deploy.schema import unknown_fields
from tests.schemas.kubernetes import VERSIONS, unfit


def only(kind: str) -> Manifest:
    (found,) = [one for one in documents_of("claims-webhook.yaml") if one["kind"] == kind]
    return found


def webhooks() -> tuple[Manifest, Manifest]:
    """That of claims, and that of misspelt annotations."""
    claims, spelling = only("MutatingWebhookConfiguration")["webhooks"]
    return dict(claims), dict(spelling)


def webhook() -> Manifest:
    return webhooks()[0]


def workload() -> Manifest:
    (found,) = documents_of("claims-workload.yaml")
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_the_configuration(version: str) -> None:
    configuration = only("MutatingWebhookConfiguration")
    assert unfit(configuration, "MutatingWebhookConfiguration", version) == []


def test_an_annotated_pod_is_never_let_in_without_an_answer() -> None:
    """It would never get GPUs; which pods are annotated is up to the condition below."""
    assert (webhook()["failurePolicy"], webhook()["sideEffects"]) == ("Fail", "NoneOnDryRun")
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
    own = only("Service")["metadata"]["namespace"]
    assert {"kube-system", "kube-public", "kube-node-lease", own} == set(selector["values"])


@pytest.mark.parametrize(
    ("metadata", "asked"),
    [
        *(pytest.param({"annotations": {DOMAIN + key: "1"}}, "claims", id=key) for key in SIZES),
        pytest.param({}, None, id="no-annotations"),
        pytest.param({"annotations": {}}, None, id="empty"),
        pytest.param({"annotations": {"example.com/x": ""}}, None, id="others"),
        pytest.param({"annotations": {"foresail.io/gpu-models": "l4"}}, "spelling", id="no-size"),
        pytest.param(
            {"annotations": {"foresail.io/model-paramters": "70B"}}, "spelling", id="misspelt"
        ),
        pytest.param(
            {"annotations": {"foresail.io/gpu-memory": "1Gi", "foresail.io/precison": "fp8"}},
            "claims",
            id="a-size-and-misspelt",
        ),
    ],
)
def test_the_conditions_send_a_pod_that_states_a_size_and_one_that_may_have_meant_to(
    metadata: Manifest, asked: str | None
) -> None:
    made = cel.NewEnv(variables={"object": cel.Type.DYN})
    sent = [
        one["name"].removesuffix(".foresail.io")
        for one in webhooks()
        if all(
            made.compile(condition["expression"])
            .eval(data={"object": {"metadata": metadata}})
            .plain_value()
            is True
            for condition in one["matchConditions"]
        )
    ]
    assert sent == ([] if asked is None else [asked])


def test_a_pod_that_states_no_need_is_let_in_while_the_webhook_is_away() -> None:
    claims, spelling = webhooks()
    assert (spelling["failurePolicy"], spelling["sideEffects"]) == ("Ignore", "None")
    assert spelling["timeoutSeconds"] < claims["timeoutSeconds"]
    for same in ("rules", "namespaceSelector", "clientConfig", "admissionReviewVersions"):
        assert spelling[same] == claims[same]


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


def test_the_rights_are_to_apply_templates_and_to_read_classes() -> None:
    rights = {
        (group, resource): rule["verbs"]
        for rule in only("ClusterRole")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert rights == {
        ("resource.k8s.io", "resourceclaimtemplates"): ["create", "patch"],
        ("resource.k8s.io", "deviceclasses"): ["list", "watch"],
    }
    binding, account = only("ClusterRoleBinding"), only("ServiceAccount")["metadata"]
    assert binding["roleRef"]["name"] == only("ClusterRole")["metadata"]["name"]
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
    ]
    assert pod()["serviceAccountName"] == account["name"]


def judged(after: Manifest, before: Manifest | None = None) -> list[str]:
    """The messages of the policy's validations that do not hold, by Google's CEL runtime."""
    spec = only("ValidatingAdmissionPolicy")["spec"]
    given: Manifest = {"object": after, "oldObject": before}
    variables = {one["name"]: evaluated(one["expression"], {}) for one in spec["variables"]}
    given["variables"] = variables
    return [
        one["message"] for one in spec["validations"] if not evaluated(one["expression"], given)
    ]


def evaluated(expression: str, given: Manifest) -> object:
    environment = cel.NewEnv(variables=dict.fromkeys(given, cel.Type.DYN))
    return environment.compile(expression).eval(data=given).plain_value()


def template(namespace: str = "llm", **metadata: object) -> Manifest:
    made = owned_template({"devices": {}}, namespace=namespace, owner=None)
    return {**made, "metadata": {**made["metadata"], **metadata}}


class TestPolicy:
    """What a webhook that was taken over may still write."""

    def test_a_template_of_the_webhook_is_admitted(self) -> None:
        assert judged(template()) == []
        assert judged(template(), template()) == []

    @pytest.mark.parametrize(
        ("after", "before", "why"),
        [
            pytest.param(template("kube-system"), None, "Kubernetes' own namespaces", id="system"),
            pytest.param(template(name="theirs"), None, "as its own only", id="name"),
            pytest.param(template(labels={}), None, "as its own only", id="no-label"),
            pytest.param(
                template(labels={"app.kubernetes.io/managed-by": "helm"}),
                None,
                "as its own only",
                id="label",
            ),
            pytest.param(template(), template(labels={}), "that it made only", id="taken-over"),
        ],
    )
    def test_other_templates_are_refused(
        self, after: Manifest, before: Manifest | None, why: str
    ) -> None:
        (refusal,) = judged(after, before)
        assert why in refusal

    def test_it_is_about_the_account_of_the_pods(self) -> None:
        (condition,) = only("ValidatingAdmissionPolicy")["spec"]["matchConditions"]
        account = only("ServiceAccount")["metadata"]
        user = f"system:serviceaccount:{account['namespace']}:{account['name']}"

        for name, expected in ((user, True), ("admin", False)):
            given = {"request": {"userInfo": {"username": name}}}
            assert evaluated(condition["expression"], given) is expected
        binding = only("ValidatingAdmissionPolicyBinding")["spec"]
        assert binding["policyName"] == only("ValidatingAdmissionPolicy")["metadata"]["name"]
        assert binding["validationActions"] == ["Deny"]


# The process that answers.


def pod() -> Manifest:
    return dict(only("Deployment")["spec"]["template"]["spec"])


def container() -> Manifest:
    (found,) = pod()["containers"]
    return dict(found)


def options() -> dict[str, str]:
    """Of `foresail webhook`, by name."""
    _, *arguments = container()["args"]
    return dict(one.split("=", 1) for one in arguments)


@pytest.mark.parametrize(
    "kind",
    [
        "Deployment",
        "Service",
        "ServiceAccount",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ],
)
def test_kubernetes_knows_every_field(kind: str) -> None:
    assert list(unknown_fields(only(kind), f"V1{kind}")) == []


def test_the_command_takes_its_arguments(tmp_path: Path) -> None:
    """Everything but a cluster: the options are checked before one is looked for."""
    no_cluster = ["--kubeconfig", str(tmp_path / "none")]
    result = CliRunner().invoke(main, [*container()["args"], *no_cluster])

    assert result.exit_code == 1
    assert "no cluster to follow" in result.output


def test_the_webhook_is_ready_by_itself() -> None:
    """Its pod has no other container, and its probes ask no extender."""
    ports = {one["name"]: one["containerPort"] for one in container()["ports"]}

    assert options()["--http"].rpartition(":")[2] == str(ports["http"])
    assert options()["--listen"].rpartition(":")[2] == str(ports["webhook"])
    assert container()["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert container()["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    labels = only("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert only("Service")["spec"]["selector"] == labels
    assert only("Service")["spec"]["ports"][0]["targetPort"] == "webhook"
    assert only("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    scheduler = [one for one in documents_of("scheduler.yaml") if one["kind"] == "Deployment"]
    assert labels not in [one["spec"]["selector"]["matchLabels"] for one in scheduler]


def test_only_the_api_servers_certificate_is_answered() -> None:
    (mount,) = container()["volumeMounts"]
    secrets = {one["name"]: one["secret"]["secretName"] for one in pod()["volumes"]}
    (client,) = (
        one["spec"]
        for one in documents_of("certificates.yaml")
        if one["metadata"]["name"] == "foresail-apiserver"
    )

    assert secrets == {mount["name"]: "foresail-webhook"}
    folder = mount["mountPath"]
    assert options()["--tls-certificate"] == f"{folder}/tls.crt"
    assert options()["--tls-key"] == f"{folder}/tls.key"
    assert options()["--client-ca"] == f"{folder}/ca.crt"
    assert options()["--client-name"] == client["commonName"]
    assert client["usages"] == ["client auth"]
    assert "--any-client" not in options()


def test_the_network_reaches_the_webhooks_port_and_prometheus_the_pages() -> None:
    policy = only("NetworkPolicy")["spec"]
    labels = only("Deployment")["spec"]["template"]["metadata"]["labels"]
    asked, scraped = policy["ingress"]

    assert policy["podSelector"]["matchLabels"] == labels
    assert policy["policyTypes"] == ["Ingress"]
    assert asked == {"ports": [{"port": "webhook"}]}
    assert scraped["ports"] == [{"port": "http"}]
    assert list(scraped["from"][0]) == ["namespaceSelector"]


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
