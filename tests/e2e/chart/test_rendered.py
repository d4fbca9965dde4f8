"""What the chart renders, under every values file: the rules of a linter, and ours."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from foresail.cli import main
from tests.deploy.schema import unknown_fields
from tests.e2e.chart.helm import (
    CHART,
    RELEASE,
    VALUES,
    Helm,
    HelmError,
    Object,
    name_of,
    objects_of,
    of_kind,
    pods,
    rules,
)

pytestmark = pytest.mark.looptime(False)  # helm lives in real time

EVERYTHING = CHART / "ci" / "everything.yaml"
SCALER = CHART / "ci" / "scaler-only.yaml"
OBSERVE = CHART / "ci" / "observe.yaml"
CHART_MADE = CHART / "ci" / "chart-certificates.yaml"
CONSOLE = CHART / "ci" / "console.yaml"
EXISTING = CHART / "ci" / "existing-certificates.yaml"
EXTERNAL_METRICS = CHART / "ci" / "external-metrics.yaml"
MADE_ELSEWHERE = {"kube-root-ca.crt", "foresail-console", "foresail-mlflow"}
HPA_CONTROLLER = ("horizontal-pod-autoscaler", "kube-system")


@pytest.fixture(params=VALUES, ids=lambda path: path.stem)
def objects(helm: Helm, request: pytest.FixtureRequest) -> tuple[Object, ...]:
    return helm.rendered(request.param)


def containers(objects: tuple[Object, ...]) -> Iterator[tuple[str, Object]]:
    for maker, pod in pods(objects):
        for one in (*pod["spec"]["containers"], *pod["spec"].get("initContainers", ())):
            yield f"{name_of(maker)}: {one['name']}", one


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_helm_finds_no_fault(helm: Helm, values: Path) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART), "-f", str(values))


def test_the_scaler_alone_takes_no_more_than_ten_lines() -> None:
    assert len(SCALER.read_text().splitlines()) <= 10


def test_a_revision_without_the_controller_has_no_hook_and_mode_act_says_what_follows(
    helm: Helm,
) -> None:
    """Helm runs the hooks of the revision that a rollback goes back to."""

    def notes(*more: str) -> str:
        install = ("install", RELEASE, str(CHART), "-n", RELEASE, "--dry-run=client", *more)
        told = helm(*install, "-f", str(EVERYTHING))
        return " ".join(told.rpartition("NOTES:")[2].split())

    assert "helm.sh/hook: " not in helm.template(SCALER).replace("helm.sh/hook: test", "")
    warning = "a rollback to a revision without it does not"
    assert warning in notes("--set", "controller.mode=act")
    assert warning not in notes("--set", "controller.mode=advise")


def test_the_scaler_alone_needs_only_a_prometheus(helm: Helm) -> None:
    with pytest.raises(HelmError, match=r"prometheus\.url is missing"):
        helm("template", RELEASE, str(CHART))
    helm("template", RELEASE, str(CHART), "--set", "prometheus.url=http://prometheus:9090")


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("controller.mode=acts", "controller/mode"),
        ("serve.replicas=0", "serve/replicas"),
        ("contoller.enabled=true", "contoller"),
        ("image.digest=latest", "image/digest"),
        ("keda.triggerAuthentication.kind=TriggerAuthentication", "namespaces"),
    ],
)
def test_a_value_that_cannot_be_meant_is_named(helm: Helm, setting: str, told: str) -> None:
    with pytest.raises(HelmError, match=told):
        helm("template", RELEASE, str(CHART), "-f", str(SCALER), "--set", setting)


def test_every_field_is_known_to_kubernetes(objects: tuple[Object, ...]) -> None:
    known = [
        (name_of(one), list(unknown_fields(one, f"V1{one['kind']}")))
        for one in objects
        if "." not in one["apiVersion"].partition("/")[0] or one["apiVersion"].endswith("k8s.io/v1")
    ]
    assert len(known) >= 10
    assert [one for one in known if one[1]] == []


def test_no_two_objects_are_the_same(objects: tuple[Object, ...]) -> None:
    names = [name_of(one) for one in objects]
    assert len(names) == len(set(names))


# Pods.


def test_no_pod_has_more_of_its_node_than_it_needs(objects: tuple[Object, ...]) -> None:
    for maker, pod in pods(objects):
        spec = pod["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name_of(maker)
        assert [one for one in spec.get("volumes", ()) if "hostPath" in one] == [], name_of(maker)
        security = spec["securityContext"]
        assert (security["runAsNonRoot"], security["runAsUser"]) == (True, 65532), name_of(maker)
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name_of(maker)


def test_every_container_is_restricted(objects: tuple[Object, ...]) -> None:
    restricted = {
        "runAsNonRoot": True,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {name: one["securityContext"] for name, one in containers(objects)} == {
        name: restricted for name, _ in containers(objects)
    }


def test_every_container_says_what_it_takes_and_has_an_end_of_memory(
    objects: tuple[Object, ...],
) -> None:
    for name, one in containers(objects):
        assert {"cpu", "memory"} <= one["resources"]["requests"].keys(), name
        assert "memory" in one["resources"]["limits"], name


def test_every_image_has_a_version(objects: tuple[Object, ...]) -> None:
    for name, one in containers(objects):
        _, _, tag = one["image"].rpartition(":")
        assert tag, name
        assert tag != "latest", name
        assert "/" not in tag, name


def test_an_image_by_digest_has_no_tag(helm: Helm) -> None:
    digest = "sha256:" + "0" * 64
    made = helm.rendered(SCALER, "--set", f"image.digest={digest}", "--set", "image.tag=v1")
    assert {one["image"] for _, one in containers(made)} == {f"registry.example/foresail@{digest}"}


def test_what_serves_is_probed(objects: tuple[Object, ...]) -> None:
    for maker in of_kind(objects, "Deployment"):
        for one in maker["spec"]["template"]["spec"]["containers"]:
            ports = {port["name"] for port in one["ports"]}
            for probe in ("readinessProbe", "livenessProbe"):
                assert one[probe]["httpGet"]["port"] in ports, (name_of(maker), one["name"])


def test_what_serves_is_there_twice_apart_and_not_disrupted_at_once(
    objects: tuple[Object, ...],
) -> None:
    kept = [one["spec"]["selector"] for one in of_kind(objects, "PodDisruptionBudget")]
    for maker in of_kind(objects, "Deployment"):
        spec = maker["spec"]
        assert spec["replicas"] >= 2, name_of(maker)
        assert spec["selector"] in kept, name_of(maker)
        pod = spec["template"]["spec"]
        (term,) = pod["affinity"]["podAntiAffinity"][
            "preferredDuringSchedulingIgnoredDuringExecution"
        ]
        (spread,) = pod["topologySpreadConstraints"]
        assert term["podAffinityTerm"]["labelSelector"] == spec["selector"], name_of(maker)
        assert spread["labelSelector"] == spec["selector"], name_of(maker)


def test_serve_drains_before_it_stops(helm: Helm) -> None:
    (serve,) = of_kind(helm.rendered(SCALER), "Deployment")
    pod = serve["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    seconds = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert 0 < seconds < pod["terminationGracePeriodSeconds"]
    assert serve["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_a_change_of_the_settings_makes_new_pods(helm: Helm) -> None:
    def sums(*more: str) -> list[str]:
        return [
            maker["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]
            for maker in of_kind(helm.rendered(SCALER, *more), "Deployment")
        ]

    assert sums() == sums("--set", "image.tag=v2")
    assert sums() != sums("--set", "settings.cycle.period=30s")


def test_a_change_of_the_prices_makes_new_pods_of_the_controller(helm: Helm) -> None:
    def summed(*more: str) -> str:
        made = of_kind(helm.rendered(EVERYTHING, *more), "Deployment")
        (one,) = [one for one in made if one["metadata"]["name"] == "foresail-controller"]
        return str(one["spec"]["template"]["metadata"]["annotations"]["checksum/prices"])

    assert summed() == summed("--set", "image.tag=v2")
    assert summed() != summed("--set-json", "controller.prices.h200=3.1")


# What they refer to.


def test_every_service_and_policy_selects_a_pod(objects: tuple[Object, ...]) -> None:
    labels = [pod["metadata"]["labels"] for _, pod in pods(objects) if "labels" in pod["metadata"]]
    selectors = {name_of(one): one["spec"]["selector"] for one in of_kind(objects, "Service")} | {
        name_of(one): one["spec"]["podSelector"]["matchLabels"]
        for one in of_kind(objects, "NetworkPolicy")
    }
    for name, selector in selectors.items():
        assert [one for one in labels if selector.items() <= one.items()], name


def test_every_port_of_a_service_or_policy_is_a_containers(objects: tuple[Object, ...]) -> None:
    for one in of_kind(objects, "Service", "NetworkPolicy"):
        spec = one["spec"]
        if one["kind"] == "Service":
            selector, asked = spec["selector"], {port["targetPort"] for port in spec["ports"]}
        else:
            selector = spec["podSelector"]["matchLabels"]
            asked = {port["port"] for rule in spec.get("ingress", ()) for port in rule["ports"]}
        served = {
            port["name"]
            for _, pod in pods(objects)
            if selector.items() <= pod["metadata"].get("labels", {}).items()
            for container in pod["spec"]["containers"]
            for port in container.get("ports", ())
        }
        # A number is of networkPolicy.serveIngress: the port of a source that the installer adds.
        assert {port for port in asked if isinstance(port, str)} <= served, name_of(one)


def test_every_object_that_a_pod_names_exists(objects: tuple[Object, ...]) -> None:
    for maker, pod in pods(objects):
        for kind, name in _named_by(pod["spec"]):
            assert name in _names(objects, kind), f"{name_of(maker)}: {kind} {name}"


def _named_by(spec: Object) -> Iterator[tuple[str, str]]:
    if "serviceAccountName" in spec:
        yield "ServiceAccount", spec["serviceAccountName"]
    for volume in spec.get("volumes", ()):
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"]
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        for source in volume.get("projected", {}).get("sources", ()):
            if "configMap" in source:
                yield "ConfigMap", source["configMap"]["name"]


def _names(objects: tuple[Object, ...], kind: str) -> set[str]:
    """Of one kind; Secrets are made by cert-manager too, or by hand (docs/install.md)."""
    found = {one["metadata"]["name"] for one in of_kind(objects, kind)}
    if kind == "Secret":
        found |= {one["spec"]["secretName"] for one in of_kind(objects, "Certificate")}
        if not of_kind(objects, "Certificate") and "foresail-ca" not in found:
            found |= {"foresail-server", "foresail-plans-client", "foresail-webhook"}
    return found | MADE_ELSEWHERE


def test_every_binding_is_of_a_role_and_an_account_of_the_chart(
    objects: tuple[Object, ...],
) -> None:
    roles = {(one["kind"], one["metadata"]["name"]) for one, _ in rules(objects)}
    shipped = {
        ("ClusterRole", "system:kube-scheduler"),
        ("ClusterRole", "system:volume-scheduler"),
        ("Role", "extension-apiserver-authentication-reader"),
    }
    for one in of_kind(objects, "RoleBinding", "ClusterRoleBinding"):
        reference = one["roleRef"]
        assert (reference["kind"], reference["name"]) in roles | shipped, name_of(one)
        for subject in one["subjects"]:
            if (subject["name"], subject["namespace"]) == HPA_CONTROLLER:
                assert one["metadata"]["name"] == "foresail-external-metrics-reader"
                continue
            assert subject["name"] in _names(objects, "ServiceAccount"), name_of(one)
            assert subject["namespace"] == RELEASE, name_of(one)


# The console, MLflow, and plain HPAs.


def _of_controller(objects: tuple[Object, ...]) -> tuple[Object, Object, Object]:
    """Its container, its Service's ports and its policy's ingress."""
    name = "foresail-controller"
    (pod,) = [pod for maker, pod in pods(objects) if maker["metadata"]["name"] == name]
    (service,) = [one for one in of_kind(objects, "Service") if one["metadata"]["name"] == name]
    (policy,) = [
        one for one in of_kind(objects, "NetworkPolicy") if one["metadata"]["name"] == name
    ]
    (container,) = pod["spec"]["containers"]
    return container, service["spec"]["ports"], policy["spec"]


def test_the_console_is_for_port_forward_alone_unless_a_token_is_named(helm: Helm) -> None:
    on = ("--set", "controller.enabled=true,controller.console.enabled=true")
    container, ports, policy = _of_controller(helm.rendered(SCALER, *on))
    assert "--console=127.0.0.1:8081" in container["args"]
    assert [one["name"] for one in ports] == ["http"]
    assert [one["ports"] for one in policy["ingress"]] == [[{"port": "http", "protocol": "TCP"}]]

    container, ports, policy = _of_controller(helm.rendered(CONSOLE))
    assert "--console=0.0.0.0:8081" in container["args"]
    assert "--console-token-file=/etc/foresail-console/token" in container["args"]
    assert [one["name"] for one in ports] == ["http", "console"]
    (_, console) = policy["ingress"]
    assert console["ports"] == [{"port": "console", "protocol": "TCP"}]
    assert len(console["from"]) == 1

    (service,) = [one for one in of_kind(helm.rendered(CONSOLE), "Service")
                  if one["metadata"]["name"] == "foresail-controller"]  # fmt: skip
    # The page's WebSocket has to come to the pod that made the page.
    assert service["spec"]["sessionAffinity"] == "ClientIP"

    with pytest.raises(HelmError, match=r"controller\.console\.tokenSecret is missing"):
        helm.rendered(CONSOLE, "--set", "controller.console.tokenSecret=")


def test_mlflow_is_asked_with_its_token_over_a_way_that_is_named(helm: Helm) -> None:
    container, _, policy = _of_controller(helm.rendered(CONSOLE))
    assert container["args"][-4:] == [
        "--mlflow=http://mlflow.mlflow.svc:5000",
        "--mlflow-token-file=/etc/foresail-mlflow/token",
        "--mlflow-experiment=pretraining",
        "--mlflow-experiment=fine tuning",
    ]
    (to,) = policy["egress"][-1]["to"]
    assert to == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "mlflow"}}}
    with pytest.raises(HelmError, match=r"controller\.mlflow\.egress is missing: the rules that"):
        helm.rendered(CONSOLE, "--set-json", "controller.mlflow.egress=[]")


@pytest.mark.parametrize("source", ["chart", "certManager", "existing"])
def test_a_plain_hpa_gets_its_api_and_keda_nothing(helm: Helm, source: str) -> None:
    authority = "Y2E=" if source == "existing" else ""
    more = f"certificates.source={source},certificates.webhookCa={authority}"
    made = helm.rendered(EXTERNAL_METRICS, "--set", more)
    (api,) = of_kind(made, "APIService")
    settings = _settings(made)
    service = api["spec"]["service"]
    assert settings["externalMetrics"]["service"] == f"{service['namespace']}/{service['name']}"
    by_manager = source == "certManager"
    injected = "cert-manager.io/inject-ca-from" in api["metadata"].get("annotations", {})
    assert (injected, "caBundle" in api["spec"]) == (by_manager, not by_manager)
    assert of_kind(made, "TriggerAuthentication", "ClusterTriggerAuthentication") == []
    assert {one["metadata"].get("namespace", RELEASE) for one in made} == {RELEASE}
    assert settings["tls"]["clientNames"] == ["foresail.foresail.svc"]
    (deployment,) = of_kind(made, "Deployment")
    assert deployment["spec"]["template"]["spec"]["automountServiceAccountToken"] is True
    granted = {(rule["resources"][0], *rule["verbs"]) for _, rule in rules(made)}
    assert granted == {("foresail-replicas", "get", "list"), ("apiservices", "get")}


def test_the_front_proxys_authority_is_asked_for_where_it_cannot_be_looked_up(helm: Helm) -> None:
    with pytest.raises(HelmError, match=r"externalMetrics\.frontProxyCa is missing"):
        helm.rendered(EXTERNAL_METRICS, "--set", "externalMetrics.frontProxyCa=")


@pytest.mark.parametrize("values", [EXTERNAL_METRICS, EXISTING], ids=lambda path: path.stem)
def test_the_authority_of_existing_certificates_is_asked_for(helm: Helm, values: Path) -> None:
    with pytest.raises(
        HelmError, match=r"certificates\.webhookCa is missing: with source existing"
    ):
        helm.rendered(values, "--set", "certificates.source=existing,certificates.webhookCa=")


# Rights.


def test_no_role_has_a_wildcard_or_reads_secrets(objects: tuple[Object, ...]) -> None:
    for role, rule in rules(objects):
        assert "*" not in {*rule["verbs"], *rule["resources"], *rule["apiGroups"]}, name_of(role)
        assert "secrets" not in rule["resources"], name_of(role)
        assert not {"escalate", "bind", "impersonate"} & {*rule["verbs"]}, name_of(role)


def test_only_mode_act_may_write_anything_but_events_and_a_lease(helm: Helm) -> None:
    def written(mode: str) -> set[tuple[str, str]]:
        made = helm.rendered(EVERYTHING, "--set", f"controller.mode={mode}")
        return {
            (resource, verb)
            for role, rule in rules(made)
            if role["metadata"]["name"].startswith("foresail-controller")
            for resource in rule["resources"]
            for verb in set(rule["verbs"]) - {"get", "list", "watch"}
        }

    told = {("events", "create"), ("leases", "create"), ("leases", "update")}
    assert written("observe") == set()
    assert written("advise") == told
    assert written("act") == told | {
        ("nodes", "patch"),
        ("pods", "patch"),
        ("nodeclaims", "delete"),
        ("nodepools", "patch"),
        ("nodepools/scale", "patch"),
        *((kind, verb) for kind in ("capacitybuffers", "podtemplates", "deployments")
          for verb in ("create", "patch", "delete")),
        *(("priorityclasses", verb) for verb in ("create", "patch", "delete")),
    }  # fmt: skip


def test_a_lever_that_is_left_out_takes_its_rights_along(helm: Helm) -> None:
    off = [f"controller.levers.{one}=false" for one in ("nodeRelease", "staticPool", "quietHours")]
    made = helm.rendered(EVERYTHING, "--set", ",".join(off))
    granted = {
        (resource, verb)
        for role, rule in rules(made)
        if role["metadata"]["name"] == "foresail-controller-act"
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert ("nodes", "patch") in granted
    assert not {one for one, _ in granted} & {"nodeclaims", "nodepools", "nodepools/scale"}


def test_what_a_lever_wrote_that_is_left_out_is_taken_back(helm: Helm) -> None:
    def job(*off: str) -> list[tuple[str, list[str]]]:
        values = [f"controller.levers.{one}=false" for one in off]
        made = helm.rendered(EVERYTHING, "--set", ",".join(["controller.mode=act", *values]))
        return [
            (one["metadata"]["annotations"]["helm.sh/hook"], pod["spec"]["containers"][0]["args"])
            for one, pod in pods(made)
            if one["kind"] == "Job"
        ]

    whole = ("post-delete", ["controller", "--withdraw"])
    assert job() == [whole]
    # The controller itself can still take back what both wrote.
    assert job("nodeHold", "quietHours") == [whole]
    named = ["--lever=nodeHold", "--lever=nodeRelease", "--lever=placeholder"]
    assert job("placeholder", "nodeHold", "nodeRelease") == [
        whole,
        ("post-rollback", ["controller", "--withdraw", *named]),
    ]


def test_serve_has_no_token_of_the_api_server(helm: Helm) -> None:
    made = helm.rendered(SCALER)
    (account,) = of_kind(made, "ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    for _, pod in pods(made):
        assert pod["spec"]["automountServiceAccountToken"] is False
    assert list(rules(made)) == []


def test_token_reviews_have_the_rights_the_token_and_the_way_that_they_need(helm: Helm) -> None:
    made = helm.rendered(SCALER, "--set", "settings.listen.tokenReview=true")
    assert [rule for _, rule in rules(made)] == [
        {
            "apiGroups": ["authentication.k8s.io"],
            "resources": ["tokenreviews"],
            "verbs": ["create"],
        },
        {
            "apiGroups": ["authorization.k8s.io"],
            "resources": ["subjectaccessreviews"],
            "verbs": ["create"],
        },
    ]
    (binding,) = of_kind(made, "ClusterRoleBinding")
    (deployment,) = of_kind(made, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert [one["name"] for one in binding["subjects"]] == [pod["serviceAccountName"]]
    assert pod["automountServiceAccountToken"] is True
    (policy,) = of_kind(made, "NetworkPolicy")
    ports = [one["port"] for rule in policy["spec"]["egress"] for one in rule.get("ports", ())]
    assert {443, 6443} <= set(ports)


# The network, and certificates.


def test_who_has_pods_has_a_policy_of_both_directions(objects: tuple[Object, ...]) -> None:
    policies = [one["spec"] for one in of_kind(objects, "NetworkPolicy")]
    for maker in of_kind(objects, "Deployment", "DaemonSet"):
        (policy,) = [one for one in policies if one["podSelector"] == maker["spec"]["selector"]]
        assert policy["policyTypes"] == ["Ingress", "Egress"], name_of(maker)
        assert policy["egress"], name_of(maker)


@pytest.mark.parametrize("source", ["chart", "certManager"])
def test_certificates_that_are_renewed_before_they_begin_are_refused(
    helm: Helm, source: str
) -> None:
    short = f"certificates.source={source},certificates.days=30"
    with pytest.raises(HelmError, match=r"renewBeforeDays \(60\) has to be less than .*\(30\)"):
        helm.rendered(SCALER, "--set", short)
    helm.rendered(SCALER, "--set", f"{short},certificates.renewBeforeDays=29")
    helm.rendered(EXISTING, "--set", "certificates.days=30")


def test_only_named_clients_may_ask(helm: Helm) -> None:
    for values in (SCALER, EVERYTHING, CHART_MADE):
        made = helm.rendered(values)
        settings = _settings(made)
        assert settings["tls"]["clientCa"] == "/etc/foresail-tls/ca.crt"
        assert settings["tls"]["clientNames"][:2] == [
            "keda-operator.keda.svc",
            "foresail.foresail.svc",
        ]
        assert [one["name"] for one in settings["plans"]["readers"]] == [
            "foresail-plans-client.foresail.svc"
        ]


def test_keda_of_one_namespace_finds_its_certificate_there(helm: Helm) -> None:
    only = "keda.triggerAuthentication.kind=TriggerAuthentication"
    where = "keda.triggerAuthentication.namespaces={llm,team-a}"
    made = helm.rendered(SCALER, "--set", only, "--set", where)
    for namespace in ("llm", "team-a"):
        (one,) = [one for one in of_kind(made, "TriggerAuthentication")
                  if one["metadata"]["namespace"] == namespace]  # fmt: skip
        names = {reference["name"] for reference in one["spec"]["secretTargetRef"]}
        there = {secret["metadata"]["name"] for secret in of_kind(made, "Secret")
                 if secret["metadata"]["namespace"] == namespace}  # fmt: skip
        assert names == there == {"foresail-keda-client"}


def _settings(objects: tuple[Object, ...]) -> Object:
    (found,) = [one for one in of_kind(objects, "ConfigMap") if "foresail.yaml" in one["data"]]
    return dict(yaml.safe_load(found["data"]["foresail.yaml"]))


def test_the_settings_are_in_order(helm: Helm, tmp_path: Path) -> None:
    for values in VALUES:
        if values == OBSERVE:
            continue
        file = tmp_path / "foresail.yaml"
        file.write_text(yaml.safe_dump(_settings(helm.rendered(values))))
        result = CliRunner().invoke(main, ["check-config", str(file)])
        assert (result.exit_code, values.stem) == (0, values.stem), result.output


def test_what_settings_say_goes_before_what_the_chart_says(helm: Helm) -> None:
    more = ("--set", "settings.listen.http=127.0.0.1:8080", "--set", "settings.cycle.period=30s")
    made = _settings(helm.rendered(SCALER, *more))
    assert made["listen"] == {"grpc": "0.0.0.0:6500", "http": "127.0.0.1:8080"}
    assert made["cycle"] == {"period": "30s"}


def test_every_command_takes_its_arguments(objects: tuple[Object, ...]) -> None:
    for name, one in containers(objects):
        if one["name"] != "kube-scheduler":
            result = CliRunner().invoke(main, [*one["args"], "--help"])
            assert result.exit_code == 0, f"{name}: {result.output}"


def test_the_alerts_are_those_of_the_file_and_their_links_follow_the_documentation(
    helm: Helm,
) -> None:
    (rule,) = of_kind(helm.rendered(EVERYTHING), "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())

    docs = "monitoring.rules.docsUrl=https://docs.example/foresail/"
    (rule,) = of_kind(helm.rendered(EVERYTHING, "--set", docs), "PrometheusRule")
    links = [one["annotations"]["runbook_url"] for one in rule["spec"]["groups"][0]["rules"]]
    assert {one.partition("#")[0] for one in links} == {"https://docs.example/foresail/runbook.md"}


def test_alerts_of_absence_are_of_what_the_release_runs(helm: Helm) -> None:
    def absences(values: Path) -> set[str]:
        (rule,) = of_kind(
            helm.rendered(values, "--set", "monitoring.rules.enabled=true"), "PrometheusRule"
        )
        names = {one["alert"] for one in rule["spec"]["groups"][0]["rules"]}
        return names & {"ForesailAbsent", "ForesailControllerAbsent"}

    assert absences(EVERYTHING) == {"ForesailAbsent", "ForesailControllerAbsent"}
    assert absences(SCALER) == {"ForesailAbsent"}
    assert absences(OBSERVE) == {"ForesailControllerAbsent"}


def test_a_monitor_keeps_the_namespace_of_a_workload(helm: Helm) -> None:
    monitors = of_kind(helm.rendered(EVERYTHING), "PodMonitor")
    assert {one["spec"]["podMetricsEndpoints"][0]["honorLabels"] for one in monitors} == {True}


def test_dashboards_and_alerts_are_picked_up_when_they_are_there(
    helm: Helm, tmp_path: Path
) -> None:
    copy = tmp_path / "foresail"
    shutil.copytree(CHART, copy)
    (copy / "files" / "dashboards").mkdir(exist_ok=True)
    (copy / "files" / "dashboards" / "probe.json").write_text('{"title": "{{ job }}"}')
    groups = {"groups": [{"name": "probe", "rules": [{"alert": "A", "expr": "up == 0",
              "annotations": {"summary": "{{ $labels.job }} is down"}}]}]}  # fmt: skip
    (copy / "files" / "alerts.yaml").write_text(yaml.safe_dump(groups))
    told = helm("template", RELEASE, str(copy), "-n", RELEASE, "-f", str(EVERYTHING))
    made = objects_of(told)
    (rule,) = of_kind(made, "PrometheusRule")
    assert rule["spec"] == groups
    (board,) = [one for one in of_kind(made, "ConfigMap") if "probe.json" in one["data"]]
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert board["data"]["probe.json"].strip() == '{"title": "{{ job }}"}'
