"""`foresail lint --live` on a real API server, which fills in its defaults, with KEDA's CRDs."""

import json
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from foresail.cli import main
from tests.e2e import bed as beds
from tests.e2e.site import Site
from tests.lint.manifests import DEPLOYMENT, DISRUPTION, edited

pytestmark = pytest.mark.looptime(False)  # processes live in real time

NAMESPACE = "lint"
PAUSED = {"autoscaling.keda.sh/paused": "true"}
"""So that the bed's KEDA leaves the workload alone."""


def manifests() -> list[dict[str, Any]]:
    """The example's ScaledObject, its workload at zero, and a budget that allows nothing."""
    place = {"metadata namespace": NAMESPACE}
    example = yaml.safe_load((beds.ROOT / "deploy/examples/scaledobject.yaml").read_text())
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        edited(example, {**place, "metadata annotations": PAUSED}),
        edited(DEPLOYMENT, {**place, "spec replicas": 0}),
        edited(DISRUPTION, {**place, "spec maxUnavailable": 0}),
    ]


def test_a_real_cluster_has_the_findings_of_its_manifests_and_no_other(site: Site) -> None:
    bed = site.bed
    bed.apply(*manifests())

    result = CliRunner().invoke(
        main, ["lint", "--live", "--kubeconfig", str(bed.kubeconfig("admin")), "--format", "json"]
    )

    report = json.loads(result.output)
    found = {
        (one["rule"], one["subject"])
        for one in report["findings"]
        if f" {NAMESPACE}/" in one["subject"]
    }
    bed.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    assert found == {
        ("FS110", f"ScaledObject {NAMESPACE}/qwen3-32b"),
        ("FS531", f"PodDisruptionBudget {NAMESPACE}/qwen3-32b"),
    }
    assert report["notes"] == []
    assert {one["file"] for one in report["findings"]} == {"bed"}
