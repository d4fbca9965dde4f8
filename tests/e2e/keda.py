"""KEDA as two processes: the operator, and the adapter that serves metrics to the HPA."""

import shutil

from tests.e2e import kinds
from tests.e2e.bed import Bed, module
from tests.prometheus import free_port

_ENVIRONMENT = {
    # Set, but empty: all namespaces.
    "WATCH_NAMESPACE": "",
    "KEDA_CLUSTER_OBJECT_NAMESPACE": "keda",
    "POD_NAMESPACE": "keda",
}
_METRICS_GROUP = "external.metrics.k8s.io"
_METRICS_API = f"v1beta1.{_METRICS_GROUP}"
API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"


def start(bed: Bed) -> None:
    """Both, and the aggregated API through which the HPA asks."""
    crds = module("keda", "github.com/kedacore/keda/v2") / "config" / "crd" / "bases"
    kinds.serve(bed, sorted(crds.glob("*.yaml")))
    for name in ("keda", "llm"):
        bed.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    certificates = bed.folder / "keda"
    certificates.mkdir()
    for there, here in (
        ("ca.crt", "ca.crt"),
        ("tls.crt", "server.crt"),
        ("tls.key", "server.key"),
    ):
        shutil.copy(bed.file(here), certificates / there)
    internal, port = free_port(), free_port()
    kubeconfig = str(bed.kubeconfig("admin"))
    environment = {**_ENVIRONMENT, "KUBECONFIG": kubeconfig}
    bed.start(
        "keda-operator",
        [
            bed.program("keda", "operator"),
            f"--cert-dir={certificates}",
            f"--metrics-service-bind-address=127.0.0.1:{internal}",
            f"--metrics-bind-address=127.0.0.1:{free_port()}",
            f"--health-probe-bind-address=127.0.0.1:{free_port()}",
            "--enable-cert-rotation=false",
            "--leader-elect=false",
            "--zap-log-level=info",
        ],
        environment=environment,
    )
    bed.start(
        "keda-adapter",
        [
            bed.program("keda", "adapter"),
            f"--lister-kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            f"--secure-port={port}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={certificates}",
            f"--tls-cert-file={certificates / 'tls.crt'}",
            f"--tls-private-key-file={certificates / 'tls.key'}",
            f"--client-ca-file={certificates / 'ca.crt'}",
            f"--metrics-service-address=localhost:{internal}",
            f"--port={free_port()}",
        ],
        environment=environment,
    )
    _aggregate(bed, port)


def _aggregate(bed: Bed, port: int) -> None:
    bed.apply(
        {
            # Dialled by name, as no proxy routes a ClusterIP here.
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "keda-metrics-apiserver", "namespace": "keda"},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "external-metrics"},
            "rules": [{"apiGroups": [_METRICS_GROUP], "resources": ["*"], "verbs": ["*"]}],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "external-metrics"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "external-metrics",
            },
            "subjects": [
                {
                    "kind": "ServiceAccount",
                    "name": "horizontal-pod-autoscaler",
                    "namespace": "kube-system",
                }
            ],
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": _METRICS_API},
            "spec": {
                "group": _METRICS_GROUP,
                "version": "v1beta1",
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "insecureSkipTLSVerify": True,
                "service": {
                    "name": "keda-metrics-apiserver",
                    "namespace": "keda",
                    "port": port,
                },
            },
        },
    )
    bed.wait(
        lambda: bed.conditions(f"{API_SERVICES}/{_METRICS_API}").get("Available") == "True",
        "the external metrics API",
    )
