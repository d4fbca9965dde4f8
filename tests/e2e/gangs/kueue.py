"""Kueue as a process, beside the controllers of the jobs that it admits."""

from typing import Any

import yaml

from tests.e2e import kinds
from tests.e2e.bed import Bed, answers_ok, module
from tests.e2e.gangs.controllers import COMPONENT, WEBHOOK_SECONDS_MAX
from tests.e2e.gangs.own_certificates import OwnCertificate
from tests.prometheus import free_port

_CERTIFICATE = OwnCertificate(
    namespace="kueue-system", service="kueue-webhook-service", kept_in="kueue-webhook-server-cert"
)
_MODULE = "sigs.k8s.io/kueue"
_CONVERTED = frozenset(
    {"localqueues", "clusterqueues", "workloads", "cohorts", "multikueueclusters"}
)
"""Kinds that Kueue converts between their versions; it ends if their CRD does not say so."""
_GROUPS = frozenset({"kueue.x-k8s.io", "jobset.x-k8s.io", "trainer.kubeflow.org", "kubeflow.org"})
"""Of what its webhooks are asked about here."""


def start(bed: Bed) -> None:
    """Kueue with its kinds and webhooks."""
    components = module(COMPONENT, _MODULE) / "config" / "components"
    port, probes = free_port(), free_port()
    _CERTIFICATE.prepare(bed)
    files = sorted((components / "crd" / "bases").glob("*.yaml"))
    kinds.serve(bed, files, adapted=lambda one: _with_conversion(one, port))
    text = (components / "webhook" / "manifests.yaml").read_text()
    bed.apply(*(_reached(one, port) for one in yaml.safe_load_all(text) if one))
    certificates = bed.folder / "kueue-certificates"
    certificates.mkdir()
    configuration = {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "namespace": _CERTIFICATE.namespace,
        "health": {"healthProbeBindAddress": f"127.0.0.1:{probes}"},
        "metrics": {"bindAddress": "0"},
        "leaderElection": {"leaderElect": False},
        "webhook": {"port": port, "certDir": str(certificates)},
        "internalCertManagement": {
            "enable": True,
            "webhookServiceName": _CERTIFICATE.service,
            "webhookSecretName": _CERTIFICATE.kept_in,
        },
        "featureGates": {"VisibilityOnDemand": False},
        "integrations": {
            "frameworks": [
                "batch/job",
                "jobset.x-k8s.io/jobset",
                "trainer.kubeflow.org/trainjob",
                "kubeflow.org/pytorchjob",
            ]
        },
    }
    bed.write("kueue.yaml", yaml.safe_dump(configuration).encode())
    bed.start(
        "kueue",
        [bed.program(COMPONENT, "kueue"), f"--config={bed.file('kueue.yaml')}"],
        environment={"KUBECONFIG": str(bed.kubeconfig("admin"))},
    )
    _CERTIFICATE.mount(bed, certificates)
    bed.wait(lambda: answers_ok(f"http://127.0.0.1:{probes}/readyz"), "Kueue")


def _with_conversion(crd: dict[str, Any], port: int) -> dict[str, Any]:
    if crd["spec"]["names"]["plural"] in _CONVERTED:
        crd["spec"]["conversion"] = {
            "strategy": "Webhook",
            "webhook": {
                "clientConfig": _CERTIFICATE.client("/convert", port),
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
        one["clientConfig"] = _CERTIFICATE.client(path, port)
        one["timeoutSeconds"] = WEBHOOK_SECONDS_MAX
    return document
