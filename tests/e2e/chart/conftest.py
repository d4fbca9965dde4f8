"""The Helm chart, by the real helm: rendered, and installed on a control plane of its own.

* `helm`: the program, with a home of its own.
* `chart_bed`: etcd, Kubernetes and kwok, and the kinds of KEDA, cert-manager and the Prometheus
  operator, without what works on them. One for the whole run.
* `installing`: helm for that cluster; each test's release is gone after it.
"""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e import kinds, kubernetes
from tests.e2e.bed import Bed, module
from tests.e2e.chart.helm import RELEASE, Helm, HelmError
from tests.e2e.conftest import BUILT, made_bed

collect_ignore_glob = [] if BUILT else ["test_*.py"]
CERT_MANAGER = "github.com/cert-manager/cert-manager@v1.21.2"
MONITORING = Path(__file__).parent / "crds" / "monitoring.yaml"
NAMESPACES = (RELEASE, "keda", "llm", "cert-manager")


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    assert BUILT is not None
    return Helm(Path(BUILT).resolve() / "helm" / "helm", tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def chart_bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    parts = (kubernetes.start_nodes, _add_kinds)
    with made_bed(request, "chart-bed", beside=parts) as made:
        yield made


def _add_kinds(bed: Bed) -> None:
    keda = module("keda", "github.com/kedacore/keda/v2") / "config" / "crd" / "bases"
    command = ["go", "mod", "download", "-json", CERT_MANAGER]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=bed.folder)
    cert_manager = Path(json.loads(done.stdout)["Dir"]) / "deploy" / "crds"
    kinds.serve(bed, [*keda.glob("*.yaml"), *cert_manager.glob("*.yaml"), MONITORING])
    for name in NAMESPACES:
        bed.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


@pytest.fixture
def installing(helm: Helm, chart_bed: Bed) -> Iterator[Helm]:
    made = replace(helm, kubeconfig=chart_bed.kubeconfig("admin"))
    yield made
    try:
        made("uninstall", RELEASE, "-n", RELEASE, "--no-hooks", "--ignore-not-found")
    except HelmError:
        made("uninstall", RELEASE, "-n", RELEASE, "--no-hooks")
    # Garbage collection takes its time, and the next release has pods of the same labels.
    pods = f"/api/v1/namespaces/{RELEASE}/pods"
    chart_bed.wait(lambda: not chart_bed.read(pods)["items"], "the release's pods to be gone")
