"""The agent's manifest: what it may do to which node, and that it is run as the command expects."""

from copy import deepcopy
from typing import Any

import pytest
import yaml
from cel_expr_python import cel
from click.testing import CliRunner

from fleet.annotations import REPORT
from foresail.cli import main
from tests.deploy.examples import AGENT, Manifest
from tests.deploy.schema import unknown_fields

NODE_NAME = "authentication.kubernetes.io/node-name"
KINDS = (
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "DaemonSet",
    "NetworkPolicy",
)
Json = Any


def manifests() -> dict[str, Manifest]:
    return {one["kind"]: one for one in yaml.safe_load_all(AGENT.read_text())}


def pod() -> Manifest:
    return dict(manifests()["DaemonSet"]["spec"]["template"]["spec"])


@pytest.mark.parametrize("kind", KINDS)
def test_kubernetes_knows_every_field(kind: str) -> None:
    assert set(manifests()) == set(KINDS)
    assert list(unknown_fields(manifests()[kind], f"V1{kind}")) == []


def test_the_command_takes_its_arguments() -> None:
    (container,) = pod()["containers"]
    names = {one["name"] for one in container["env"]}

    # Without a node's name it ends with usage, after every option was understood.
    result = CliRunner().invoke(main, container["args"], env={"NODE_NAME": ""})
    assert "--node or NODE_NAME" in result.output
    assert "NODE_NAME" in names


def test_the_agent_may_patch_nodes_and_nothing_else() -> None:
    assert manifests()["ClusterRole"]["rules"] == [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["patch"]}
    ]


def test_the_role_the_policy_and_the_pod_are_about_one_account() -> None:
    account = manifests()["ServiceAccount"]["metadata"]
    (subject,) = manifests()["ClusterRoleBinding"]["subjects"]
    (condition,) = manifests()["ValidatingAdmissionPolicy"]["spec"]["matchConditions"]
    policy = manifests()["ValidatingAdmissionPolicy"]["metadata"]["name"]

    assert (subject["name"], subject["namespace"]) == (account["name"], account["namespace"])
    assert pod()["serviceAccountName"] == account["name"]
    user = f"system:serviceaccount:{account['namespace']}:{account['name']}"
    assert asked(condition["expression"], request(user=user))
    assert not asked(condition["expression"], request(user="system:node:gpu-1"))
    assert manifests()["ValidatingAdmissionPolicyBinding"]["spec"]["policyName"] == policy


def test_the_pod_is_restricted_and_mounts_nothing_of_the_host() -> None:
    (container,) = pod()["containers"]

    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert not {"volumes", "hostNetwork", "hostPID", "hostIPC"} & set(pod())
    limits = container["resources"]["limits"]
    assert [name for name in limits if "nvidia" in name] == []  # it takes no GPU from anyone


class TestPolicy:
    """The policy's own expressions, by Google's CEL runtime."""

    def test_the_report_of_its_own_node_is_admitted(self) -> None:
        assert refusals({REPORT: "{}"}) == []

    def test_so_is_the_first_annotation_a_node_ever_has(self) -> None:
        before = node()
        del before["metadata"]["annotations"]
        after = deepcopy(before)
        after["metadata"]["annotations"] = {REPORT: "{}"}

        assert judged(before, after) == []

    @pytest.mark.parametrize(
        "extra",
        [
            pytest.param({NODE_NAME: ["gpu-2"]}, id="of-another-node"),
            pytest.param({}, id="of-no-node"),
            pytest.param({NODE_NAME: []}, id="of-none-of-them"),
            pytest.param(None, id="nothing-known-of-the-token"),
        ],
    )
    def test_a_token_of_elsewhere_is_refused(self, extra: Json) -> None:
        (refusal,) = refusals({REPORT: "{}"}, extra=extra)
        assert "its own pod" in refusal

    @pytest.mark.parametrize(
        "annotations",
        [
            pytest.param({"other": "changed"}, id="changed"),
            pytest.param({"new": "one"}, id="added"),
            pytest.param({"other": None}, id="removed"),
        ],
    )
    def test_other_annotations_are_refused(self, annotations: dict[str, str | None]) -> None:
        (refusal,) = refusals(annotations)
        assert "foresail.io/gpu-report only" in refusal

    @pytest.mark.parametrize(
        ("part", "key", "value"),
        [
            pytest.param("spec", "unschedulable", True, id="cordon"),
            pytest.param("spec", "taints", [], id="taint"),
            pytest.param("status", "capacity", {"nvidia.com/gpu": "16"}, id="capacity"),
            pytest.param("metadata", "labels", {"zone": "b"}, id="label"),
            pytest.param("metadata", "finalizers", ["x"], id="finalizer"),
            pytest.param("metadata", "ownerReferences", [{"name": "x"}], id="owner"),
        ],
    )
    def test_everything_else_of_the_node_is_refused(self, part: str, key: str, value: Json) -> None:
        after = node()
        after[part][key] = value

        (refusal,) = judged(node(), after)
        assert "nothing of a node but its annotation" in refusal


def node() -> Json:
    return {
        "metadata": {
            "name": "gpu-1",
            "annotations": {"other": "kept"},
            "labels": {"zone": "a"},
        },
        "spec": {"providerID": "aws:///i-1"},
        "status": {"capacity": {"nvidia.com/gpu": "8"}},
    }


def request(*, user: str = "", extra: Json = None) -> Json:
    info: Json = {"username": user}
    if extra is not None:
        info["extra"] = extra
    return {"request": {"userInfo": info}}


OWN = {NODE_NAME: ["gpu-1"]}


def refusals(annotations: dict[str, str | None], *, extra: Json = OWN) -> list[str]:
    after = node()
    changed = {**after["metadata"]["annotations"], **annotations}
    after["metadata"]["annotations"] = {k: v for k, v in changed.items() if v is not None}
    return judged(node(), after, extra=extra)


def judged(before: Json, after: Json, *, extra: Json = OWN) -> list[str]:
    """The messages of the validations that do not hold."""
    spec = manifests()["ValidatingAdmissionPolicy"]["spec"]
    given = {"object": after, "oldObject": before, **request(extra=extra)}
    given["variables"] = {one["name"]: asked(one["expression"], given) for one in spec["variables"]}
    return [one["message"] for one in spec["validations"] if not asked(one["expression"], given)]


def asked(expression: str, given: Json) -> Json:
    environment = cel.NewEnv(variables=dict.fromkeys(given, cel.Type.DYN))
    return environment.compile(expression).eval(data=given).plain_value()
