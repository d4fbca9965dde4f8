"""The API server takes every object of the chart, and its accounts may do what they need."""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.e2e.bed import Bed
from tests.e2e.chart.helm import CHART, RELEASE, ROOT, VALUES, Helm, objects_of, of_kind
from tests.e2e.conftest import BUILT

pytestmark = pytest.mark.looptime(False)  # processes live in real time

CHART_MADE = CHART / "ci" / "chart-certificates.yaml"
RBAC = ("ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")
RIGHTS_SECONDS_MAX = 60.0
"""Until the API server knows of roles that were made; reached on failure only."""
Right = tuple[str, str]
"""Verb, and resource with its group and the names it is limited to."""

READ = {
    (verb, what)
    for verb in ("list", "watch")
    for what in (
        "nodes",
        "pods",
        "deviceclasses.resource.k8s.io",
        "resourceslices.resource.k8s.io",
        "resourceclaims.resource.k8s.io",
        "devicetaintrules.resource.k8s.io",
        "podgroups.scheduling.k8s.io",
        "podgroups.scheduling.x-k8s.io",
    )
}
"""By the extender and the controller."""
CONTROLLER_READS = READ | {
    (verb, what)
    for verb in ("list", "watch")
    for what in (
        "nodepools.karpenter.sh",
        "nodeclaims.karpenter.sh",
        "ec2nodeclasses.karpenter.k8s.aws",
        "nodeclasses.eks.amazonaws.com",
        "capacitypolicies.foresail.io",
        "capacitybuffers.autoscaling.x-k8s.io",
        "scaledobjects.keda.sh",
        "trainjobs.trainer.kubeflow.org",
        "pytorchjobs.kubeflow.org",
        "mpijobs.kubeflow.org",
        "jobsets.jobset.x-k8s.io",
        "leaderworkersets.leaderworkerset.x-k8s.io",
        "rayjobs.ray.io",
        "rayclusters.ray.io",
        "workloads.kueue.x-k8s.io",
        "resourceflavors.kueue.x-k8s.io",
    )
}
TELLS = {
    ("create", "events.events.k8s.io"),
    ("create", "leases.coordination.k8s.io"),
    ("get", "leases.coordination.k8s.io [foresail-controller]"),
    ("update", "leases.coordination.k8s.io [foresail-controller]"),
}
ACTS = {
    ("patch", "nodes"),
    ("delete", "nodeclaims.karpenter.sh"),
    ("get", "pods"),
    ("patch", "pods"),
    ("patch", "nodepools.karpenter.sh"),
    ("patch", "nodepools.karpenter.sh/scale"),
    ("create", "priorityclasses.scheduling.k8s.io"),
    ("get", "priorityclasses.scheduling.k8s.io [foresail-placeholder]"),
    ("patch", "priorityclasses.scheduling.k8s.io [foresail-placeholder]"),
    ("delete", "priorityclasses.scheduling.k8s.io [foresail-placeholder]"),
    ("list", "events"),
    *(
        (verb, what)
        for verb in ("list", "create", "patch", "delete")
        for what in ("capacitybuffers.autoscaling.x-k8s.io", "podtemplates", "deployments.apps")
    ),
}
WEBHOOK = {
    ("create", "resourceclaimtemplates.resource.k8s.io"),
    ("patch", "resourceclaimtemplates.resource.k8s.io"),
    ("list", "deviceclasses.resource.k8s.io"),
    ("watch", "deviceclasses.resource.k8s.io"),
}


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_the_api_server_takes_every_field(chart_bed: Bed, helm: Helm, values: Path) -> None:
    rendered = helm.rendered(values)
    assert rendered
    chart_bed.apply(*rendered, dry=True)


def test_plain_manifests_are_taken_and_hold_no_key(chart_bed: Bed, tmp_path: Path) -> None:
    assert BUILT is not None
    subprocess.run([ROOT / "scripts" / "chart.sh", BUILT, tmp_path], check=True)
    manifests = sorted((tmp_path / "manifests").glob("*.yaml"))
    assert [path.stem for path in manifests] == ["everything", "scaler-only"]
    for path in manifests:
        made = objects_of(path.read_text())
        assert [one for one in of_kind(made, "Secret") if one.get("data")] == []
        assert [one for one in made if "helm.sh/hook" in str(one["metadata"])] == []
        chart_bed.apply(*made, dry=True)


def test_a_field_that_the_api_server_does_not_know_is_refused(chart_bed: Bed, helm: Helm) -> None:
    (made, *_) = of_kind(helm.rendered(CHART_MADE), "ServiceMonitor", "Deployment")
    made["spec"]["replicass"] = 2
    with pytest.raises(RuntimeError, match="replicass"):
        chart_bed.apply(made, dry=True)


@pytest.mark.parametrize("mode", ["observe", "advise", "act"])
def test_each_account_may_do_what_its_process_needs_and_nothing_else(
    chart_bed: Bed, helm: Helm, mode: str
) -> None:
    rendered = helm.rendered(CHART_MADE, "--set", f"controller.mode={mode}")
    made = [
        one
        for one in of_kind(rendered, *RBAC)
        if "helm.sh/hook" not in one["metadata"].get("annotations", {})
    ]
    chart_bed.apply(*made)
    expected: dict[str, set[Right]] = {
        "foresail": set(),
        "foresail-controller": CONTROLLER_READS
        | (TELLS if mode != "observe" else set())
        | (ACTS if mode == "act" else set()),
        "foresail-extender": READ | {("create", "events.events.k8s.io")},
        "foresail-webhook": WEBHOOK,
        "foresail-agent": {("patch", "nodes")},
    }
    try:
        for account, rights in expected.items():
            chart_bed.wait(
                lambda account=account, rights=rights: rights_of(chart_bed, account) == rights,
                f"the rights of {account} in mode {mode}",
                seconds=RIGHTS_SECONDS_MAX,
            )
            # In another namespace nothing of its own may be made.
            elsewhere = rights_of(chart_bed, account, namespace="llm")
            assert elsewhere <= rights
            assert ("create", "deployments.apps") not in elsewhere
    finally:
        chart_bed.kubectl("delete", "-f", "-", text=yaml.safe_dump_all(made))


def rights_of(bed: Bed, account: str, namespace: str = RELEASE) -> set[Right]:
    """What the API server says an account may do beyond what every account may."""
    return _told(bed, account, namespace) - _told(bed, "of-no-process", namespace)


def _told(bed: Bed, account: str, namespace: str) -> set[Right]:
    asked = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    told = bed.create(asked, user=f"system:serviceaccount:{RELEASE}:{account}")
    found = set()
    for rule in told["status"]["resourceRules"]:
        names = f" [{','.join(rule['resourceNames'])}]" if rule.get("resourceNames") else ""
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                kind, slash, part = resource.partition("/")
                what = f"{kind}.{group}{slash}{part}" if group else f"{kind}{slash}{part}"
                found |= {(verb, f"{what}{names}") for verb in rule["verbs"]}
    return found
