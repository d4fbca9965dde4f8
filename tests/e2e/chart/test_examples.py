"""deploy/examples and the chart say the same: each object there has its like in the chart.

The examples are written by hand, for reading. What must not differ is compared here.
"""

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from tests.deploy.examples import FOLDER, SETTINGS, documents_of
from tests.e2e.chart.helm import CHART, Helm, Object, of_kind

pytestmark = pytest.mark.looptime(False)  # helm lives in real time

SCALER = CHART / "ci" / "scaler-only.yaml"
CERT_MANAGER = CHART / "ci" / "everything.yaml"
CHART_MADE = CHART / "ci" / "chart-certificates.yaml"
PROCESSES = {
    "deployment.yaml": "foresail",
    "controller.yaml": "foresail-controller",
    "scheduler.yaml": "foresail-scheduler",
    "claims-webhook.yaml": "foresail-webhook",
    "agent.yaml": "foresail-agent",
}
MORE_ARGUMENTS = {
    "foresail-controller": {
        "--mode=advise",
        "--plans=foresail.foresail.svc.cluster.local:6501",
        "--plans-ca=/etc/foresail-plans/ca.crt",
        "--plans-certificate=/etc/foresail-plans/tls.crt",
        "--plans-key=/etc/foresail-plans/tls.key",
    }
}
"""That the chart gives beside those of the example."""
Right = tuple[str, str, str, str]


@pytest.fixture
def chart(helm: Helm) -> tuple[Object, ...]:
    return helm.rendered(CHART_MADE)


def named(objects: tuple[Object, ...], name: str, *kinds: str) -> Object:
    (found,) = [one for one in of_kind(objects, *kinds) if one["metadata"]["name"] == name]
    return found


def within(example: Any, chart: Any, at: str = "") -> list[str]:
    """Where the chart has not what the example has; what the chart has beside it is fine."""
    if isinstance(example, Mapping) and isinstance(chart, Mapping):
        absent = [f"{at}.{key}: not in the chart" for key in example.keys() - chart.keys()]
        both = example.keys() & chart.keys()
        return absent + [
            one for key in both for one in within(example[key], chart[key], f"{at}.{key}")
        ]
    if isinstance(example, list) and all(
        isinstance(one, dict) and "name" in one for one in example
    ):
        have = {one["name"]: one for one in chart}
        return [
            fault
            for one in example
            for fault in within(one, have.get(one["name"]), f"{at}[{one['name']}]")
        ]
    return [] if example == chart else [f"{at}: {example!r} is {chart!r} in the chart"]


def without_labels(value: Any) -> Any:
    """Selectors and affinities go by labels, and the chart has more of them."""
    if isinstance(value, Mapping):
        gone = {"matchLabels", "labels", "podSelector"}
        return {key: without_labels(one) for key, one in value.items() if key not in gone}
    if isinstance(value, list):
        return [without_labels(one) for one in value]
    return value


@pytest.mark.parametrize("file", PROCESSES)
def test_pods_are_the_same(chart: tuple[Object, ...], file: str) -> None:
    name = PROCESSES[file]
    theirs = named(tuple(documents_of(file)), name, "Deployment", "DaemonSet")["spec"]
    ours = named(chart, name, "Deployment", "DaemonSet")["spec"]
    for container in theirs["template"]["spec"]["containers"]:
        (like,) = [one for one in ours["template"]["spec"]["containers"]
                   if one["name"] == container["name"]]  # fmt: skip
        more = MORE_ARGUMENTS.get(name, set())
        assert set(container.pop("args", ())) | more == set(like.pop("args", ())) | more
        if container["name"] == "kube-scheduler":  # of the cluster's own version
            container.pop("image")
    assert within(without_labels(theirs), without_labels(ours)) == []


@pytest.mark.parametrize("file", PROCESSES)
def test_services_and_disruption_budgets_are_the_same(chart: tuple[Object, ...], file: str) -> None:
    for kind in ("Service", "PodDisruptionBudget"):
        for one in of_kind(tuple(documents_of(file)), kind):
            like = named(chart, one["metadata"]["name"], kind)["spec"]
            theirs = {key: part for key, part in one["spec"].items() if key != "selector"}
            assert within(without_labels(theirs), without_labels(like)) == []


@pytest.mark.parametrize("file", PROCESSES)
def test_what_may_come_in_is_the_same(chart: tuple[Object, ...], file: str) -> None:
    (theirs,) = of_kind(tuple(documents_of(file)), "NetworkPolicy")
    like = named(chart, theirs["metadata"]["name"], "NetworkPolicy")["spec"]

    def opened(spec: Object) -> set[tuple[str, str]]:
        return {
            (port["port"], str(sorted(_sender(one))))
            for rule in spec.get("ingress", ())
            for port in rule["ports"]
            for one in rule.get("from", [{}])
        }

    assert opened(theirs["spec"]) <= opened(like)
    # The Plans API is the chart's own, and the examples' reader has to add it.
    assert {port for port, _ in opened(like) - opened(theirs["spec"])} <= {"plans"}


def _sender(one: Object) -> list[str]:
    namespace = one.get("namespaceSelector", {}).get("matchLabels", {})
    return [*one, *namespace.values()]


@pytest.mark.parametrize(
    ("files", "mode"),
    [
        (("deployment.yaml", "scheduler.yaml", "claims-webhook.yaml", "agent.yaml"), "advise"),
        (("controller.yaml",), "advise"),
        (("controller.yaml", "controller-act.yaml"), "act"),
    ],
)
def test_accounts_may_do_the_same(helm: Helm, files: tuple[str, ...], mode: str) -> None:
    example = tuple(one for file in files for one in documents_of(file))
    chart = helm.rendered(CHART_MADE, "--set", f"controller.mode={mode}")
    for account in of_kind(example, "ServiceAccount"):
        name = account["metadata"]["name"]
        assert rights_of(example, name) == rights_of(chart, name), name


def rights_of(objects: tuple[Object, ...], account: str) -> set[Right]:
    """Where, what, verb and which names; of roles that are not here, the role."""
    found: set[Right] = set()
    for binding in of_kind(objects, "RoleBinding", "ClusterRoleBinding"):
        if account not in {one["name"] for one in binding["subjects"]}:
            continue
        where = binding["metadata"].get("namespace", "")
        reference = binding["roleRef"]
        roles = [one for one in of_kind(objects, reference["kind"])
                 if one["metadata"]["name"] == reference["name"]]  # fmt: skip
        if not roles:
            found.add((where, "role", reference["name"], ""))
        for rule in (one for role in roles for one in role["rules"]):
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for verb in rule["verbs"]:
                        names = ",".join(rule.get("resourceNames", ()))
                        found.add((where, f"{group}/{resource}", verb, names))
    return found


@pytest.mark.parametrize("file", ["agent.yaml", "claims-webhook.yaml"])
def test_admission_policies_are_the_same(chart: tuple[Object, ...], file: str) -> None:
    for kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"):
        (theirs,) = of_kind(tuple(documents_of(file)), kind)
        assert named(chart, theirs["metadata"]["name"], kind)["spec"] == theirs["spec"]


def test_the_webhook_is_asked_about_the_same_pods(chart: tuple[Object, ...]) -> None:
    kind = "MutatingWebhookConfiguration"
    (theirs,) = of_kind(tuple(documents_of("claims-webhook.yaml")), kind)
    ours = named(chart, theirs["metadata"]["name"], kind)["webhooks"]
    assert all(one["clientConfig"].pop("caBundle") for one in ours)
    assert ours == theirs["webhooks"]


def test_kube_scheduler_is_configured_the_same(chart: tuple[Object, ...]) -> None:
    def configuration(objects: tuple[Object, ...]) -> Any:
        found = named(objects, "foresail-scheduler", "ConfigMap")
        return yaml.safe_load(found["data"]["scheduler.yaml"])

    assert configuration(chart) == configuration(tuple(documents_of("scheduler.yaml")))


def test_the_settings_are_those_of_the_example_and_more(helm: Helm) -> None:
    found = named(helm.rendered(SCALER), "foresail", "ConfigMap")
    ours = yaml.safe_load(found["data"]["foresail.yaml"])
    theirs = yaml.safe_load(SETTINGS.read_text())
    # How it reads is left to defaults, which docs/settings.md has.
    reading = theirs["sources"][0]["prometheus"].pop("reading")
    assert reading == {"window": "60s", "staleAfter": "60s"}
    assert within(theirs, ours) == []


def test_keda_is_let_in_the_same(chart: tuple[Object, ...]) -> None:
    (theirs,) = documents_of("triggerauthentication.yaml")
    ours = named(chart, "foresail", "ClusterTriggerAuthentication")
    assert ours["spec"] == theirs["spec"]


def test_certificates_have_the_names_and_usages_of_the_example(helm: Helm) -> None:
    chart = helm.rendered(CERT_MANAGER)
    for one in of_kind(tuple(documents_of("certificates.yaml")), "Certificate"):
        if one["spec"].get("isCA"):
            continue
        like = named(chart, one["metadata"]["name"], "Certificate")
        assert like["metadata"]["namespace"] == one["metadata"]["namespace"]
        for key in ("secretName", "usages", "dnsNames"):
            if key in one["spec"]:
                assert like["spec"][key] == one["spec"][key]


def test_a_difference_is_found(helm: Helm) -> None:
    (theirs,) = of_kind(tuple(documents_of("deployment.yaml")), "Deployment")
    more = ("--set", "serve.stateSize=1Gi", "--set", "serve.replicas=3")
    ours = named(helm.rendered(SCALER, *more), "foresail", "Deployment")
    assert sorted(within(without_labels(theirs["spec"]), without_labels(ours["spec"]))) == [
        ".replicas: 2 is 3 in the chart",
        ".template.spec.volumes[state].emptyDir.sizeLimit: '2Gi' is '1Gi' in the chart",
    ]


def test_no_example_is_forgotten() -> None:
    compared = {*PROCESSES, "controller-act.yaml", "triggerauthentication.yaml",
                "certificates.yaml", "foresail.yaml"}  # fmt: skip
    of_the_user = {
        "capacitypolicy.yaml",
        "claims-workload.yaml",
        "external-metrics.yaml",
        "fleet.yaml",
        "scaledobject.yaml",
        "triggerauthentication-namespaced.yaml",
    }
    assert {path.name for path in FOLDER.glob("*.yaml")} == compared | of_the_user
