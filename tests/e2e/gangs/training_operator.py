"""Kubeflow's training operator as a process, with its webhooks and without a gang scheduler."""

from pathlib import Path

import yaml

from tests.e2e import kinds
from tests.e2e.bed import Bed, answers_ok, module
from tests.e2e.gangs.controllers import WEBHOOK_SECONDS_MAX
from tests.e2e.gangs.own_certificates import OwnCertificate
from tests.prometheus import free_port

_COMPONENT = "training-operator"
_CERTIFICATE = OwnCertificate(
    namespace="kubeflow", service="training-operator", kept_in="training-operator-webhook-cert"
)
_WEBHOOKS = "validator.training-operator.kubeflow.org"
"""The name of its webhooks' configuration, as its kustomization has it."""
_IS_MOUNTED = Path("/tmp/k8s-webhook-server/serving-certs/tls.crt")  # noqa: S108
"""It waits until this file is there, and reads the one below TMPDIR."""


def start(bed: Bed) -> None:
    """The operator with its kinds."""
    manifests = module(_COMPONENT, "github.com/kubeflow/training-operator") / "manifests" / "base"
    kinds.serve(bed, sorted((manifests / "crds").glob("*_*.yaml")))
    port, probes = free_port(), free_port()
    _CERTIFICATE.prepare(bed)
    (webhooks,) = yaml.safe_load_all((manifests / "webhook" / "manifests.yaml").read_text())
    webhooks["metadata"]["name"] = _WEBHOOKS
    for one in webhooks["webhooks"]:
        path = one["clientConfig"]["service"]["path"]
        one["clientConfig"] = _CERTIFICATE.client(path, port)
        one["timeoutSeconds"] = WEBHOOK_SECONDS_MAX
    bed.apply(webhooks)
    temporary = bed.folder / "training-operator"
    certificates = temporary / "k8s-webhook-server" / "serving-certs"
    certificates.mkdir(parents=True)
    # Until it has made its own pair: the file of an earlier bed may let it begin at once.
    for name, own in (("tls.crt", "server.crt"), ("tls.key", "server.key")):
        (certificates / name).write_bytes((bed.folder / own).read_bytes())
    bed.start(
        "training-operator",
        [
            bed.program(_COMPONENT, "training-operator.v1"),
            "--metrics-bind-address=0",
            f"--health-probe-bind-address=127.0.0.1:{probes}",
            f"--webhook-server-port={port}",
        ],
        environment={
            "KUBECONFIG": str(bed.kubeconfig("admin")),
            "MY_POD_NAMESPACE": _CERTIFICATE.namespace,
            "TMPDIR": str(temporary),
        },
    )
    _CERTIFICATE.mount(bed, certificates)
    _IS_MOUNTED.parent.mkdir(parents=True, exist_ok=True)
    _IS_MOUNTED.touch()
    bed.wait(lambda: answers_ok(f"http://127.0.0.1:{probes}/readyz"), "the training operator")
