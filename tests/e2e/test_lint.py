"""`foresail lint --live` on a real API server, which fills in its defaults, with KEDA's CRDs."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from foresail.cli import main
from tests.e2e import bed as beds
from tests.e2e import kinds
from tests.e2e.site import Site
from tests.lint.all_cases import CASES
from tests.lint.case import Case
from tests.lint.manifests import DEPLOYMENT, DISRUPTION, edited

pytestmark = pytest.mark.looptime(False)  # processes live in real time

NAMESPACE = "lint"
REFUSED = (
    *("FS154", "FS205", "FS211", "FS214", "FS215", "FS217", "FS401", "FS524", "FS544", "FS546"),
)
"""Rules about what an API server refuses; of a ScaledObject it is KEDA's HPA that is refused."""
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
    try:
        result = CliRunner().invoke(
            main, ["lint", "--live", "--kubeconfig", str(bed.kubeconfig("admin")), "-o", "json"]
        )
    finally:
        bed.kubectl("delete", "namespace", NAMESPACE, "--wait=false")

    report = json.loads(result.output)
    found = {
        (one["rule"], one["subject"])
        for one in report["findings"]
        if f" {NAMESPACE}/" in one["subject"]
    }
    assert found == {
        ("FS110", f"ScaledObject {NAMESPACE}/qwen3-32b"),
        ("FS531", f"PodDisruptionBudget {NAMESPACE}/qwen3-32b"),
    }
    assert report["notes"] == []
    assert {one["file"] for one in report["findings"]} == {"bed"}


@pytest.fixture(scope="module")
def served(site: Site) -> Iterator[beds.Bed]:
    """With the CRDs of Karpenter and of Foresail."""
    bed = site.bed
    folder = beds.module("karpenter", "sigs.k8s.io/karpenter") / "pkg" / "apis" / "crds"
    made = kinds.definitions([*folder.iterdir(), *(beds.ROOT / "deploy" / "crds").iterdir()])
    bed.apply(*made)
    bed.wait_for_kinds()
    yield bed
    kinds.remove(bed, made)


def is_refused(case: Case) -> bool:
    """Whether the API server is to refuse it; some schedules only Karpenter cannot parse."""
    unparsed = case.rule == "FS211" and case.at.endswith(".schedule") and case.says != ""
    return case.rule in REFUSED and case.found[0]["kind"] != "ScaledObject" and not unparsed


def refusal(bed: beds.Bed, manifest: dict[str, Any]) -> str | None:
    """Why the API server refuses a manifest, which it does not keep; None = it takes it."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "namespace"}
    try:
        bed.create({**manifest, "metadata": metadata}, dry=True)
    except RuntimeError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    "case",
    [pytest.param(one, id=f"{one.rule}-{one.at}") for one in CASES if is_refused(one)],
)
def test_what_a_rule_says_is_refused_the_api_server_refuses(served: beds.Bed, case: Case) -> None:
    assert any(refusal(served, one) is not None for one in case.found)
    assert [refusal(served, one) for one in case.clean] == [None] * len(case.clean)
