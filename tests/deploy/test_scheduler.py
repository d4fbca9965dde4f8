"""The second scheduler: to Kubernetes, to kube-scheduler, to Foresail, and to each other."""

from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from fleet.cluster.kinds import SOURCES
from foresail.cli import main
from foresail.scheduling import SchedulerOptions
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


def test_the_webhook_listens_with_the_certificate_of_its_secret() -> None:
    foresail = containers()["foresail"]
    (port,) = [one for one in foresail["ports"] if one["name"] == "webhook"]
    (mount,) = foresail["volumeMounts"]
    pod = named("Deployment", "foresail-scheduler")["spec"]["template"]["spec"]
    secrets = {one["name"]: one["secret"] for one in pod["volumes"] if "secret" in one}

    assert options()["--webhook"].rpartition(":")[2] == str(port["containerPort"])
    assert options()["--tls-certificate"] == f"{mount['mountPath']}/tls.crt"
    assert options()["--tls-key"] == f"{mount['mountPath']}/tls.key"
    # Not optional: without its files `foresail scheduler` would not start.
    assert secrets == {"webhook": {"secretName": "foresail-webhook"}}


def test_what_is_followed_may_be_read_and_nothing_else() -> None:
    rules = named("ClusterRole", "foresail-extender")["rules"]
    granted = {(group, kind) for one in rules for group in one["apiGroups"]
               for kind in one["resources"]}  # fmt: skip
    followed = set()
    for path in (SOURCES[kind].path for kind in KINDS):
        *_, group, _version, kind = path.split("/") if "/apis/" in path else ("", "", "", path[8:])
        followed.add((group, kind))

    assert followed <= granted
    assert {verb for one in rules for verb in one["verbs"]} == {"list", "watch"}


def test_the_lease_that_may_be_written_is_the_one_that_is_used() -> None:
    _, rule = named("Role", "foresail-scheduler")["rules"]
    election = configuration()["leaderElection"]

    assert rule["resourceNames"] == [election["resourceName"]]
    assert (
        named("Role", "foresail-scheduler")["metadata"]["namespace"]
        == (election["resourceNamespace"])
    )


def test_every_right_goes_to_the_account_of_the_pods() -> None:
    account = named("ServiceAccount", "foresail-scheduler")["metadata"]
    subject = {"kind": "ServiceAccount", "name": account["name"], "namespace": "foresail"}
    bindings = [one for one in DOCUMENTS if one["kind"].endswith("RoleBinding")]
    pod = named("Deployment", "foresail-scheduler")["spec"]["template"]["spec"]

    assert [one["subjects"] for one in bindings] == [[subject]] * 5
    assert pod["serviceAccountName"] == account["name"]
    # It must not wait for itself.
    assert pod["schedulerName"] != configuration()["profiles"][0]["schedulerName"]


def test_the_configuration_is_mounted_where_kube_scheduler_looks() -> None:
    scheduler = containers()["kube-scheduler"]
    (mount,) = scheduler["volumeMounts"]

    assert scheduler["command"][1] == f"--config={mount['mountPath']}/scheduler.yaml"
