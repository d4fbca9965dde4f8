"""The second scheduler: to Kubernetes, to kube-scheduler, to Foresail, and to each other."""

from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from fleet.cluster.kinds import SOURCES
from foresail.cli import main
from foresail.placement.scheduling import SchedulerOptions
from scheduler.intake import KINDS
from tests.deploy.examples import SCHEDULER, Manifest
from tests.deploy.schema import unknown_fields

DOCUMENTS: list[Manifest] = list(yaml.safe_load_all(SCHEDULER.read_text()))


def named(kind: str, name: str) -> Manifest:
    (found,) = [one for one in DOCUMENTS if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


def configuration() -> dict[str, Any]:
    text = named("ConfigMap", "foresail-scheduler")["data"]["scheduler.yaml"]
    made: dict[str, Any] = yaml.safe_load(text)
    return made


def containers() -> dict[str, Manifest]:
    pod = named("Deployment", "foresail-scheduler")["spec"]["template"]["spec"]
    return {one["name"]: one for one in pod["containers"]}


def options() -> dict[str, str]:
    """Of `foresail scheduler`, by name."""
    _, *arguments = containers()["foresail"]["args"]
    return dict(one.split("=", 1) for one in arguments)


@pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda one: f"{one['kind']}/{one['metadata']['name']}"
)
def test_kubernetes_knows_every_field(document: Manifest) -> None:
    assert list(unknown_fields(document, f"V1{document['kind']}")) == []


def test_the_extender_is_asked_with_names_and_may_be_away() -> None:
    (extender,) = configuration()["extenders"]

    assert (extender["nodeCacheCapable"], extender["ignorable"]) == (True, True)
    assert (extender["filterVerb"], extender["prioritizeVerb"]) == ("filter", "prioritize")
    # A pod whose GPUs come by a claim has no such resource, and would not be sent.
    assert "managedResources" not in extender
    # Foresail gives order and veto; it binds nothing and evicts nobody.
    assert not {"bindVerb", "preemptVerb"} & set(extender)


def test_no_node_is_left_out_of_a_sample() -> None:
    assert configuration()["percentageOfNodesToScore"] == 100


def test_kube_scheduler_asks_where_foresail_listens() -> None:
    (extender,) = configuration()["extenders"]
    listen = options()["--listen"]

    assert extender["urlPrefix"] == f"http://{listen}"
    assert listen == SchedulerOptions().listen


def test_the_command_takes_its_arguments() -> None:
    result = CliRunner().invoke(main, [*containers()["foresail"]["args"], "--help"])

    assert result.exit_code == 0


def test_probes_ask_the_port_that_is_served() -> None:
    foresail = containers()["foresail"]
    (port,) = [one for one in foresail["ports"] if one["name"] == "http"]

    assert options()["--http"].rpartition(":")[2] == str(port["containerPort"])
    assert foresail["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": port["name"]}
    assert foresail["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": port["name"]}


def test_the_extender_is_reached_over_loopback_only() -> None:
    assert options()["--listen"].rpartition(":")[0] == "127.0.0.1"
    policy = named("NetworkPolicy", "foresail-scheduler")["spec"]
    ports = {port["name"] for one in containers().values() for port in one["ports"]}

    assert policy["policyTypes"] == ["Ingress"]
    assert (
        policy["podSelector"]["matchLabels"]
        == (named("Deployment", "foresail-scheduler")["spec"]["selector"]["matchLabels"])
    )
    (rule,) = policy["ingress"]
    assert {one["port"] for one in rule["ports"]} == ports == {"http", "scheduler"}
    assert list(rule["from"][0]) == ["namespaceSelector"]


def test_the_extender_does_not_have_kube_schedulers_token() -> None:
    pod = named("Deployment", "foresail-scheduler")["spec"]["template"]["spec"]
    volumes = {one["name"]: one for one in pod["volumes"]}
    mounted = {
        name: [volumes[one["name"]] for one in container["volumeMounts"] if one["mountPath"] == AT]
        for name, container in containers().items()
    }

    assert pod["automountServiceAccountToken"] is False
    (kube_scheduler,) = mounted["kube-scheduler"]
    assert {key for one in kube_scheduler["projected"]["sources"] for key in one} == {
        "serviceAccountToken",
        "configMap",
        "downwardAPI",
    }
    (extender,) = mounted["foresail"]
    token = named("Secret", extender["secret"]["secretName"])
    account = token["metadata"]["annotations"]["kubernetes.io/service-account.name"]
    assert token["type"] == "kubernetes.io/service-account-token"
    assert bound_to(account) == ["foresail-extender"]
    assert account != pod["serviceAccountName"]


AT = "/var/run/secrets/kubernetes.io/serviceaccount"


def bound_to(account: str) -> list[str]:
    """The roles that an account has."""
    return [
        one["roleRef"]["name"]
        for one in DOCUMENTS
        if one["kind"].endswith("RoleBinding")
        and one["subjects"]
        == [{"kind": "ServiceAccount", "name": account, "namespace": "foresail"}]
    ]


def test_what_is_followed_may_be_read_and_only_events_may_be_written() -> None:
    rules = named("ClusterRole", "foresail-extender")["rules"]
    granted = {(group, kind): set(one["verbs"]) for one in rules for group in one["apiGroups"]
               for kind in one["resources"]}  # fmt: skip
    followed = set()
    for path in (SOURCES[kind].path for kind in KINDS):
        *_, group, _version, kind = path.split("/") if "/apis/" in path else ("", "", "", path[8:])
        followed.add((group, kind))

    events = ("events.k8s.io", "events")
    assert followed <= granted.keys() - {events}
    assert granted.pop(events) == {"create"}
    assert all(verbs == {"list", "watch"} for verbs in granted.values())


def test_the_lease_that_may_be_written_is_the_one_that_is_used() -> None:
    _, rule = named("Role", "foresail-scheduler")["rules"]
    election = configuration()["leaderElection"]

    assert rule["resourceNames"] == [election["resourceName"]]
    assert (
        named("Role", "foresail-scheduler")["metadata"]["namespace"]
        == (election["resourceNamespace"])
    )


def test_kube_schedulers_rights_go_to_the_account_of_the_pods() -> None:
    pod = named("Deployment", "foresail-scheduler")["spec"]["template"]["spec"]

    assert bound_to(pod["serviceAccountName"]) == [
        "system:kube-scheduler",
        "system:volume-scheduler",
        "extension-apiserver-authentication-reader",
        "foresail-scheduler",
    ]
    # It must not wait for itself.
    assert pod["schedulerName"] != configuration()["profiles"][0]["schedulerName"]


def test_the_configuration_is_mounted_where_kube_scheduler_looks() -> None:
    scheduler = containers()["kube-scheduler"]
    (mount,) = [one for one in scheduler["volumeMounts"] if one["name"] == "configuration"]

    assert scheduler["command"][1] == f"--config={mount['mountPath']}/scheduler.yaml"
