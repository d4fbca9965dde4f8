"""The controller: rights of each mode, probes, and a command that takes its arguments."""

from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from fleet.cluster.kinds import GANG_KINDS, PLANNING_KINDS, SOURCES, Kind
from foresail.cli import main
from foresail.controller.policies_in_force import PATH as POLICIES
from foresail.controller.process import LEASE
from policies.levers.objects import (
    PRIORITY_CLASS,
    buffer_address,
    claim_address,
    deployment_address,
    node_address,
    pool_address,
    template_address,
)
from tests.deploy.examples import Manifest, documents_of
from tests.deploy.schema import unknown_fields

ADVISE, ACT = documents_of("controller.yaml"), documents_of("controller-act.yaml")
Right = tuple[str, str, str]
"""API group, resource and verb."""


def named(kind: str, among: list[Manifest] = ADVISE) -> Manifest:
    (found,) = [one for one in among if one["kind"] == kind]
    return found


def rights(role: Manifest) -> Iterator[Right]:
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    yield group, resource, verb


def container() -> Manifest:
    (found,) = named("Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(found)


@pytest.mark.parametrize(
    "document", [*ADVISE, *ACT], ids=lambda one: f"{one['kind']}/{one['metadata']['name']}"
)
def test_kubernetes_knows_every_field(document: Manifest) -> None:
    assert list(unknown_fields(document, f"V1{document['kind']}")) == []


def test_in_mode_advise_it_reads_what_it_follows_and_creates_events() -> None:
    followed = set()
    paths = [SOURCES[kind].path for kind in (*PLANNING_KINDS, Kind.SCALED_OBJECT)]
    for path in (*paths, POLICIES):
        *_, group, _version, resource = path.split("/") if "/apis/" in path else ("", "", path[8:])
        followed |= {(group, resource, "list"), (group, resource, "watch")}

    assert set(rights(named("ClusterRole"))) == followed | {("events.k8s.io", "events", "create")}


def test_no_mode_may_write_a_job_or_what_kueue_admits() -> None:
    groups = {SOURCES[kind].path.split("/")[2] for kind in GANG_KINDS}
    roles = [one for one in (*ADVISE, *ACT) if one["kind"] in {"Role", "ClusterRole"}]
    written = {
        group for role in roles for group, _, verb in rights(role) if verb not in {"list", "watch"}
    }
    assert {"kueue.x-k8s.io", "jobset.x-k8s.io", "trainer.kubeflow.org"} <= groups
    assert not groups & written - {PRIORITY_CLASS.group}  # that has podgroups too


def test_the_lease_that_may_be_written_is_the_one_that_is_used() -> None:
    create, rest = named("Role")["rules"]
    assert (create["verbs"], create["resources"]) == (["create"], ["leases"])
    assert (rest["verbs"], rest["resourceNames"]) == (["get", "update"], [LEASE])


def test_what_levers_write_may_be_written_in_mode_act() -> None:
    granted = set(rights(named("ClusterRole", ACT)))
    own = set(rights(named("Role", ACT)))

    for address in (node_address("a"), pool_address("a")):
        assert (address.group, address.resource, "patch") in granted
    claims = claim_address("a")
    assert (claims.group, claims.resource, "delete") in granted
    assert ("", "pods", "patch") in granted
    assert (claims.group, "nodepools/scale", "patch") in granted
    for verb in ("get", "create", "patch", "delete"):
        assert (PRIORITY_CLASS.group, PRIORITY_CLASS.resource, verb) in granted
    for made in (buffer_address, deployment_address, template_address):
        address = made("foresail", "a")
        for verb in ("list", "create", "patch", "delete"):
            assert (address.group, address.resource, verb) in own


def test_outside_of_its_namespace_little_can_be_deleted_and_no_pod_be_made() -> None:
    granted = set(rights(named("ClusterRole", ACT)))

    assert {one for one in granted if one[2] == "delete"} == {
        ("karpenter.sh", "nodeclaims", "delete"),
        ("scheduling.k8s.io", "priorityclasses", "delete"),
    }
    assert {one for one in granted if one[2] == "create"} == {
        ("scheduling.k8s.io", "priorityclasses", "create")
    }
    names = [
        one.get("resourceNames")
        for one in named("ClusterRole", ACT)["rules"]
        if "delete" in one["verbs"] and one["resources"] == ["priorityclasses"]
    ]
    assert names == [[PRIORITY_CLASS.name]]


def test_all_rights_go_to_the_account_of_the_pods() -> None:
    account = named("Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
    subject = {"kind": "ServiceAccount", "name": account, "namespace": "foresail"}
    bindings = [one for one in (*ADVISE, *ACT) if one["kind"].endswith("RoleBinding") or
                one["kind"] == "RoleBinding"]  # fmt: skip

    assert len(bindings) == 4
    for one in bindings:
        assert one["subjects"] == [subject]
        assert one["roleRef"]["name"] == one["metadata"]["name"]
    assert named("ServiceAccount")["metadata"]["name"] == account


def test_the_command_takes_its_arguments() -> None:
    result = CliRunner().invoke(main, [*container()["args"], "--help"])
    assert result.exit_code == 0


def test_probes_ask_the_port_that_is_served() -> None:
    (port,) = container()["ports"]
    served = next(one for one in container()["args"] if one.startswith("--http="))

    assert served.rpartition(":")[2] == str(port["containerPort"])
    assert container()["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": port["name"]}
    assert container()["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": port["name"]}


def test_each_replica_has_its_own_name_and_state() -> None:
    names = {one["name"]: one["valueFrom"]["fieldRef"]["fieldPath"] for one in container()["env"]}
    assert names == {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"}
    (mount,) = container()["volumeMounts"]
    assert f"--state={mount['mountPath']}" in container()["args"]
