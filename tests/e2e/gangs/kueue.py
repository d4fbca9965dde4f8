"""Kueue as a process, beside the controllers of the jobs that it admits.

It makes its certificate itself and waits until that is mounted, as a kubelet would do it; its
webhooks are reached by a Service that names this machine.
"""

import base64
from typing import Any

import yaml

from tests.e2e import kinds
from tests.e2e.bed import Bed, answers_ok, module
from tests.e2e.gangs.controllers import COMPONENT
from tests.prometheus import free_port

_NAMESPACE = "kueue-system"
_SERVICE, _SECRET = "kueue-webhook-service", "kueue-webhook-server-cert"
_MODULE = "sigs.k8s.io/kueue"
_CONVERTED = frozenset(
    {"localqueues", "clusterqueues", "workloads", "cohorts", "multikueueclusters"}
)
"""Kinds that Kueue converts between their versions; it ends if their CRD does not say so."""
_GROUPS = frozenset({"kueue.x-k8s.io", "jobset.x-k8s.io", "trainer.kubeflow.org"})
"""Of what its webhooks are asked about here."""


def start(bed: Bed) -> None:
    """Kueue with its kinds and webhooks."""
    components = module(COMPONENT, _MODULE) / "config" / "components"
    port, probes = free_port(), free_port()
    bed.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": _SERVICE, "namespace": _NAMESPACE},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        },
    )
    bed.secret(_NAMESPACE, _SECRET, {})
    files = sorted((components / "crd" / "bases").glob("*.yaml"))
    kinds.serve(bed, files, adapted=lambda one: _with_conversion(one, port))
    text = (components / "webhook" / "manifests.yaml").read_text()
    bed.apply(*(_reached(one, port) for one in yaml.safe_load_all(text) if one))
    certificates = bed.folder / "kueue-certificates"
    certificates.mkdir()
    configuration = {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "namespace": _NAMESPACE,
        "health": {"healthProbeBindAddress": f"127.0.0.1:{probes}"},
        "metrics": {"bindAddress": "0"},
        "leaderElection": {"leaderElect": False},
        "webhook": {"port": port, "certDir": str(certificates)},
        "internalCertManagement": {
            "enable": True,
            "webhookServiceName": _SERVICE,
            "webhookSecretName": _SECRET,
        },
        "featureGates": {"VisibilityOnDemand": False},
        "integrations": {
            "frameworks": ["batch/job", "jobset.x-k8s.io/jobset", "trainer.kubeflow.org/trainjob"]
        },
    }
    bed.write("kueue.yaml", yaml.safe_dump(configuration).encode())
    bed.start(
        "kueue",
        [bed.program(COMPONENT, "kueue"), f"--config={bed.file('kueue.yaml')}"],
        environment={"KUBECONFIG": str(bed.kubeconfig("admin"))},
    )
    path = f"/api/v1/namespaces/{_NAMESPACE}/secrets/{_SECRET}"
    bed.wait(lambda: "tls.key" in (bed.read(path).get("data") or {}), "Kueue's certificate")
    for name, value in bed.read(path)["data"].items():
        (certificates / name).write_bytes(base64.b64decode(value))
    bed.wait(lambda: answers_ok(f"http://127.0.0.1:{probes}/readyz"), "Kueue")


def _with_conversion(crd: dict[str, Any], port: int) -> dict[str, Any]:
    if crd["spec"]["names"]["plural"] in _CONVERTED:
        crd["spec"]["conversion"] = {
            "strategy": "Webhook",
            "webhook": {
                "clientConfig": {"service": _service("/convert", port)},
                "conversionReviewVersions": ["v1"],
            },
        }
    return crd


def _reached(document: dict[str, Any], port: int) -> dict[str, Any]:
    """The webhooks of the kinds that are used here, under the name that Kueue looks for."""
    document["metadata"] = {"name": f"kueue-{document['metadata']['name']}"}
    document["webhooks"] = [
        one
        for one in document["webhooks"]
        if _GROUPS.issuperset(group for rule in one["rules"] for group in rule["apiGroups"])
    ]
    for one in document["webhooks"]:
        path = one["clientConfig"]["service"]["path"]
        one["clientConfig"] = {"service": _service(path, port)}
    return document


def _service(path: str, port: int) -> dict[str, Any]:
    return {"name": _SERVICE, "namespace": _NAMESPACE, "path": path, "port": port}
